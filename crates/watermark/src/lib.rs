//! Marks in pixel planes: planes in, planes out.
//!
//! Pure: no files, no network, no clock, no DICOM; randomness and keys come from the caller.

mod plane;
pub mod reversible;
pub mod tracing;

pub use plane::{MAX_SIDE, Plane, PlaneError};
