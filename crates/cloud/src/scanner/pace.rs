//! How fast the scanner is, as measured: what those who are told to come back are told.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::PASS_QUERIES;

/// Weights recent passes more, and full ones more than those of a single query, which cost more for each.
#[derive(Debug, Default)]
pub(crate) struct Pace(Mutex<Option<f64>>);

impl Pace {
    /// A pass over `encoded_bytes` answered `queries` in `took`.
    pub(crate) fn observe(&self, encoded_bytes: u64, queries: usize, took: Duration) {
        let work = encoded_bytes as f64 * queries as f64;
        if work <= 0.0 {
            return;
        }
        let seen = took.as_secs_f64() / work;
        let weight = queries as f64 / (queries + PASS_QUERIES) as f64;
        let mut pace = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *pace = Some(pace.map_or(seen, |pace| pace + weight * (seen - pace)));
    }

    /// What `queries` over `encoded_bytes` take; `None` before the first pass.
    pub(crate) fn predict(&self, encoded_bytes: u64, queries: u64) -> Option<Duration> {
        let pace = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let seconds = pace? * encoded_bytes as f64 * queries as f64;
        Duration::try_from_secs_f64(seconds).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_passes_count_more_and_the_past_fades() {
        let pace = Pace::default();
        assert_eq!(pace.predict(1 << 20, 4), None);
        let seconds = Duration::from_secs;
        pace.observe(1 << 20, 1, seconds(1));
        assert_eq!(pace.predict(2 << 20, 4), Some(seconds(8)));
        // Sixteen for the price of four: a quarter for each.
        for _ in 0..20 {
            pace.observe(1 << 20, 16, seconds(4));
        }
        let now = pace.predict(1 << 20, 100).unwrap().as_secs_f64();
        assert!((24.9..25.1).contains(&now), "{now}");
        pace.observe(1 << 20, 1, seconds(1));
        let after_one = pace.predict(1 << 20, 100).unwrap().as_secs_f64();
        assert!(after_one < 30.0, "{after_one}");
        assert_eq!(pace.predict(u64::MAX, u64::MAX), None, "beyond all clocks");
    }
}
