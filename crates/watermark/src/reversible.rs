//! Reversible data hiding: a payload goes into the samples and comes out again, and the samples
//! are then exactly what they were.
//!
//! What is done and why is written in docs/reversible-hiding.md. In short: samples are predicted
//! from their neighbours, and prediction errors are changed at random, guided by the payload, so
//! that their distribution gets wider by as many bits as the payload has. What an error was is
//! given back into the same stack of bits from which the choice was taken.

mod alone;
mod choices;
mod coding;
mod fit;
mod frozen;
mod lattice;
mod model;
mod parameters;
mod predict;
mod stack;
mod table;
mod transport;

#[cfg(test)]
mod tests;

pub use alone::{embed_alone, extract_alone};
pub use frozen::Frozen;
pub use parameters::{Parameters, ParametersError};

use choices::Choices;
use coding::{Scheme, hide, reveal};
use fit::Sampling;
use lattice::{Lattice, MIN_SIDE};
use parameters::{SCHEME_BITS, scheme_bits};
use predict::Weights;
use stack::Stack;
use table::SLOPES;

use crate::Plane;

/// Where the search for a slope starts.
const USUAL_SLOPE: usize = 40;

/// How often embedding tries again when less fitted in than was estimated.
const TRIES: usize = 12;

/// How much more than the rest the last slope should carry, by the estimate. Too little costs
/// time, too much leaves the last samples unused.
const MARGIN: f64 = 1.02;

/// Why nothing was embedded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EmbedError {
    /// The plane cannot carry this much.
    #[error("the plane carries about {available} bytes, not {needed}; use a shorter payload")]
    Capacity {
        /// Bytes of the payload.
        needed: usize,
        /// Bytes that would fit, by an estimate.
        available: usize,
    },
    /// The frozen positions are those of another plane.
    #[error("the frozen positions belong to a plane of another size; make them for this one")]
    Frozen,
}

/// Why nothing was extracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ExtractError {
    /// The samples are not those that embedding left, or the parameters belong to others.
    #[error("the samples are not those that were marked, or the parameters are another plane's")]
    Altered,
    /// The frozen positions are those of another plane.
    #[error("the frozen positions belong to a plane of another size; make them for this one")]
    Frozen,
    /// The parameters that the plane itself holds cannot be read.
    #[error("the plane holds no parameters of a payload; it was not marked, or was altered")]
    Parameters(#[source] ParametersError),
}

/// Hides a payload in a plane, with as little square error as it can.
///
/// On an error the plane stays as it was. The payload need not look random.
pub fn embed(plane: &mut Plane, frozen: &Frozen, payload: &[u8]) -> Result<Parameters, EmbedError> {
    if !frozen.fits(plane) {
        return Err(EmbedError::Frozen);
    }
    let message = whitened(payload);
    let capacity = |bits: f64| EmbedError::Capacity {
        needed: payload.len(),
        available: (bits / 8.0) as usize,
    };
    let length = u32::try_from(payload.len()).map_err(|_| capacity(0.0))?;
    if message.is_empty() || plane.width() < MIN_SIDE || plane.height() < MIN_SIDE {
        if !message.is_empty() {
            return Err(capacity(0.0));
        }
        return Ok(Parameters {
            weights: Weights::RHOMBUS,
            schemes: [Scheme::IDLE; 2],
            passed: 0,
            length,
            state: Stack::of_message(Vec::new()).state,
        });
    }
    let wanted = message.len() as f64 * 32.0;
    let mut lattice = Lattice::new(plane, frozen);
    let weights = fit::weights(&mut lattice);
    let samplings = [0, 1].map(|colour| Sampling::new(&mut lattice, colour, weights));
    let mut models = [samplings[0].models(), samplings[1].models()];
    let estimate = |slope: usize, models: &[_; 2]| {
        let bits = [0, 1].map(|colour| samplings[colour].gain(slope, &models[colour]));
        bits[0] + bits[1]
    };
    let all_slopes = (0, SLOPES - 1);
    let mut slope = first_slope(wanted, all_slopes, USUAL_SLOPE, |slope| {
        estimate(slope, &models)
    });
    for _ in 0..TRIES {
        let mut stack = Stack::of_message(message.clone());
        let (even, _) = Scheme::fitted(slope, models[0], &samplings[0], None);
        let mut schemes = [even, Scheme::IDLE];
        let mut choices = Choices::new(even, lattice.max(), lattice.area());
        let (mut passed, all) = hide(&mut lattice, 0, weights, &mut choices, &mut stack);
        let within = !choices.exhausted();
        let mut done = !all && within;
        if all && within {
            lattice.mirror(0);
            let odd = hide_rest(&mut lattice, weights, &even, &mut stack);
            if let Some((scheme, more)) = odd {
                schemes[1] = scheme;
                passed += more;
                done = true;
            }
        }
        if done {
            lattice.store(0, plane);
            lattice.store(1, plane);
            return Ok(Parameters {
                weights,
                schemes,
                passed: passed as u32,
                length,
                state: stack.state,
            });
        }
        if slope == SLOPES - 1 && within {
            break;
        }
        if !within {
            models.iter_mut().for_each(drop_widest);
        }
        lattice = Lattice::new(plane, frozen);
        slope = (slope + 2).min(SLOPES - 1);
    }
    Err(capacity(estimate(SLOPES - 1, &models)))
}

