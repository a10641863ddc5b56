//! What waits for the network's rounds, and for whom (docs/protocol.md 9.7).
//!
//! A gateway whose network has a rule makes one retrieval in every round, whatever is wanted (`drive`). What is wanted
//! stands here: slots, in the order in which they came, each with a file that takes them. Nothing of it is sent, and
//! none of it decides when anything is.

mod drive;
mod errand;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harpo_protocol::id::{BundleId, GenerationId};
use harpo_protocol::rounds::{Pick, Queue, Rule, Urgency};
use harpo_protocol::stack::StackDescriptor;
use harpo_protocol::time::Timestamp;
use harpo_service::clock::Clock;
use serde::{Deserialize, Serialize};
use tokio::sync::{Semaphore, oneshot};

use super::progress::Progress;
use super::stream::Asked;
use super::{ConsultError, lock};

/// Rounds in a row that failed with slots of a want before it is given up. Trying again shows nothing: the next round comes
/// anyway.
const FAILURES: u32 = 3;
/// Errands held at once; each has a file of its slots.
const ERRANDS: usize = 4;
/// Rounds that have arrived and are not decoded yet.
const DECODED_AT_ONCE: usize = 3;

/// Why a want will not be served.
#[derive(Debug, thiserror::Error)]
pub enum Unserved {
    /// Somebody asked for the same who may not wait.
    #[error("somebody asked for it who may not wait for a round; it is fetched at once")]
    AtOnce,
    /// Its generation is in no stack any more.
    #[error("what holds it was retired while it waited for a round")]
    Gone,
    /// Rounds failed.
    #[error("{FAILURES} rounds in a row failed")]
    Failed(#[source] Arc<ConsultError>),
}

/// What the hospital's own people see of rounds.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoundsStatus {
    /// Length of a round.
    pub seconds: u32,
    /// Queries of each.
    pub queries: u32,
    /// When the next retrieval is, in milliseconds since 1970, if that is drawn already.
    pub next_ms: Option<u64>,
    /// Slots that somebody waits for, or that were asked for ahead, or by errands.
    pub slots_waiting: usize,
    /// What happened since the start.
    pub counts: Counts,
}

/// What happened in rounds since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Rounds whose answers came.
    pub rounds: u64,
    /// Rounds left out: the one before took longer, or hints were missing.
    pub skipped: u64,
    /// Rounds whose retrieval failed.
    pub failed: u64,
    /// Queries that were for something.
    pub slots: u64,
    /// All queries.
    pub queries: u64,
    /// Bundles given back to trust because they were read (5.7).
    pub given_back: u64,
    /// Bundles brought back for trust (5.7).
    pub errands: u64,
}

/// What is asked for. `file` takes the slots, in their order.
pub(super) struct Wanting {
    pub(super) bundle: BundleId,
    pub(super) urgency: Urgency,
    pub(super) slots: Vec<(GenerationId, u32)>,
    pub(super) slot_bytes: u32,
    pub(super) file: File,
    pub(super) progress: Option<Progress>,
}

#[derive(Debug)]
struct Want {
    bundle: BundleId,
    urgency: Urgency,
    since: Timestamp,
    slots: Vec<(GenerationId, u32)>,
    slot_bytes: u64,
    file: Arc<File>,
    missing: usize,
    /// Rounds in a row that failed.
    failures: u32,
    progress: Option<Progress>,
    done: oneshot::Sender<Result<Arc<File>, Unserved>>,
}

/// Names a want.
type Name = u64;

#[derive(Debug, Default)]
struct State {
    queue: Queue<Name>,
    wants: HashMap<Name, Want>,
    names: Name,
    rule: Option<Rule>,
    next: Option<Timestamp>,
    /// The last round that was begun, by trust's clock.
    last: Option<u64>,
    counts: Counts,
    /// The most that a round takes of the disk, of all present stacks.
    room: u64,
}

/// See the module.
#[derive(Debug)]
pub struct Rounds {
    clock: Clock,
    state: Mutex<State>,
    decoding: Arc<Semaphore>,
    errands: Arc<Semaphore>,
}

