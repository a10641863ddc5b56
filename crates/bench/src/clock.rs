//! Timing. The one place of this crate that reads the clock.

use std::time::Instant;

/// Runs `work` and says how many seconds it took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, f64) {
    #[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
    let start = Instant::now();
    let done = work();
    (done, start.elapsed().as_secs_f64())
}

/// Seconds of one candidate, one figure per visit.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl Samples {
    pub(crate) fn push(&mut self, seconds: f64) {
        self.0.push(seconds);
    }

    pub(crate) fn visits(&self) -> usize {
        self.0.len()
    }

    /// Seconds spent on this candidate so far.
    pub(crate) fn total(&self) -> f64 {
        self.0.iter().sum()
    }

    /// The shortest: what the machine does when nobody disturbs it. Infinite without a sample.
    pub(crate) fn best(&self) -> f64 {
        self.0.iter().copied().fold(f64::INFINITY, f64::min)
    }

    /// The middle one (the mean of the middle two); infinite without a sample.
    pub(crate) fn median(&self) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let middle = sorted.len() / 2;
        match sorted.len() {
            0 => f64::INFINITY,
            n if n % 2 == 1 => sorted[middle],
            _ => (sorted[middle - 1] + sorted[middle]) / 2.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn best_and_median_are_of_all_visits() {
        let mut samples = Samples::default();
        assert!(samples.best().is_infinite() && samples.median().is_infinite());
        for seconds in [3.0, 1.0, 2.0] {
            samples.push(seconds);
        }
        assert_eq!((samples.best(), samples.median()), (1.0, 2.0));
        samples.push(10.0);
        assert_eq!((samples.median(), samples.total()), (2.5, 16.0));
        assert_eq!(samples.visits(), 4);
    }

    #[test]
    fn time_passes() {
        let (value, seconds) = timed(|| {
            std::thread::sleep(std::time::Duration::from_millis(20));
            7
        });
        assert_eq!(value, 7);
        assert!(seconds >= 0.02, "{seconds}");
    }
}
