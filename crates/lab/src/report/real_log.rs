//! What can be said of a real cloud's log without knowing the truth: its form.

use std::collections::BTreeMap;

use harpo_cloud::events::Event;
use harpo_protocol::rounds;
use serde::Serialize;

use crate::record::{Fetch, View};
use crate::world::Recorder;

/// What is known of the network, besides its log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Expected {
    /// Gateways.
    pub gateways: usize,
    /// The network's rounds, if it has any.
    pub rounds: Option<rounds::Rule>,
    /// Whether gateways use a relay.
    pub relay: bool,
}

/// What the laboratory says of a log.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct RealLog {
    /// Slots written.
    pub writes: usize,
    /// Lengths of slots: one, or lengths tell something.
    pub slot_lengths: usize,
    /// Generations sealed.
    pub seals: usize,
    /// Slots of all sealed generations.
    pub sealed_slots: u64,
    /// Slots of the smallest stack that a retrieval covered: the anonymity set, at worst.
    pub anonymity_slots: u64,
    /// Retrievals, streams among them.
    pub retrievals: usize,
    /// Different numbers of queries and lengths of answers for the same stack: one each, or shapes tell something.
    pub shapes: usize,
    /// Network addresses that can be told apart; none behind a relay.
    pub peers: usize,
    /// Passes that can be told apart; none behind a relay.
    pub passes: usize,
    /// Whole rounds between the first retrieval and the last.
    pub rounds: u64,
    /// Fewest retrievals in one of them.
    pub fewest_in_round: usize,
    /// Most.
    pub most_in_round: usize,
    /// All of it in words, one sentence each; those of what is amiss begin with "Amiss:".
    pub says: Vec<String>,
}

/// What a real cloud's log shows to whoever reads it ([`harpo_cloud::events::EventLog::read`]).
///
/// No game is played: a demonstration's log has too few questions to say anything.
#[must_use]
pub fn verdict(events: &[Event], expected: &Expected) -> RealLog {
    let view = Recorder::read(events);
    let mut log = measured(&view, expected);
    log.says = says(&log, expected);
    log
}

fn measured(view: &View, expected: &Expected) -> RealLog {
    let distinct = |mut values: Vec<u64>| {
        values.sort_unstable();
        values.dedup();
        values.len()
    };
    let shapes: Vec<Vec<u64>> = by_stack(&view.fetches)
        .values()
        .map(|fetches| {
            let shape = |fetch: &&Fetch| u64::from(fetch.queries) << 40 | fetch.bytes_down;
            fetches.iter().map(shape).collect()
        })
        .collect();
    let mut log = RealLog {
        writes: view.uploads.len(),
        slot_lengths: distinct(view.uploads.iter().map(|upload| upload.bytes).collect()),
        seals: view.seals.len(),
        sealed_slots: view.seals.iter().map(|seal| u64::from(seal.slots)).sum(),
        anonymity_slots: anonymity(view),
        retrievals: view.fetches.len(),
        shapes: shapes.into_iter().map(distinct).max().unwrap_or(0),
        peers: distinct(
            view.fetches
                .iter()
                .filter_map(|f| f.peer.map(u64::from))
                .collect(),
        ),
        passes: distinct(
            view.fetches
                .iter()
                .filter_map(|f| f.account.map(u64::from))
                .collect(),
        ),
        ..RealLog::default()
    };
    if let Some(rule) = &expected.rounds {
        in_rounds(&mut log, rule, &view.fetches);
    }
    log
}

fn by_stack(fetches: &[Fetch]) -> BTreeMap<(u32, u32), Vec<&Fetch>> {
    let mut stacks: BTreeMap<_, Vec<&Fetch>> = BTreeMap::new();
    for fetch in fetches {
        let stack = (fetch.stack, fetch.generations);
        stacks.entry(stack).or_default().push(fetch);
    }
    stacks
}

/// A stack's generations are those that were sealed from its first one on.
fn anonymity(view: &View) -> u64 {
    let slots = |fetch: &Fetch| {
        let from = view
            .seals
            .iter()
            .skip_while(|seal| seal.generation != fetch.stack);
        let covered = from.take(fetch.generations as usize);
        covered.map(|seal| u64::from(seal.slots)).sum()
    };
    view.fetches.iter().map(slots).min().unwrap_or(0)
}

/// Retrievals in each whole round but the first and the last, in which the log may begin or end.
fn in_rounds(log: &mut RealLog, rule: &rounds::Rule, fetches: &[Fetch]) {
    let numbers: Vec<u64> = fetches
        .iter()
        .map(|fetch| rule.number(fetch.time))
        .collect();
    let (Some(first), Some(last)) = (numbers.iter().min(), numbers.iter().max()) else {
        return;
    };
    let mut counts: BTreeMap<u64, usize> = (first + 1..*last).map(|number| (number, 0)).collect();
    for number in &numbers {
        if let Some(count) = counts.get_mut(number) {
            *count += 1;
        }
    }
    log.rounds = counts.len() as u64;
    log.fewest_in_round = counts.values().copied().min().unwrap_or(0);
    log.most_in_round = counts.values().copied().max().unwrap_or(0);
}

fn says(log: &RealLog, expected: &Expected) -> Vec<String> {
    let mut says = Vec::new();
    let mut say = |right: bool, text: String| {
        says.push(if right {
            text
        } else {
            format!("Amiss: {text}")
        });
    };
    say(
        log.slot_lengths <= 1,
        format!(
            "{} slots were written, of {} length(s): a write shows neither what it holds nor how much.",
            log.writes, log.slot_lengths
        ),
    );
    if log.retrievals > 0 {
        say(
            log.anonymity_slots > 1,
            format!(
                "{} retrievals, each over {} slots or more: which of them was wanted, nothing in the log says.",
                log.retrievals, log.anonymity_slots
            ),
        );
        retrievals(log, expected, &mut say);
    }
    say(
        true,
        "A log this short is judged by its form alone: linking is measured on logs of weeks (`harpo lab run`).".to_owned(),
    );
    says
}

fn retrievals(log: &RealLog, expected: &Expected, say: &mut impl FnMut(bool, String)) {
    if expected.relay {
        say(
            log.peers == 0 && log.passes == 0,
            format!(
                "Behind the relay {} gateway addresses and {} passes can be told apart.",
                log.peers, log.passes
            ),
        );
    } else {
        say(
            true,
            format!(
                "Without a relay {} network addresses can be told apart: the cloud may know which gateway asks.",
                log.peers
            ),
        );
    }
    if expected.rounds.is_none() {
        say(
            true,
            "Without rounds the moment of a retrieval shows that somebody wanted something."
                .to_owned(),
        );
        return;
    }
    say(
        log.shapes <= 1,
        format!("Retrievals over one stack have {} shape(s).", log.shapes),
    );
    if log.rounds == 0 {
        say(
            true,
            "The log has no whole round between its first and last: too few to say.".to_owned(),
        );
        return;
    }
    say(
        log.fewest_in_round == log.most_in_round && log.most_in_round == expected.gateways,
        format!(
            "In {} whole rounds there were {} to {} retrievals of {} gateways: each retrieves once, whatever is wanted.",
            log.rounds, log.fewest_in_round, log.most_in_round, expected.gateways
        ),
    );
}

#[cfg(test)]
mod tests;
