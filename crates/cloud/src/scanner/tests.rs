use std::sync::Arc;

use harpo_oblivious::client::{self, Choice, Secret};
use harpo_oblivious::{Answer, GenerationInfo, ParamSetId, Seed, Shape, Stack, StackHint};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;
use crate::residents::Resident;

const SLOTS: u32 = 8;

fn slot(seed: u8, index: u32) -> Vec<u8> {
    (0..200_u32)
        .map(|i| (i * 7 + index * 31) as u8 ^ seed)
        .collect()
}

fn loaded(seed: u8) -> (Loaded, StackHint) {
    let info = GenerationInfo {
        params: ParamSetId(1),
        shape: Shape::new(SLOTS, 200, 2).unwrap(),
        seed: Seed([seed; 32]),
    };
    let slots: Vec<_> = (0..SLOTS).map(|index| slot(seed, index)).collect();
    let encoded = Encoded::of_slots(&info, &slots).unwrap();
    let stack = Arc::new(Stack::new(vec![info]).unwrap());
    let hint = StackHint::sum(&stack, &[encoded.hint()]).unwrap();
    (
        Loaded {
            stack,
            residents: vec![Arc::new(Resident(encoded))],
        },
        hint,
    )
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

fn job(loaded: &Loaded, count: usize) -> (Job, oneshot::Receiver<Answers>) {
    let (reply, answers) = oneshot::channel();
    let queries = ask(loaded, &vec![0; count]).1;
    (
        Job {
            loaded: loaded.clone(),
            queries,
            reply,
        },
        answers,
    )
}

#[test]
fn a_pass_is_filled_from_jobs_over_the_same_stack() {
    let (a, b) = (loaded(1).0, loaded(2).0);
    let (jobs, _receivers): (Vec<_>, Vec<_>) = [(&a, 4), (&b, 2), (&a, 13), (&a, 8), (&a, 4)]
        .iter()
        .map(|(l, n)| job(l, *n))
        .unzip();
    let mut waiting: VecDeque<Job> = jobs.into();
    let sizes = |jobs: &[Job]| -> Vec<usize> { jobs.iter().map(|job| job.queries.len()).collect() };
    assert_eq!(sizes(&next_pass(&mut waiting)), [4, 8, 4]);
    assert_eq!(sizes(&next_pass(&mut waiting)), [2]);
    assert_eq!(sizes(&next_pass(&mut waiting)), [13]);
    assert!(next_pass(&mut waiting).is_empty());
}

#[tokio::test]
async fn retrievals_that_share_a_pass_get_their_own_answers() {
    let (loaded, hint) = loaded(3);
    let scanner = Scanner::start().unwrap();
    let asked: [&[u32]; 3] = [&[1, 2, 3], &[7], &[0, 7]];
    let (mut all_secrets, mut tasks) = (Vec::new(), Vec::new());
    for slots in asked {
        let (secrets, queries) = ask(&loaded, slots);
        all_secrets.push(secrets);
        let (scanner, loaded) = (scanner.clone(), loaded.clone());
        tasks.push(tokio::spawn(async move {
            scanner.answer(loaded, queries).await.unwrap()
        }));
    }
    for ((task, secrets), slots) in tasks.into_iter().zip(all_secrets).zip(asked) {
        let answers = task.await.unwrap();
        assert_eq!(answers.len(), slots.len());
        for ((answer, secret), index) in answers.iter().zip(secrets).zip(slots) {
            let answer = Answer::from_bytes(&loaded.stack, answer).unwrap();
            assert_eq!(secret.decode(&hint, &answer).unwrap(), slot(3, *index));
        }
    }
}

#[test]
fn nothing_is_computed_for_who_went_away() {
    let (loaded, _) = loaded(4);
    let (job, receiver) = job(&loaded, 1);
    drop(receiver);
    let mut waiting = VecDeque::from([job]);
    assert!(next_pass(&mut waiting).is_empty());
}
