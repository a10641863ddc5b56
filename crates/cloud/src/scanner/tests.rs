use harpo_oblivious::client::{self, Choice, Secret};
use harpo_oblivious::{Answer, Encoded, GenerationInfo, ParamSetId, Seed, Shape, Stack, StackHint};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::residents::Resident;

const GATHER: Duration = Duration::from_millis(1);

const SLOTS: u32 = 8;

fn slot(seed: u8, index: u32) -> Vec<u8> {
    (0..200_u32)
        .map(|i| (i * 7 + index * 31) as u8 ^ seed)
        .collect()
}

fn generation(seed: u8) -> (GenerationInfo, Encoded) {
    let info = GenerationInfo {
        params: ParamSetId(1),
        shape: Shape::new(SLOTS, 200, 2).unwrap(),
        seed: Seed([seed; 32]),
    };
    let slots: Vec<_> = (0..SLOTS).map(|index| slot(seed, index)).collect();
    (info, Encoded::of_slots(&info, &slots).unwrap())
}

/// A stack of generations with these seeds.
fn loaded(seeds: &[u8]) -> (Loaded, StackHint) {
    let (infos, encoded): (Vec<_>, Vec<_>) = seeds.iter().map(|seed| generation(*seed)).unzip();
    let stack = Arc::new(Stack::new(infos).unwrap());
    let hints: Vec<_> = encoded.iter().map(Encoded::hint).collect();
    let hint = StackHint::sum(&stack, &hints).unwrap();
    let residents = encoded
        .into_iter()
        .map(|encoded| Arc::new(Resident(encoded)))
        .collect();
    (Loaded { stack, residents }, hint)
}

fn ask(loaded: &Loaded, slots: &[u32]) -> (Vec<Secret>, Vec<Query>) {
    let mut rng = ChaCha20Rng::from_seed([slots.len() as u8; 32]);
    let choice = |slot: &u32| Choice::Slot {
        generation: 0,
        slot: *slot,
    };
    slots
        .iter()
        .map(|slot| client::query(&loaded.stack, choice(slot), &mut rng).unwrap())
        .unzip()
}

type Replies = mpsc::UnboundedReceiver<Result<Vec<u8>, Error>>;

/// One retrieval's queries, as the queue hands them out, and where its answers come.
fn items(loaded: &Loaded, slots: &[u32]) -> (Vec<Secret>, Vec<Item>, Replies) {
    let (sender, answers) = mpsc::unbounded_channel();
    let asked = Arc::new(Asked {
        loaded: loaded.clone(),
        answers: sender,
    });
    let (secrets, queries) = ask(loaded, slots);
    let items = queries
        .into_iter()
        .map(|query| Item {
            query,
            asked: Arc::clone(&asked),
        })
        .collect();
    (secrets, items, answers)
}

#[tokio::test]
async fn retrievals_that_share_a_pass_get_their_own_answers() {
    let (loaded, hint) = loaded(&[3]);
    let scanner = Scanner::start(GATHER, Tally::none()).unwrap();
    let many: Vec<u32> = (0..40).map(|n| n % SLOTS).collect();
    let asked: [&[u32]; 4] = [&many, &[1, 2, 3], &[7], &[0, 7]];
    let mut tasks = Vec::new();
    for slots in asked {
        let (secrets, queries) = ask(&loaded, slots);
        let mut turn = scanner.ask(loaded.clone(), queries);
        tasks.push(tokio::spawn(async move {
            let mut answers = Vec::new();
            for secret in secrets {
                answers.push((secret, turn.next().await.unwrap()));
                turn.taken();
            }
            answers
        }));
    }
    drop(scanner);
    for (task, slots) in tasks.into_iter().zip(asked) {
        for ((secret, answer), index) in task.await.unwrap().into_iter().zip(slots) {
            let answer = Answer::from_bytes(&loaded.stack, &answer).unwrap();
            assert_eq!(secret.decode(&hint, &answer).unwrap(), slot(3, *index));
        }
    }
}

#[tokio::test]
async fn no_more_is_computed_than_a_reader_may_be_behind() {
    let (loaded, _) = loaded(&[3]);
    let scanner = Scanner::start(GATHER, Tally::none()).unwrap();
    let slow = scanner.ask(loaded.clone(), ask(&loaded, &[0; 64]).1);
    // Others are answered again and again meanwhile.
    for _ in 0..20 {
        let mut turn = scanner.ask(loaded.clone(), ask(&loaded, &[1]).1);
        turn.next().await.unwrap();
    }
    assert_eq!(slow.answers.len(), AHEAD);
    let waiting = || scanner.0.0.lock().queue.len();
    assert_eq!(waiting(), 64 - AHEAD);
    let asked = Arc::downgrade(&slow.scanner.0);
    drop(slow);
    // At once: what was not computed is gone.
    assert_eq!(waiting(), 0);
    drop(scanner);
    assert!(asked.upgrade().is_none());
}

#[test]
fn a_pass_goes_on_without_those_who_went_away() {
    let (loaded, hint) = loaded(&[4, 5, 6]);
    let (_, mut all, gone) = items(&loaded, &[0; 3]);
    let (secrets, stay, mut answers) = items(&loaded, &[2]);
    all.extend(stay);
    let mut pass = Pass::new(all).unwrap();
    assert!(pass.step());
    assert_eq!(pass.len(), 4);
    drop(gone);
    assert!(pass.step());
    assert_eq!(pass.len(), 1);
    assert!(!pass.step());
    pass.finish();
    let answer = answers.try_recv().unwrap().unwrap();
    let answer = Answer::from_bytes(&loaded.stack, &answer).unwrap();
    let decoded = secrets.into_iter().next().unwrap().decode(&hint, &answer);
    assert_eq!(decoded.unwrap(), slot(4, 2));
}

#[test]
fn nothing_is_computed_for_who_went_away() {
    let (loaded, _) = loaded(&[4, 5]);
    let (_, all, gone) = items(&loaded, &[0; 3]);
    let mut pass = Pass::new(all).unwrap();
    assert!(pass.step());
    drop(gone);
    // Another generation would follow.
    assert!(!pass.step());
    assert_eq!(pass.len(), 0);
    pass.finish();
}

#[test]
fn a_refusal_of_the_engine_reaches_everybody_in_the_pass() {
    let (mut loaded, _) = loaded(&[4, 5]);
    loaded.residents.swap(0, 1);
    let (_, all, mut answers) = items(&loaded, &[0; 2]);
    assert_eq!(answer(all), None);
    for _ in 0..2 {
        let refused = answers.try_recv().unwrap();
        assert!(matches!(refused, Err(Error::Engine(_))), "{refused:?}");
    }
    assert!(answers.try_recv().is_err());
}
