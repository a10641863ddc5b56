use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt as _;
use harpo_protocol::id::BundleId;
use harpo_protocol::time::Timestamp;
use harpo_service::random;

use super::*;
use crate::store::Fetch;

pub(in crate::consult) mod cloud;
mod robust;

use cloud::{Cut, GENERATION, Seen, TestCloud, ticket};

/// What one retrieval of the slots 6, 1 and 4 gave.
struct Outcome {
    cloud: TestCloud,
    seen: Vec<Seen>,
    result: Result<Answers, RetrieveError>,
    /// Connections after the first.
    reconnected: usize,
    progress: Progress,
}

const WANTED: [u32; 3] = [6, 1, 4];

pub(in crate::consult) fn impatient() -> Patience {
    Patience {
        resumptions: 8,
        backoff: Backoff {
            first: Duration::from_millis(2),
            longest: Duration::from_millis(4),
        },
        busy_tries: 3,
        busy_pause: Duration::from_millis(1),
        pace: Pace {
            at_first: Duration::from_secs(2),
            bytes_per_second: 1 << 20,
        },
    }
}

async fn run(cuts: &[Cut]) -> Outcome {
    run_with(cuts, &[ticket(1, 4)], |_| {}).await
}

async fn run_with(
    cuts: &[Cut],
    tickets: &[(Signed<Ticket>, u32)],
    spoil: fn(&mut Vec<u8>),
) -> Outcome {
    let cloud = TestCloud::start(cuts, spoil).await;
    let reconnected = Arc::new(AtomicUsize::new(0));
    let progress = progress();
    let scratch = tempfile::tempdir().unwrap();
    let slots = WANTED.map(|slot| (GENERATION, slot));
    let result = {
        let reconnect = || {
            reconnected.fetch_add(1, Ordering::Relaxed);
            let url = cloud.url.clone();
            async move { Ok(CloudClient::plain(&url)) }.boxed()
        };
        let wanted = Wanted {
            held: &cloud.held,
            slots: &slots,
            tickets,
        };
        let place = Place {
            reconnect: &reconnect,
            scratch: scratch.path(),
            clock: &Clock::system(),
            patience: &impatient(),
            progress: &progress,
        };
        let first = CloudClient::plain(&cloud.url);
        retrieve(first, wanted, place, random::system()).await
    };
    // Files without names: nothing is left behind.
    assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    Outcome {
        seen: cloud.seen(),
        cloud,
        result,
        reconnected: reconnected.load(Ordering::Relaxed),
        progress,
    }
}

pub(in crate::consult) fn progress() -> Progress {
    let fetch = Fetch {
        bundle: BundleId([1; 16]),
        source: "stack",
        engine: Some(harpo_oblivious::Engine::Ring),
        at: Timestamp(0),
        took: Duration::ZERO,
        fragments: 3,
        stack_bytes: 0,
        hint_bytes: 0,
        wire: Wire::default(),
        authentic: 0,
        unmarked: 0,
        outcome: String::new(),
    };
    Progress::new(&fetch, &Clock::system())
}

impl Outcome {
    fn query_bytes(&self) -> usize {
        self.cloud.held.stack.query_bytes() as usize
    }

    /// Decodes, and compares with the slots.
    fn assert_exact(self) {
        let mut got = [const { None }; WANTED.len()];
        let held = self.cloud.held.clone();
        self.result
            .unwrap()
            .decode(&held, &self.progress, |index, slot| {
                assert!(got[index].replace(slot).is_none());
                Ok(())
            })
            .unwrap();
        for (slot, got) in WANTED.iter().zip(got) {
            assert!(got.as_ref() == Some(&self.cloud.slots[*slot as usize]));
        }
        let how_far = self.progress.snapshot();
        assert_eq!(how_far.phase, Phase::Decoding);
        assert_eq!(how_far.done, how_far.of);
    }

    /// Whatever was sent repeats the whole body to the byte, from the query that it says on, as far as it was
    /// read.
    fn assert_nothing_else_sent(&self) {
        let whole = self.seen.iter().max_by_key(|seen| seen.body.len());
        let whole = &whole.unwrap().body;
        let (_, queries) = harpo_protocol::retrieval::split(whole).unwrap();
        let head = whole.len() - queries.len();
        for seen in &self.seen {
            match seen.path.strip_prefix("/v1/retrievals?from=") {
                None => assert!(whole.starts_with(&seen.body)),
                Some(from) => {
                    let from: usize = from.parse().unwrap();
                    assert_eq!(seen.body[..head], whole[..head]);
                    assert!(queries[from * self.query_bytes()..].starts_with(&seen.body[head..]));
                }
            }
        }
    }

    fn paths(&self) -> Vec<&str> {
        let paths = self.seen.iter().map(|seen| seen.path.as_str());
        paths
            .map(|p| p.strip_prefix("/v1/retrievals").unwrap())
            .collect()
    }
}

