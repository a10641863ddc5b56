//! What a leaked picture says about every position of the code (docs/tracing-mark.md 6).

use super::TraceError;
use super::code::CODE_LENGTH;
use super::key::{ImageId, Tracer};
use super::layout::{Layout, profile};
use super::noise;
use super::picture::{Picture, Placement};
use super::resample::{Axis, Kernel, resample};
use super::strength::{Display, amplitudes};
use super::tone::Tone;
use crate::Plane;

/// What leaked pictures say about the positions of the code: sums that add over images.
#[derive(Clone)]
pub struct Evidence {
    /// Per position, the signed evidence: its expectation for the mark alone is ± the weight.
    pub(super) values: Box<[f64]>,
    /// Per position, the inverse of the variance of values / weight.
    pub(super) weights: Box<[f64]>,
}

impl Default for Evidence {
    fn default() -> Self {
        let zeros = vec![0.0; CODE_LENGTH].into_boxed_slice();
        Self {
            values: zeros.clone(),
            weights: zeros,
        }
    }
}

impl Evidence {
    /// Adds what another picture of the study said.
    pub fn add(&mut self, other: &Self) {
        self.values
            .iter_mut()
            .zip(&other.values)
            .for_each(|(to, value)| *to += value);
        self.weights
            .iter_mut()
            .zip(&other.weights)
            .for_each(|(to, weight)| *to += weight);
    }

    /// Positions of the code that were seen.
    pub fn positions(&self) -> usize {
        self.weights.iter().filter(|weight| **weight > 0.0).count()
    }
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Evidence({} positions)", self.positions())
    }
}

/// What an examination of one picture found besides evidence.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Examination {
    /// Chips that the picture shows at all.
    pub chips: usize,
    /// Root mean square of what the original and its tone do not explain, in leaked units.
    pub residual: f32,
}

/// Per leaked pixel, what the original says.
struct Prediction {
    values: Vec<f32>,
    slopes: Vec<f32>,
}

impl Tracer {
    /// Adds to `evidence` what `leaked` says, which shows `original`, `image` of the study, at `placement`.
    /// `display` is what the mark was embedded with.
    pub fn examine(
        &self,
        original: &Plane,
        image: &ImageId,
        display: &Display,
        leaked: &Picture,
        placement: &Placement,
        evidence: &mut Evidence,
    ) -> Result<Examination, TraceError> {
        placement.check(original)?;
        let layout = Layout::new(self, image, original.width(), original.height())?;
        let amplitudes = amplitudes(original, &layout, display);
        let prediction = predict(original, leaked, placement, 4.0 * display.level());
        let (residuals, trust) = residuals(leaked, &prediction);
        let grid = Grid::new(&layout, leaked, placement);
        let mut chips = grid.project(&residuals, &trust, &prediction.slopes);
        for (chip, amplitude) in chips.iter_mut().zip(&amplitudes) {
            chip.scale(f64::from(*amplitude));
        }
        let count = chips.iter().filter(|chip| chip.energy > 0.0).count();
        for (k, (value, weight)) in noise::whiten(&chips, layout.columns)
            .into_iter()
            .enumerate()
        {
            let position = usize::from(layout.positions[k]);
            evidence.values[position] += value;
            evidence.weights[position] += weight;
        }
        let squares: f32 = residuals.iter().map(|residual| residual * residual).sum();
        Ok(Examination {
            chips: count,
            residual: (squares / residuals.len() as f32).sqrt(),
        })
    }
}

/// Tone first, then resampling, as viewers do; the kernel is the one that explains most.
fn predict(original: &Plane, leaked: &Picture, placement: &Placement, reach: f32) -> Prediction {
    let plain: Vec<f32> = original
        .samples()
        .iter()
        .map(|sample| f32::from(*sample))
        .collect();
    let whole = [placement.left, placement.top]
        .iter()
        .all(|at| at.fract() == 0.0)
        && placement.scale_x == 1.0
        && placement.scale_y == 1.0;
    let kernels = if whole {
        &Kernel::ALL[..1]
    } else {
        &Kernel::ALL[..]
    };
    let mut best: Option<(f64, Prediction)> = None;
    for kernel in kernels {
        let across = Axis::new(
            *kernel,
            original.width(),
            leaked.width(),
            placement.scale_x,
            placement.left,
        );
        let down = Axis::new(
            *kernel,
            original.height(),
            leaked.height(),
            placement.scale_y,
            placement.top,
        );
        let to_leaked = |input: &[f32]| resample(input, original.width(), &across, &down);
        let tone = Tone::estimate(original, &to_leaked(&plain), leaked.samples(), reach);
        let values = to_leaked(&Tone::apply(&tone.values, original));
        let error: f64 = values
            .iter()
            .zip(leaked.samples())
            .map(|(value, leaked)| f64::from((leaked - value) * (leaked - value)))
            .sum();
        if best.as_ref().is_none_or(|(least, _)| error < *least) {
            let slopes = to_leaked(&Tone::apply(&tone.slopes, original));
            best = Some((error, Prediction { values, slopes }));
        }
    }
    best.map_or(
        Prediction {
            values: Vec::new(),
            slopes: Vec::new(),
        },
        |(_, prediction)| prediction,
    )
}

