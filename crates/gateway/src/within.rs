//! How long an answer may take as a whole. The pause that a connection may make bounds the silence between two
//! bytes; this bounds what trickles.

use std::time::Duration;

use harpo_service::clock::Clock;

/// How long a transfer may take: a fixed time, and what its bytes take at a pace that any usable line exceeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pace {
    /// Whatever its size.
    pub at_first: Duration,
    /// Bytes a second that must be exceeded in the long run.
    pub bytes_per_second: u64,
}

impl Default for Pace {
    /// Ten minutes, and 64 KiB a second.
    fn default() -> Self {
        Self {
            at_first: Duration::from_secs(600),
            bytes_per_second: 64 << 10,
        }
    }
}

/// It took longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "its {bytes} bytes did not arrive within {} s; the line or the cloud is too slow",
    allowed.as_secs()
)]
pub struct TooSlow {
    /// How many were awaited.
    pub bytes: u64,
    /// How long.
    pub allowed: Duration,
}

impl Pace {
    /// How long `bytes` may take.
    #[must_use]
    pub fn allows(&self, bytes: u64) -> Duration {
        let seconds = bytes.div_ceil(self.bytes_per_second.max(1));
        self.at_first.saturating_add(Duration::from_secs(seconds))
    }

    /// What `transfer` gives, if it ends within the time that its `bytes` may take.
    ///
    /// # Errors
    /// [`TooSlow`]; the transfer is then given up.
    pub async fn within<T>(
        &self,
        clock: &Clock,
        bytes: u64,
        transfer: impl Future<Output = T>,
    ) -> Result<T, TooSlow> {
        within(clock, self.allows(bytes), bytes, transfer).await
    }
}

/// What `transfer` of `bytes` gives, if it ends within `allowed`.
///
/// # Errors
/// [`TooSlow`]; the transfer is then given up.
pub async fn within<T>(
    clock: &Clock,
    allowed: Duration,
    bytes: u64,
    transfer: impl Future<Output = T>,
) -> Result<T, TooSlow> {
    tokio::select! {
        // What has ended counts.
        biased;
        outcome = transfer => Ok(outcome),
        () = clock.sleep(allowed) => Err(TooSlow { bytes, allowed }),
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use harpo_protocol::time::Timestamp;

    use super::*;

    #[test]
    fn the_time_grows_with_the_bytes_and_never_overflows() {
        let pace = Pace::default();
        assert_eq!(pace.allows(0), Duration::from_secs(600));
        assert_eq!(pace.allows(1), Duration::from_secs(601));
        assert_eq!(pace.allows(64 << 20), Duration::from_secs(600 + 1024));
        assert!(pace.allows(u64::MAX) > Duration::from_secs(1 << 40));
    }

    #[tokio::test]
    async fn what_does_not_end_is_given_up_when_its_time_is_over() {
        let clock = Clock::manual(Timestamp(0));
        let never = std::future::pending::<()>();
        let pace = Pace::default();
        let mut waiting = std::pin::pin!(pace.within(&clock, 64 << 10, never));
        assert!(waiting.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_secs(600));
        assert!(waiting.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_secs(1));
        let slow = waiting.await.unwrap_err();
        assert_eq!(slow.allowed, Duration::from_secs(601));
        assert_eq!(pace.within(&clock, 0, async { 7 }).await, Ok(7));
    }
}
