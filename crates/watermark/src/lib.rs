//! Marks in pixel planes: planes in, planes out.
//!
//! Pure: no files, no network, no clock, no DICOM; randomness and keys come from the caller.

mod plane;

pub use plane::{Plane, PlaneError};
