//! How far fetches are, for the hospital's own people. Every total is a public figure (queries of the
//! tickets, sizes that follow from the stack), and nothing of it goes to the cloud.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use harpo_oblivious::Engine;
use harpo_protocol::id::BundleId;
use harpo_protocol::time::Timestamp;
use harpo_service::clock::Clock;
use serde::{Deserialize, Serialize};

use super::lock;
use super::retrieve::Wire;
use crate::store::{Fetch, FetchRow};

/// The outcome of a fetch that goes on.
pub const RUNNING: &str = "running";

/// What a fetch does at a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// For a place among the retrievals, or for the cloud.
    Waiting,
    /// For the network's rounds, which bring it (docs/protocol.md 9.7). Counts slots.
    Round,
    /// Makes and sends queries. Counts queries.
    Asking,
    /// Counts bytes of answers.
    Receiving,
    /// Counts slots, those of dummies too.
    Decoding,
    /// Checks signature and digests, and writes the instances down.
    Verifying,
}

/// How far a fetch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// What it does.
    pub phase: Phase,
    /// How much of it is done, in what the phase counts; 0 if it counts nothing.
    pub done: u64,
    /// Of how much.
    pub of: u64,
    /// Bytes moved so far, in both directions, bodies only.
    pub bytes: u64,
    /// Bytes that will have been moved at the end, as far as known.
    pub bytes_total: u64,
    /// Between the first byte moved and the last.
    pub bytes_per_second: u64,
    /// When the next round's retrieval is, in milliseconds since 1970, if it waits for rounds.
    #[serde(default)]
    pub next_round_ms: Option<u64>,
}

/// Notes how far one fetch is. Clones share it.
#[derive(Debug, Clone)]
pub struct Progress(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    clock: Clock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    row: FetchRow,
    phase: Phase,
    done: u64,
    of: u64,
    wire: Wire,
    total: u64,
    /// When the first byte moved, and when the last did.
    moved: Option<(Timestamp, Timestamp)>,
    next_round: Option<Timestamp>,
    ended: bool,
}

impl Progress {
    /// A fetch that begins now.
    pub fn new(fetch: &Fetch, clock: &Clock) -> Self {
        let state = State {
            row: FetchRow::begun(fetch),
            phase: Phase::Waiting,
            done: 0,
            of: 0,
            wire: Wire::default(),
            total: 0,
            moved: None,
            next_round: None,
            ended: false,
        };
        Self(Arc::new(Shared {
            clock: clock.clone(),
            state: Mutex::new(state),
        }))
    }

    /// Of a round, which is nobody's: shown nowhere.
    pub fn of_round(clock: &Clock) -> Self {
        let fetch = Fetch {
            bundle: BundleId([0; 16]),
            source: "stack",
            engine: None,
            at: clock.now(),
            took: Duration::ZERO,
            fragments: 0,
            stack_bytes: 0,
            hint_bytes: 0,
            wire: Wire::default(),
            authentic: 0,
            unmarked: 0,
            outcome: String::new(),
        };
        Self::new(&fetch, clock)
    }

    /// When the next round's retrieval is, if that is known.
    pub fn next_round(&self, at: Option<Timestamp>) {
        lock(&self.0.state).next_round = at;
    }

    /// From here on it does `phase`, which has `of` steps.
    pub fn enter(&self, phase: Phase, of: u64) {
        let mut state = lock(&self.0.state);
        (state.phase, state.done, state.of) = (phase, 0, of);
    }

    /// So many further steps of the phase are done.
    pub fn step(&self, steps: u64) {
        lock(&self.0.state).done += steps;
    }

    /// How it comes from the cloud, and from what: bytes of the stack, and of its hints.
    pub fn covers(&self, engine: Engine, stack_bytes: u64, hint_bytes: u64) {
        let mut state = lock(&self.0.state);
        state.row.engine = Some(engine.name().to_owned());
        (state.row.stack_bytes, state.row.hint_bytes) = (stack_bytes, hint_bytes);
    }

    /// So many further bytes are to be moved.
    pub fn expect_more(&self, bytes: u64) {
        lock(&self.0.state).total += bytes;
    }

    /// So many queries will be asked.
    pub fn asks(&self, queries: u64) {
        lock(&self.0.state).wire.queries += queries;
    }

    /// An interrupted retrieval goes on.
    pub fn resumes(&self) {
        lock(&self.0.state).wire.resumed += 1;
    }

    /// Bytes of a body went out.
    pub fn sent(&self, bytes: u64) {
        self.moved(|wire| wire.up += bytes);
    }

    /// Bytes of a body came in.
    pub fn received(&self, bytes: u64) {
        self.moved(|wire| wire.down += bytes);
    }

