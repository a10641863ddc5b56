//! What became of the values: the leaked value as a function of the original's, whatever window, table
//! or inversion was applied (docs/tracing-mark.md 6).

use crate::Plane;

/// Intervals of original values, each with about as many samples.
const BINS: usize = 512;

/// Per stored value, the leaked value expected and its local slope.
pub(super) struct Tone {
    /// Leaked value.
    pub(super) values: Vec<f32>,
    /// Leaked units per stored unit.
    pub(super) slopes: Vec<f32>,
}

/// One interval's pairs.
#[derive(Clone, Copy, Default)]
struct Bin {
    count: f64,
    original: f64,
    leaked: f64,
}

impl Bin {
    fn means(&self) -> (f64, f64) {
        (self.original / self.count, self.leaked / self.count)
    }
}

impl Tone {
    /// Estimates the function from pairs: `seen` are the original's values resampled to the leaked grid.
    /// `reach` is how far, in stored units, a slope must look at least.
    pub(super) fn estimate(original: &Plane, seen: &[f32], leaked: &[f32], reach: f32) -> Self {
        let intervals = intervals(original);
        let mut bins = [Bin::default(); BINS];
        let last = intervals.len() - 1;
        for (seen, leaked) in seen.iter().zip(leaked) {
            let value = (seen.max(0.0) + 0.5) as usize;
            let bin = &mut bins[usize::from(intervals[value.min(last)])];
            bin.count += 1.0;
            bin.original += f64::from(*seen);
            bin.leaked += f64::from(*leaked);
        }
        let bins: Vec<Bin> = bins.into_iter().filter(|bin| bin.count >= 8.0).collect();
        if bins.is_empty() {
            let zeros = vec![0.0; intervals.len()];
            return Self {
                values: zeros.clone(),
                slopes: zeros,
            };
        }
        let means: Vec<(f64, f64)> = bins.iter().map(Bin::means).collect();
        let slopes: Vec<(f64, f64)> = (0..bins.len())
            .map(|at| (means[at].0, slope(&bins, &means, at, f64::from(reach))))
            .collect();
        Self {
            values: interpolate(&means, intervals.len()),
            slopes: interpolate(&slopes, intervals.len()),
        }
    }

    /// Looks every sample up.
    pub(super) fn apply(table: &[f32], plane: &Plane) -> Vec<f32> {
        plane
            .samples()
            .iter()
            .map(|sample| table[usize::from(*sample)])
            .collect()
    }
}

/// Per stored value, its interval.
fn intervals(original: &Plane) -> Vec<u16> {
    let mut histogram = vec![0_u32; usize::from(original.max()) + 1];
    for sample in original.samples() {
        histogram[usize::from(*sample)] += 1;
    }
    let total = original.samples().len() as u64;
    let mut seen = 0_u64;
    histogram
        .iter()
        .map(|count| {
            let middle = seen + u64::from(*count) / 2;
            seen += u64::from(*count);
            (middle * BINS as u64 / total).min(BINS as u64 - 1) as u16
        })
        .collect()
}

/// The slope at a bin: regression over its neighbours, at least three on each side and as far as `reach`.
fn slope(bins: &[Bin], means: &[(f64, f64)], at: usize, reach: f64) -> f64 {
    let centre = means[at].0;
    let near = |k: &usize| (means[*k].0 - centre).abs() <= reach || k.abs_diff(at) <= 3;
    let from = (0..at).rev().take_while(near).last().unwrap_or(at);
    let to = (at..bins.len()).take_while(near).last().unwrap_or(at);
    let (mut n, mut x, mut y) = (0.0, 0.0, 0.0);
    for bin in &bins[from..=to] {
        n += bin.count;
        x += bin.original;
        y += bin.leaked;
    }
    let (x, y) = (x / n, y / n);
    let (mut xx, mut xy) = (0.0, 0.0);
    for (bin, mean) in bins[from..=to].iter().zip(&means[from..=to]) {
        let (dx, dy) = (mean.0 - x, mean.1 - y);
        xx += bin.count * dx * dx;
        xy += bin.count * dx * dy;
    }
    if xx > 1e-9 { xy / xx } else { 0.0 }
}

/// Linear between knots, constant beyond them, at 0 to `length` − 1.
fn interpolate(knots: &[(f64, f64)], length: usize) -> Vec<f32> {
    let mut next = 0;
    (0..length)
        .map(|value| {
            let value = value as f64;
            while next < knots.len() && knots[next].0 < value {
                next += 1;
            }
            let right = knots[next.min(knots.len() - 1)];
            let left = knots[next.saturating_sub(1).min(knots.len() - 1)];
            let span = right.0 - left.0;
            let part = if span > 0.0 {
                ((value - left.0) / span).clamp(0.0, 1.0)
            } else {
                0.0
            };
            (left.1 + part * (right.1 - left.1)) as f32
        })
        .collect()
}
