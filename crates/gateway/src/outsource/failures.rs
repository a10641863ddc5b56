//! Which bundles failed, how often, and when each is tried again: one bad bundle must not hold up
//! the others.

use std::collections::HashMap;
use std::time::Duration;

use harpo_protocol::time::Timestamp;
use harpo_service::retry::Backoff;
use rand_core::Rng;

/// Between the attempts at one bundle.
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(1),
    longest: Duration::from_secs(60),
};

#[derive(Debug, Default, Clone, Copy)]
struct Failing {
    times: u32,
    not_before: Timestamp,
}

/// See the module. In memory only: after a restart everything is tried at once.
#[derive(Debug, Default)]
pub(super) struct Failures(HashMap<String, Failing>);

impl Failures {
    /// How often a bundle has failed since it last did not.
    pub(super) fn times(&self, bundle: &str) -> u32 {
        self.0.get(bundle).map_or(0, |failing| failing.times)
    }

    /// Whether a bundle may be tried now.
    pub(super) fn is_due(&self, bundle: &str, now: Timestamp) -> bool {
        self.0
            .get(bundle)
            .is_none_or(|failing| failing.not_before <= now)
    }

    /// Notes a failure of the bundle itself; how long it is left alone, at least `asked` if the
    /// other side said so.
    pub(super) fn postpone(
        &mut self,
        bundle: &str,
        now: Timestamp,
        asked: Option<Duration>,
        rng: &mut impl Rng,
    ) -> Duration {
        let failing = self.0.entry(bundle.to_owned()).or_default();
        failing.times = failing.times.saturating_add(1);
        let pause = BACKOFF.pause(failing.times, rng);
        let pause = asked.map_or(pause, |asked| asked.saturating_add(pause / 2));
        failing.not_before = now.after(pause);
        pause
    }

    /// Notes that a bundle met a failure that may not be its own: it goes to the end of the queue.
    pub(super) fn suspect(&mut self, bundle: &str) {
        let failing = self.0.entry(bundle.to_owned()).or_default();
        failing.times = failing.times.saturating_add(1);
    }

    /// Notes that there is nothing against a bundle, or that it is gone.
    pub(super) fn forget(&mut self, bundle: &str) {
        self.0.remove(bundle);
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn each_bundle_waits_for_itself_and_longer_each_time() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
        let mut failures = Failures::default();
        let mut last = Duration::ZERO;
        for times in 1..=6 {
            let pause = failures.postpone("bad", NOW, None, &mut rng);
            assert!(pause >= last / 2 && pause <= BACKOFF.longest, "{pause:?}");
            assert_eq!(failures.times("bad"), times);
            assert!(!failures.is_due("bad", NOW));
            assert!(failures.is_due("bad", NOW.after(pause)));
            assert!(failures.is_due("good", NOW));
            last = pause;
        }
        assert!(last > Duration::from_secs(10));
        failures.forget("bad");
        assert!(failures.is_due("bad", NOW));
    }

    #[test]
    fn what_the_other_side_asks_for_is_kept() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
        let mut failures = Failures::default();
        let asked = Duration::from_secs(300);
        assert!(failures.postpone("b", NOW, Some(asked), &mut rng) >= asked);
        failures.suspect("c");
        assert!(failures.is_due("c", NOW));
        assert_eq!(failures.times("c"), 1);
    }
}
