//! What suits a plane: predictor and shift.

use super::{STRIDE, SYMBOLS, load};
use crate::{
    LANES,
    entropy::{self, Counts},
    lanes::Bands,
    model::{MAX_SHIFT, Model, Rows, centred},
    predict::{Predictor, fit},
    token::spans,
};

/// Rows of a stretch that is tried; the first of them only gives magnitudes to the next.
const STRETCH: usize = 4;

/// One stretch in this many steps.
const EVERY: usize = 32;

/// The model with which a part of the samples is shortest.
pub(super) fn model(samples: &[u16], width: usize) -> Model {
    let mut best = Model {
        predictor: Predictor::Median,
        shift: 0,
        origin: centred(samples[0]),
    };
    let tried = trial(samples, width, &best);
    best.shift = shift_for(tried.mean);
    let mut least = tried.cost;
    if best.shift > 0 {
        least = trial(samples, width, &best).cost;
    }
    if let Some(weights) = fit(samples, width) {
        for bounded in [true, false] {
            let other = Model {
                predictor: Predictor::Linear { weights, bounded },
                ..best
            };
            let cost = trial(samples, width, &other).cost;
            if cost < least {
                (best, least) = (other, cost);
            }
        }
    }
    best
}

/// So that the mean residual lies in the lower part of magnitudes.
fn shift_for(mean: u32) -> u32 {
    (mean / 32)
        .checked_ilog2()
        .map_or(0, |log| log + 1)
        .min(MAX_SHIFT)
}

/// What a trial found.
struct Tried {
    /// Bits, times 256.
    cost: u64,
    /// Mean size of residuals.
    mean: u32,
}

/// Takes stretches of rows through a model.
fn trial(samples: &[u16], width: usize, model: &Model) -> Tried {
    let bands = Bands::new(samples.len() / width);
    let mut counts = vec![0u32; SYMBOLS];
    let mut folded = vec![[0u16; LANES]; width];
    let (mut sum, mut number) = (0u64, 0u64);
    let mut rows = Rows::new(width, model);
    let spans = spans(model.shift);
    for begin in (0..bands.steps()).step_by(EVERY) {
        for step in begin.saturating_sub(2)..(begin + STRETCH).min(bands.full()) {
            load(&mut rows, samples, bands, step);
            if step < begin {
                rows.advance(false);
                continue;
            }
            rows.begin(model, step == 0);
            rows.residuals(model, step == 0, &mut folded);
            let warm = step == begin && begin > 0;
            rows.tokens(&folded, &spans, LANES, |_, folded, token, context| {
                if !warm {
                    counts[(usize::from(context) * STRIDE + token as usize) % SYMBOLS] += 1;
                    sum += u64::from(folded / 2);
                    number += 1;
                }
            });
            rows.advance(step == 0);
        }
    }
    let of_context = |context: &[u32]| -> u64 {
        let counts: Counts = std::array::from_fn(|token| context[token]);
        entropy::cost(&counts)
    };
    Tried {
        cost: counts.chunks_exact(STRIDE).map(of_context).sum(),
        mean: (sum / number.max(1)) as u32,
    }
}
