use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use harpo_oblivious::client::{self, Choice};
use harpo_oblivious::{Encoded, GenerationInfo, ParamSetId, Query, Seed, Shape, Stack};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tokio::time::Instant;

use super::*;
use crate::gate::Gate;
use crate::residents::{Loaded, Resident};
use crate::scanner::{Scanner, Tally};

const SLOT_BYTES: u32 = 256 << 10;
const PASS: PartyId = PartyId([3; 16]);
const TICKET: Nonce = Nonce([4; 16]);

/// Where answers occupy something.
struct Watch {
    gate: Gate,
    scanner: Scanner,
    stack: Arc<Stack>,
}

impl Watch {
    /// Which of pass, ticket and place are taken.
    fn held(&self) -> [bool; 3] {
        [
            self.gate.pass(PASS).is_err(),
            self.gate.nonce(TICKET).is_err(),
            self.gate
                .place(&self.stack, 1, self.scanner.pace())
                .is_err(),
        ]
    }
}

/// Answers to two queries, several pieces each; and a watch on what they occupy.
fn answers(limits: Limits) -> (Answers, Watch) {
    let info = GenerationInfo {
        params: ParamSetId(1),
        shape: Shape::new(2, SLOT_BYTES, 2).unwrap(),
        seed: Seed([1; 32]),
    };
    let slots = [1, 2].map(|byte| vec![byte; SLOT_BYTES as usize]);
    let encoded = Encoded::of_slots(&info, &slots).unwrap();
    let stack = Arc::new(Stack::new(vec![info]).unwrap());
    let mut rng = ChaCha20Rng::from_seed([2; 32]);
    let query = |_| client::query(&stack, Choice::Dummy, &mut rng).unwrap().1;
    let queries: Vec<Query> = (0..2).map(query).collect();
    let scanner = Scanner::start(Duration::ZERO, Tally::none()).unwrap();
    let gate = Gate::new(&Limits {
        retrievals_at_once: 1,
        ..Limits::default()
    });
    let loaded = Loaded {
        stack: Arc::clone(&stack),
        residents: vec![Arc::new(Resident(encoded))],
    };
    let answers = Answers {
        turn: scanner.ask(loaded, queries),
        bytes: 2 * stack.answer_bytes(),
        limits,
        guards: Guards {
            place: gate.place(&stack, 2, scanner.pace()).unwrap(),
            _alone: (Some(gate.pass(PASS).unwrap()), gate.nonce(TICKET).unwrap()),
        },
    };
    let watch = Watch {
        gate,
        scanner,
        stack,
    };
    (answers, watch)
}

/// As impatient as can be said, whatever was sent already.
fn impatient() -> Limits {
    Limits {
        retrieval_patience_seconds: 1,
        retrieval_min_kib_per_second: u32::MAX,
        ..Limits::default()
    }
}

#[tokio::test]
async fn the_place_is_held_to_the_last_piece_and_free_when_that_arrives() {
    let (answers, watch) = answers(Limits::default());
    let total = answers.bytes;
    let mut stream = std::pin::pin!(answers.stream());
    let mut taken = 0;
    while taken < total {
        // The next piece waits in the channel while this one is looked at.
        if total - taken > 2 * PIECE_BYTES as u64 {
            assert_eq!(watch.held(), [true; 3], "free after {taken} of {total}");
        }
        taken += stream.next().await.unwrap().unwrap().len() as u64;
    }
    assert_eq!(taken, total);
    assert_eq!(watch.held(), [false; 3]);
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn who_takes_nothing_loses_the_place_and_the_rest_of_the_answers() {
    let (answers, watch) = answers(impatient());
    let total = answers.bytes;
    let mut stream = std::pin::pin!(answers.stream());
    let begun = Instant::now();
    let mut taken = stream.next().await.unwrap().unwrap().len() as u64;
    while watch.held() != [false; 3] {
        assert!(begun.elapsed() < Duration::from_secs(20), "still held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let end = loop {
        match stream.next().await {
            Some(Ok(piece)) => taken += piece.len() as u64,
            end => break end,
        }
    };
    assert!(matches!(end, Some(Err(Error::TaskLost))), "{end:?}");
    assert!(taken < total);
}

#[tokio::test]
async fn who_goes_away_frees_the_place() {
    let (answers, watch) = answers(Limits::default());
    drop(answers.stream());
    let begun = Instant::now();
    while watch.held() != [false; 3] {
        assert!(begun.elapsed() < Duration::from_secs(5), "still held");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
