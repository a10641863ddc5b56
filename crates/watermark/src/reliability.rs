//! The reliability mark: reversible, and it shows where an image was altered.
//!
//! Every block of at most 16 x 16 samples carries a tag over its own final samples, bound to its
//! place and its image; a header that everybody can read, spread over all blocks, names the image;
//! what was overwritten travels inside, hidden reversibly. Taking the mark out gives back the
//! original planes, which a second code over all of them confirms. The format, what is proven and
//! what is not: docs/reliability-mark.md.

mod grid;
mod header;
mod identity;
mod layout;
mod stash;
mod tags;
#[cfg(test)]
mod tests;

pub use grid::{Block, Grid};
pub use identity::{Identity, Message};

use subtle::ConstantTimeEq;

use crate::reversible::{self, EmbedError};
use crate::{MarkKey, Plane};
use layout::Layout;
use tags::{Keys, SEAL_BYTES};

/// Bytes at the payload's end that are not stashed low bits: statement and seal.
const PROOF_BYTES: usize = 32 + SEAL_BYTES;

/// What a mark did to the plane that carries it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Distortion {
    /// Mean of the squared differences, in sample values squared.
    pub mse: f64,
    /// Peak signal to noise ratio in dB; the peak is 2^depth − 1. Infinite if nothing changed.
    pub psnr_db: f64,
    /// The largest difference of a sample.
    pub largest_error: u16,
    /// Bits that were hidden reversibly: low bits that tags and header replaced, and the proof.
    pub payload_bits: usize,
    /// `payload_bits` for each sample of the carrier plane.
    pub bits_per_pixel: f64,
}

/// Why an image cannot be marked.
#[derive(Debug, thiserror::Error)]
pub enum Unmarkable {
    /// One plane, or three, of the same width, height and depth can be marked.
    #[error("{0} planes, or planes of different shapes; a mark needs one plane or three alike")]
    Planes(usize),
    /// The header does not fit.
    #[error("{width} x {height} is too small: the mark's header has no room")]
    TooSmall {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// The samples cannot carry what must be hidden, usually because they are nothing but noise.
    #[error("the mark's {needed_bits} bits do not fit into these samples")]
    Capacity {
        /// Bits that would have to be hidden.
        needed_bits: usize,
        /// What the engine says.
        source: EmbedError,
    },
}

/// What a mark says of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// There is no readable mark: never marked, or cropped, shifted, scaled, coded with loss, or
    /// altered nearly everywhere.
    Unmarked,
    /// There is a mark, and it does not fit. The planes are as they were given.
    Altered(Altered),
    /// Nothing was altered. The planes are the originals now.
    Authentic(Authentic),
}

/// Where an image was altered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Altered {
    /// Whom the header names; not proven unless some block fits.
    pub identity: Identity,
    /// The grid.
    pub grid: Grid,
    /// Every block whose tag does not fit, row by row. All of them: another key, or a header that
    /// is not this image's. None of them: the blocks fit and the code over the whole image does
    /// not, which honest handling cannot cause.
    pub blocks: Vec<Block>,
}

/// What an authentic image says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authentic {
    /// Whose image it is; the caller compares it with what it expects.
    pub identity: Identity,
    /// The digest of the statement that the producer signed.
    pub statement: [u8; 32],
}

/// What all planes of an image have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    width: usize,
    height: usize,
    depth: u32,
    planes: usize,
}

impl Shape {
    /// `None` unless there are one or three planes alike.
    fn of(image: &[Plane]) -> Option<Self> {
        let shape = |plane: &Plane| (plane.width(), plane.height(), plane.depth());
        let (width, height, depth) = shape(image.first()?);
        let alike = image
            .iter()
            .all(|plane| shape(plane) == (width, height, depth));
        (alike && matches!(image.len(), 1 | 3)).then_some(Self {
            width,
            height,
            depth,
            planes: image.len(),
        })
    }

    fn to_bytes(self) -> [u8; 6] {
        let [w0, w1] = (self.width as u16).to_le_bytes();
        let [h0, h1] = (self.height as u16).to_le_bytes();
        [w0, w1, h0, h1, self.depth as u8, self.planes as u8]
    }

    fn layout(self) -> Option<Layout> {
        Layout::new(
            self.width,
            self.height,
            header::IDENTITY_BITS,
            header::PARAMETER_BITS,
        )
    }
}

/// The plane that carries the mark: of three the second, which is green.
fn carrier(planes: usize) -> usize {
    if planes == 3 { 1 } else { 0 }
}

