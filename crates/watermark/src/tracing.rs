//! The tracing mark: names one export in what was exported, by an anti-collusion code spread over a
//! whole study. Detection is informed: whoever traces has the originals. The design, its sizes and
//! what is proven of an accusation: docs/tracing-mark.md.
//!
//! Embedding: [`Tracer::embed`] with the [`Codeword`] of one [`ExportId`]. Tracing: [`locate`] says
//! which original a leaked [`Picture`] shows and where, [`Tracer::examine`] gathers [`Evidence`] from
//! each leaked picture of a study, [`Tracer::accuse`] compares it with the list of exports.

mod accuse;
mod code;
mod decoder;
mod embed;
mod examine;
mod key;
mod layout;
mod noise;
mod picture;
mod quality;
mod register;
mod resample;
mod strength;
mod tone;

pub use accuse::{Accusation, Limit, Suspect, Verdict};
pub use code::{CODE_LENGTH, Codeword};
pub use embed::Distortion;
pub use examine::{Evidence, Examination};
pub use key::{ExportId, ImageId, TraceKey, Tracer};
pub use picture::{MAX_PICTURE_SAMPLES, Picture, Placement};
pub use quality::ssim;
pub use register::{Registration, locate, register};
pub use strength::Display;

/// Why a picture cannot be marked or examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TraceError {
    /// The image has no room for chips.
    #[error(
        "an image of {width} x {height} is too small for a tracing mark; {min} x {min} is the least"
    )]
    TooSmall {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// The least side.
        min: usize,
    },
    /// Width and height do not give the number of samples, or there are none or too many.
    #[error(
        "a leaked picture of {width} x {height} cannot have {samples} samples, or is too large"
    )]
    Shape {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Samples given.
        samples: usize,
    },
    /// A sample is not a number.
    #[error("a leaked picture has samples that are not finite; decode it again")]
    NotFinite,
    /// The range of display is not a positive number.
    #[error("the width of the display window is not a positive number")]
    Display,
    /// The placement names scales or offsets beyond what is searched.
    #[error("the placement of the leaked picture is out of range; register it first")]
    Placement,
    /// The planes of one colour image differ in shape or depth.
    #[error("the planes of a colour image differ in shape or depth")]
    Colour,
}

#[cfg(test)]
mod tests;
