//! From a number to what it says: the likelihood ratio of yes against no, learned from questions with answers.

/// The likelihood ratio of yes against no for each range of a number.
///
/// Ranges are quantiles of what was seen, with finer ones at both ends, where rare but telling values are. Counts are
/// drawn towards a ratio of one, so that a range of which little was seen says little.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// Lower ends of all ranges but the first.
    edges: Vec<f64>,
    /// Natural logarithm of the ratio in each.
    log_ratios: Vec<f64>,
}

/// Where ranges end, as shares of what was seen.
const QUANTILES: [f64; 21] = [
    0.001, 0.01, 0.03, 0.06, 0.1, 0.15, 0.2, 0.27, 0.34, 0.42, 0.5, 0.58, 0.66, 0.73, 0.8, 0.85,
    0.9, 0.94, 0.97, 0.99, 0.999,
];

/// Imagined trials of each kind in every range.
const IMAGINED: f64 = 4.0;

impl Calibration {
    /// Learns from values whose answers are known. Of nothing it learns nothing: its ratio is one everywhere.
    #[must_use]
    pub fn fit(values: &[f64], answers: &[bool]) -> Self {
        let mut sorted: Vec<f64> = values.iter().copied().filter(|v| !v.is_nan()).collect();
        sorted.sort_unstable_by(f64::total_cmp);
        let mut edges = Vec::new();
        let mut end = |edge: f64| {
            if sorted.first().is_some_and(|&least| edge > least)
                && edges.last().is_none_or(|&last| edge > last)
            {
                edges.push(edge);
            }
        };
        for quantile in QUANTILES {
            let at = (sorted.len() as f64 * quantile) as usize;
            let Some(&edge) = sorted.get(at) else { break };
            end(edge);
            // Where many values are equal, what follows them is a range of its own.
            if let Some(&next) = sorted.get(sorted.partition_point(|&value| value <= edge)) {
                end(next);
            }
        }
        let mut counts = vec![[0.0_f64; 2]; edges.len() + 1];
        let mut totals = [0.0_f64; 2];
        for (&value, &answer) in values.iter().zip(answers) {
            if !value.is_nan() {
                counts[range(&edges, value)][usize::from(answer)] += 1.0;
                totals[usize::from(answer)] += 1.0;
            }
        }
        let balance = if totals[0] > 0.0 && totals[1] > 0.0 {
            totals[0] / totals[1]
        } else {
            1.0
        };
        let log_ratios = counts
            .iter()
            .map(|&[no, yes]| ((yes * balance + IMAGINED) / (no + IMAGINED)).ln())
            .collect();
        Self { edges, log_ratios }
    }

    /// Natural logarithm of P(value | yes) / P(value | no). Zero for no number.
    #[must_use]
    pub fn log_ratio(&self, value: f64) -> f64 {
        if value.is_nan() {
            return 0.0;
        }
        self.log_ratios[range(&self.edges, value)]
    }

    /// The chance of yes when yes and no were equally likely before.
    #[must_use]
    pub fn probability(&self, value: f64) -> f64 {
        1.0 / (1.0 + (-self.log_ratio(value)).exp())
    }
}

fn range(edges: &[f64], value: f64) -> usize {
    edges.partition_point(|&edge| edge <= value)
}
