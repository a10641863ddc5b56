//! Rounds: when a gateway retrieves, and from which stack, so that neither depends on who wants what
//! (docs/protocol.md 9.7).
//!
//! In every round each gateway spends one ticket of the same number of queries, at a moment that it draws, over the
//! stack that the round's number names. What the queries are for is [`Queue`]'s to say: what users wait for, what was
//! asked for ahead, errands (5.7), nothing. Both are free of input and output: the gateway drives them with the real
//! clock and the system's randomness, a simulation with others.

use std::collections::VecDeque;
use std::time::Duration;

use rand_core::{CryptoRng, Rng};
use serde::{Deserialize, Serialize};

use crate::id::GenerationId;
use crate::placement::below;
use crate::retrieval::{MAX_QUERIES, Ticket};
use crate::sign::Signed;
use crate::stack::StackDescriptor;
use crate::time::Timestamp;
use crate::{Malformed, replacement::Errand};

#[cfg(test)]
mod tests;

/// The network's rounds: the same for every gateway, or it would tell them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Length of a round; rounds begin at multiples of it since the Unix epoch.
    pub seconds: u32,
    /// Queries of each retrieval: a class (9.1).
    pub queries: u32,
}

impl Rule {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// A round of no length, or queries that are no class.
    pub fn validate(&self) -> Result<(), Malformed> {
        if self.seconds == 0 {
            return Err(Malformed::new("rounds", "a round lasts at least a second"));
        }
        if !self.queries.is_power_of_two() || self.queries > MAX_QUERIES {
            let why = format!(
                "{} queries; it must be a power of two, at most {MAX_QUERIES}",
                self.queries
            );
            return Err(Malformed::new("rounds", why));
        }
        Ok(())
    }

    /// The round that `now` lies in.
    #[must_use]
    pub fn number(&self, now: Timestamp) -> u64 {
        now.0 / self.milliseconds()
    }

    /// When a round begins.
    #[must_use]
    pub fn begins(&self, number: u64) -> Timestamp {
        Timestamp(number.saturating_mul(self.milliseconds()))
    }

    /// When a gateway retrieves in a round: uniform over its length, for each gateway and round anew.
    #[must_use]
    pub fn moment(&self, number: u64, rng: &mut impl Rng) -> Timestamp {
        let into = below(u32::try_from(self.milliseconds()).unwrap_or(u32::MAX), rng);
        self.begins(number)
            .after(Duration::from_millis(into.into()))
    }

    fn milliseconds(&self) -> u64 {
        u64::from(self.seconds.max(1)) * 1000
    }
}

/// Which of `stacks` stacks, oldest first, a round is for: the newest in every other round, since most that is read is
/// recent, and the older ones in turn. `None` while there is none.
///
/// ```
/// use harpo_protocol::rounds::stack_of;
/// let order: Vec<_> = (0..6).map(|round| stack_of(round, 3)).collect();
/// assert_eq!(order, [Some(2), Some(0), Some(2), Some(1), Some(2), Some(0)]);
/// ```
#[must_use]
pub fn stack_of(number: u64, stacks: usize) -> Option<usize> {
    let newest = stacks.checked_sub(1)?;
    if newest == 0 || number.is_multiple_of(2) {
        return Some(newest);
    }
    usize::try_from((number / 2) % newest as u64).ok()
}

/// What trust answers to `POST /v1/rounds` (9.7): what the gateway spends in this round.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Round {
    /// By trust's clock.
    pub number: u64,
    /// Nothing while nothing is sealed.
    pub stack: Option<RoundStack>,
    /// Something old of that stack to bring back (5.7), if trust wants any.
    pub errand: Option<Errand>,
}

/// The stack of a round.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RoundStack {
    /// Every query covers it.
    pub stack: Signed<StackDescriptor>,
    /// One, of [`Rule::queries`] queries.
    pub ticket: Signed<Ticket>,
}

/// How long something can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Urgency {
    /// Somebody waits.
    Reader,
    /// Asked for ahead, for a time to come: waits for the round that was drawn for it.
    Ahead {
        /// Not before this round.
        round: u64,
    },
    /// Nobody waits (5.7).
    Errand,
}

/// A slot that is asked for, and whose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pick<T> {
    /// Who wants it, as [`Queue::push`] was told.
    pub want: T,
    /// Its place in the list that [`Queue::push`] was given.
    pub index: usize,
    /// Where it is.
    pub slot: (GenerationId, u32),
}

#[derive(Clone, Debug)]
struct Want<T> {
    name: T,
    urgency: Urgency,
    left: VecDeque<(usize, (GenerationId, u32))>,
}

/// What is to be retrieved, in the order in which it came. `T` names a want, for the caller.
#[derive(Clone, Debug)]
pub struct Queue<T> {
    wants: Vec<Want<T>>,
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self { wants: Vec::new() }
    }
}

impl<T: Copy + PartialEq> Queue<T> {
    /// Adds what is wanted.
    pub fn push(&mut self, name: T, urgency: Urgency, slots: &[(GenerationId, u32)]) {
        self.wants.push(Want {
            name,
            urgency,
            left: slots.iter().copied().enumerate().collect(),
        });
    }

    /// Forgets a want.
    pub fn remove(&mut self, name: T) {
        self.wants.retain(|want| want.name != name);
    }

    /// Somebody waits for it now.
    pub fn hurry(&mut self, name: T) {
        for want in &mut self.wants {
            if want.name == name {
                want.urgency = Urgency::Reader;
            }
        }
    }

    /// What round `number` asks for of a stack of these generations: at most `queries` slots, readers' first, then what
    /// was asked for ahead and whose round has come, then errands; within each, first come, first served. They leave
    /// the queue: what fails is pushed again.
    pub fn take(&mut self, number: u64, stack: &[GenerationId], queries: u32) -> Vec<Pick<T>> {
        let mut order: Vec<usize> = (0..self.wants.len())
            .filter(|index| match self.wants[*index].urgency {
                Urgency::Ahead { round } => round <= number,
                _ => true,
            })
            .collect();
        order.sort_by_key(|index| match self.wants[*index].urgency {
            Urgency::Reader => 0,
            Urgency::Ahead { .. } => 1,
            Urgency::Errand => 2,
        });
        let mut picks = Vec::new();
        for index in order {
            let want = &mut self.wants[index];
            want.left.retain(|(index, slot)| {
                let taken = picks.len() < queries as usize && stack.contains(&slot.0);
                if taken {
                    picks.push(Pick {
                        want: want.name,
                        index: *index,
                        slot: *slot,
                    });
                }
                !taken
            });
        }
        self.wants.retain(|want| !want.left.is_empty());
        picks
    }

    /// Slots that are waited for.
    #[must_use]
    pub fn slots(&self) -> usize {
        self.wants.iter().map(|want| want.left.len()).sum()
    }

    /// Whether nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.wants.is_empty()
    }
}

/// The round, uniform over those between `now` and the last one that ends before `by`, in which something that is needed
/// at `by` is asked for: so that what belongs together is not asked for together.
#[must_use]
pub fn ahead(rule: &Rule, now: Timestamp, by: Timestamp, rng: &mut impl CryptoRng) -> Urgency {
    let first = rule.number(now);
    let rounds = rule.number(by).saturating_sub(first).saturating_sub(1);
    let bound = u32::try_from(rounds).unwrap_or(u32::MAX).max(1);
    Urgency::Ahead {
        round: first + u64::from(below(bound, rng)),
    }
}
