//! Why a walk ends early.

use dicom_core::Tag;

use super::{MAX_DEPTH, MAX_TOKENS};

/// Why a data set could not be walked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WalkError {
    /// The bytes end inside an element.
    #[error(
        "the data set ends inside {tag} at byte {offset}; the object was cut off: send it again"
    )]
    Truncated {
        /// The element that is not whole.
        tag: Tag,
        /// Bytes from the start of the source.
        offset: u64,
    },
    /// A length reaches beyond what contains it.
    #[error(
        "{tag} at byte {offset} claims {length} bytes, more than what contains it; the object is damaged"
    )]
    LengthOverrun {
        /// The element with the wrong length.
        tag: Tag,
        /// Bytes from the start of the source.
        offset: u64,
        /// The length it claims, in bytes.
        length: u64,
    },
    /// An element stands where it cannot stand.
    #[error(
        "{tag} cannot stand at byte {offset}; the object is damaged or not in the stated transfer syntax"
    )]
    Unexpected {
        /// The element.
        tag: Tag,
        /// Bytes from the start of the source.
        offset: u64,
    },
    /// Sequences nested deeper than [`MAX_DEPTH`].
    #[error(
        "sequences are nested deeper than {MAX_DEPTH} levels at byte {offset}; the object is refused"
    )]
    TooDeep {
        /// Bytes from the start of the source.
        offset: u64,
    },
    /// More than [`MAX_TOKENS`] elements and items.
    #[error("the data set has more than {MAX_TOKENS} elements; the object is refused")]
    TooManyElements,
    /// The caller asked for a value longer than it wants to hold.
    #[error("{tag} has {length} bytes, more than the {limit} that are read")]
    ValueTooLong {
        /// The element.
        tag: Tag,
        /// Its length in bytes.
        length: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// A deflated data set inflates to more than is allowed.
    #[error(
        "the deflated data set is larger than {limit} bytes when inflated; the object is refused"
    )]
    InflatesTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The source failed.
    #[error("reading the object failed; check the disk and the connection")]
    Read(#[source] std::io::Error),
}
