//! Room for retrievals: how many there are, how many queries they have that were not answered, and the memory of both. A
//! retrieval of any size is let in while none of the bounds is reached, so that large ones are not kept out by small
//! ones for ever; each bound can thus be exceeded by one retrieval.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harpo_oblivious::Stack;

use crate::Error;
use crate::config::Limits;
use crate::scanner::{AHEAD, Pace};

/// Least and most that anybody is told to wait.
const WAIT_AT_LEAST: Duration = Duration::from_secs(1);
const WAIT_AT_MOST: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Room {
    most: Amount,
    taken: Mutex<Taken>,
}

/// What is bounded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Amount {
    retrievals: u64,
    queries: u64,
    bytes: u64,
}

#[derive(Debug, Default)]
struct Taken {
    all: Amount,
    stacks: HashMap<[u8; 32], Waiting>,
}

/// What waits for one stack.
#[derive(Debug)]
struct Waiting {
    queries: u64,
    encoded_bytes: u64,
}

impl Room {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            most: Amount {
                retrievals: limits.retrievals_at_once.into(),
                queries: limits.queue_queries.into(),
                bytes: limits.queue_mib.saturating_mul(1 << 20),
            },
            taken: Mutex::default(),
        }
    }

    /// Room for a retrieval of `queries`.
    ///
    /// # Errors
    /// [`Error::QueueFull`], with how long it takes at this `pace` until there is room.
    pub(super) fn take(
        self: &Arc<Self>,
        stack: &Stack,
        queries: u32,
        pace: &Pace,
    ) -> Result<Place, Error> {
        let mut taken = self.lock();
        let full = self.most.fraction_over(&taken.all);
        if full > 0.0 {
            return Err(Error::QueueFull(wait(&taken, full, pace)));
        }
        let place = Place {
            room: Arc::clone(self),
            stack: stack.digest(),
            queries: u64::from(queries),
            query_bytes: in_memory(stack.query_bytes()),
            answers_bytes: u64::from(queries).min(AHEAD as u64) * stack.answer_bytes(),
        };
        taken.all.retrievals += 1;
        taken.all.queries += place.queries;
        taken.all.bytes += place.queries * place.query_bytes + place.answers_bytes;
        let waiting = taken.stacks.entry(place.stack).or_insert(Waiting {
            queries: 0,
            encoded_bytes: stack.encoded_bytes(),
        });
        waiting.queries += place.queries;
        Ok(place)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Amount {
    /// Which part of what is taken must go before there is room; 0 if there is.
    fn fraction_over(&self, taken: &Self) -> f64 {
        let over = |most: u64, taken: u64| match taken >= most {
            true => (taken - most + 1) as f64 / taken.max(1) as f64,
            false => 0.0,
        };
        over(self.retrievals, taken.retrievals)
            .max(over(self.queries, taken.queries))
            .max(over(self.bytes, taken.bytes))
    }
}

/// How long until this part of what is taken has gone. Retrievals take turns, so all of them shrink at the same time.
fn wait(taken: &Taken, part: f64, pace: &Pace) -> Duration {
    let all: Option<Duration> = taken
        .stacks
        .values()
        .map(|waiting| pace.predict(waiting.encoded_bytes, waiting.queries))
        .sum();
    // Without a measurement: a first pass is under way.
    all.map_or(2 * WAIT_AT_LEAST, |all| {
        all.min(WAIT_AT_MOST).mul_f64(part.clamp(0.0, 1.0))
    })
    .max(WAIT_AT_LEAST)
}

/// Queries are kept as one word of 32 bits for each residue of 27 or more.
fn in_memory(query_bytes: u64) -> u64 {
    query_bytes * 32 / 27
}

/// Room that a retrieval has, until dropped.
#[derive(Debug)]
pub(crate) struct Place {
    room: Arc<Room>,
    stack: [u8; 32],
    /// That were not answered.
    queries: u64,
    query_bytes: u64,
    answers_bytes: u64,
}

impl Place {
    /// A query was answered: its room is free.
    pub(crate) fn answered(&mut self) {
        if self.queries > 0 {
            self.queries -= 1;
            let mut taken = self.room.lock();
            taken.give_back(&self.stack, 1, self.query_bytes);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let bytes = self.queries * self.query_bytes + self.answers_bytes;
        let mut taken = self.room.lock();
        taken.give_back(&self.stack, self.queries, bytes);
        taken.all.retrievals -= 1;
    }
}

impl Taken {
    fn give_back(&mut self, stack: &[u8; 32], queries: u64, bytes: u64) {
        self.all.queries -= queries;
        self.all.bytes -= bytes;
        if let Some(waiting) = self.stacks.get_mut(stack) {
            waiting.queries -= queries;
            if waiting.queries == 0 {
                self.stacks.remove(stack);
            }
        }
    }
}

#[cfg(test)]
mod tests;
