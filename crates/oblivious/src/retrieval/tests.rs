use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use super::*;
use crate::{Encoded, GenerationInfo, ParamSetId, Query, Seed, Shape, answer};

const SLOT: usize = 3000;

/// What a server holds, and what everybody knows.
struct World {
    stack: Stack,
    slots: Vec<Vec<u8>>,
    encoded: Vec<Encoded>,
    hint: StackHint,
}

fn world() -> World {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let infos: Vec<_> = [(5, 1), (8, 2)]
        .map(|(slots, seed)| GenerationInfo {
            params: ParamSetId(1),
            shape: Shape::new(slots, SLOT as u32, 4).unwrap(),
            seed: Seed([seed; 32]),
        })
        .into();
    let slots: Vec<Vec<u8>> = (0..13)
        .map(|_| {
            let mut slot = vec![0; SLOT];
            rng.fill_bytes(&mut slot);
            slot
        })
        .collect();
    let mut next = slots.iter();
    let encoded: Vec<_> = infos
        .iter()
        .map(|info| {
            let slots: Vec<_> = next.by_ref().take(info.shape.slots() as usize).collect();
            Encoded::of_slots(info, &slots).unwrap()
        })
        .collect();
    let stack = Stack::new(infos).unwrap();
    let hints: Vec<_> = encoded.iter().map(Encoded::hint).collect();
    let hint = StackHint::sum(&stack, &hints).unwrap();
    World {
        stack,
        slots,
        encoded,
        hint,
    }
}

impl World {
    /// What a server sends for what came up.
    fn down(&self, engine: Engine, up: &[u8]) -> Vec<u8> {
        if engine == Engine::Stream {
            assert!(up.is_empty());
            return self.slots.concat();
        }
        let generations: Vec<_> = self.encoded.iter().collect();
        let queries: Vec<_> = up
            .chunks(self.stack.query_bytes() as usize)
            .map(|bytes| Query::from_bytes(&self.stack, bytes).unwrap())
            .collect();
        answer(&self.stack, &generations, &queries)
            .unwrap()
            .iter()
            .flat_map(Answer::to_bytes)
            .collect()
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Engine(#[from] Error),
    #[error("nothing there")]
    Read,
}

fn reader(down: &[u8]) -> impl FnMut(u64, &mut [u8]) -> Result<(), Failure> {
    move |at, bytes| {
        let from = down.get(at as usize..).ok_or(Failure::Read)?;
        let part = from.get(..bytes.len()).ok_or(Failure::Read)?;
        bytes.copy_from_slice(part);
        Ok(())
    }
}

fn choices() -> Vec<Choice> {
    let slot = |generation, slot| Choice::Slot { generation, slot };
    let mut choices = vec![slot(1, 7), Choice::Dummy, slot(0, 0), slot(0, 4)];
    // More than are decoded at once.
    choices.extend([Choice::Dummy; 5]);
    choices.extend([slot(1, 0), slot(1, 3)]);
    choices
}

#[test]
fn both_engines_bring_the_same_slots() {
    let world = world();
    for engine in [Engine::Ring, Engine::Stream] {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let (retrieval, up) = Retrieval::begin(engine, &world.stack, &choices(), &mut rng).unwrap();
        assert_eq!(retrieval.engine(), engine);
        let down = world.down(engine, &up);
        assert_eq!(down.len() as u64, retrieval.bytes_down());
        let hint = (engine == Engine::Ring).then_some(&world.hint);
        let mut taken = Vec::new();
        retrieval
            .slots(hint, reader(&down), |index, slot| {
                taken.push((index, slot));
                Ok(())
            })
            .unwrap();
        let expected = [(0, 12), (2, 0), (3, 4), (9, 5), (10, 8)]
            .map(|(index, slot)| (index, world.slots[slot].clone()));
        assert!(taken == expected, "{engine}");
    }
}

#[test]
fn what_moves_is_as_long_as_was_predicted_whatever_is_chosen() {
    let world = world();
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    for engine in [Engine::Ring, Engine::Stream] {
        let cost = engine.cost(&world.stack, 11);
        for choices in [choices(), vec![Choice::Dummy; 11]] {
            let (retrieval, up) =
                Retrieval::begin(engine, &world.stack, &choices, &mut rng).unwrap();
            assert_eq!(up.len() as u64, cost.bytes_up);
            assert_eq!(retrieval.bytes_down(), cost.bytes_down);
        }
    }
}

#[test]
fn what_is_not_there_is_refused() {
    let world = world();
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    for engine in [Engine::Ring, Engine::Stream] {
        for (generation, slot) in [(0, 5), (1, 8), (2, 0)] {
            let choice = [Choice::Slot { generation, slot }];
            let error = Retrieval::begin(engine, &world.stack, &choice, &mut rng).unwrap_err();
            assert_eq!(error, Error::NoSuchSlot);
        }
        // All of it must be there.
        let (retrieval, up) = Retrieval::begin(engine, &world.stack, &choices(), &mut rng).unwrap();
        let mut down = world.down(engine, &up);
        down.pop();
        let failed = retrieval.slots(Some(&world.hint), reader(&down), |_, _| Ok(()));
        assert!(matches!(failed, Err(Failure::Read)), "{engine}: {failed:?}");
    }
}

#[test]
fn the_ring_engine_needs_hints_and_a_stream_does_not() {
    let world = world();
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    for (engine, opens) in [(Engine::Ring, false), (Engine::Stream, true)] {
        let (retrieval, up) = Retrieval::begin(engine, &world.stack, &choices(), &mut rng).unwrap();
        let down = world.down(engine, &up);
        let result = retrieval.slots(None, reader(&down), |_, _| Ok::<_, Failure>(()));
        assert_eq!(result.is_ok(), opens, "{engine}: {result:?}");
    }
}

#[test]
fn what_was_chosen_does_not_print() {
    let world = world();
    for engine in [Engine::Ring, Engine::Stream] {
        let mut rng = ChaCha20Rng::seed_from_u64(6);
        let (retrieval, _) = Retrieval::begin(engine, &world.stack, &choices(), &mut rng).unwrap();
        assert!(format!("{retrieval:?}").ends_with("kept: Kept(..) }"));
    }
}
