//! Weights, models and slopes that suit a plane. Only embedding fits; extraction is told.

use std::collections::HashMap;

use super::coding::{Scheme, Tables};
use super::lattice::Lattice;
use super::model::{MAX_REACH, Model, SCALES, SHAPES};
use super::predict::{self, CLASSES, PHASES, Predictions, Weights};

/// About how many samples of each colour a fit looks at.
const LOOKED_AT: usize = 1 << 15;

/// What an error outside the model's reach counts for, ln(1/500).
const OUTSIDE: f32 = -6.2;

/// Classes with fewer samples looked at are left alone.
const FEWEST: u32 = 12;

/// Every how many rows a fit looks, so that about [`LOOKED_AT`] samples are seen.
fn stride(lattice: &Lattice, colour: usize) -> usize {
    let count = lattice.count(colour, 0) * lattice.height();
    (count / LOOKED_AT).max(1)
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
    /// Centre, context, sample, and how many samples were alike.
    seen: Vec<(u16, u8, u16)>,
    /// Samples of the colour for each one looked at.
    factor: f64,
    max: u16,
}

impl Sampling {
    pub(super) fn new(lattice: &mut Lattice, colour: usize, weights: Weights, max: u16) -> Self {
        let stride = stride(lattice, colour);
        let mut predictions = Predictions::default();
        let mut seen = Vec::with_capacity(2 * LOOKED_AT);
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
            for (i, sample) in row.iter().enumerate() {
                if frozen.get(i) != Some(&true) {
                    seen.push((predictions.centres[i], predictions.contexts[i], *sample));
                }
            }
        }
        Self {
            seen,
            factor: all as f64 / (looked as f64).max(1.0),
            max,
        }
    }

    /// The likeliest model of each class.
    pub(super) fn models(&self) -> [Option<Model>; CLASSES] {
        let mut counts = vec![HashMap::<(u8, i32), u32>::new(); CLASSES];
        for &(centre, context, sample) in &self.seen {
            let error = i32::from(sample) - i32::from(centre);
            let error = if context & 4 != 0 { -error } else { error };
            let key = (context & 3, error);
            *counts[usize::from(context >> 3)].entry(key).or_default() += 1;
        }
        let mut likelihoods = Likelihoods::default();
        std::array::from_fn(|class| {
            let mut errors: Vec<_> = counts[class].iter().map(|(k, n)| (k.0, k.1, *n)).collect();
            errors.sort_unstable();
            likelihoods.best(&errors)
        })
    }

    /// Bits that the colour takes under a scheme, by class.
    pub(super) fn capacity(&self, scheme: &Scheme) -> [f64; CLASSES] {
        let mut tables = Tables::new(*scheme, self.max);
        let mut bits = [0.0; CLASSES];
        for &(centre, context, sample) in &self.seen {
            if let Some((table, error)) = tables.choose(centre, context, sample) {
                bits[usize::from(context >> 3)] +=
                    f64::from(table.bits[(error + table.reach - 1) as usize]);
            }
        }
        bits.map(|bits| bits * self.factor)
    }
}

/// Logarithms of probabilities of models that were tried.
#[derive(Default)]
struct Likelihoods {
    tried: HashMap<Model, [Vec<f32>; PHASES]>,
}

impl Likelihoods {
    /// Climbs from a guess by the mean size of the errors: (phase, error, how many).
    fn best(&mut self, errors: &[(u8, i32, u32)]) -> Option<Model> {
        let count: u32 = errors.iter().map(|error| error.2).sum();
        if count < FEWEST {
            return None;
        }
        let sizes: f64 = errors
            .iter()
            .map(|error| f64::from(error.1.abs().min(200)) * f64::from(error.2))
            .sum();
        let mean = sizes / f64::from(count);
        let mut guess = Model { scale: 0, shape: 3 };
        while guess.width() < mean && usize::from(guess.scale) < SCALES - 1 {
            guess.scale += 1;
        }
        let mut best = (self.of(guess, errors), guess);
        let steps: [(i16, i16); 8] = [
            (-8, 0),
            (8, 0),
            (-2, 0),
            (2, 0),
            (0, -1),
            (0, 1),
            (-1, 0),
            (1, 0),
        ];
        loop {
            let before = best.1;
            for (scale, shape) in steps {
                let (scale, shape) = (
                    i16::from(best.1.scale) + scale,
                    i16::from(best.1.shape) + shape,
                );
                if !(0..SCALES as i16).contains(&scale) || !(0..SHAPES as i16).contains(&shape) {
                    continue;
                }
                let model = Model {
                    scale: scale as u8,
                    shape: shape as u8,
                };
                if model.reach() > MAX_REACH {
                    continue;
                }
                let likelihood = self.of(model, errors);
                if likelihood > best.0 {
                    best = (likelihood, model);
                }
            }
            if best.1 == before {
                break;
            }
        }
        (best.1.reach() <= MAX_REACH).then_some(best.1)
    }

    fn of(&mut self, model: Model, errors: &[(u8, i32, u32)]) -> f64 {
        let logarithms = self.tried.entry(model).or_insert_with(|| {
            std::array::from_fn(|phase| {
                let all = model.probabilities(phase as f64 / 6.0);
                all.into_iter().map(|p| p.ln() as f32).collect()
            })
        });
        let reach = model.reach() as i32;
        errors
            .iter()
            .map(|&(phase, error, count)| {
                let all = &logarithms[usize::from(phase)];
                let one = usize::try_from(error + reach - 1)
                    .ok()
                    .and_then(|index| all.get(index))
                    .unwrap_or(&OUTSIDE);
                f64::from(*one) * f64::from(count)
            })
            .sum()
    }
}
