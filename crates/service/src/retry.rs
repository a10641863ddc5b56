//! Trying again, later and later, and not all at once.

use std::time::Duration;

use rand_core::Rng;

#[cfg(test)]
mod tests;

/// How long to wait between attempts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second attempt, at most; doubled for each further one. 200 ms.
    pub first: Duration,
    /// The longest pause that is chosen here (the other side may ask for longer). 30 s.
    pub longest: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(30),
        }
    }
}

impl Backoff {
    /// The pause after `failures` failed attempts: between half of `first * 2^(failures - 1)` and
    /// all of it, at random, so that many clients that failed together do not return together.
    pub fn pause(&self, failures: u32, rng: &mut impl Rng) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let full = self.first.saturating_mul(1 << doublings).min(self.longest);
        full / 2 + random_up_to(full / 2, rng)
    }
}

fn random_up_to(limit: Duration, rng: &mut impl Rng) -> Duration {
    let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    // The high half of the product is uniform up to 2^-64.
    let scaled = (u128::from(rng.next_u64()) * (u128::from(nanos) + 1)) >> 64;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(nanos))
}
