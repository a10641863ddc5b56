//! How well questions were answered: receiver operating characteristics and calibrated likelihoods.

mod calibration;
mod roc;

#[cfg(test)]
mod tests;

pub use calibration::Calibration;
pub use roc::{Roc, roc};

/// Entropy of a distribution, in bits. The weights need not sum to one; of nothing it is zero.
#[must_use]
pub fn entropy(weights: &[f64]) -> f64 {
    let total: f64 = weights.iter().sum();
    if total <= 0.0 {
        return 0.0;
    }
    weights
        .iter()
        .filter(|&&weight| weight > 0.0)
        .map(|&weight| -(weight / total) * (weight / total).log2())
        .sum()
}

/// Whether the heaviest candidate is the right one: one, zero, or the chance of it when several are as heavy.
#[must_use]
pub fn top_1(weights: &[f64], truth: usize) -> f64 {
    let Some(best) = weights.iter().copied().max_by(f64::total_cmp) else {
        return 0.0;
    };
    let tied = weights.iter().filter(|&&weight| weight >= best).count();
    match weights.get(truth) {
        Some(&weight) if weight >= best => 1.0 / tied as f64,
        _ => 0.0,
    }
}
