//! Closed forms: what times tell, and how long rounds make a reader wait (docs/unlinkability.md 5).

/// Whole-log AUC of the nearest-in-time attack on slots that wait for a memoryless time of mean `delay`, over a log of
/// length `log`: the gap of two slots of one patient is a difference of two such delays, that of strangers one of two
/// uniform times, and P(|X − Y| < |U − V|) is 1 − 2r + 2r² up to terms of e^(−1/r), r = delay / log (docs/threat-model.md,
/// "What the times of uploads leak"). A half from r = 1/2 on, where the log ends before times say anything.
#[must_use]
pub fn exponential_auc(delay: f64, log: f64) -> f64 {
    let r = (delay / log).clamp(0.0, 0.5);
    1.0 - 2.0 * r + 2.0 * r * r
}

/// Whole-log AUC of the same attack on epoch shuffle, where the slots of one visit leave in one epoch and a log has
/// `epochs` of equal length: strangers share an epoch once in `epochs` times, and then it is a guess. Within an epoch
/// it is a half.
#[must_use]
pub fn epoch_auc(epochs: f64) -> f64 {
    1.0 - 0.5 / epochs.max(1.0)
}

/// Two slots of one patient that hold something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Slots {
    /// Of one bundle, copies too.
    OneStudy,
    /// Of two bundles that were deposited together.
    DifferentStudies,
}

/// The same where a share `moved` of what is written was brought back by errands, at times that do not depend on whose
/// it is. A bundle moves whole: two slots of it tell if they are of the same placement, 1 − moved of the pairs where
/// every bundle is moved equally often. Different bundles move each for itself: only pairs of which neither was moved
/// still tell, (1 − moved)² of them. What is moved because it was read goes with other things of the patient and still
/// tells something: it is not in `moved`, and the laboratory measures it.
#[must_use]
pub fn replaced_auc(before: f64, moved: f64, slots: Slots) -> f64 {
    let stays = (1.0 - moved).clamp(0.0, 1.0);
    let told = match slots {
        Slots::OneStudy => stays,
        Slots::DifferentStudies => stays * stays,
    };
    0.5 + told * (before - 0.5)
}

/// Whole-log AUC of "same stack" for two retrievals of one patient, if every retrieval named the stack that it wants,
/// with `shares` of the retrievals over each stack: what rounds take away.
#[must_use]
pub fn stacks_auc(shares: &[f64]) -> f64 {
    1.0 - shares.iter().map(|share| share * share).sum::<f64>() / 2.0
}

/// How long until a gateway next retrieves from a stack that every `period`-th round names, for somebody who comes at
/// any time: mean and 95 % quantile, in rounds.
///
/// The gateway's moments are uniform within their rounds, so the time between two is `period` plus the difference of
/// two uniform times, and the wait is the residual of that.
#[must_use]
pub fn wait_in_rounds(period: u32) -> (f64, f64) {
    let period = f64::from(period.max(1));
    let mean = period / 2.0 + 1.0 / (12.0 * period);
    let (mut low, mut high) = (0.0, period + 1.0);
    for _ in 0..60 {
        let middle = (low + high) / 2.0;
        if residual(period, middle) < 0.95 {
            low = middle;
        } else {
            high = middle;
        }
    }
    (mean, high)
}

/// P(wait ≤ w): the integral from 0 to w of P(gap > x) over the mean gap.
fn residual(period: f64, w: f64) -> f64 {
    // P(gap > x) is 1 up to period − 1, falls by a parabola to 1/2 at the period, and by another to 0.
    let sure = w.min(period - 1.0);
    let first = (w - (period - 1.0)).clamp(0.0, 1.0);
    let second = (w - period).clamp(0.0, 1.0);
    let falling = first - first.powi(3) / 6.0;
    let tail = 1.0 / 6.0 - (1.0 - second).powi(3) / 6.0;
    (sure + falling + tail) / period
}

/// The share of consults that want something at most `days` old, of those of at most `keep` days. A quarter read a study
/// for its own sake, half a day later on average (assumed). The others want priors, of which 72 % lie within a week, with a
/// mean age of 203 days ([`crate::traffic::figures`]): two exponential laws with these figures.
#[must_use]
pub fn wanted_within(days: f64, keep: f64) -> f64 {
    /// Share and mean age in days of each part.
    const PARTS: [(f64, f64); 3] = [(0.25, 0.5), (0.75 * 0.74, 2.0), (0.75 * 0.26, 775.0)];
    let law = |age: f64| {
        let age = age.max(0.0);
        let part = |(share, mean): &(f64, f64)| share * (1.0 - (-age / mean).exp());
        PARTS.iter().map(part).sum::<f64>()
    };
    (law(days.min(keep)) / law(keep)).clamp(0.0, 1.0)
}
