//! How strong the mark of each chip is (docs/tracing-mark.md 5).

use super::TraceError;
use super::layout::{Layout, profile};
use crate::Plane;

/// Root mean square of the mark over an image, in levels of an 8-bit display; 50.9 dB.
const RMS_LEVELS: f32 = 0.73;
/// The largest amplitude of a chip, in levels of an 8-bit display.
const MAX_LEVELS: f32 = 2.0;
/// The least amplitude of a chip, in stored units: of less, dither leaves nothing.
const MIN_STORED: f32 = 0.2;
/// Stored units of a level above which dither adds nothing to speak of to the error.
const COARSE_LEVEL: f32 = 4.0;

/// How the image will be shown: what is black and what is white lie this far apart.
///
/// The amplitude of the mark is relative to it. A narrow window makes the mark fainter; leaks that show
/// a wider one carry less of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Display {
    range: f32,
}

impl Display {
    /// A display of `range` stored units from black to white: positive and finite.
    pub fn new(range: f32) -> Result<Self, TraceError> {
        if range.is_finite() && range >= 1.0 {
            Ok(Self { range })
        } else {
            Err(TraceError::Display)
        }
    }

    /// The display of `plane` whose file recommends a window of `window` stored units, if it does: the
    /// geometric mean of the window and the range that 98 % of the samples use, so that both are served.
    /// Without a window, the used range.
    pub fn of(plane: &Plane, window: Option<f32>) -> Self {
        let used = used_range(plane);
        let range = match window.filter(|window| window.is_finite() && *window >= 1.0) {
            Some(window) => (window.min(used) * used).sqrt(),
            None => used,
        };
        Self { range }
    }

    /// Stored units from black to white.
    pub fn range(&self) -> f32 {
        self.range
    }

    /// Stored units of one level of an 8-bit display.
    pub(super) fn level(&self) -> f32 {
        self.range / 256.0
    }
}

/// From the first to the 99th percentile, at least 16.
fn used_range(plane: &Plane) -> f32 {
    let mut histogram = vec![0_u32; usize::from(plane.max()) + 1];
    for sample in plane.samples() {
        histogram[usize::from(*sample)] += 1;
    }
    let total = plane.samples().len();
    let rank = |rank: usize| {
        let mut seen = 0;
        histogram
            .iter()
            .position(|count| {
                seen += *count as usize;
                seen > rank
            })
            .unwrap_or(0)
    };
    let (low, high) = (rank(total / 100), rank(total - 1 - total / 100));
    (high - low).max(15) as f32 + 1.0
}

/// Per chip, row by row, the amplitude in stored units; 0 where the chip is one flat colour.
pub(super) fn amplitudes(plane: &Plane, layout: &Layout, display: &Display) -> Vec<f32> {
    let level = display.level();
    let mut masks = Vec::with_capacity(layout.columns * layout.rows);
    for row in 0..layout.rows {
        activities(plane, layout, row, |activity| {
            // Texture and noise hide more than smooth areas do (contrast masking).
            let mask = (0.7 + 0.1 * activity / level).min(1.6);
            masks.push(if activity > 0.0 { mask } else { 0.0 });
        });
    }
    let budget = (RMS_LEVELS * level).powi(2) * plane.samples().len() as f32;
    let window = Window::new(layout.side);
    let energy: f32 = masks.iter().map(|mask| mask * mask).sum::<f32>() * window.energy;
    if energy == 0.0 {
        return masks;
    }
    let most = (MAX_LEVELS * level).max(MIN_STORED);
    let amplitude = |scale: f32, mask: f32| {
        if mask > 0.0 {
            (scale * mask).clamp(MIN_STORED, most)
        } else {
            0.0
        }
    };
    let mut scale = (budget / energy).sqrt();
    if level < COARSE_LEVEL {
        // Where a level is but a few stored units, rounding by dither is a good part of the error.
        let errors = Errors::new(&window, most);
        for _ in 0..4 {
            let spent: f32 = masks
                .iter()
                .map(|mask| errors.at(amplitude(scale, *mask)))
                .sum();
            if spent <= budget {
                break;
            }
            scale *= budget / spent;
        }
    }
    masks
        .iter_mut()
        .for_each(|mask| *mask = amplitude(scale, *mask));
    masks
}

/// The window of a chip, as what it adds to the error.
struct Window {
    /// Values over one quarter of the chip, thinned; each stands for `share` pixels.
    values: Vec<f32>,
    share: f32,
    /// Sum of squares.
    energy: f32,
}

impl Window {
    fn new(side: usize) -> Self {
        let line: Vec<f32> = (0..side / 2)
            .map(|at| profile(at as f32 + 0.5, side as f32))
            .collect();
        let energy = (2.0 * line.iter().map(|value| value * value).sum::<f32>()).powi(2);
        let thin: Vec<f32> = line.iter().copied().step_by((side / 8).max(1)).collect();
        let values: Vec<f32> = thin
            .iter()
            .flat_map(|a| thin.iter().map(move |b| a * b))
            .collect();
        Self {
            share: (side * side) as f32 / values.len() as f32,
            values,
            energy,
        }
    }

    /// The expected squared error of a chip of this amplitude, with its dither.
    fn error(&self, amplitude: f32) -> f32 {
        let one = |value: &f32| {
            let exact = amplitude * value;
            let part = exact - exact.floor();
            exact * exact + part * (1.0 - part)
        };
        self.share * self.values.iter().map(one).sum::<f32>()
    }
}

/// [`Window::error`] of amplitudes from 0 to `most`, tabulated.
struct Errors {
    table: Vec<f32>,
    per_unit: f32,
}

impl Errors {
    const STEPS: usize = 256;

    fn new(window: &Window, most: f32) -> Self {
        let per_unit = Self::STEPS as f32 / most;
        let table = (0..=Self::STEPS)
            .map(|step| window.error(step as f32 / per_unit))
            .collect();
        Self { table, per_unit }
    }

    fn at(&self, amplitude: f32) -> f32 {
        self.table[((amplitude * self.per_unit + 0.5) as usize).min(Self::STEPS)]
    }
}

/// Per chip of a row, the mean absolute difference of neighbours.
fn activities(plane: &Plane, layout: &Layout, row: usize, mut each: impl FnMut(f32)) {
    let (side, width, samples) = (layout.side, plane.width(), plane.samples());
    let top = layout.top + row * side;
    let mut sums = vec![0_u32; layout.columns];
    for y in top..top + side - 1 {
        let start = y * width + layout.left;
        let length = layout.columns * side;
        let line = &samples[start..start + length];
        let next = &samples[start + width..start + width + length];
        for ((sum, line), next) in sums
            .iter_mut()
            .zip(line.chunks_exact(side))
            .zip(next.chunks_exact(side))
        {
            let across = line[1..]
                .iter()
                .zip(line)
                .map(|(a, b)| u32::from(a.abs_diff(*b)));
            let down = next
                .iter()
                .zip(line)
                .map(|(a, b)| u32::from(a.abs_diff(*b)));
            *sum += across.sum::<u32>() + down.sum::<u32>();
        }
    }
    let count = ((side - 1) * (2 * side - 1)) as f32;
    for sum in sums {
        each(sum as f32 / count);
    }
}
