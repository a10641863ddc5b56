//! The few distributions that traffic is drawn from, over any source of randomness.

use rand_core::Rng;
use rand_distr::{Distribution as _, Exp1, Gamma, Poisson, StandardNormal};

use super::figures;

/// Uniform in [0, 1).
pub(super) fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Uniform between the two.
pub(super) fn between((low, high): (f64, f64), rng: &mut impl Rng) -> f64 {
    low + (high - low) * unit(rng)
}

/// Whether something of this probability happens.
pub(super) fn happens(probability: f64, rng: &mut impl Rng) -> bool {
    unit(rng) < probability
}

/// An index, drawn by weight.
pub(super) fn weighted(weights: &[f64], rng: &mut impl Rng) -> usize {
    let mut left = unit(rng) * weights.iter().sum::<f64>();
    for (index, weight) in weights.iter().enumerate() {
        left -= weight;
        if left < 0.0 {
            return index;
        }
    }
    weights.len().saturating_sub(1)
}

/// Median times e to the spread times a standard normal variate.
pub(super) fn log_normal(median: f64, spread: f64, rng: &mut impl Rng) -> f64 {
    let normal: f64 = StandardNormal.sample(rng);
    median * (spread * normal).exp()
}

/// Exponential.
pub(super) fn exponential(mean: f64, rng: &mut impl Rng) -> f64 {
    let unit: f64 = Exp1.sample(rng);
    mean * unit
}

/// Gamma with mean 1.
pub(super) fn gamma(shape: f64, rng: &mut impl Rng) -> f64 {
    Gamma::new(shape, 1.0 / shape).map_or(1.0, |law| law.sample(rng))
}

/// A negative binomial variate of this mean and standard deviation, as a Poisson one with a gamma rate.
pub(super) fn count((mean, deviation): (f64, f64), rng: &mut impl Rng) -> u32 {
    let shape = mean * mean / (deviation * deviation - mean);
    let rate = mean * gamma(shape, rng);
    // A rate of nothing has no Poisson law, and gives nothing.
    Poisson::new(rate).map_or(0, |law| law.sample(rng) as u32)
}

/// Days from a study to the next.
pub(super) fn gap_days(rng: &mut impl Rng) -> f64 {
    if happens(figures::WITHIN_A_WEEK, rng) {
        loop {
            let days = exponential(figures::SHORT_DAYS, rng);
            if days <= 7.0 {
                return days;
            }
        }
    }
    exponential(LONG_DAYS, rng)
}

/// Mean of an exponential variate of mean [`figures::SHORT_DAYS`] cut at a week:
/// 2.5 − 7 e^−2.8 / (1 − e^−2.8).
const SHORT_MEAN_DAYS: f64 = 2.047;
/// Mean of the long tail, such that all together have the published mean.
const LONG_DAYS: f64 = (figures::PRIOR_AGE_DAYS - figures::WITHIN_A_WEEK * SHORT_MEAN_DAYS)
    / (1.0 - figures::WITHIN_A_WEEK);
