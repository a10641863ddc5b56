//! Decoders of the ring engine (docs/oblivious-encoding.md 4 to 6): the cloud reads queries, consumers read hints and answers.

use std::sync::LazyLock;

use harpo_oblivious::{
    Answer, Choice, GenerationInfo, Hint, ParamSetId, Params, Query, Seed, Shape, Stack, StackHint,
    client,
};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::Outcome;

/// Stacks of every parameter set, small so that inputs are: one polynomial alone, and two in two generations.
pub(crate) fn stacks() -> &'static [Stack] {
    static STACKS: LazyLock<Vec<Stack>> = LazyLock::new(|| {
        let shapes: [&[u32]; 2] = [&[3], &[4, 2]];
        let all = Params::table().iter().flat_map(|params| {
            shapes.map(|slots| {
                let infos = slots.iter().map(|count| info(params.id, *count));
                Stack::new(infos.collect()).unwrap()
            })
        });
        all.collect()
    });
    &STACKS
}

/// A generation of one polynomial. Its padding is not empty: 61 bytes are no whole row of any set.
pub(crate) fn info(params: ParamSetId, slots: u32) -> GenerationInfo {
    GenerationInfo {
        params,
        shape: Shape::new(slots, 61, 4).unwrap(),
        seed: Seed([slots as u8; 32]),
    }
}

fn rng() -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(1)
}

/// A query that the cloud reads.
pub fn query(data: &[u8]) -> Outcome {
    let mut outcome = Outcome::Refused;
    for stack in stacks() {
        let read = Query::from_bytes(stack, data);
        if let Ok(query) = &read {
            assert_eq!(outcome, Outcome::Refused, "it is of one stack only");
            assert!(query.to_bytes() == data, "it is written back as it came");
            for generation in 0..stack.generations().len() {
                query.part(stack, generation).unwrap();
            }
        }
        outcome = outcome.or(Outcome::of(&read));
    }
    outcome
}

/// The hint of a generation that a consumer downloads.
pub fn hint(data: &[u8]) -> Outcome {
    let mut outcome = Outcome::Refused;
    for stack in stacks() {
        for info in stack.generations() {
            let read = Hint::from_bytes(info, data);
            if let Ok(hint) = &read {
                assert_eq!(outcome, Outcome::Refused, "it is of one generation only");
                assert!(hint.to_bytes() == data, "it is written back as it came");
                let mut sum = StackHint::empty(stack);
                sum.add(hint).unwrap();
                assert!(sum.add(hint).is_err(), "it is added once");
                sum.remove(hint).unwrap();
            }
            outcome = outcome.or(Outcome::of(&read));
        }
    }
    outcome
}

/// An answer that a consumer reads.
pub fn answer(data: &[u8]) -> Outcome {
    let mut outcome = Outcome::Refused;
    for (stack, sum) in stacks().iter().zip(sums()) {
        let read = Answer::from_bytes(stack, data);
        if let Ok(answer) = &read {
            assert_eq!(outcome, Outcome::Refused, "it is of one stack only");
            assert!(answer.to_bytes() == data, "it is written back as it came");
            let (secret, _) = client::query(stack, Choice::Dummy, &mut rng()).unwrap();
            let slot = secret.decode(sum, answer).unwrap();
            assert_eq!(slot.len(), stack.slot_bytes() as usize);
        }
        outcome = outcome.or(Outcome::of(&read));
    }
    outcome
}

/// For each stack the sum of its hints.
fn sums() -> &'static [StackHint] {
    static SUMS: LazyLock<Vec<StackHint>> = LazyLock::new(|| {
        let sum = |stack: &Stack| {
            let hints: Vec<Hint> = stack.generations().iter().map(sealed_hint).collect();
            StackHint::sum(stack, &hints).unwrap()
        };
        stacks().iter().map(sum).collect()
    });
    &SUMS
}

/// The hint of slots of patterned bytes.
pub(crate) fn sealed_hint(info: &GenerationInfo) -> Hint {
    encoded(info).hint()
}

fn encoded(info: &GenerationInfo) -> harpo_oblivious::Encoded {
    harpo_oblivious::Encoded::encode::<std::convert::Infallible>(info, |slot, bytes| {
        for (index, byte) in bytes.iter_mut().enumerate() {
            *byte = (index as u32 * 7 + slot * 31) as u8;
        }
        Ok(())
    })
    .unwrap()
}

/// A good query and its answer.
pub(crate) fn exchange(stack: &Stack) -> (Query, Answer) {
    let choice = Choice::Slot {
        generation: 0,
        slot: 1,
    };
    let (_, query) = client::query(stack, choice, &mut rng()).unwrap();
    let encoded: Vec<_> = stack.generations().iter().map(encoded).collect();
    let encoded: Vec<_> = encoded.iter().collect();
    let answers = harpo_oblivious::answer(stack, &encoded, std::slice::from_ref(&query));
    (query, answers.unwrap().remove(0))
}
