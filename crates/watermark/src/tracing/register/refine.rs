//! Refinement: Gauss and Newton on scales and offsets, while the tone is estimated anew.

use crate::Plane;
use crate::tracing::picture::{Picture, Placement};
use crate::tracing::resample::{Axis, Kernel, resample};

/// Intervals of original values for the tone.
const BINS: usize = 128;
/// Cells of the histogram that finds the intervals.
const CELLS: usize = 8192;
/// Steps at most.
const STEPS: usize = 12;

/// A picture or an original at reduced resolution.
pub(super) struct Level {
    width: usize,
    height: usize,
    samples: Vec<f32>,
    /// Full pixels per pixel.
    factor: [f64; 2],
}

impl Level {
    /// Reduced so that no side is longer than `side`.
    pub(super) fn of_picture(picture: &Picture, side: usize) -> Self {
        let factor = (picture.width().max(picture.height()) as f64 / side as f64).max(1.0);
        let reduce = |side: usize| ((side as f64 / factor).round() as usize).max(1);
        let (width, height) = (reduce(picture.width()), reduce(picture.height()));
        let factor = [
            picture.width() as f64 / width as f64,
            picture.height() as f64 / height as f64,
        ];
        if factor == [1.0; 2] {
            return Self {
                width,
                height,
                samples: picture.samples().to_vec(),
                factor,
            };
        }
        let across = Axis::new(Kernel::Box, picture.width(), width, factor[0], 0.0);
        let down = Axis::new(Kernel::Box, picture.height(), height, factor[1], 0.0);
        let samples = resample(picture.samples(), picture.width(), &across, &down);
        Self {
            width,
            height,
            samples,
            factor,
        }
    }

    /// The same of an original.
    pub(super) fn of_plane(plane: &Plane, side: usize) -> Self {
        Self::of_picture(&Picture::of_original(plane), side)
    }

    /// What the original says of every pixel: tone first, then resampling. The other order would move
    /// edges between what a window shows and what it cuts off.
    fn predict(&self, original: &Self, placement: &Placement) -> Vec<f32> {
        let (across, down) = self.axes(original, placement);
        let seen = resample(&original.samples, original.width, &across, &down);
        let toned = toned(&seen, &self.samples, &original.samples);
        resample(&toned, original.width, &across, &down)
    }

    /// From the original to this picture's grid.
    fn axes(&self, original: &Self, placement: &Placement) -> (Axis, Axis) {
        let axis = |k: usize, side: usize, length: usize, scale: f64, offset: f64| {
            let scale = scale * self.factor[k] / original.factor[k];
            Axis::new(
                Kernel::Tent,
                side,
                length,
                scale,
                offset / original.factor[k],
            )
        };
        (
            axis(
                0,
                original.width,
                self.width,
                placement.scale_x,
                placement.left,
            ),
            axis(
                1,
                original.height,
                self.height,
                placement.scale_y,
                placement.top,
            ),
        )
    }

    /// The part of this picture's variance that the original's values there explain.
    pub(super) fn explained(&self, original: &Self, placement: &Placement) -> f64 {
        let predicted = self.predict(original, placement);
        let count = self.samples.len() as f64;
        let mean = self
            .samples
            .iter()
            .map(|sample| f64::from(*sample))
            .sum::<f64>()
            / count;
        let square = |value: f64| value * value;
        let total: f64 = self
            .samples
            .iter()
            .map(|sample| square(f64::from(*sample) - mean))
            .sum();
        let rest: f64 = self
            .samples
            .iter()
            .zip(&predicted)
            .map(|(a, b)| square(f64::from(a - b)))
            .sum();
        if total > 0.0 { 1.0 - rest / total } else { 0.0 }
    }
}

/// The conditional mean of `leaked` given `seen`, by intervals of as many samples each, at `original`.
fn toned(seen: &[f32], leaked: &[f32], original: &[f32]) -> Vec<f32> {
    let (low, high) = seen
        .iter()
        .fold((f32::MAX, f32::MIN), |(a, b), s| (a.min(*s), b.max(*s)));
    let scale = if high > low {
        (CELLS - 1) as f32 / (high - low)
    } else {
        0.0
    };
    let cell = |sample: f32| (((sample - low) * scale) as usize).min(CELLS - 1);
    let mut histogram = vec![0_u64; CELLS];
    seen.iter().for_each(|sample| histogram[cell(*sample)] += 1);
    let mut before = 0;
    let bins: Vec<usize> = histogram
        .iter()
        .map(|count| {
            let middle = before + count / 2;
            before += count;
            (middle as usize * BINS / seen.len()).min(BINS - 1)
        })
        .collect();
    let mut sums = [[0.0_f64; 3]; BINS];
    for (seen, leaked) in seen.iter().zip(leaked) {
        let sum = &mut sums[bins[cell(*seen)]];
        sum[0] += 1.0;
        sum[1] += f64::from(*seen);
        sum[2] += f64::from(*leaked);
    }
    let knots: Vec<[f64; 2]> = sums
        .iter()
        .filter(|sum| sum[0] > 0.0)
        .map(|sum| [sum[1] / sum[0], sum[2] / sum[0]])
        .collect();
    let mut next = 0;
    let table: Vec<f32> = (0..CELLS)
        .map(|cell| {
            let value = f64::from(low)
                + if scale > 0.0 {
                    (cell as f64 + 0.5) / f64::from(scale)
                } else {
                    0.0
                };
            while next < knots.len() && knots[next][0] < value {
                next += 1;
            }
            let (left, right) = (
                knots[next.saturating_sub(1)],
                knots[next.min(knots.len() - 1)],
            );
            let span = right[0] - left[0];
            let part = if span > 0.0 {
                ((value - left[0]) / span).clamp(0.0, 1.0)
            } else {
                0.0
            };
            (left[1] + part * (right[1] - left[1])) as f32
        })
        .collect();
    original.iter().map(|sample| table[cell(*sample)]).collect()
}