/// A want that can be waited for; it is forgotten when this is dropped.
pub(super) struct Waiting {
    rounds: Arc<Rounds>,
    name: Name,
    done: oneshot::Receiver<Result<Arc<File>, Unserved>>,
}

impl Waiting {
    /// The file with all slots.
    pub(super) async fn arrival(&mut self) -> Result<Arc<File>, ConsultError> {
        match (&mut self.done).await {
            Ok(Ok(file)) => Ok(file),
            Ok(Err(error)) => Err(error.into()),
            Err(_) => Err(ConsultError::Stopping),
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = lock(&self.rounds.state);
        state.queue.remove(self.name);
        state.wants.remove(&self.name);
    }
}

impl Rounds {
    pub(crate) fn new(clock: &Clock) -> Self {
        Self {
            clock: clock.clone(),
            state: Mutex::default(),
            decoding: Arc::new(Semaphore::new(DECODED_AT_ONCE)),
            errands: Arc::new(Semaphore::new(ERRANDS)),
        }
    }

    /// Asks for slots, each once.
    pub(super) fn want(self: &Arc<Self>, wanting: Wanting) -> Waiting {
        let (done, outcome) = oneshot::channel();
        let since = self.clock.now();
        let mut state = lock(&self.state);
        let name = state.names;
        state.names += 1;
        state.queue.push(name, wanting.urgency, &wanting.slots);
        if let Some(progress) = &wanting.progress {
            progress.next_round(state.next);
        }
        let want = Want {
            bundle: wanting.bundle,
            urgency: wanting.urgency,
            since,
            missing: wanting.slots.len(),
            slots: wanting.slots,
            slot_bytes: wanting.slot_bytes.into(),
            file: Arc::new(wanting.file),
            failures: 0,
            progress: wanting.progress,
            done,
        };
        state.wants.insert(name, want);
        Waiting {
            rounds: self.clone(),
            name,
            done: outcome,
        }
    }

    /// When the next retrieval is, if a reader's slots of the bundle wait for one.
    pub(super) fn waits(&self, bundle: BundleId) -> Option<Option<Timestamp>> {
        let state = lock(&self.state);
        let waits = state
            .wants
            .values()
            .any(|want| want.bundle == bundle && want.urgency != Urgency::Errand);
        waits.then_some(state.next)
    }

    /// Somebody waits now for what was asked for ahead.
    pub(super) fn hurry(&self, bundle: BundleId) {
        let mut state = lock(&self.state);
        let State { queue, wants, .. } = &mut *state;
        for (name, want) in wants.iter_mut() {
            if want.bundle == bundle && matches!(want.urgency, Urgency::Ahead { .. }) {
                want.urgency = Urgency::Reader;
                queue.hurry(*name);
            }
        }
    }

    /// Whether a round, by trust's clock, is another than the last.
    fn begins(&self, number: u64) -> bool {
        lock(&self.state).last.replace(number) != Some(number)
    }

    /// What a round asks for.
    fn take(&self, number: u64, stack: &[GenerationId], queries: u32) -> Vec<Pick<Name>> {
        let mut state = lock(&self.state);
        state.queue.take(number, stack, queries)
    }

    /// A slot that was picked is here. Blocks.
    fn deliver(&self, pick: &Pick<Name>, slot: &[u8], share: Share) {
        let place = {
            let state = lock(&self.state);
            let want = state.wants.get(&pick.want);
            want.and_then(|want| {
                let at = want.slots.iter().position(|slot| *slot == pick.slot)?;
                Some((want.file.clone(), at as u64 * want.slot_bytes))
            })
        };
        // Who wanted it may be gone.
        let Some((file, at)) = place else { return };
        let kept = file.write_all_at(slot, at);
        let mut state = lock(&self.state);
        let Some(want) = state.wants.get_mut(&pick.want) else {
            return;
        };
        want.failures = 0;
        want.missing = want.missing.saturating_sub(1);
        if let Some(progress) = &want.progress {
            share.note(progress);
        }
        let outcome = match kept {
            Err(error) => Err(Unserved::Failed(Arc::new(error.into()))),
            Ok(()) if want.missing == 0 => Ok(file),
            Ok(()) => return,
        };
        state.end(pick.want, outcome);
    }

