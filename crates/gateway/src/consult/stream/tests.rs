use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use harpo_protocol::id::Digest;
use harpo_protocol::stack::{Figures, SealedGeneration};
use harpo_protocol::time::Timestamp;
use harpo_service::clock::Clock;
use harpo_service::random;

use super::super::retrieve::tests::cloud::{Cut, GENERATION, SLOTS, Seen, TestCloud, ticket};
use super::super::retrieve::tests::{impatient, progress};
use super::*;

const WANTED: [u32; 3] = [6, 1, 4];

/// What streaming the test cloud's stack gave.
struct Outcome {
    cloud: TestCloud,
    seen: Vec<Seen>,
    result: Result<Streamed, RetrieveError>,
    reconnected: usize,
    progress: Progress,
}

/// The descriptor of a stack of one generation.
fn descriptor(slots: u32, slot_bytes: u32, interleave: u32) -> StackDescriptor {
    let figures = Figures {
        slots,
        slot_bytes,
        parameter_set: 1,
        interleave,
        seed: Digest([9; 32]),
    };
    StackDescriptor {
        generations: vec![SealedGeneration {
            generation: GENERATION,
            figures,
            slots: Digest([0; 32]),
            hint: Digest([0; 32]),
            hint_bytes: 1,
        }],
        issued: Timestamp(1),
    }
}

fn asked(cloud: &TestCloud) -> Asked {
    let slot_bytes = cloud.held.stack.slot_bytes();
    Asked::new(&descriptor(SLOTS, slot_bytes, 2), &wanted(), 4).unwrap()
}

fn wanted() -> Vec<(GenerationId, u32)> {
    WANTED.map(|slot| (GENERATION, slot)).into()
}

async fn run(cuts: &[Cut], spoil: fn(&mut Vec<u8>)) -> Outcome {
    let cloud = TestCloud::start(cuts, spoil).await;
    let reconnected = AtomicUsize::new(0);
    let progress = progress();
    let scratch = tempfile::tempdir().unwrap();
    let asked = asked(&cloud);
    let file = set_aside(scratch.path(), asked.stack.plain_bytes(), 0).unwrap();
    let result = {
        let reconnect = || {
            reconnected.fetch_add(1, Ordering::Relaxed);
            let url = cloud.url.clone();
            async move { Ok(CloudClient::plain(&url)) }.boxed()
        };
        let place = Place {
            reconnect: &reconnect,
            scratch: scratch.path(),
            clock: &Clock::system(),
            patience: &impatient(),
            progress: &progress,
        };
        let (ticket, _) = ticket(1, 4);
        let first = CloudClient::plain(&cloud.url);
        stream(first, &asked, &ticket, file, place, random::system()).await
    };
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    Outcome {
        seen: cloud.seen(),
        cloud,
        result,
        reconnected: reconnected.into_inner(),
        progress,
    }
}

impl Outcome {
    fn paths(&self) -> Vec<&str> {
        self.seen.iter().map(|seen| seen.path.as_str()).collect()
    }

