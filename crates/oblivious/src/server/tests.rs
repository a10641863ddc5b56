use std::convert::Infallible;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::*;
use crate::client::{self, Choice};
use crate::{ParamSetId, Seed, StackHint};

/// Sealed generations with their plain slots.
struct World {
    stack: Stack,
    slots: Vec<Vec<Vec<u8>>>,
    encoded: Vec<Encoded>,
    hint: StackHint,
}

fn info(slots: u32, slot_bytes: u32, interleave: u32, seed: u8) -> GenerationInfo {
    GenerationInfo {
        params: ParamSetId(1),
        shape: Shape::new(slots, slot_bytes, interleave).unwrap(),
        seed: Seed([seed; 32]),
    }
}

fn random_slots(info: &GenerationInfo, rng: &mut ChaCha20Rng) -> Vec<Vec<u8>> {
    (0..info.shape.slots())
        .map(|_| {
            let mut slot = vec![0; info.shape.slot_bytes() as usize];
            rng.fill_bytes(&mut slot);
            slot
        })
        .collect()
}

fn encode(info: &GenerationInfo, slots: &[Vec<u8>]) -> Encoded {
    let mut next = 0;
    Encoded::encode::<Infallible>(info, |index, bytes| {
        assert_eq!(index, next, "slots are read once, in order");
        next += 1;
        bytes.copy_from_slice(&slots[index as usize]);
        Ok(())
    })
    .unwrap()
}

fn world(generations: Vec<GenerationInfo>, rng: &mut ChaCha20Rng) -> World {
    let slots: Vec<_> = generations
        .iter()
        .map(|info| random_slots(info, rng))
        .collect();
    let encoded: Vec<_> = generations
        .iter()
        .zip(&slots)
        .map(|(info, slots)| encode(info, slots))
        .collect();
    let stack = Stack::new(generations).unwrap();
    let hints: Vec<Hint> = encoded.iter().map(Encoded::hint).collect();
    let hint = StackHint::sum(&stack, &hints).unwrap();
    World {
        stack,
        slots,
        encoded,
        hint,
    }
}

#[test]
fn slots_of_several_shapes_come_back() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    for (slots, slot_bytes, interleave) in [
        (8, 16_384, 2),
        (64, 16_384, 8),
        (13, 65_536, 4),
        (1, 1, 1),
        (5, 1000, 1),
        (40, 24, 64),
        (3000, 8, 2048),
    ] {
        let world = world(vec![info(slots, slot_bytes, interleave, 7)], &mut rng);
        for slot in [0, slots / 2, slots - 1] {
            let (secret, query) = client::query(
                &world.stack,
                Choice::Slot {
                    generation: 0,
                    slot,
                },
                &mut rng,
            )
            .unwrap();
            let answers = answer(&world.stack, &[&world.encoded[0]], &[query]).unwrap();
            let got = secret.decode(&world.hint, &answers[0]).unwrap();
            assert!(
                got == world.slots[0][slot as usize],
                "slot {slot} of {slots} x {slot_bytes}, t = {interleave}"
            );
        }
    }
}