/// Improves `placement` until it stops getting better, and says how much it explains.
pub(super) fn refine(leaked: &Level, original: &Level, placement: Placement) -> (f64, Placement) {
    let mut best = (leaked.explained(original, &placement), placement);
    for _ in 0..STEPS {
        let Some(next) = step(leaked, original, &best.1) else {
            break;
        };
        let explained = leaked.explained(original, &next);
        let gain = explained - best.0;
        if gain <= 0.0 {
            break;
        }
        best = (explained, next);
        if gain < 1e-5 * (1.0 - explained) {
            break;
        }
    }
    best
}

/// One step of Gauss and Newton on shift and stretch along both axes.
fn step(leaked: &Level, original: &Level, placement: &Placement) -> Option<Placement> {
    let predicted = leaked.predict(original, placement);
    let (width, height) = (leaked.width, leaked.height);
    if width < 8 || height < 8 {
        return None;
    }
    let middle = [width as f64 / 2.0, height as f64 / 2.0];
    let count = leaked.samples.len() as f64;
    let spread = leaked
        .samples
        .iter()
        .zip(&predicted)
        .map(|(a, b)| f64::from((a - b).abs()))
        .sum::<f64>();
    let most = (4.0 * spread / count).max(1e-6);
    let mut system = [[0.0_f64; 5]; 4];
    for y in 1..height - 1 {
        for x in 1..width - 1 {
            let at = y * width + x;
            let rest = f64::from(leaked.samples[at] - predicted[at]).clamp(-most, most);
            let dx = f64::from(predicted[at + 1] - predicted[at - 1]) / 2.0;
            let dy = f64::from(predicted[at + width] - predicted[at - width]) / 2.0;
            let (u, v) = (x as f64 + 0.5 - middle[0], y as f64 + 0.5 - middle[1]);
            let row = [dx, dx * u / middle[0], dy, dy * v / middle[1], rest];
            for (a, line) in system.iter_mut().enumerate() {
                for (b, cell) in line.iter_mut().enumerate().skip(a) {
                    *cell += row[a] * row[b];
                }
            }
        }
    }
    let [dx, sx, dy, sy] = solve(system)?;
    // In pixels at the middle and at the edges; no step may leave the basin.
    let most = 3.0;
    if [dx, sx, dy, sy].iter().any(|part| !part.is_finite()) {
        return None;
    }
    let [dx, sx, dy, sy] = [dx, sx, dy, sy].map(|part| part.clamp(-most, most));
    // The leaked pixel at u shows what was predicted at u + dx + sx (u − middle) / middle.
    let axis = |scale: f64, offset: f64, k: usize, shift: f64, stretch: f64| {
        let unit = scale * leaked.factor[k];
        let offset = offset + unit * (shift - stretch);
        (scale * (1.0 + stretch / middle[k]), offset)
    };
    let (scale_x, left) = axis(placement.scale_x, placement.left, 0, dx, sx);
    let (scale_y, top) = axis(placement.scale_y, placement.top, 1, dy, sy);
    let sane = |scale: f64| (0.125..=16.0).contains(&scale);
    (sane(scale_x) && sane(scale_y)).then_some(Placement {
        scale_x,
        scale_y,
        left,
        top,
    })
}

/// Solves the symmetric system whose upper triangle and right side are given, by Cholesky's
/// factorisation without roots.
fn solve(m: [[f64; 5]; 4]) -> Option<[f64; 4]> {
    let (mut lower, mut diagonal, mut out) = ([[0.0; 4]; 4], [0.0; 4], [0.0; 4]);
    for a in 0..4 {
        for b in 0..a {
            let known: f64 = (0..b)
                .map(|k| lower[a][k] * lower[b][k] * diagonal[k])
                .sum();
            lower[a][b] = (m[b][a] - known) / diagonal[b];
        }
        let known: f64 = (0..a)
            .map(|k| lower[a][k] * lower[a][k] * diagonal[k])
            .sum();
        // A little more, so that a direction without edges does not run away.
        diagonal[a] = m[a][a] * (1.0 + 1e-6) + 1e-9 - known;
        if diagonal[a] < 1e-12 {
            return None;
        }
        let known: f64 = (0..a).map(|k| lower[a][k] * out[k]).sum();
        out[a] = m[a][4] - known;
    }
    for a in (0..4).rev() {
        let known: f64 = (a + 1..4).map(|k| lower[k][a] * out[k]).sum();
        out[a] = out[a] / diagonal[a] - known;
    }
    Some(out)
}
