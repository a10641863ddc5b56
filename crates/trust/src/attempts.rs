//! What strangers and single hospitals may do at a time.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harpo_protocol::id::PartyId;
use harpo_protocol::time::Timestamp;
use harpo_service::http::{ApiError, Network};

use crate::error::refuse;

const MINUTE: Duration = Duration::from_secs(60);

/// Attempts to enrol that were refused: so many a minute from one network address, and all together. Right ones cost
/// nothing. The table has no more rows than the second bound.
pub(crate) struct Attempts {
    of_one_network: u32,
    of_all: u32,
    window: Mutex<Window>,
}

#[derive(Default)]
struct Window {
    began: Timestamp,
    all: u32,
    of: HashMap<Network, u32>,
}

/// An attempt, which counts as refused until it is said that it was right.
pub(crate) struct Attempt<'a> {
    attempts: &'a Attempts,
    network: Network,
    window: Timestamp,
}

impl Attempts {
    pub(crate) fn new(of_one_network: u32, of_all: u32) -> Self {
        Self {
            of_one_network,
            of_all,
            window: Mutex::default(),
        }
    }

    /// Begins an attempt; if there were too many, says how long to wait.
    pub(crate) fn take(&self, from: IpAddr, now: Timestamp) -> Result<Attempt<'_>, Duration> {
        let network = Network::from(from);
        let mut window = self.window();
        if now.since(window.began) >= MINUTE || now < window.began {
            *window = Window {
                began: now,
                ..Window::default()
            };
        }
        let of_network = window.of.get(&network).copied().unwrap_or(0);
        if of_network >= self.of_one_network || window.all >= self.of_all {
            return Err(MINUTE - now.since(window.began));
        }
        window.all += 1;
        window.of.insert(network, of_network + 1);
        Ok(Attempt {
            attempts: self,
            network,
            window: window.began,
        })
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Attempt<'_> {
    /// The code was good: does not count.
    pub(crate) fn was_right(self) {
        let mut window = self.attempts.window();
        if window.began == self.window {
            window.all = window.all.saturating_sub(1);
            if let Some(count) = window.of.get_mut(&self.network) {
                *count = count.saturating_sub(1);
            }
        }
    }
}

/// How many of something each party has under way.
pub(crate) struct UnderWay {
    most: u32,
    of: Mutex<HashMap<PartyId, u32>>,
}

/// One of them, until it is dropped.
pub(crate) struct Place<'a> {
    under_way: &'a UnderWay,
    party: PartyId,
}

impl UnderWay {
    pub(crate) fn new(most: u32) -> Self {
        Self {
            most,
            of: Mutex::default(),
        }
    }

    /// One more of this party's, if it has not too many.
    pub(crate) fn enter(&self, party: PartyId) -> Result<Place<'_>, ApiError> {
        let mut of = self.of.lock().unwrap_or_else(PoisonError::into_inner);
        let count = of.entry(party).or_default();
        if *count >= self.most {
            return Err(refuse::busy(
                format!(
                    "{} manifests of this party are being read already",
                    self.most
                ),
                Duration::from_secs(1),
            ));
        }
        *count += 1;
        Ok(Place {
            under_way: self,
            party,
        })
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let of = &self.under_way.of;
        let mut of = of.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = of.get_mut(&self.party) {
            *count -= 1;
            if *count == 0 {
                of.remove(&self.party);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn one_network_blocks_itself_only_and_the_table_is_bounded() {
        let attempts = Attempts::new(3, 10);
        let now = Timestamp(1_000_000);
        for _ in 0..3 {
            attempts.take(address("192.0.2.1"), now).unwrap();
        }
        let wait = attempts.take(address("192.0.2.1"), now + Duration::from_secs(20));
        assert_eq!(wait.err(), Some(Duration::from_secs(40)));
        for host in 2..100 {
            let _ = attempts.take(address(&format!("192.0.2.{host}")), now);
        }
        assert_eq!(attempts.window().all, 10);
        assert_eq!(attempts.window().of.len(), 8);
        attempts.take(address("192.0.2.1"), now + MINUTE).unwrap();
        // The clock was set back: nobody waits for it to catch up.
        attempts.take(address("192.0.2.1"), now).unwrap();
    }

    #[test]
    fn right_codes_do_not_count() {
        let attempts = Attempts::new(1, 2);
        let now = Timestamp(1_000_000);
        for _ in 0..50 {
            attempts
                .take(address("192.0.2.1"), now)
                .unwrap()
                .was_right();
        }
        attempts.take(address("192.0.2.1"), now).unwrap();
        assert!(attempts.take(address("192.0.2.1"), now).is_err());
        // One that began before the window changed takes nothing from the new one.
        let old = attempts.take(address("192.0.2.2"), now).unwrap();
        let later = now + MINUTE;
        attempts.take(address("192.0.2.2"), later).unwrap();
        old.was_right();
        assert!(attempts.take(address("192.0.2.2"), later).is_err());
    }

    #[test]
    fn a_party_has_so_many_places_and_gets_them_back() {
        let manifests = UnderWay::new(2);
        let (a, b) = (PartyId([1; 16]), PartyId([2; 16]));
        let held = (manifests.enter(a).unwrap(), manifests.enter(a).unwrap());
        assert_eq!(manifests.enter(a).err().unwrap().code, "busy");
        manifests.enter(b).unwrap();
        drop(held);
        manifests.enter(a).unwrap();
        assert!(manifests.of.lock().unwrap().is_empty());
    }
}
