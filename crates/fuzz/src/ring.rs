//! Decoders of the ring engine (docs/oblivious-encoding.md 4 to 6): the cloud reads queries, consumers read hints and answers.

use std::sync::LazyLock;

use harpo_oblivious::{
    Answer, Choice, Encoded, Error, GenerationInfo, Hint, ParamSetId, Params, PartialAnswer, Query,
    Seed, Shape, Stack, StackHint, client,
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
    whole_and_body(data, goods(|good| &good.query), |index, data| {
        let stack = &stacks()[index];
        let query = Query::from_bytes(stack, data)?;
        assert!(query.to_bytes() == data, "it is written back as it came");
        for generation in 0..stack.generations().len() {
            query.part(stack, generation).unwrap();
        }
        Ok(())
    })
}

/// The hint of a generation that a consumer downloads.
pub fn hint(data: &[u8]) -> Outcome {
    whole_and_body(data, goods(|good| &good.hint), |index, data| {
        let stack = &stacks()[index];
        let hint = Hint::from_bytes(&stack.generations()[0], data)?;
        assert!(hint.to_bytes() == data, "it is written back as it came");
        let mut sum = StackHint::empty(stack);
        sum.add(&hint).unwrap();
        assert!(sum.add(&hint).is_err(), "it is added once");
        sum.remove(&hint).unwrap();
        Ok(())
    })
}

/// An answer that a consumer reads.
pub fn answer(data: &[u8]) -> Outcome {
    whole_and_body(data, goods(|good| &good.answer), |index, data| {
        let (stack, sum) = (&stacks()[index], &sums()[index]);
        let answer = Answer::from_bytes(stack, data)?;
        assert!(answer.to_bytes() == data, "it is written back as it came");
        let (secret, _) = client::query(stack, Choice::Dummy, &mut rng()).unwrap();
        let slot = secret.decode(sum, &answer).unwrap();
        assert_eq!(slot.len(), stack.slot_bytes() as usize);
        Ok(())
    })
}

/// What another machine added up of an answer.
pub fn partial_answer(data: &[u8]) -> Outcome {
    whole_and_body(data, goods(|good| &good.partial), |index, data| {
        let stack = &stacks()[index];
        let partial = PartialAnswer::from_bytes(stack, data)?;
        assert!(partial.to_bytes() == data, "it is written back as it came");
        let mut sum = PartialAnswer::new(stack);
        sum.merge(&partial).unwrap();
        assert!(sum.to_bytes() == data, "added to nothing it stays the same");
        if let Ok(answer) = sum.finish() {
            assert_eq!(answer.to_bytes().len() as u64, stack.answer_bytes());
        }
        Ok(())
    })
}

/// Magic, version, parameter set and digest.
const HEADER: usize = 40;

/// Tries `data` as an object of each stack: of one at most it is one. Then its body alone, made to fit behind the header
/// of a good object of one stack, because a search by chance hardly ever finds a digest and a length.
fn whole_and_body<'a>(
    data: &[u8],
    goods: impl ExactSizeIterator<Item = &'a Vec<u8>>,
    read: impl Fn(usize, &[u8]) -> Result<(), Error>,
) -> Outcome {
    let count = goods.len();
    let accepted = (0..count)
        .filter(|index| read(*index, data).is_ok())
        .count();
    assert!(accepted <= 1, "it is of one stack only");
    let chosen = data.last().map_or(0, |last| usize::from(*last) % count);
    if accepted == 0
        && let Some(good) = goods.into_iter().nth(chosen)
    {
        let mut made = good[..HEADER].to_vec();
        made.extend(data.iter().skip(HEADER));
        made.resize(good.len(), 0);
        // Either is right; the properties are in `read`.
        let _ = read(chosen, &made);
    }
    Outcome::of(&(accepted == 1).then_some(()).ok_or(()))
}

/// Good objects of one stack, as bytes.
struct Good {
    query: Vec<u8>,
    answer: Vec<u8>,
    hint: Vec<u8>,
    partial: Vec<u8>,
}

fn goods(kind: fn(&Good) -> &Vec<u8>) -> impl ExactSizeIterator<Item = &'static Vec<u8>> {
    static GOODS: LazyLock<Vec<Good>> = LazyLock::new(|| {
        let good = |stack: &Stack| {
            let (query, answer, parts) = exchange(stack);
            Good {
                query: query.to_bytes(),
                answer: answer.to_bytes(),
                hint: sealed_hint(&stack.generations()[0]).to_bytes(),
                partial: parts[0].to_bytes(),
            }
        };
        stacks().iter().map(good).collect()
    });
    GOODS.iter().map(kind)
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

fn encoded(info: &GenerationInfo) -> Encoded {
    let slot = |slot: u32| -> Vec<u8> {
        let bytes = 0..info.shape.slot_bytes();
        bytes.map(|at| (at * 7 + slot * 31) as u8).collect()
    };
    let slots: Vec<Vec<u8>> = (0..info.shape.slots()).map(slot).collect();
    Encoded::of_slots(info, &slots).unwrap()
}

/// A good query, its answer, and what each generation adds to it.
pub(crate) fn exchange(stack: &Stack) -> (Query, Answer, Vec<PartialAnswer>) {
    let choice = Choice::Slot {
        generation: 0,
        slot: 1,
    };
    let (_, query) = client::query(stack, choice, &mut rng()).unwrap();
    let mut whole = PartialAnswer::new(stack);
    let mut parts = Vec::new();
    for (index, info) in stack.generations().iter().enumerate() {
        let mut sums = [PartialAnswer::new(stack)];
        let part = query.part(stack, index).unwrap();
        encoded(info).accumulate(&[part], &mut sums).unwrap();
        let [sum] = sums;
        whole.merge(&sum).unwrap();
        parts.push(sum);
    }
    (query, whole.finish().unwrap(), parts)
}
