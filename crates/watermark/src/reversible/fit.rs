//! Weights, models and slopes that suit a plane. Only embedding fits; extraction is told.

use std::sync::OnceLock;

use super::choices::Choices;
use super::coding::Scheme;
use super::lattice::Lattice;
use super::model::{MAX_REACH, Model, SCALES, SHAPES};
use super::predict::{self, CLASSES, PHASES, Predictions, Weights};

/// About how many samples of each colour a fit looks at: no fewer, if there are so many, and no
/// more than these.
const LOOKED_AT: std::ops::RangeInclusive<usize> = 1 << 13..=1 << 14;

/// Slopes are sought by every so many of the samples that were looked at.
const ROUGHLY: usize = 4;

/// What an error outside the model's reach counts for, ln(1/500).
const OUTSIDE: f32 = -6.2;

/// Only every so many of the scales and shapes are chosen: images of a series then share their
/// tables, at a loss of a few hundredths of a decibel.
const SCALE_STEP: u8 = 4;
const SHAPE_STEP: u8 = 2;

/// Classes with fewer samples looked at are left alone.
const FEWEST: u32 = 12;

/// Every how many rows a fit looks: a quarter of the samples, within [`LOOKED_AT`].
fn stride(lattice: &Lattice, colour: usize) -> usize {
    let count = lattice.count(colour, 0) * lattice.height();
    let wanted = (count / 4).clamp(*LOOKED_AT.start(), *LOOKED_AT.end());
    (count / wanted).max(1)
}

/// Weights by least squares of relative errors, so that edges do not outvote the rest.
pub(super) fn weights(lattice: &mut Lattice) -> Weights {
    let mut normal = [[0.0f64; 4]; 3];
    for colour in 0..2 {
        let stride = stride(lattice, colour);
        for y in (0..lattice.height()).step_by(stride) {
            let shift = Lattice::first(colour, y);
            let (row, around, frozen) = lattice.row(colour, y);
            for (i, sample) in row.iter().enumerate() {
                let [beside, above, wide, tall] = predict::sums(&around, shift, i).map(f64::from);
                let above = above * 0.5;
                let terms = [
                    beside * 0.5 - above,
                    wide * 0.25 - above,
                    tall * 0.25 - above,
                ];
                let target = f64::from(*sample) - above;
                let spread: f64 = terms.iter().map(|term| term * term).sum();
                if spread == 0.0 || frozen.get(i) == Some(&true) {
                    continue;
                }
                let trust = 1.0 / (spread + target * target + 1.0);
                for a in 0..3 {
                    for b in 0..3 {
                        normal[a][b] += trust * terms[a] * terms[b];
                    }
                    normal[a][3] += trust * terms[a] * target;
                }
            }
        }
    }
    solve(normal)
        .and_then(quantised)
        .unwrap_or(Weights::RHOMBUS)
}

/// Elimination with pivots; `None` when the plane does not determine the weights.
fn solve(mut rows: [[f64; 4]; 3]) -> Option<[f64; 3]> {
    let scale = rows[0][0].max(rows[1][1]).max(rows[2][2]);
    for i in 0..3 {
        let pivot = (i..3).max_by(|&a, &b| rows[a][i].abs().total_cmp(&rows[b][i].abs()))?;
        rows.swap(i, pivot);
        let lead = rows[i];
        if lead[i].abs() <= scale * 1e-9 {
            return None;
        }
        for (k, row) in rows.iter_mut().enumerate() {
            if k != i {
                let factor = row[i] / lead[i];
                for (value, above) in row.iter_mut().zip(lead) {
                    *value -= factor * above;
                }
            }
        }
    }
    Some(std::array::from_fn(|i| rows[i][3] / rows[i][i]))
}

/// The solution gives the weights of groups; those of single neighbours are what is applied.
fn quantised(groups: [f64; 3]) -> Option<Weights> {
    let limit = f64::from(Weights::LIMIT);
    let one = |share: f64, of: f64| {
        let weight = (share * 1024.0 / of).round();
        (weight.abs() <= limit).then_some(weight as i16)
    };
    Some(Weights {
        beside: one(groups[0], 2.0)?,
        wide: one(groups[1], 4.0)?,
        tall: one(groups[2], 4.0)?,
    })
}

