use std::sync::Arc;

use futures_util::StreamExt as _;
use harpo_oblivious::client::{self, Choice};
use harpo_oblivious::{Encoded, GenerationInfo, ParamSetId, Seed, Shape, Stack};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::residents::Resident;

const SLOT_BYTES: u32 = 256 << 10;

/// Answers to two queries, several pieces each; and a watch on what they occupy.
fn answers(limits: Limits) -> (Answers<Arc<()>>, std::sync::Weak<()>) {
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
    let guard = Arc::new(());
    let watch = Arc::downgrade(&guard);
    let answers = Answers {
        scanner: Scanner::start().unwrap(),
        bytes: 2 * stack.answer_bytes(),
        loaded: Loaded {
            stack,
            residents: vec![Arc::new(Resident(encoded))],
        },
        queries,
        limits,
        guards: guard,
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
            assert!(watch.upgrade().is_some(), "free after {taken} of {total}");
        }
        taken += stream.next().await.unwrap().unwrap().len() as u64;
    }
    assert_eq!(taken, total);
    assert!(watch.upgrade().is_none());
    assert!(stream.next().await.is_none());
}

#[tokio::test]
async fn who_takes_nothing_loses_the_place_and_the_rest_of_the_answers() {
    let (answers, watch) = answers(impatient());
    let total = answers.bytes;
    let mut stream = std::pin::pin!(answers.stream());
    let begun = Instant::now();
    let mut taken = stream.next().await.unwrap().unwrap().len() as u64;
    while watch.upgrade().is_some() {
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
    while watch.upgrade().is_some() {
        assert!(begun.elapsed() < Duration::from_secs(5), "still held");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
