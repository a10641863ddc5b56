use std::net::SocketAddr;

use harpo_protocol::id::{GenerationId, Nonce, PartyId};
use harpo_protocol::time::Timestamp;

use super::*;

const RULE: rounds::Rule = rounds::Rule {
    seconds: 60,
    queries: 8,
};
const GENERATION: GenerationId = GenerationId([7; 16]);

fn write(slot: u32) -> Event {
    Event::Write {
        time: Timestamp(u64::from(slot) * 10),
        generation: GENERATION,
        slot,
        bytes: 1 << 22,
    }
}

fn seal() -> Event {
    Event::Seal {
        time: Timestamp(5000),
        generation: GENERATION,
        slots: 64,
        slot_bytes: 1 << 22,
        hint_bytes: 46_000_000,
    }
}

fn retrieval(seconds: u64, queries: u32, pass: u8) -> Event {
    Event::Retrieval {
        time: Timestamp(seconds * 1000),
        nonce: Nonce([1; 16]),
        stack: vec![GENERATION],
        queries,
        bytes_up: 100,
        bytes_down: u64::from(queries) * 1000,
        peer: SocketAddr::from(([192, 0, 2, pass], 4000)),
        pass: (pass != 0).then_some(PartyId([pass; 16])),
    }
}

#[test]
fn two_addresses_without_a_pass_are_told_apart() {
    let mut events = regular();
    if let Some(Event::Retrieval { peer, .. }) = events.last_mut() {
        *peer = SocketAddr::from(([192, 0, 2, 9], 4000));
    }
    let log = verdict(&events, &EXPECTED);
    assert_eq!((log.peers, log.passes), (2, 0));
    assert!(log.says.iter().any(|says| says.starts_with("Amiss")));
    assert_eq!(verdict(&regular(), &EXPECTED).peers, 0);
}

/// Two gateways, each once in each of five rounds, behind a relay.
fn regular() -> Vec<Event> {
    let mut events: Vec<Event> = (0..64).map(write).collect();
    events.push(seal());
    for round in 1..6 {
        events.push(retrieval(round * 60 + 7, 8, 0));
        events.push(retrieval(round * 60 + 51, 8, 0));
    }
    events
}

const EXPECTED: Expected = Expected {
    gateways: 2,
    rounds: Some(RULE),
    relay: true,
};

#[test]
fn a_regular_log_has_nothing_amiss() {
    let log = verdict(&regular(), &EXPECTED);
    assert_eq!((log.writes, log.seals, log.sealed_slots), (64, 1, 64));
    assert_eq!(
        (log.retrievals, log.anonymity_slots, log.shapes),
        (10, 64, 1)
    );
    assert_eq!(
        (log.rounds, log.fewest_in_round, log.most_in_round),
        (3, 2, 2)
    );
    assert!(
        log.says.iter().all(|says| !says.starts_with("Amiss")),
        "{log:?}"
    );
}

#[test]
fn what_is_amiss_is_said() {
    let amiss = |events: &[Event]| {
        let log = verdict(events, &EXPECTED);
        log.says
            .iter()
            .filter(|says| says.starts_with("Amiss"))
            .count()
    };
    let mut left_out = regular();
    left_out.remove(64 + 1 + 4);
    assert_eq!(amiss(&left_out), 1);
    let mut more = regular();
    more.insert(64 + 1 + 4, retrieval(190, 16, 0));
    // Another shape, and three in a round.
    assert_eq!(amiss(&more), 2);
    let mut known = regular();
    known.push(retrieval(370, 8, 3));
    assert_eq!(amiss(&known), 1);
    let mut long = regular();
    long.insert(
        3,
        Event::Write {
            time: Timestamp(35),
            generation: GENERATION,
            slot: 3,
            bytes: 77,
        },
    );
    assert_eq!(amiss(&long), 1);
}

#[test]
fn an_empty_log_says_little() {
    let log = verdict(&[], &Expected::default());
    assert_eq!(log.says.len(), 2);
    assert!(log.says[1].contains("by its form alone"), "{log:?}");
    assert_eq!(log.retrievals, 0);
}
