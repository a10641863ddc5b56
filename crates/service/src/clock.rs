//! Time, from one place. [`Clock`] is handed to whatever needs the time, so that tests and
//! simulations can stop it and move it; nothing else in the workspace reads the real clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use harpo_protocol::time::{ParseTimestampError, Timestamp};
use rustls_pki_types::UnixTime;
use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// Where the time comes from: the machine ([`Clock::system`]) or a test ([`Clock::manual`]).
/// Clones share the same time.
#[derive(Clone)]
pub struct Clock(Source);

#[derive(Clone)]
enum Source {
    System,
    Manual(Arc<watch::Sender<u64>>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub const fn system() -> Self {
        Self(Source::System)
    }

    /// A clock that stands at `start` until [`Clock::advance`] moves it.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self(Source::Manual(Arc::new(watch::Sender::new(start.0))))
    }

    /// The current time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match &self.0 {
            Source::System => system_now(),
            Source::Manual(now) => Timestamp(*now.borrow()),
        }
    }

    /// Moves a manual clock forward and wakes what sleeps until then. Does nothing to the system
    /// clock, which moves by itself.
    pub fn advance(&self, by: Duration) {
        if let Source::Manual(now) = &self.0 {
            now.send_modify(|now| *now = now.saturating_add(millis(by)));
        }
    }

    /// Waits for `duration`. On a manual clock: until somebody has advanced it that far.
    pub async fn sleep(&self, duration: Duration) {
        match &self.0 {
            Source::System => tokio::time::sleep(duration).await,
            Source::Manual(_) => self.sleep_until(self.now() + duration).await,
        }
    }

    /// Waits until `deadline`; returns at once when it has passed.
    pub async fn sleep_until(&self, deadline: Timestamp) {
        match &self.0 {
            Source::System => tokio::time::sleep(deadline.since(self.now())).await,
            Source::Manual(now) => {
                let mut now = now.subscribe();
                // `self` holds the sender, so waiting can only end by reaching the deadline.
                let _ = now.wait_for(|now| *now >= deadline.0).await;
            }
        }
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Source::System => f.write_str("Clock::system"),
            Source::Manual(_) => write!(f, "Clock::manual({})", self.now()),
        }
    }
}

/// Certificates are judged by the same clock as everything else.
impl rustls::time_provider::TimeProvider for Clock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_millis(
            self.now().0,
        )))
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the one place that reads the real clock"
)]
fn system_now() -> Timestamp {
    // A machine whose clock stands before 1970 gets 1970: every certificate is then refused as not
    // yet valid, which names the trouble better than a crash.
    Timestamp(u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or(0))
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