/// Samples of one colour with their predictions, as the coder will see them.
pub(super) struct Sampling {
    /// Centre, context, sample.
    seen: Vec<(u16, u8, u16)>,
    /// Samples of the colour for each one looked at.
    factor: f64,
    max: u16,
    /// Samples of the plane.
    area: usize,
}

impl Sampling {
    pub(super) fn new(lattice: &mut Lattice, colour: usize, weights: Weights) -> Self {
        let max = lattice.max();
        let stride = stride(lattice, colour);
        let mut predictions = Predictions::default();
        let mut seen = Vec::with_capacity(2 * LOOKED_AT.end());
        let (mut all, mut looked) = (0, 0);
        for y in 0..lattice.height() {
            all += lattice.count(colour, y);
            // The place among the rows of a step changes, so that no pattern is missed.
            if y % stride != (y / stride * 5) % stride {
                continue;
            }
            let shift = Lattice::first(colour, y);
            let (row, around, frozen) = lattice.row(colour, y);
            predictions.fill(&around, shift, row.len(), weights, max);
            looked += row.len();
            let predicted = predictions.centres.iter().zip(&predictions.contexts);
            for (i, (sample, (centre, context))) in row.iter().zip(predicted).enumerate() {
                if frozen.get(i) != Some(&true) {
                    seen.push((*centre, *context, *sample));
                }
            }
        }
        Self {
            seen,
            factor: all as f64 / (looked as f64).max(1.0),
            max,
            area: lattice.area(),
        }
    }

    /// The likeliest model of each class.
    pub(super) fn models(&self) -> [Option<Model>; CLASSES] {
        let mut histograms = vec![0u32; CLASSES * PHASES * BINS];
        for &(centre, context, sample) in &self.seen {
            let error = i32::from(sample) - i32::from(centre);
            let error = if context & 4 != 0 { -error } else { error };
            let group = usize::from(context >> 3) * PHASES + usize::from(context & 3);
            histograms[group * BINS + bin(error)] += 1;
        }
        std::array::from_fn(|class| {
            let start = class * PHASES * BINS;
            let mut errors = Vec::new();
            for (phase, one) in histograms[start..][..PHASES * BINS]
                .chunks(BINS)
                .enumerate()
            {
                for (bin, count) in one.iter().enumerate().filter(|(_, count)| **count > 0) {
                    errors.push((phase as u8, middle(bin), *count));
                }
            }
            likeliest(&errors)
        })
    }

    /// Bits that the colour takes under a scheme, by class; judged by every `step`th sample.
    pub(super) fn capacity(&self, scheme: &Scheme, step: usize) -> [f64; CLASSES] {
        let mut choices = Choices::judging(*scheme, self.max, self.area);
        let mut bits = [0.0; CLASSES];
        for &(centre, context, sample) in self.seen.iter().step_by(step) {
            let place = choices.place(centre, context, sample);
            bits[usize::from(context >> 3)] += f64::from(choices.bits(place));
        }
        bits.map(|bits| bits * self.factor * step as f64)
    }

    /// About the bits that the colour takes at a slope, of the classes that gain.
    pub(super) fn gain(&self, slope: usize, models: &[Option<Model>; CLASSES]) -> f64 {
        let scheme = Scheme {
            slope: slope as u8,
            models: *models,
        };
        let gains = self.capacity(&scheme, ROUGHLY);
        gains.iter().filter(|gain| **gain > 0.0).sum()
    }
}

/// Bins of errors: exact up to this size, then sixteen an octave.
const EXACT: i32 = 64;

/// Bins of one sign: 64 and sixteen for each octave up to 2^16.
const SIDE: usize = 64 + 16 * 10;

const BINS: usize = 2 * SIDE;

fn bin(error: i32) -> usize {
    let size = error.unsigned_abs();
    let bin = if size < EXACT as u32 {
        size as usize
    } else {
        let octave = size.ilog2();
        64 + 16 * (octave as usize - 6) + (size >> (octave - 4) & 15) as usize
    };
    if error < 0 { SIDE + bin } else { bin }
}

