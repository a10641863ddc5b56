//! Who may retrieve now: bounds that a stranger cannot fill. Room for whole retrievals is bounded, since each holds its
//! queries in memory; it is given only for a ticket that was verified, and for each ticket only once at a time. A pass,
//! which is all that a stranger needs, gets no further than a ticket's few bytes, for a few seconds.

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use harpo_oblivious::Stack;
use harpo_protocol::id::{Nonce, PartyId};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

pub(crate) use self::room::Place;
use self::room::Room;
pub(crate) use self::streams::StreamPlace;
use self::streams::Streams;
use crate::Error;
use crate::config::Limits;
use crate::scanner::Pace;

mod room;
mod streams;

/// The bounds.
#[derive(Debug)]
pub(crate) struct Gate {
    passes: OneEach<PartyId>,
    tickets: Arc<Semaphore>,
    nonces: OneEach<Nonce>,
    room: Arc<Room>,
    streams: Arc<Streams>,
    hints: Arc<Semaphore>,
}

impl Gate {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            passes: OneEach::default(),
            tickets: Arc::new(Semaphore::new(limits.tickets_at_once as usize)),
            nonces: OneEach::default(),
            room: Arc::new(Room::new(limits)),
            streams: Arc::new(Streams::new(limits.streams_at_once)),
            hints: Arc::new(Semaphore::new(limits.hints_at_once as usize)),
        }
    }

    /// One retrieval at a time for each pass.
    pub(crate) fn pass(&self, pass: PartyId) -> Result<Entered<PartyId>, Error> {
        self.passes
            .enter(pass)
            .ok_or(Error::Busy("this pass has a retrieval under way"))
    }

    /// For reading a ticket.
    pub(crate) fn ticket(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.tickets)
            .try_acquire_owned()
            .map_err(|_| Error::Busy("too many tickets arrive at once"))
    }

    /// Retrievals and streams under way.
    pub(crate) fn under_way(&self) -> usize {
        lock(&self.nonces.0).len()
    }

    /// One retrieval at a time for each ticket.
    pub(crate) fn nonce(&self, nonce: Nonce) -> Result<Entered<Nonce>, Error> {
        self.nonces
            .enter(nonce)
            .ok_or(Error::Busy("this ticket has a retrieval under way"))
    }

    /// For the queries of a retrieval, and their answers.
    ///
    /// # Errors
    /// [`Error::QueueFull`].
    pub(crate) fn place(&self, stack: &Stack, queries: u32, pace: &Pace) -> Result<Place, Error> {
        self.room.take(stack, queries, pace)
    }

    /// For sending a hint, which is large and has many readers when a generation appears.
    pub(crate) fn hint(&self) -> Result<OwnedSemaphorePermit, Error> {
        Arc::clone(&self.hints)
            .try_acquire_owned()
            .map_err(|_| Error::Busy("too many hints are sent at once"))
    }

    /// For a stream of `bytes`, which has slots in memory.
    ///
    /// # Errors
    /// [`Error::StreamsFull`].
    pub(crate) fn stream(&self, bytes: u64) -> Result<StreamPlace, Error> {
        self.streams.take(bytes, Instant::now())
    }
}

/// A set of what is under way.
#[derive(Debug)]
struct OneEach<T: Eq + Hash>(Arc<Mutex<HashSet<T>>>);

impl<T: Eq + Hash> Default for OneEach<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Copy + Eq + Hash> OneEach<T> {
    /// `None` if it is in.
    fn enter(&self, item: T) -> Option<Entered<T>> {
        lock(&self.0).insert(item).then(|| Entered {
            item,
            of: Arc::clone(&self.0),
        })
    }
}

/// Something under way, until dropped.
#[derive(Debug)]
pub(crate) struct Entered<T: Eq + Hash> {
    item: T,
    of: Arc<Mutex<HashSet<T>>>,
}

impl<T: Eq + Hash> Drop for Entered<T> {
    fn drop(&mut self) {
        lock(&self.of).remove(&self.item);
    }
}

fn lock<T>(set: &Mutex<HashSet<T>>) -> MutexGuard<'_, HashSet<T>> {
    set.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_and_a_ticket_are_in_once_until_they_leave() {
        let gate = Gate::new(&Limits::default());
        let first = gate.pass(PartyId([1; 16])).unwrap();
        gate.pass(PartyId([2; 16])).unwrap();
        assert!(matches!(gate.pass(PartyId([1; 16])), Err(Error::Busy(_))));
        // The refusal did not let it out.
        assert!(matches!(gate.pass(PartyId([1; 16])), Err(Error::Busy(_))));
        drop(first);
        gate.pass(PartyId([1; 16])).unwrap();

        let nonce = gate.nonce(Nonce([1; 16])).unwrap();
        assert!(matches!(gate.nonce(Nonce([1; 16])), Err(Error::Busy(_))));
        drop(nonce);
        gate.nonce(Nonce([1; 16])).unwrap();
    }

    #[test]
    fn tickets_that_are_read_are_bounded() {
        let gate = Gate::new(&Limits {
            tickets_at_once: 2,
            ..Limits::default()
        });
        let _first = gate.ticket().unwrap();
        let second = gate.ticket().unwrap();
        assert!(matches!(gate.ticket(), Err(Error::Busy(_))));
        drop(second);
        drop(gate.ticket().unwrap());
    }

    #[test]
    fn hints_that_are_sent_are_bounded() {
        let gate = Gate::new(&Limits {
            hints_at_once: 1,
            ..Limits::default()
        });
        let first = gate.hint().unwrap();
        assert!(matches!(gate.hint(), Err(Error::Busy(_))));
        drop(first);
        drop(gate.hint().unwrap());
    }
}
