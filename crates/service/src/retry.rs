//! Trying again, later and later, and not all at once.

use std::future::Future;
use std::time::Duration;

use rand_core::Rng;

use crate::clock::Clock;
use crate::http::ClientError;

#[cfg(test)]
mod tests;

/// How long to wait between attempts, and how often to try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Before the second attempt, at most; doubled for each further one. 200 ms.
    pub first: Duration,
    /// The longest pause that is chosen here (the other side may ask for longer). 30 s.
    pub longest: Duration,
    /// Attempts in all; at least one is made. 8.
    pub attempts: u32,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(200),
            longest: Duration::from_secs(30),
            attempts: 8,
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

/// What a failure means for the next attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Trying again would bring the same.
    Stop,
    /// Try again.
    Again,
    /// Try again, but not before this has passed: the other side asked for it.
    After(Duration),
}

impl From<&ClientError> for Verdict {
    fn from(error: &ClientError) -> Self {
        match error.retry_after() {
            Some(after) => Self::After(after),
            None if error.is_transient() => Self::Again,
            None => Self::Stop,
        }
    }
}

/// Runs `operation` until it succeeds, `judge` says [`Verdict::Stop`], or the attempts are used up;
/// pauses between attempts on `clock`. `operation` is told how many attempts have failed.
///
/// Only for operations that may be done twice.
///
/// # Errors
/// The last attempt's.
pub async fn retry<T, E, R: Rng, F: Future<Output = Result<T, E>>>(
    clock: &Clock,
    rng: &mut R,
    backoff: &Backoff,
    judge: impl Fn(&E) -> Verdict,
    mut operation: impl FnMut(u32) -> F,
) -> Result<T, E> {
    let mut failures = 0;
    loop {
        let error = match operation(failures).await {
            Ok(value) => return Ok(value),
            Err(error) => error,
        };
        failures += 1;
        if failures >= backoff.attempts {
            return Err(error);
        }
        let own = backoff.pause(failures, rng);
        let pause = match judge(&error) {
            Verdict::Stop => return Err(error),
            Verdict::Again => own,
            // On top, so that those who were told the same moment do not all come at it.
            Verdict::After(asked) => asked.saturating_add(own / 2),
        };
        clock.sleep(pause).await;
    }
}

fn random_up_to(limit: Duration, rng: &mut impl Rng) -> Duration {
    let nanos = u64::try_from(limit.as_nanos()).unwrap_or(u64::MAX);
    // The high half of the product is uniform up to 2^-64.
    let scaled = (u128::from(rng.next_u64()) * (u128::from(nanos) + 1)) >> 64;
    Duration::from_nanos(u64::try_from(scaled).unwrap_or(nanos))
}
