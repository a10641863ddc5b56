//! Whose queries the next pass takes (docs/protocol.md 9.2): the rules alone, without engine, threads or clock.
//!
//! - A pass is over one stack and takes at most [`PASS_QUERIES`] queries.
//! - Retrievals over the same stack take turns, one query at a time; the turn goes on in the next pass where this one
//!   ended. So a query waits for at most one query of each other retrieval, however many those have.
//! - Of several stacks the one is next whose retrieval has waited longest since its last turn.
//! - At most [`AHEAD`] answers of a retrieval are computed and not taken by their reader. One that has so many waits for
//!   its reader, not the others for it, until half of them are taken, so that its next pass is worth its while.
//! - Somebody who comes when nothing is under way is waited for others to join, for a moment. Behind a pass there is no
//!   such wait.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

/// Most queries in one pass: bounds the memory of a pass to as many unfinished answers.
pub(crate) const PASS_QUERIES: usize = 16;

/// Most answers of one retrieval that are computed, or being computed, and not yet taken.
pub(crate) const AHEAD: usize = PASS_QUERIES;

/// Names a stack.
pub(super) type StackId = [u8; 32];

/// Names a retrieval.
pub(super) type Id = u64;

/// The retrievals that have queries waiting. `Q` is a query.
#[derive(Debug)]
pub(super) struct Queue<Q> {
    /// In each the order of turns. None is empty.
    stacks: HashMap<StackId, VecDeque<Flow<Q>>>,
    /// Where a retrieval's queries wait, while any do.
    homes: HashMap<Id, StackId>,
    gather: Duration,
    /// Nothing could be done when last asked.
    idle: bool,
    /// Until when others are waited for.
    gathering: Option<Instant>,
    /// Counts turns.
    tick: u64,
}

/// One retrieval.
#[derive(Debug)]
struct Flow<Q> {
    id: Id,
    queries: VecDeque<Q>,
    /// Answers computed or being computed and not taken.
    ahead: usize,
    /// Waits for its reader.
    stalled: bool,
    /// When it joined, or had its last turn.
    since: u64,
}

impl<Q> Flow<Q> {
    /// How many queries it may send into the next pass.
    fn ready(&self) -> usize {
        match self.stalled {
            true => 0,
            false => self.queries.len().min(AHEAD - self.ahead),
        }
    }
}

/// What to do next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next<Q> {
    /// These queries, over one stack.
    Pass(Vec<Q>),
    /// Ask again then, or when somebody joins.
    At(Instant),
    /// Ask again when somebody joins or takes an answer.
    Idle,
}

impl<Q> Queue<Q> {
    /// `gather` is how long others are waited for when nothing is under way.
    pub(super) fn new(gather: Duration) -> Self {
        Self {
            stacks: HashMap::new(),
            homes: HashMap::new(),
            gather,
            idle: true,
            gathering: None,
            tick: 0,
        }
    }

    /// Queries that wait.
    pub(super) fn len(&self) -> usize {
        let flows = self.stacks.values().flatten();
        flows.map(|flow| flow.queries.len()).sum()
    }

    /// A retrieval joins, last in turn.
    pub(super) fn join(&mut self, id: Id, stack: StackId, queries: impl IntoIterator<Item = Q>) {
        let queries: VecDeque<Q> = queries.into_iter().collect();
        if queries.is_empty() {
            return;
        }
        self.tick += 1;
        let flow = Flow {
            id,
            queries,
            ahead: 0,
            stalled: false,
            since: self.tick,
        };
        self.homes.insert(id, stack);
        self.stacks.entry(stack).or_default().push_back(flow);
    }

    /// A reader took an answer. Returns whether its retrieval can go on because of it.
    pub(super) fn taken(&mut self, id: Id) -> bool {
        let Some(flows) = self
            .homes
            .get(&id)
            .and_then(|stack| self.stacks.get_mut(stack))
        else {
            return false;
        };
        let Some(at) = flows.iter().position(|flow| flow.id == id) else {
            return false;
        };
        let flow = &mut flows[at];
        flow.ahead = flow.ahead.saturating_sub(1);
        if !flow.stalled || flow.ahead > AHEAD / 2 {
            return false;
        }
        // It waited for its reader: its turn is after those who waited for the scanner.
        let Some(mut flow) = flows.remove(at) else {
            return false;
        };
        self.tick += 1;
        flow.stalled = false;
        flow.since = self.tick;
        flows.push_back(flow);
        true
    }

    /// A retrieval leaves. What still waited is returned, so that the caller can drop it where nobody waits.
    pub(super) fn leave(&mut self, id: Id) -> VecDeque<Q> {
        let nothing = VecDeque::new();
        let Some(stack) = self.homes.remove(&id) else {
            return nothing;
        };
        let Some(flows) = self.stacks.get_mut(&stack) else {
            return nothing;
        };
        let at = flows.iter().position(|flow| flow.id == id);
        let left = at.and_then(|at| flows.remove(at));
        if flows.is_empty() {
            self.stacks.remove(&stack);
        }
        left.map_or(nothing, |flow| flow.queries)
    }

    /// What to do now that no pass is under way.
    pub(super) fn next(&mut self, now: Instant) -> Next<Q> {
        let Some((stack, ready)) = self.oldest() else {
            self.idle = true;
            self.gathering = None;
            return Next::Idle;
        };
        if self.idle && ready < PASS_QUERIES {
            let until = *self.gathering.get_or_insert(now + self.gather);
            if now < until {
                return Next::At(until);
            }
        }
        self.idle = false;
        self.gathering = None;
        Next::Pass(self.take(stack))
    }

    /// The stack whose turn it is, and how many of its queries could be answered now.
    fn oldest(&self) -> Option<(StackId, usize)> {
        let waits = |flows: &VecDeque<Flow<Q>>| {
            let ready = flows.iter().filter(|flow| flow.ready() > 0);
            ready.map(|flow| flow.since).min()
        };
        let (stack, flows) = self
            .stacks
            .iter()
            .filter_map(|(stack, flows)| Some((waits(flows)?, (stack, flows))))
            .min_by_key(|(since, _)| *since)?
            .1;
        Some((*stack, flows.iter().map(Flow::ready).sum()))
    }

    /// Fills a pass, in turns of one query.
    fn take(&mut self, stack: StackId) -> Vec<Q> {
        let mut pass = Vec::new();
        let Some(flows) = self.stacks.get_mut(&stack) else {
            return pass;
        };
        // Since anybody was ready.
        let mut passed_over = 0;
        while pass.len() < PASS_QUERIES && passed_over < flows.len() {
            let Some(mut flow) = flows.pop_front() else {
                break;
            };
            passed_over += 1;
            if flow.ready() > 0 {
                passed_over = 0;
                self.tick += 1;
                flow.since = self.tick;
                flow.ahead += 1;
                flow.stalled = flow.ahead == AHEAD;
                pass.extend(flow.queries.pop_front());
            }
            if flow.queries.is_empty() {
                self.homes.remove(&flow.id);
            } else {
                flows.push_back(flow);
            }
        }
        if flows.is_empty() {
            self.stacks.remove(&stack);
        }
        pass
    }
}

#[cfg(test)]
mod tests;
