//! Marks in pixel planes: planes in, planes out.
//!
//! Pure: no files, no network, no clock, no DICOM; randomness and keys come from the caller.

mod key;
mod plane;
pub mod reliability;
pub mod reversible;
pub mod tracing;

pub use key::MarkKey;
pub use plane::{MAX_SIDE, Plane, PlaneError};
