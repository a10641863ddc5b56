//! From evidence to scores, and the bound on an innocent's score (docs/tracing-mark.md 7).

use super::code::{CLASSES, CODE_LENGTH, THRESHOLDS, bias};
use super::examine::Evidence;
use super::key::Tracer;

/// Decoders tried; an accusation pays for each by the union bound.
pub(super) const DECODERS: usize = 3;

/// Per decoder, how much of the other bits of a position is taken for noise: little against one
/// traitor, and against several the more, the better they mix.
const MIXING: [f64; DECODERS] = [0.03, 0.2, 1.0];

/// Weights are whole numbers up to this.
const MAX_WEIGHT: f64 = 4000.0;

/// One linear decoder: the score of a codeword is the sum of weights where its bit is set, less the
/// expectation of that sum for an innocent.
pub(super) struct Decoder {
    /// Positions with any weight, ascending, with the class of their bias and their weight.
    pub(super) terms: Vec<(u16, u8, i16)>,
    /// The expectation times 256.
    mean: i64,
}

impl Decoder {
    /// The decoders for this evidence.
    pub(super) fn all(tracer: &Tracer, evidence: &Evidence) -> [Self; DECODERS] {
        let moments = Moments::of(tracer, evidence);
        MIXING.map(|mixing| Self::new(tracer, evidence, &moments, mixing))
    }

    fn new(tracer: &Tracer, evidence: &Evidence, moments: &Moments, mixing: f64) -> Self {
        let contribution = |position: usize| {
            let weight = evidence.weights[position];
            if weight <= 0.0 {
                return 0.0;
            }
            let class = tracer.biases.0[position];
            let p = bias(class);
            let spread = 4.0 * p * (1.0 - p) * moments.gain * moments.gain;
            let variance = 1.0 / weight + mixing * spread;
            let centred = evidence.values[position] / weight - moments.means[usize::from(class)];
            // What lies far outside is an accident of the picture, not a louder mark.
            let most = 2.5 * (spread + 1.0 / weight).sqrt();
            centred.clamp(-most, most) / variance
        };
        let contributions: Vec<f64> = (0..CODE_LENGTH).map(contribution).collect();
        let largest = contributions.iter().fold(0.0_f64, |a, b| a.max(b.abs()));
        let scale = if largest > 0.0 {
            MAX_WEIGHT / largest
        } else {
            0.0
        };
        let mut terms = Vec::new();
        let mut mean = 0;
        for (position, contribution) in contributions.iter().enumerate() {
            let weight = (contribution * scale).round() as i16;
            if weight != 0 {
                let class = tracer.biases.0[position];
                terms.push((position as u16, class, weight));
                mean += i64::from(weight) * i64::from(THRESHOLDS[usize::from(class)]);
            }
        }
        Self { terms, mean }
    }

    /// The score, of the sum of weights where bits are set.
    pub(super) fn score(&self, sum: i32) -> f64 {
        (f64::from(sum) * 256.0 - self.mean as f64) / 256.0
    }

    /// The bound of Chernoff on the natural logarithm of the probability that an innocent reaches
    /// `score`: the least over t of Σ ln E exp(t w (X − p)) − t score, which any t makes valid.
    pub(super) fn ln_tail(&self, score: f64) -> f64 {
        let variance: f64 = self
            .terms
            .iter()
            .map(|(_, class, w)| {
                let p = bias(*class);
                p * (1.0 - p) * f64::from(*w).powi(2)
            })
            .sum();
        if score <= 0.0 || variance <= 0.0 {
            return 0.0;
        }
        // Newton on the derivative, which is increasing; kept between bounds that bisect it.
        let (mut low, mut high) = (0.0, f64::INFINITY);
        let mut t = score / variance;
        let mut best = 0.0_f64;
        for _ in 0..40 {
            let (value, first, second) = self.cumulants(t);
            best = best.min(value - t * score);
            let error = first - score;
            if error.abs() < 1e-6 * score {
                break;
            }
            if error < 0.0 {
                low = t
            } else {
                high = t
            }
            let newton = t - error / second;
            t = if newton > low && newton < high {
                newton
            } else if high.is_finite() {
                f64::midpoint(low, high)
            } else {
                2.0 * t
            };
            if !t.is_finite() || t > 1.0 {
                break;
            }
        }
        best
    }

    /// The cumulant generating function of an innocent's score and its two derivatives.
    fn cumulants(&self, t: f64) -> (f64, f64, f64) {
        let mut sums = (0.0, 0.0, 0.0);
        for (_, class, weight) in &self.terms {
            let (p, w) = (bias(*class), f64::from(*weight));
            // ln(1 − p + p e^{tw}), with the larger exponent taken out.
            let x = t * w;
            let (value, up) = if x > 0.0 {
                let rest = (1.0 - p) * (-x).exp();
                (x + (p + rest).ln(), p / (p + rest))
            } else {
                let rest = p * x.exp();
                ((1.0 - p + rest).ln(), rest / (1.0 - p + rest))
            };
            sums.0 += value - x * p;
            sums.1 += w * (up - p);
            sums.2 += w * w * up * (1.0 - up);
        }
        (sums.0, sums.1, sums.2.max(1e-12))
    }
}

/// What the evidence says of the mark as a whole, without any candidate.
struct Moments {
    /// Per class of bias, the mean of values.
    means: [f64; CLASSES],
    /// How much of the mark's amplitude is left.
    gain: f64,
}

impl Moments {
    fn of(tracer: &Tracer, evidence: &Evidence) -> Self {
        let (mut sums, mut weights) = ([0.0; CLASSES], [0.0; CLASSES]);
        // A position heard a thousand times as well as others does not say as much more about its class.
        let common =
            2.0 * evidence.weights.iter().sum::<f64>() / evidence.positions().max(1) as f64;
        for ((class, value), weight) in tracer
            .biases
            .0
            .iter()
            .zip(&evidence.values)
            .zip(&evidence.weights)
        {
            if *weight > 0.0 {
                let capped = weight.min(common);
                sums[usize::from(*class)] += capped * value / weight;
                weights[usize::from(*class)] += capped;
            }
        }
        let (mut top, mut bottom) = (0.0, 0.0);
        for class in 0..CLASSES {
            let lean = 2.0 * bias(class as u8) - 1.0;
            top += lean * sums[class];
            bottom += lean * lean * weights[class];
        }
        let gain = if bottom > 0.0 {
            (top / bottom).clamp(0.05, 1.5)
        } else {
            1.0
        };
        let mut means = [0.0; CLASSES];
        for class in 0..CLASSES {
            let lean = 2.0 * bias(class as u8) - 1.0;
            // As if a few positions had said what the bias says.
            let prior = 0.02 * weights.iter().sum::<f64>();
            means[class] =
                (sums[class] + prior * gain * lean) / (weights[class] + prior).max(1e-300);
        }
        Self { means, gain }
    }
}