async fn answer_bytes() -> usize {
    TestCloud::start(&[], |_| {}).await.held.answer_bytes()
}

#[tokio::test(flavor = "multi_thread")]
async fn undisturbed_it_asks_once_and_counts_every_byte() {
    let outcome = run(&[]).await;
    assert_eq!(outcome.paths(), [""]);
    // Three of the four are real; that does not show.
    let shown = format!("{:?}", outcome.result.as_ref().unwrap());
    assert_eq!(
        shown.matches("(Choice(..), Secret(..))").count(),
        4,
        "{shown}"
    );
    let wire = outcome.progress.wire();
    let down = 4 * outcome.cloud.held.answer_bytes() as u64;
    let expected = Wire {
        queries: 4,
        up: outcome.seen[0].body.len() as u64,
        down,
        resumed: 0,
    };
    assert_eq!(wire, expected);
    let how_far = outcome.progress.snapshot();
    assert_eq!(how_far.bytes_total, wire.up + wire.down);
    outcome.assert_exact();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_anywhere_is_gone_on_with() {
    let size = answer_bytes().await;
    // The cut, and what is asked after it.
    let cases: [(Cut, &[&str]); 11] = [
        // Whether the ticket was spent cannot be known: it goes on with the first answer in any case.
        (Cut::InBody(0), &["?from=0"]),
        (Cut::InBody(70_000), &["?from=0"]),
        (Cut::BeforeStatus, &["?from=0"]),
        (Cut::InHead, &["?from=0"]),
        (Cut::After(0), &["?from=0"]),
        (Cut::After(1), &["?from=0"]),
        (Cut::After(size - 1), &["?from=0"]),
        (Cut::After(size), &["?from=1"]),
        (Cut::After(size + size / 2), &["?from=1"]),
        (Cut::After(4 * size - 1), &["?from=3"]),
        // Everything came.
        (Cut::After(4 * size), &[]),
    ];
    for (cut, then) in cases {
        let outcome = run(&[cut]).await;
        let expected = [&[""], then].concat();
        assert_eq!(outcome.paths(), expected, "{cut:?}");
        outcome.assert_nothing_else_sent();
        let broke = usize::from(!then.is_empty());
        assert_eq!(outcome.reconnected, broke, "{cut:?}");
        assert_eq!(outcome.progress.wire().resumed, broke as u64);
        if broke == 1 {
            let connections: Vec<usize> = outcome.seen.iter().map(|s| s.connection).collect();
            assert!(connections[1..].iter().all(|c| *c == 1), "{cut:?}");
        }
        if let Cut::After(_) = cut {
            let how_far = outcome.progress.snapshot();
            assert_eq!(how_far.bytes, how_far.bytes_total, "{cut:?}");
        }
        outcome.assert_exact();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_on_as_often_as_it_must_and_repeats_no_answer_that_came_whole() {
    let size = answer_bytes().await;
    let cuts = [
        Cut::After(size),
        Cut::InBody(90_000),
        Cut::After(size + 5),
        Cut::BeforeStatus,
        Cut::Refuse(503, "busy"),
        Cut::InHead,
        Cut::After(size - 1),
    ];
    let outcome = run(&cuts).await;
    let expected = [
        "", "?from=1", "?from=1", "?from=2", "?from=2", "?from=2", "?from=2", "?from=2",
    ];
    assert_eq!(outcome.paths(), expected);
    outcome.assert_nothing_else_sent();
    outcome.assert_exact();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_ticket_goes_on_by_itself_and_no_query_is_sent_under_two() {
    let size = answer_bytes().await;
    let tickets = [ticket(1, 2), ticket(2, 2)];
    let cuts = [
        Cut::After(size + 9),
        Cut::Nothing,
        Cut::BeforeStatus,
        Cut::Nothing,
    ];
    let outcome = run_with(&cuts, &tickets, |_| {}).await;
    assert_eq!(outcome.paths(), ["", "?from=1", "", "?from=0"]);
    // The second ticket is asked over the connection that the first ended with.
    let connections: Vec<usize> = outcome.seen.iter().map(|s| s.connection).collect();
    assert_eq!(connections, [0, 1, 1, 2]);
    let queries = |seen: &Seen| {
        let (_, queries) = harpo_protocol::retrieval::split(&seen.body).unwrap();
        let chunks = queries.chunks(outcome.query_bytes());
        chunks.map(<[u8]>::to_vec).collect::<Vec<_>>()
    };
    let (first, second) = (queries(&outcome.seen[0]), queries(&outcome.seen[3]));
    assert_eq!(queries(&outcome.seen[1]), first[1..]);
    assert_eq!(queries(&outcome.seen[2]), second);
    assert!(first.iter().all(|query| !second.contains(query)));
    assert!(first[0] != first[1] && second[0] != second[1]);
    outcome.assert_exact();
}

#[tokio::test(flavor = "multi_thread")]
async fn silence_counts_as_broken() {
    let size = answer_bytes().await;
    let outcome = run(&[Cut::Silent(2 * size + 3)]).await;
    assert_eq!(outcome.paths(), ["", "?from=2"]);
    outcome.assert_nothing_else_sent();
    outcome.assert_exact();
}

/// Never silent for long, and never done.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_trickles_counts_as_broken_and_not_for_ever() {
    let size = answer_bytes().await;
    let outcome = run(&[Cut::Trickle(size + 3)]).await;
    assert_eq!(outcome.paths(), ["", "?from=1"]);
    outcome.assert_nothing_else_sent();
    outcome.assert_exact();
    let cuts = [&[Cut::After(10); 8][..], &[Cut::Trickle(10)]].concat();
    let outcome = run(&cuts).await;
    let error = outcome.result.unwrap_err();
    assert!(matches!(error, RetrieveError::TooSlow(_)), "{error}");
    assert_eq!(outcome.seen.len(), 9);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_gives_up_after_a_bounded_number_of_times() {
    let outcome = run(&[Cut::After(10); 40]).await;
    let error = outcome.result.unwrap_err();
    assert!(matches!(error, RetrieveError::Cloud(_)), "{error}");
    assert_eq!(outcome.seen.len(), 9);
    assert_eq!(outcome.progress.wire().resumed, 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_was_never_reached_is_not_waited_for() {
    let cloud = TestCloud::start(&[], |_| {}).await;
    let progress = progress();
    let scratch = tempfile::tempdir().unwrap();
    // Nobody listens there.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let wanted = Wanted {
        held: &cloud.held,
        slots: &[(GENERATION, 0)],
        tickets: &[ticket(1, 1)],
    };
    let place = Place {
        reconnect: &|| async { panic!("it must not") }.boxed(),
        scratch: scratch.path(),
        clock: &Clock::system(),
        patience: &impatient(),
        progress: &progress,
    };
    let result = retrieve(CloudClient::plain(&url), wanted, place, random::system()).await;
    assert!(matches!(result, Err(RetrieveError::Cloud(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_are_final_and_so_are_answers_of_the_wrong_length() {
    let size = answer_bytes().await;
    let cases: [(&[Cut], usize); 7] = [
        (&[Cut::Refuse(409, "spent")], 1),
        (&[Cut::Refuse(403, "rejected")], 1),
        (&[Cut::Refuse(408, "timeout")], 1),
        (&[Cut::After(size), Cut::Refuse(403, "expired")], 2),
        (&[Cut::After(size), Cut::Refuse(409, "spent")], 2),
        (&[Cut::Refuse(503, "busy"); 9], 4),
        (&[Cut::Short(1)], 1),
    ];
    for (cuts, requests) in cases {
        let outcome = run(cuts).await;
        assert!(
            matches!(outcome.result, Err(RetrieveError::Cloud(_))),
            "{cuts:?}"
        );
        assert_eq!(outcome.seen.len(), requests, "{cuts:?}");
    }
    let longer = run_with(&[], &[ticket(1, 4)], |answers| answers.push(0)).await;
    assert!(matches!(
        longer.result,
        Err(RetrieveError::Cloud(ClientError::Malformed { .. }))
    ));
    assert_eq!(longer.seen.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_decoded_is_not_asked_for_again() {
    let outcome = run_with(&[], &[ticket(1, 4)], |answers| answers[0] ^= 1).await;
    let held = outcome.cloud.held.clone();
    let answers = outcome.result.unwrap();
    let decoded = answers.decode(&held, &outcome.progress, |_, _| Ok(()));
    assert!(matches!(
        decoded,
        Err(ConsultError::Retrieve(RetrieveError::Answer(_)))
    ));
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(outcome.cloud.seen().len(), 1);
}

/// The cloud sees the same of an interrupted retrieval whether its answers are right or rubbish.
#[tokio::test(flavor = "multi_thread")]
async fn how_it_goes_on_does_not_depend_on_what_came() {
    let size = answer_bytes().await;
    let cuts = [Cut::After(size + 7), Cut::BeforeStatus, Cut::After(size)];
    let shape = |outcome: &Outcome| {
        let seen = outcome.seen.iter();
        seen.map(|s| (s.connection, s.path.clone(), s.body.len()))
            .collect::<Vec<_>>()
    };
    let right = run(&cuts).await;
    let rubbish = run_with(&cuts, &[ticket(1, 4)], |answers| answers.fill(0x5a)).await;
    assert_eq!(right.paths(), ["", "?from=1", "?from=1", "?from=2"]);
    assert_eq!(shape(&right), shape(&rubbish));
    right.assert_exact();
}

#[test]
fn working_memory_bounds_what_is_done_at_once() {
    assert_eq!(at_once(4_635_874, DECODING), 7);
    assert_eq!(at_once(300 << 20, DECODING), 1);
    assert_eq!(at_once(14_155_816, MAKING), 3);
}
