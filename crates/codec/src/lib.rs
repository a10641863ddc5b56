//! Lossless coding of pixel planes.
//!
//! Pure and safe: no files, no network, no foreign code.
