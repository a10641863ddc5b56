//! DICOM files and the DICOM network protocol.
//!
//! Bytes from other parties are read by one small, iterative walker ([`walk`]) whose depth and
//! memory are bounded, never by a recursive parser. Originals are kept byte for byte: nothing here
//! re-encodes a data set.

pub mod charset;
pub mod dimse;
pub mod frames;
pub mod inspect;
pub mod json;
pub mod part10;
pub mod scp;
pub mod scu;
#[cfg(test)]
pub(crate) mod testing;
pub mod uid;
pub mod walk;
pub mod wire;

pub use inspect::{
    Attributes, Header, InspectError, Limits, Patient, inspect, inspect_dataset, inspect_file,
};