/// Marks an image: one plane, or three of one shape. On an error the planes are as they were.
/// (docs/reliability-mark.md 2)
pub fn embed(
    image: &mut [Plane],
    key: &MarkKey,
    message: &Message,
) -> Result<Distortion, Unmarkable> {
    let shape = Shape::of(image).ok_or(Unmarkable::Planes(image.len()))?;
    let layout = shape.layout().ok_or(Unmarkable::TooSmall {
        width: shape.width,
        height: shape.height,
    })?;
    let keys = Keys::derive(key, &message.identity, shape);
    let carrier = carrier(image.len());

    let mut marked = image[carrier].clone();
    let mut payload = stash::take(&mut marked, &layout);
    payload.extend_from_slice(&message.statement);
    payload.extend_from_slice(&keys.seal(image, &message.statement));
    let frozen = layout.frozen(&marked);
    let parameters = reversible::embed(&mut marked, &frozen, &payload).map_err(|source| {
        Unmarkable::Capacity {
            needed_bits: 8 * payload.len(),
            source,
        }
    })?;
    header::write(&mut marked, &layout, &message.identity, &parameters);

    let original = std::mem::replace(&mut image[carrier], marked);
    keys.write(image, &layout);
    Ok(Distortion::between(
        &original,
        &image[carrier],
        8 * payload.len(),
    ))
}

/// Whose image this says it is, which everybody can read and nobody should believe before
/// [`verify`] does. `None` without a readable mark. (docs/reliability-mark.md 5)
pub fn read(image: &[Plane]) -> Option<Identity> {
    let layout = Shape::of(image)?.layout()?;
    header::read_identity(&image[carrier(image.len())], &layout)
}

/// Checks the mark and, if nothing was altered, takes it out: then, and only then, the planes
/// change, to the originals. (docs/reliability-mark.md 7)
pub fn verify(image: &mut [Plane], key: &MarkKey) -> Verdict {
    let Some((shape, layout)) = Shape::of(image).and_then(|shape| Some((shape, shape.layout()?)))
    else {
        return Verdict::Unmarked;
    };
    let Some(identity) = header::read_identity(&image[carrier(image.len())], &layout) else {
        return Verdict::Unmarked;
    };
    let keys = Keys::derive(key, &identity, shape);
    let bad = keys.bad_blocks(image, &layout);
    if bad.is_empty()
        && let Some(statement) = restore(image, &layout, &keys)
    {
        return Verdict::Authentic(Authentic {
            identity,
            statement,
        });
    }
    Verdict::Altered(Altered {
        identity,
        grid: layout.grid,
        blocks: bad
            .into_iter()
            .map(|index| layout.grid.block(index))
            .collect(),
    })
}

/// Takes the mark out and returns the statement, if the seal confirms the planes.
fn restore(image: &mut [Plane], layout: &Layout, keys: &Keys) -> Option<[u8; 32]> {
    let carrier = carrier(image.len());
    let parameters = header::read_parameters(&image[carrier], layout)?;
    let mut plane = image[carrier].clone();
    layout.clear(&mut plane);
    let frozen = layout.frozen(&plane);
    let payload = reversible::extract(&mut plane, &frozen, &parameters).ok()?;
    let (stash, proof) = payload.split_at_checked(payload.len().checked_sub(PROOF_BYTES)?)?;
    let (statement, seal) = proof.split_first_chunk::<32>()?;
    stash::put_back(&mut plane, layout, stash);

    let marked = std::mem::replace(&mut image[carrier], plane);
    if bool::from(keys.seal(image, statement).ct_eq(seal)) {
        return Some(*statement);
    }
    image[carrier] = marked;
    None
}

impl Distortion {
    fn between(original: &Plane, marked: &Plane, payload_bits: usize) -> Self {
        let mut squares = 0_u64;
        let mut largest_error = 0;
        for (&before, &after) in original.samples().iter().zip(marked.samples()) {
            let error = before.abs_diff(after);
            squares += u64::from(error) * u64::from(error);
            largest_error = largest_error.max(error);
        }
        let pixels = original.samples().len() as f64;
        let mse = squares as f64 / pixels;
        let peak = f64::from(original.max());
        Self {
            mse,
            psnr_db: 10.0 * (peak * peak / mse).log10(),
            largest_error,
            payload_bits,
            bits_per_pixel: payload_bits as f64 / pixels,
        }
    }
}
