//! Lossless coding of pixel planes, fast both ways (docs/plane-coding.md).
//!
//! Pure and safe: no files, no network, no foreign code. A sample is predicted from its neighbours; the residual is coded by
//! static tables, one for each level of activity around the sample. Who reads knows the [`Shape`] from elsewhere; it
//! bounds memory and time, whatever the bytes are.

mod bits;
mod colour;
mod context;
mod decoder;
mod encoder;
mod entropy;
mod lanes;
mod model;
mod predict;
mod rans;
mod shape;
mod table;
mod token;

pub use colour::{decode_colour, encode_colour};
pub use decoder::{DecodeError, decode};
pub use encoder::{EncodeError, encode};
pub use shape::{MAX_SIDE, Shape, ShapeError};

/// Bands of rows that are coded in lockstep.
const LANES: usize = 4;

/// First byte of every coding.
const VERSION: u8 = 1;

/// A coding is never longer than the samples, one byte each up to 8 bits and two above, and this.
pub const OVERHEAD: usize = 2;

/// Second byte of a plane's coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Mode {
    /// All samples are equal: the sample follows, two bytes, low byte first.
    Flat = 0,
    /// The samples follow, a byte each up to a depth of 8, else two, low byte first.
    Raw = 1,
    /// Parameters, tables and streams follow.
    Coded = 2,
}

#[cfg(test)]
mod tests;
