//! How one instance is kept in a bundle: head, coded pixels, tail (docs/protocol.md 3.7).
//!
//! Native pixels become planes, get the reliability mark, and are coded without loss; what does not
//! come back exactly that way is kept in the next simpler one. Everything here is checked by decoding
//! before it is relied on.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use harpo_codec::Shape;
use harpo_protocol::id::{BundleId, Digest, PartyId};
use harpo_protocol::secret::MarkKey;
use harpo_watermark::Plane;
use harpo_watermark::reliability::{Identity, Message};

use crate::content::export::instance_id;
use crate::content::picture::Picture;

pub use decode::{DecodeError, Decoded, decode};
pub use encode::{Coded, encode};

/// The body is the pixels.
const STORED: u8 = 0;
/// The body is a Zstandard frame of the pixels.
const ZSTD: u8 = 1;
/// The body is a record for each frame.
const PLANES: u8 = 2;

/// Level of Zstandard for bodies that are no planes.
const LEVEL: i32 = 3;
/// Largest window, as a power of two; bounds a reader's memory.
const WINDOW_LOG: u32 = 23;

/// Most samples of one frame, all planes together: bounds what a few bytes that code flat planes make a
/// reader allocate. Larger frames are kept as they are.
pub const MOST_SAMPLES: usize = 1 << 26;

fn too_large(picture: &Picture) -> bool {
    [picture.rows, picture.columns, picture.samples]
        .into_iter()
        .try_fold(1, usize::checked_mul)
        .is_none_or(|samples| samples > MOST_SAMPLES)
}

/// How the planes of one frame are coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Form {
    /// The stored bits, without a mark.
    Plain = 0,
    /// The stored bits, with a reliability mark.
    Marked = 1,
    /// All allocated bits, without a mark.
    Words = 2,
}

impl Form {
    fn of(byte: u8) -> Option<Self> {
        [Self::Plain, Self::Marked, Self::Words]
            .into_iter()
            .find(|form| *form as u8 == byte)
    }
}

/// Whose marks are made or expected: the same for all instances of a bundle.
#[derive(Debug)]
pub struct Marker {
    key: harpo_watermark::MarkKey,
    origin: PartyId,
    bundle: BundleId,
    statement: Digest,
}

impl Marker {
    /// Of a bundle, and the digest of its attestation (docs/protocol.md 3.6).
    #[must_use]
    pub fn new(key: &MarkKey, origin: PartyId, bundle: BundleId, statement: Digest) -> Self {
        Self {
            key: harpo_watermark::MarkKey::new(*key.expose()),
            origin,
            bundle,
            statement,
        }
    }

    /// What the mark of a frame says.
    #[must_use]
    pub fn message(&self, sop_instance_uid: &str, frame: u32) -> Message {
        Message {
            identity: Identity {
                origin: self.origin.0,
                bundle: self.bundle.0,
                instance: instance_id(sop_instance_uid),
                frame,
            },
            statement: self.statement.0,
        }
    }
}

/// Codes planes behind `out`. False, with `out` as it was, if they cannot be.
fn code(planes: &[Plane], out: &mut Vec<u8>) -> bool {
    let begin = out.len();
    let coded = match planes {
        [plane] => shape(plane)
            .is_some_and(|shape| harpo_codec::encode(plane.samples(), shape, out).is_ok()),
        [red, green, blue] => shape(red).is_some_and(|shape| {
            let planes = [red, green, blue].map(Plane::samples);
            harpo_codec::encode_colour(planes, shape, out).is_ok()
        }),
        _ => false,
    };
    if !coded {
        out.truncate(begin);
    }
    coded
}

fn shape(plane: &Plane) -> Option<Shape> {
    Shape::new(plane.width(), plane.height(), plane.depth()).ok()
}

/// The planes that `bytes` code: `count` of them, of this shape.
fn uncode(bytes: &[u8], shape: Shape, count: usize) -> Option<Vec<Plane>> {
    let plane = |samples| Plane::new(shape.width(), shape.height(), shape.depth(), samples).ok();
    match count {
        1 => Some(vec![plane(harpo_codec::decode(bytes, shape).ok()?)?]),
        3 => harpo_codec::decode_colour(bytes, shape)
            .ok()?
            .into_iter()
            .map(plane)
            .collect(),
        _ => None,
    }
}