/// Takes the payload out of a plane and restores it. On an error the plane stays as it was.
///
/// That the samples and the parameters belong together is found out with a chance of error of
/// about 2^−32 when the samples were altered; who needs more puts a tag into the payload.
pub fn extract(
    plane: &mut Plane,
    frozen: &Frozen,
    parameters: &Parameters,
) -> Result<Vec<u8>, ExtractError> {
    if !frozen.fits(plane) {
        return Err(ExtractError::Frozen);
    }
    let mut stack = Stack::of_state(parameters.state).ok_or(ExtractError::Altered)?;
    let passed = parameters.passed as usize;
    if passed > plane.samples().len() {
        return Err(ExtractError::Altered);
    }
    let mut lattice = None;
    if passed > 0 {
        if plane.width() < MIN_SIDE || plane.height() < MIN_SIDE {
            return Err(ExtractError::Altered);
        }
        let lattice = lattice.insert(Lattice::new(plane, frozen));
        let even: usize = (0..lattice.height()).map(|y| lattice.count(0, y)).sum();
        for (colour, passed) in [(1, passed.saturating_sub(even)), (0, passed.min(even))] {
            let scheme = parameters.schemes[colour];
            let mut choices = Choices::new(scheme, lattice.max(), lattice.area());
            reveal(
                lattice,
                colour,
                parameters.weights,
                &mut choices,
                &mut stack,
                passed,
            )
            .map_err(|_| ExtractError::Altered)?;
            lattice.mirror(colour);
        }
    }
    let words = stack.into_message().ok_or(ExtractError::Altered)?;
    let payload = plain(&words, parameters.length as usize).ok_or(ExtractError::Altered)?;
    if let Some(lattice) = lattice {
        lattice.store(0, plane);
        lattice.store(1, plane);
    }
    Ok(payload)
}

impl Scheme {
    /// The models that gain at a slope, and the bits they gain; the even colour's scheme is
    /// given for that of the odd one.
    fn fitted(
        slope: usize,
        models: [Option<model::Model>; predict::CLASSES],
        sampling: &Sampling,
        even: Option<&Self>,
    ) -> (Self, f64) {
        let mut scheme = Self {
            slope: slope as u8,
            models,
        };
        let gains = sampling.capacity(&scheme, 1);
        for (model, gain) in scheme.models.iter_mut().zip(gains) {
            if gain <= 0.0 {
                *model = None;
            }
        }
        // Three fifths of the room for the first, all that is left for the second.
        let room = match even {
            Some(even) => SCHEME_BITS - scheme_bits(even, None),
            None => SCHEME_BITS * 3 / 5,
        };
        let mut order: Vec<usize> = (0..models.len()).collect();
        order.sort_by(|a, b| gains[*a].total_cmp(&gains[*b]));
        order.retain(|class| scheme.models[*class].is_some());
        for class in order {
            if scheme_bits(&scheme, even) <= room {
                break;
            }
            scheme.models[class] = None;
        }
        let kept = scheme.models.iter().zip(gains);
        let sum = kept.filter_map(|(model, gain)| model.map(|_| gain)).sum();
        (scheme, sum)
    }
}

