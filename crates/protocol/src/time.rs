//! Moments in time (docs/protocol.md 1.3). Where they come from is the caller's business.

use std::fmt;
use std::ops::{Add, Sub};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since the Unix epoch, UTC.
///
/// Serialised as a number; displayed and parsed as RFC 3339.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Timestamp(pub u64);

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

impl Timestamp {
    /// This moment and a while later; saturates.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        self + duration
    }
}

/// Milliseconds of a minute.
const MINUTE: u64 = 60_000;

impl Timestamp {
    /// The beginning of this minute: for what others may see and must not link.
    #[must_use]
    pub const fn minute_before(self) -> Self {
        Self(self.0 - self.0 % MINUTE)
    }

    /// The beginning of the next minute, or this moment if it is the beginning of one; saturates.
    #[must_use]
    pub const fn minute_after(self) -> Self {
        match self.0 % MINUTE {
            0 => self,
            past => Self(self.0.saturating_add(MINUTE - past)),
        }
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

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_begin_at_or_before_and_at_or_after() {
        for (moment, before, after) in [
            (0, 0, 0),
            (1, 0, 60_000),
            (59_999, 0, 60_000),
            (60_000, 60_000, 60_000),
            (60_001, 60_000, 120_000),
        ] {
            assert_eq!(Timestamp(moment).minute_before(), Timestamp(before));
            assert_eq!(Timestamp(moment).minute_after(), Timestamp(after));
        }
        assert_eq!(Timestamp(u64::MAX).minute_after(), Timestamp(u64::MAX));
    }
}