    fn moved(&self, count: impl FnOnce(&mut Wire)) {
        let now = self.0.clock.now();
        let mut state = lock(&self.0.state);
        count(&mut state.wire);
        let first = state.moved.map_or(now, |(first, _)| first);
        state.moved = Some((first, now));
    }

    /// What was moved so far.
    pub fn wire(&self) -> Wire {
        lock(&self.0.state).wire
    }

    /// It is over; no longer among those under way.
    pub fn end(&self) {
        lock(&self.0.state).ended = true;
    }

    /// How far it is.
    pub fn snapshot(&self) -> Snapshot {
        lock(&self.0.state).snapshot()
    }

    fn row(&self) -> Option<FetchRow> {
        let now = self.0.clock.now();
        let state = lock(&self.0.state);
        (!state.ended).then(|| FetchRow {
            milliseconds: millis(now.since(Timestamp(state.row.at_ms))),
            progress: Some(state.snapshot()),
            ..state.row.clone().with_wire(state.wire)
        })
    }
}

impl State {
    fn snapshot(&self) -> Snapshot {
        let bytes = self.wire.up + self.wire.down;
        let took = self
            .moved
            .map_or(0, |(first, last)| millis(last.since(first)));
        Snapshot {
            phase: self.phase,
            done: self.done.min(self.of),
            of: self.of,
            bytes,
            bytes_total: self.total.max(bytes),
            bytes_per_second: bytes * 1000 / took.max(1),
            next_round_ms: match self.phase {
                Phase::Round => self.next_round.map(|at| at.as_millis()),
                _ => None,
            },
        }
    }
}

/// The fetches under way.
#[derive(Debug, Default)]
pub struct Underway(Mutex<Vec<Weak<Shared>>>);

impl Underway {
    /// Shows `progress` until it ends or is dropped.
    pub fn show(&self, progress: &Progress) {
        lock(&self.0).push(Arc::downgrade(&progress.0));
    }

    /// A row for each, the latest first.
    pub fn rows(&self) -> Vec<FetchRow> {
        let mut rows = Vec::new();
        lock(&self.0).retain(|shared| {
            let row = shared.upgrade().and_then(|shared| Progress(shared).row());
            let lasts = row.is_some();
            rows.extend(row);
            lasts
        });
        rows.reverse();
        rows
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fetch() -> Fetch {
        Fetch {
            bundle: BundleId([1; 16]),
            source: "stack",
            engine: Some(harpo_oblivious::Engine::Ring),
            at: Timestamp(1000),
            took: Duration::ZERO,
            fragments: 3,
            stack_bytes: 0,
            hint_bytes: 0,
            wire: Wire::default(),
            authentic: 0,
            unmarked: 0,
            outcome: String::new(),
        }
    }

    #[test]
    fn a_fetch_under_way_tells_how_far_it_is_and_how_fast() {
        let clock = Clock::manual(Timestamp(1000));
        let underway = Underway::default();
        let progress = Progress::new(&fetch(), &clock);
        underway.show(&progress);
        progress.asks(4);
        progress.expect_more(3000);
        progress.enter(Phase::Asking, 4);
        progress.step(3);
        progress.sent(500);
        clock.advance(Duration::from_secs(2));
        progress.received(500);
        let rows = underway.rows();
        let [row] = rows.as_slice() else {
            panic!("{rows:?}")
        };
        assert_eq!((row.number, row.outcome.as_str()), (None, RUNNING));
        assert_eq!((row.milliseconds, row.queries), (2000, 4));
        assert_eq!((row.bytes_up, row.bytes_down), (500, 500));
        let expected = Snapshot {
            phase: Phase::Asking,
            done: 3,
            of: 4,
            bytes: 1000,
            bytes_total: 3000,
            bytes_per_second: 500,
            next_round_ms: None,
        };
        assert_eq!(row.progress, Some(expected));
        // What is sent again is expected on top of what was sent.
        progress.expect_more(500);
        assert_eq!(progress.snapshot().bytes_total, 3500);
    }

    #[test]
    fn what_ended_or_was_dropped_is_shown_no_longer() {
        let clock = Clock::manual(Timestamp(1000));
        let underway = Underway::default();
        let (first, second) = (
            Progress::new(&fetch(), &clock),
            Progress::new(&fetch(), &clock),
        );
        underway.show(&first);
        underway.show(&second);
        assert_eq!(underway.rows().len(), 2);
        // A copy that outlives the fetch, in a connection that is being closed, does not matter.
        let _copy = first.clone();
        first.end();
        drop(second);
        assert_eq!(underway.rows(), []);
    }
}