    fn assert_exact(self) {
        let mut got = [const { None }; WANTED.len()];
        let slots = self.result.unwrap().slots(&self.progress, |index, slot| {
            assert!(got[index].replace(slot).is_none());
            Ok(())
        });
        slots.unwrap();
        for (slot, got) in WANTED.iter().zip(got) {
            assert!(got.as_ref() == Some(&self.cloud.slots[*slot as usize]));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_ticket_brings_everything_and_the_wanted_slots_are_in_it() {
    let outcome = run(&[], |_| {}).await;
    assert_eq!(outcome.paths(), ["/v1/streams"]);
    let (ticket, _) = ticket(1, 4);
    assert_eq!(outcome.seen[0].body, retrieval::head(&ticket));
    let wire = outcome.progress.wire();
    assert_eq!((wire.queries, wire.resumed), (0, 0));
    assert_eq!(wire.up, outcome.seen[0].body.len() as u64);
    assert_eq!(wire.down, outcome.cloud.slots.concat().len() as u64);
    let how_far = outcome.progress.snapshot();
    assert_eq!(how_far.bytes, how_far.bytes_total);
    outcome.assert_exact();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_breaks_off_goes_on_at_a_whole_slot() {
    let size = 40_000;
    let cases: [(&[Cut], &[&str]); 5] = [
        (&[Cut::BeforeStatus], &["?from=0"]),
        (&[Cut::After(size - 1)], &["?from=0"]),
        (&[Cut::After(3 * size + 5)], &["?from=3"]),
        (
            &[Cut::Silent(size), Cut::After(2 * size)],
            &["?from=1", "?from=3"],
        ),
        // Everything came.
        (&[Cut::After(8 * size)], &[]),
    ];
    for (cuts, then) in cases {
        let outcome = run(cuts, |_| {}).await;
        let mut expected = vec!["/v1/streams".to_owned()];
        expected.extend(then.iter().map(|query| format!("/v1/streams{query}")));
        assert_eq!(outcome.paths(), expected, "{cuts:?}");
        assert_eq!(outcome.reconnected, then.len(), "{cuts:?}");
        outcome.assert_exact();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_and_wrong_lengths_are_final() {
    for (cuts, requests) in [
        ([Cut::Refuse(409, "spent")].as_slice(), 1),
        (&[Cut::Refuse(500, "damaged")], 1),
        (&[Cut::Refuse(503, "busy"); 9], 4),
        (&[Cut::Short(1)], 1),
        (&[Cut::After(7); 20], 9),
    ] {
        let outcome = run(cuts, |_| {}).await;
        assert!(
            matches!(outcome.result, Err(RetrieveError::Cloud(_))),
            "{cuts:?}"
        );
        assert_eq!(outcome.seen.len(), requests, "{cuts:?}");
    }
    let longer = run(&[], |slots| slots.push(0)).await;
    assert!(matches!(
        longer.result,
        Err(RetrieveError::Cloud(ClientError::Malformed { .. }))
    ));
}

/// What the cloud sees does not depend on what it sent, nor on what is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn rubbish_is_received_as_patiently_as_slots() {
    let cuts = [Cut::After(41_000), Cut::BeforeStatus];
    let shape = |outcome: &Outcome| {
        let seen = outcome.seen.iter();
        seen.map(|s| (s.connection, s.path.clone(), s.body.clone()))
            .collect::<Vec<_>>()
    };
    let right = run(&cuts, |_| {}).await;
    let rubbish = run(&cuts, |slots| slots.fill(0)).await;
    assert_eq!(shape(&right), shape(&rubbish));
    right.assert_exact();
}

#[test]
fn the_engine_follows_from_the_stack_and_the_class() {
    // Slots of 4 MiB: 64 of them are streamed from 32 queries on.
    let stack = descriptor(64, 4 << 20, 8);
    let engine = |count: u32| {
        let slots: Vec<_> = (0..count).map(|slot| (GENERATION, slot)).collect();
        Asked::new(&stack, &slots, class(slots.len()))
            .unwrap()
            .engine
    };
    assert_eq!((engine(1), engine(16)), (Engine::Ring, Engine::Ring));
    // Classes, not what is needed: 17 is asked for as 32.
    assert_eq!((engine(17), engine(32)), (Engine::Stream, Engine::Stream));
}

#[test]
fn what_is_outside_the_stack_is_refused() {
    let stack = descriptor(8, 1000, 2);
    let elsewhere = [(GenerationId([1; 16]), 0)];
    assert!(matches!(
        Asked::new(&stack, &elsewhere, 1),
        Err(RetrieveError::OutsideStack)
    ));
}

#[test]
fn room_is_set_aside_or_the_cloud_is_not_asked() {
    let dir = tempfile::tempdir().unwrap();
    check_room(dir.path(), 1 << 20).unwrap();
    for bytes in [1 << 60, u64::MAX] {
        let error = check_room(dir.path(), bytes).unwrap_err();
        assert!(matches!(error, ConsultError::NoRoom { .. }), "{error}");
    }
    let file = set_aside(dir.path(), 3 << 20, 1 << 20).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 3 << 20);
    // More than any disk has: as the stack's size, or besides.
    for (bytes, besides) in [(1 << 62, 0), (1 << 20, 1 << 62)] {
        let error = set_aside(dir.path(), bytes, besides).unwrap_err();
        assert!(matches!(error, ConsultError::NoRoom { .. }), "{error:?}");
        assert!(!error.was_seen_by_cloud());
    }
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_round_reads_as_many_slots_whatever_is_wanted() {
    let mut rng = random::system();
    for reads in [WANTED.len() as u32, 64] {
        let mut outcome = run(&[], |_| {}).await;
        let slots = outcome.cloud.slots.len() as u64;
        let streamed = outcome.result.unwrap().among(slots, reads, &mut rng);
        assert_eq!(streamed.places.len() as u32, reads);
        assert!(streamed.places.iter().all(|(_, place)| *place < slots));
        outcome.result = Ok(streamed);
        outcome.assert_exact();
    }
    // Nothing wanted.
    let outcome = run(&[], |_| {}).await;
    let mut streamed = outcome.result.unwrap();
    streamed.places.clear();
    let streamed = streamed.among(outcome.cloud.slots.len() as u64, 64, &mut rng);
    assert_eq!(streamed.places.len(), 64);
    let read = streamed.slots(&outcome.progress, |_, _| panic!("nobody wants it"));
    read.unwrap();
}
