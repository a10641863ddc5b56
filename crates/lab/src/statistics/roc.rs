//! The receiver operating characteristic, with an interval that dependent trials do not shrink.

use std::collections::HashMap;

/// How well scores tell yes from no.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Roc {
    /// Area under the curve: the chance that a random yes scores above a random no, ties counting half (Mann and
    /// Whitney 1947).
    pub auc: f64,
    /// Lower end of its 95 % interval.
    pub ci_low: f64,
    /// Upper end.
    pub ci_high: f64,
    /// The largest true positive rate minus false positive rate over all thresholds. A maximum over noise: without any
    /// knowledge it is about 1.2 / sqrt(number of trials of each kind), not zero.
    pub advantage: f64,
    /// The largest true positive rate at a false positive rate of at most one in a thousand.
    pub tpr_at_1e3: f64,
}

/// Half the width of a 95 % interval, in standard errors.
const Z: f64 = 1.959_964;

/// The highest false positive rate at which an accusation is taken seriously.
const LOW_FPR: f64 = 1e-3;

/// The curve of `scores`, the larger the likelier yes, against the right `answers`; `None` without a yes or without a
/// no.
///
/// The interval is DeLong's (DeLong, DeLong and Clarke-Pearson, Biometrics 44, 1988) in Obuchowski's form for clustered
/// data (Biometrics 53, 1997): structural components are summed within clusters before their variance is taken, so that
/// a thousand trials about ten patients count as ten patients. It is exact algebra, thus cheaper and steadier than a
/// bootstrap over clusters, to which it converges. Each of `clusterings` names the cluster of every trial. Trials depend
/// on each other through patients and through epochs: variances of crossed clusterings add, less what is in both
/// (Cameron, Gelbach and Miller, Journal of Business & Economic Statistics 29, 2011).
#[must_use]
pub fn roc(scores: &[f64], answers: &[bool], clusterings: &[&[u32]]) -> Option<Roc> {
    let components = Components::of(scores, answers)?;
    let variance = components.crossed(answers, clusterings);
    let half = Z * variance.sqrt();
    Some(Roc {
        auc: components.auc,
        ci_low: (components.auc - half).max(0.0),
        ci_high: (components.auc + half).min(1.0),
        advantage: components.advantage,
        tpr_at_1e3: components.tpr_at_1e3,
    })
}

/// What one pass over the sorted scores gives.
struct Components {
    auc: f64,
    advantage: f64,
    tpr_at_1e3: f64,
    yes: f64,
    no: f64,
    /// For each trial the share of trials of the other kind that it is ranked rightly against (DeLong's V10 and V01).
    placed: Vec<f64>,
}

impl Components {
    fn of(scores: &[f64], answers: &[bool]) -> Option<Self> {
        let yes = answers.iter().filter(|&&answer| answer).count() as f64;
        let no = answers.len() as f64 - yes;
        if yes == 0.0 || no == 0.0 || scores.len() != answers.len() {
            return None;
        }
        let mut order: Vec<usize> = (0..scores.len()).collect();
        order.sort_unstable_by(|&a, &b| known(scores[b]).total_cmp(&known(scores[a])));
        let mut placed = vec![0.0; scores.len()];
        let (mut yes_above, mut no_above) = (0.0, 0.0);
        let (mut advantage, mut tpr_at_1e3) = (0.0_f64, 0.0_f64);
        for tied in order.chunk_by(|&a, &b| known(scores[a]) == known(scores[b])) {
            let yes_tied = tied.iter().filter(|&&trial| answers[trial]).count() as f64;
            let no_tied = tied.len() as f64 - yes_tied;
            for &trial in tied {
                placed[trial] = if answers[trial] {
                    1.0 - (no_above + no_tied / 2.0) / no
                } else {
                    (yes_above + yes_tied / 2.0) / yes
                };
            }
            yes_above += yes_tied;
            no_above += no_tied;
            advantage = advantage.max(yes_above / yes - no_above / no);
            if no_above / no <= LOW_FPR {
                tpr_at_1e3 = yes_above / yes;
            }
        }
        let right: f64 = answers
            .iter()
            .zip(&placed)
            .filter(|&(&answer, _)| answer)
            .map(|(_, &share)| share)
            .sum();
        Some(Self {
            auc: right / yes,
            advantage,
            tpr_at_1e3,
            yes,
            no,
            placed,
        })
    }

    /// The variance under crossed clusterings: over every set of them the variance by their common clusters, added for
    /// odd sets and taken away for even ones. Not below that of any alone, which chance could make it.
    fn crossed(&self, answers: &[bool], clusterings: &[&[u32]]) -> f64 {
        let (mut sum, mut least) = (0.0_f64, 0.0_f64);
        for set in 1..1_usize << clusterings.len() {
            let inside = (0..clusterings.len()).filter(|at| set >> at & 1 == 1);
            let inside: Vec<&[u32]> = inside.map(|at| clusterings[at]).collect();
            let variance = self.variance(answers, &common(&inside, answers.len()));
            if inside.len() == 1 {
                least = least.max(variance);
            }
            sum += if inside.len() % 2 == 1 {
                variance
            } else {
                -variance
            };
        }
        // Of two that are infinite the difference is no number, and the larger is infinite.
        sum.max(least)
    }

    /// Obuchowski's variance of the area. Infinite where there are fewer than two clusters of a kind: one patient says
    /// nothing about another.
    fn variance(&self, answers: &[bool], clusters: &[u32]) -> f64 {
        let mut order: Vec<usize> = (0..answers.len()).collect();
        order.sort_unstable_by_key(|&trial| clusters[trial]);
        let (mut with_yes, mut with_no, mut all) = (0.0, 0.0, 0.0);
        let (mut s10, mut s01, mut s11) = (0.0, 0.0, 0.0);
        for cluster in order.chunk_by(|&a, &b| clusters[a] == clusters[b]) {
            let (mut x, mut y, mut any_yes, mut any_no) = (0.0, 0.0, 0.0, 0.0);
            for &trial in cluster {
                let off = self.placed[trial] - self.auc;
                if answers[trial] {
                    x += off;
                    any_yes = 1.0;
                } else {
                    y += off;
                    any_no = 1.0;
                }
            }
            s10 += x * x;
            s01 += y * y;
            s11 += x * y;
            with_yes += any_yes;
            with_no += any_no;
            all += 1.0;
        }
        if with_yes < 2.0 || with_no < 2.0 {
            return f64::INFINITY;
        }
        let term = |sum: f64, count: f64| sum * count / (count - 1.0);
        let variance = term(s10, with_yes) / (self.yes * self.yes)
            + term(s01, with_no) / (self.no * self.no)
            + 2.0 * term(s11, all) / (self.yes * self.no);
        variance.max(0.0)
    }
}

/// The clusters of trials that are together in every one of the clusterings.
fn common(clusterings: &[&[u32]], trials: usize) -> Vec<u32> {
    let mut numbers: HashMap<Vec<u32>, u32> = HashMap::new();
    (0..trials)
        .map(|trial| {
            let next = numbers.len() as u32;
            let key = clusterings.iter().map(|clusters| clusters[trial]).collect();
            *numbers.entry(key).or_insert(next)
        })
        .collect()
}

/// A score, where an attack that had nothing to say left no number.
fn known(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}