/// What the prediction leaves, and per pixel how much it can be trusted: less at edges, where a small
/// error of placement or blur shows most.
fn residuals(leaked: &Picture, prediction: &Prediction) -> (Vec<f32>, Vec<f32>) {
    let values = &prediction.values;
    let mut residuals: Vec<f32> = leaked
        .samples()
        .iter()
        .zip(values)
        .map(|(leaked, value)| leaked - value)
        .collect();
    let count = residuals.len() as f32;
    let spread = residuals.iter().map(|residual| residual.abs()).sum::<f32>() / count;
    let spread = (spread * 1.25).max(1e-3);
    // Overlays and burnt-in text weigh no more than strong noise.
    residuals
        .iter_mut()
        .for_each(|residual| *residual = residual.clamp(-4.0 * spread, 4.0 * spread));
    let (width, height) = (leaked.width(), leaked.height());
    let mut trust = vec![0.0; residuals.len()];
    for y in 0..height {
        let (above, below) = (y.saturating_sub(1), (y + 1).min(height - 1));
        for x in 0..width {
            let (before, after) = (x.saturating_sub(1), (x + 1).min(width - 1));
            let dx = values[y * width + after] - values[y * width + before];
            let dy = values[below * width + x] - values[above * width + x];
            let edge = 0.01 * (dx * dx + dy * dy);
            trust[y * width + x] = 1.0 / (spread * spread + edge);
        }
    }
    (residuals, trust)
}

/// Correlations of one chip with what is left.
#[derive(Clone, Copy, Default)]
pub(super) struct Chip {
    /// With the chip's pattern.
    pub(super) match_: f64,
    /// With the pattern's halves against each other, across and down: noise alone.
    pub(super) null: [f64; 2],
    /// The energy of the pattern.
    pub(super) energy: f64,
    /// The pattern's response to a residual of 1 everywhere.
    pub(super) constant: f64,
    /// Sum of the residuals and of their trust.
    pub(super) level: [f64; 2],
}

impl Chip {
    fn scale(&mut self, amplitude: f64) {
        self.match_ *= amplitude;
        self.null = self.null.map(|null| null * amplitude);
        self.energy *= amplitude * amplitude;
        self.constant *= amplitude;
    }
}

/// One axis of a leaked picture: per column (or row) the chip it lies in and the profile there.
struct Line {
    chip: Option<usize>,
    profile: f32,
    half: f32,
}

/// The chips' grid as the leaked picture shows it.
struct Grid {
    across: Vec<Line>,
    down: Vec<Line>,
    columns: usize,
    chips: usize,
}

impl Grid {
    fn new(layout: &Layout, leaked: &Picture, placement: &Placement) -> Self {
        let side = layout.side as f64;
        let axis = |length: usize, offset: f64, scale: f64, start: usize, chips: usize| {
            (0..length)
                .map(|k| {
                    let at = (offset + scale * (k as f64 + 0.5) - start as f64) / side;
                    let inside = at >= 0.0 && at < chips as f64;
                    Line {
                        chip: inside.then_some(at as usize),
                        profile: profile((at.fract() * side) as f32, side as f32),
                        half: if at.fract() < 0.5 { 1.0 } else { -1.0 },
                    }
                })
                .collect()
        };
        Self {
            across: axis(
                leaked.width(),
                placement.left,
                placement.scale_x,
                layout.left,
                layout.columns,
            ),
            down: axis(
                leaked.height(),
                placement.top,
                placement.scale_y,
                layout.top,
                layout.rows,
            ),
            columns: layout.columns,
            chips: layout.columns * layout.rows,
        }
    }

    fn project(&self, residuals: &[f32], trust: &[f32], slopes: &[f32]) -> Vec<Chip> {
        let mut chips = vec![Chip::default(); self.chips];
        let width = self.across.len();
        for (y, down) in self.down.iter().enumerate() {
            let Some(row) = down.chip else { continue };
            let line = y * width..(y + 1) * width;
            let samples = residuals[line.clone()]
                .iter()
                .zip(&trust[line.clone()])
                .zip(&slopes[line]);
            for (across, ((residual, trust), slope)) in self.across.iter().zip(samples) {
                let Some(column) = across.chip else { continue };
                let chip = &mut chips[row * self.columns + column];
                let pattern = slope * across.profile * down.profile;
                let matched = f64::from(trust * pattern * residual);
                chip.match_ += matched;
                chip.null[0] += matched * f64::from(across.half);
                chip.null[1] += matched * f64::from(down.half);
                chip.energy += f64::from(trust * pattern * pattern);
                chip.constant += f64::from(trust * pattern);
                chip.level[0] += f64::from(trust * residual);
                chip.level[1] += f64::from(*trust);
            }
        }
        chips
    }
}