/// Hides what is left in the odd colour, once the even one is as it will be: the scheme and how
/// many samples were gone through, or `None` when it does not fit in with about the same slope.
fn hide_rest(
    lattice: &mut Lattice,
    weights: Weights,
    even: &Scheme,
    stack: &mut Stack,
) -> Option<(Scheme, usize)> {
    let slope = usize::from(even.slope);
    let sampling = Sampling::new(lattice, 1, weights);
    let mut models = sampling.models();
    let rest = stack.words.len() as f64 * 32.0 + 32.0;
    let last = (slope + 24).min(SLOPES - 1);
    let mut odd = first_slope(
        rest * MARGIN,
        (slope.saturating_sub(24), last),
        slope,
        |slope| sampling.gain(slope, &models),
    );
    let before = (lattice.colour(1).to_vec(), stack.clone());
    while odd <= last {
        let (scheme, _) = Scheme::fitted(odd, models, &sampling, Some(even));
        let mut choices = Choices::new(scheme, lattice.max(), lattice.area());
        let (passed, all) = hide(lattice, 1, weights, &mut choices, stack);
        if choices.exhausted() {
            drop_widest(&mut models);
        } else if !all {
            return Some((scheme, passed));
        }
        lattice.restore(1, &before.0);
        *stack = before.1.clone();
        odd += 1;
    }
    None
}

/// Leaves the widest model out: its tables are the largest, and there are to be fewer.
fn drop_widest(models: &mut [Option<model::Model>; predict::CLASSES]) {
    let widest = models
        .iter_mut()
        .max_by_key(|model| model.map(|model| model.reach()));
    if let Some(model) = widest {
        *model = None;
    }
}

/// The steepest slope from `low` to `high` that carries the bits, or the next one, or the last.
///
/// Bits grow with the index almost as a power, so the next guess is taken from the line through
/// the logarithms of the last ones; every guess narrows the range.
fn first_slope(
    wanted: f64,
    (mut low, mut high): (usize, usize),
    mut guess: usize,
    mut bits: impl FnMut(usize) -> f64,
) -> usize {
    let mut known: [Option<(f64, f64)>; 2] = [None; 2];
    let target = wanted.max(1.0).ln();
    while low + usize::from(known[1].is_some()) < high {
        guess = guess.clamp(low, high - 1);
        let carried = bits(guess);
        let point = (guess as f64, carried.max(1.0).ln());
        if carried >= wanted {
            high = guess;
            known[1] = Some(point);
        } else {
            low = guess + 1;
            known[0] = Some(point);
        }
        // Two octaves an octave of λ is usual where only one side is known.
        let next = match known {
            [Some(a), Some(b)] => a.0 + (target - a.1) * (b.0 - a.0) / (b.1 - a.1).max(1e-3),
            _ => point.0 + (target - point.1) * 10.0,
        };
        guess = next.ceil().max(0.0) as usize;
    }
    high
}

/// The payload as words that look random, so that choices are as likely as the tables say.
fn whitened(payload: &[u8]) -> Vec<u32> {
    let words = payload.chunks(4).map(|chunk| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        u32::from_le_bytes(word)
    });
    words
        .zip(Whitening(0))
        .map(|(word, mask)| word ^ mask)
        .collect()
}

/// Undoes [`whitened`]; `None` when the words are not those of a payload of this length.
fn plain(words: &[u32], length: usize) -> Option<Vec<u8>> {
    if words.len() != length.div_ceil(4) {
        return None;
    }
    let masked = words.iter().zip(Whitening(0));
    let mut bytes: Vec<u8> = masked
        .flat_map(|(word, mask)| (word ^ mask).to_le_bytes())
        .collect();
    let padding = bytes.split_off(length);
    padding.iter().all(|byte| *byte == 0).then_some(bytes)
}

/// A fixed sequence without structure (SplitMix64; Steele, Lea and Flood 2014).
struct Whitening(u64);

impl Iterator for Whitening {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        Some((z ^ (z >> 31)) as u32)
    }
}
