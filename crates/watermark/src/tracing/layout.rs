//! Where the chips of an image lie and which position of the code each carries
//! (docs/tracing-mark.md 4).

use chacha20::ChaCha20Rng;
use rand_core::Rng;

use super::TraceError;
use super::code::CODE_LENGTH;
use super::key::{ImageId, Tracer};

/// The least side of an image that can be marked.
pub(super) const MIN_SIDE: usize = 32;

/// Images begin at multiples of this many positions, so that a search may skip what no leaked image
/// carries.
const START_STEP: u32 = 256;

/// A grid of square chips and the code position of each.
pub(super) struct Layout {
    /// Pixels of a chip's side.
    pub(super) side: usize,
    /// Left edge of the grid.
    pub(super) left: usize,
    /// Upper edge of the grid.
    pub(super) top: usize,
    /// Chips in a row.
    pub(super) columns: usize,
    /// Rows of chips.
    pub(super) rows: usize,
    /// Per chip, row by row, its position in the code.
    pub(super) positions: Vec<u16>,
}

/// Side of the chips of an image: larger where the image will be shown reduced.
fn chip_side(width: usize, height: usize) -> usize {
    match width.min(height) {
        ..320 => 8,
        320..1024 => 16,
        _ => 32,
    }
}

impl Layout {
    /// The layout of `image`, which has this width and height.
    pub(super) fn new(
        tracer: &Tracer,
        image: &ImageId,
        width: usize,
        height: usize,
    ) -> Result<Self, TraceError> {
        if width.min(height) < MIN_SIDE {
            return Err(TraceError::TooSmall {
                width,
                height,
                min: MIN_SIDE,
            });
        }
        let side = chip_side(width, height);
        let mut stream = tracer.layout_stream(image);
        let left = below(&mut stream, side as u32) as usize;
        let top = below(&mut stream, side as u32) as usize;
        let (columns, rows) = ((width - left) / side, (height - top) / side);
        let start = START_STEP * below(&mut stream, CODE_LENGTH as u32 / START_STEP);
        let chips = columns * rows;
        let mut positions: Vec<u16> = (0..chips)
            .map(|chip| ((start as usize + chip) % CODE_LENGTH) as u16)
            .collect();
        // Fisher and Yates.
        for last in (1..chips).rev() {
            let other = below(&mut stream, last as u32 + 1) as usize;
            positions.swap(last, other);
        }
        Ok(Self {
            side,
            left,
            top,
            columns,
            rows,
            positions,
        })
    }
}

/// A number below `bound`; its bias of at most bound / 2^32 harms nothing here.
fn below(stream: &mut ChaCha20Rng, bound: u32) -> u32 {
    ((u64::from(stream.next_u32()) * u64::from(bound)) >> 32) as u32
}

/// The profile of a chip along one axis: 1 in the middle, raised-cosine edges of a quarter of the
/// side each. `at` runs from 0 to `side`; outside it the profile is 0.
pub(super) fn profile(at: f32, side: f32) -> f32 {
    let edge = side / 4.0;
    let inward = at.min(side - at);
    if inward <= 0.0 {
        0.0
    } else if inward >= edge {
        1.0
    } else {
        let sine = (inward / edge * std::f32::consts::FRAC_PI_2).sin();
        sine * sine
    }
}