/// An error in the middle of a bin.
fn middle(bin: usize) -> i32 {
    let (side, bin) = (bin / SIDE, bin % SIDE);
    let size = if bin < EXACT as usize {
        bin as i32
    } else {
        let (octave, step) = ((bin - 64) / 16 + 6, (bin - 64) % 16);
        (((16 + step) << (octave - 4)) + (1 << (octave - 5))) as i32
    };
    if side == 1 { -size } else { size }
}

/// Climbs to the likeliest model of errors (phase, error, how many), from a guess by their mean
/// size; `None` when there are too few, or they are too large for any model.
fn likeliest(errors: &[(u8, i32, u32)]) -> Option<Model> {
    const STEPS: [(i16, i16); 6] = [
        (-2 * SCALE_STEP as i16, 0),
        (2 * SCALE_STEP as i16, 0),
        (0, -(SHAPE_STEP as i16)),
        (0, SHAPE_STEP as i16),
        (-(SCALE_STEP as i16), 0),
        (SCALE_STEP as i16, 0),
    ];
    let count: u32 = errors.iter().map(|error| error.2).sum();
    if count < FEWEST {
        return None;
    }
    let sizes: f64 = errors
        .iter()
        .map(|error| f64::from(error.1.abs().min(4096)) * f64::from(error.2))
        .sum();
    let mean = sizes / f64::from(count);
    let mut guess = Model { scale: 0, shape: 3 };
    while guess.width() < mean && guess.reach() <= MAX_REACH {
        guess.scale += SCALE_STEP;
    }
    let mut best = (likelihood(guess, errors), guess);
    loop {
        let before = best.1;
        for (scale, shape) in STEPS {
            let scale = i16::from(best.1.scale) + scale;
            let shape = i16::from(best.1.shape) + shape;
            if !(0..SCALES as i16).contains(&scale) || !(0..SHAPES as i16).contains(&shape) {
                continue;
            }
            let model = Model {
                scale: scale as u8,
                shape: shape as u8,
            };
            if model.reach() <= MAX_REACH {
                let likelihood = likelihood(model, errors);
                if likelihood > best.0 {
                    best = (likelihood, model);
                }
            }
        }
        if best.1 == before {
            return (best.1.reach() <= MAX_REACH).then_some(best.1);
        }
    }
}

/// Logarithm of the probability of errors under a model, which has seen each model before only
/// once: the logarithms of all models together take a few megabytes.
fn likelihood(model: Model, errors: &[(u8, i32, u32)]) -> f64 {
    static LOGARITHMS: [OnceLock<Vec<Vec<f32>>>; SCALES * SHAPES] =
        [const { OnceLock::new() }; SCALES * SHAPES];
    let index = usize::from(model.scale) * SHAPES + usize::from(model.shape);
    let Some(logarithms) = LOGARITHMS.get(index) else {
        return f64::NEG_INFINITY;
    };
    let reach = model.reach();
    let logarithms = logarithms.get_or_init(|| {
        let phases = if model.is_narrow() { PHASES } else { 1 };
        let of = |phase| {
            let all = model.probabilities(phase as f64 / 6.0, reach - 1, reach - 1);
            all.into_iter().map(|p| p.ln() as f32).collect()
        };
        (0..phases).map(of).collect()
    });
    let mut sum = 0.0;
    for &(phase, error, count) in errors {
        let all = &logarithms[usize::from(phase).min(logarithms.len() - 1)];
        let index = usize::try_from(error + reach as i32 - 1).ok();
        let one = index.and_then(|index| all.get(index)).unwrap_or(&OUTSIDE);
        sum += f64::from(*one) * f64::from(count);
    }
    sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_stay_near_the_middle_of_their_bin() {
        for error in -65_535i32..=65_535 {
            let bin = bin(error);
            assert!(bin < BINS);
            assert!((middle(bin) - error).abs() * 16 <= error.abs());
        }
    }
}
