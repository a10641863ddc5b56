//! Who may be carried now: so many in all, and of these so many for one gateway.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use harpo_protocol::id::PartyId;

use crate::config::Limits;

/// The requests under way.
#[derive(Debug)]
pub(crate) struct Places {
    most: u32,
    most_of_one: u32,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: u32,
    of_each: HashMap<PartyId, u32>,
}

impl Places {
    pub(crate) fn new(limits: &Limits) -> Arc<Self> {
        Arc::new(Self {
            most: limits.requests_at_once,
            most_of_one: limits.requests_per_gateway,
            taken: Mutex::default(),
        })
    }

    /// A place for a request of this gateway, or what there is too much of.
    pub(crate) fn take(self: &Arc<Self>, gateway: PartyId) -> Result<Place, &'static str> {
        let mut taken = self.lock();
        if taken.all >= self.most {
            return Err("the relay carries as many requests as it may; try again later");
        }
        let own = taken.of_each.get(&gateway).copied().unwrap_or(0);
        if own >= self.most_of_one {
            return Err("this gateway has as many requests under way as it may; try again later");
        }
        taken.all += 1;
        taken.of_each.insert(gateway, own + 1);
        Ok(Place {
            gateway,
            of: Arc::clone(self),
        })
    }

    /// Requests under way, and how many gateways they are of.
    pub(crate) fn taken(&self) -> (u32, usize) {
        let taken = self.lock();
        (taken.all, taken.of_each.len())
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request's place, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gateway: PartyId,
    of: Arc<Places>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.of.lock();
        taken.all -= 1;
        if let Some(own) = taken.of_each.get_mut(&self.gateway) {
            *own -= 1;
            if *own == 0 {
                taken.of_each.remove(&self.gateway);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_has_its_share_and_leaves_nothing_behind() {
        let places = Places::new(&Limits {
            requests_at_once: 3,
            requests_per_gateway: 2,
            ..Limits::default()
        });
        let [a, b] = [1, 2].map(|byte| PartyId([byte; 16]));
        let held = [a, a].map(|who| places.take(who).unwrap());
        assert!(places.take(a).unwrap_err().contains("this gateway"));
        let other = places.take(b).unwrap();
        assert!(places.take(b).unwrap_err().contains("the relay"));
        drop(held);
        assert!(places.take(a).is_ok());
        drop(other);
        assert!(places.lock().of_each.is_empty());
        assert_eq!(places.lock().all, 0);
    }
}