    /// What was picked did not come. It is wanted again, in a later round: which comes whether or not anything failed, so
    /// that trying again does not show, other than where retrievals are made on demand (9.4). What failed so often that
    /// waiting longer is no use is given up.
    fn again(&self, picks: &[Pick<Name>], error: &Arc<ConsultError>) {
        let mut state = lock(&self.state);
        let mut names: Vec<Name> = picks.iter().map(|pick| pick.want).collect();
        names.dedup();
        for name in names {
            let Some(want) = state.wants.get_mut(&name) else {
                continue;
            };
            want.failures += 1;
            if want.failures >= FAILURES {
                state.end(name, Err(Unserved::Failed(error.clone())));
                continue;
            }
            let urgency = want.urgency;
            let own = picks.iter().filter(|pick| pick.want == name);
            let slots: Vec<_> = own.map(|pick| pick.slot).collect();
            state.queue.push(name, urgency, &slots);
        }
    }

    /// Gives up what was wanted before `asked`, when `stacks` were all generations in stacks, and is in none of them.
    pub(super) fn retain(&self, stacks: &[GenerationId], asked: Timestamp) {
        let mut state = lock(&self.state);
        let gone: Vec<Name> = state
            .wants
            .iter()
            .filter(|(_, want)| want.since < asked)
            .filter(|(_, want)| want.slots.iter().any(|(of, _)| !stacks.contains(of)))
            .map(|(name, _)| *name)
            .collect();
        for name in gone {
            state.end(name, Err(Unserved::Gone));
        }
    }

    /// Notes what the largest round of `stacks` takes of the disk.
    pub(super) fn set_room(&self, stacks: &[StackDescriptor], rule: Option<Rule>) {
        let queries = rule.map_or(0, |rule| rule.queries);
        let asked = stacks
            .iter()
            .filter_map(|s| Asked::new(s, &[], queries).ok());
        let room = asked.map(|asked| asked.disk_bytes(queries)).max();
        lock(&self.state).room = rule.and(room).unwrap_or(0);
    }

    /// What must stay free beside anything that is wanted: a full disk would otherwise keep rounds from being made, and the cloud
    /// would see that something is wanted.
    pub(super) fn room(&self) -> u64 {
        lock(&self.state).room
    }

    /// The next retrieval's moment is drawn, or there is no rule.
    fn set_next(&self, next: Option<(Rule, Timestamp)>) {
        let mut state = lock(&self.state);
        state.rule = next.map(|(rule, _)| rule);
        let next = next.map(|(_, at)| at);
        state.next = next;
        for progress in state.wants.values().filter_map(|w| w.progress.as_ref()) {
            progress.next_round(next);
        }
    }

    pub(super) fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut lock(&self.state).counts);
    }

    /// For people to read; none while the network has no rule.
    pub fn status(&self) -> Option<RoundsStatus> {
        let state = lock(&self.state);
        let rule = state.rule?;
        Some(RoundsStatus {
            seconds: rule.seconds,
            queries: rule.queries,
            next_ms: state.next.map(|next| next.as_millis()),
            slots_waiting: state.queue.slots(),
            counts: state.counts,
        })
    }
}

impl State {
    fn end(&mut self, name: Name, outcome: Result<Arc<File>, Unserved>) {
        self.queue.remove(name);
        if let Some(want) = self.wants.remove(&name) {
            // Nobody may be waiting any more.
            let _ = want.done.send(outcome);
        }
    }
}

/// What one query of a round moved, for the fetch that it was for. A stream's bytes are nobody's alone.
#[derive(Clone, Copy, Debug, Default)]
struct Share {
    up: u64,
    down: u64,
    queries: u64,
}

impl Share {
    fn note(self, progress: &Progress) {
        progress.asks(self.queries);
        progress.expect_more(self.up + self.down);
        progress.sent(self.up);
        progress.received(self.down);
        progress.step(1);
    }
}

/// How long until a user should ask again, when the next retrieval is at `next`.
pub(super) fn again_after(next: Option<Timestamp>, now: Timestamp) -> Duration {
    /// For the retrieval itself.
    const RETRIEVING: Duration = Duration::from_secs(5);
    next.map_or(Duration::ZERO, |next| next.since(now)) + RETRIEVING
}
