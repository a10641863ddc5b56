//! Time, from one place. [`Clock`] is handed to whatever needs the time, so that tests and
//! simulations can stop it and move it; nothing else in the workspace reads the real clock.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use rustls_pki_types::UnixTime;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

#[cfg(test)]
mod tests;

/// A moment: milliseconds since the Unix epoch, UTC.
///
/// Serialised as a number; displayed and parsed as RFC 3339.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(u64);

/// The text was not a moment in RFC 3339 at or after 1970.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not a time in RFC 3339 at or after 1970, such as 2026-01-31T12:00:00Z")]
pub struct ParseTimestampError {
    text: String,
    #[source]
    source: Option<jiff::Error>,
}

impl Timestamp {
    /// 1970-01-01T00:00:00Z.
    pub const EPOCH: Self = Self(0);

    /// The moment `millis` milliseconds after the epoch.
    #[must_use]
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The moment `seconds` seconds after the epoch.
    #[must_use]
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// The time from `earlier` to `self`; zero if `earlier` is the later one.
    #[must_use]
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Saturating.
impl Add<Duration> for Timestamp {
    type Output = Self;

    fn add(self, rhs: Duration) -> Self {
        Self(self.0.saturating_add(millis(rhs)))
    }
}

/// Saturating at the epoch.
impl Sub<Duration> for Timestamp {
    type Output = Self;

    fn sub(self, rhs: Duration) -> Self {
        Self(self.0.saturating_sub(millis(rhs)))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = i64::try_from(self.0)
            .ok()
            .and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        match moment {
            Some(moment) => write!(f, "{moment:.3}"),
            // After the year 9999: a number is better than no answer.
            None => write!(f, "{} ms after 1970", self.0),
        }
    }
}

impl FromStr for Timestamp {
    type Err = ParseTimestampError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment: jiff::Timestamp = text.parse().map_err(|source| ParseTimestampError {
            text: text.to_owned(),
            source: Some(source),
        })?;
        u64::try_from(moment.as_millisecond())
            .map(Self)
            .map_err(|_| ParseTimestampError {
                text: text.to_owned(),
                source: None,
            })
    }
}

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
