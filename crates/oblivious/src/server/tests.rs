use std::convert::Infallible;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::*;
use crate::client::{self, Choice};
use crate::{ParamSetId, Seed, Shape, StackHint};

/// Sealed generations with their plain slots.
struct World {
    stack: Stack,
    slots: Vec<Vec<Vec<u8>>>,
    encoded: Vec<Encoded>,
    hint: StackHint,
}

/// All parameter sets that are meant to work.
const SETS: [ParamSetId; 2] = [ParamSetId(1), ParamSetId(2)];

/// A generation of set 1.
fn info(slots: u32, slot_bytes: u32, interleave: u32, seed: u8) -> GenerationInfo {
    info_in(ParamSetId(1), slots, slot_bytes, interleave, seed)
}

fn info_in(
    params: ParamSetId,
    slots: u32,
    slot_bytes: u32,
    interleave: u32,
    seed: u8,
) -> GenerationInfo {
    GenerationInfo {
        params,
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
    let mut read = vec![0; slots.len()];
    let encoded = Encoded::encode::<Infallible>(info, |slot, offset, bytes| {
        let (slot, offset) = (slot as usize, offset as usize);
        assert_eq!(offset, read[slot], "pieces of a slot come in order");
        read[slot] += bytes.len();
        bytes.copy_from_slice(&slots[slot][offset..][..bytes.len()]);
        Ok(())
    })
    .unwrap();
    let whole = info.shape.slot_bytes() as usize;
    assert!(read.iter().all(|read| *read == whole), "and once each");
    encoded
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
    for set in SETS {
        slots_of_several_shapes_come_back_in(set);
    }
}

fn slots_of_several_shapes_come_back_in(set: ParamSetId) {
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
        let world = world(
            vec![info_in(set, slots, slot_bytes, interleave, 7)],
            &mut rng,
        );
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
                "set {set:?}: slot {slot} of {slots} x {slot_bytes}, t = {interleave}"
            );
        }
    }
}

mod noise;
mod refusals;

#[test]
fn several_queries_over_several_generations_come_back_in_one_pass() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let world = world(
        vec![
            info(20, 2000, 4, 1),
            info(7, 2000, 4, 2),
            info(64, 2000, 4, 3),
        ],
        &mut rng,
    );
    for count in [1, 2, 3, 7, 8, 11] {
        let mut asked = Vec::new();
        for number in 0..count {
            let generation = number % 3;
            let slot = rng.next_u32() % world.stack.generations()[generation].shape.slots();
            let (secret, query) =
                client::query(&world.stack, Choice::Slot { generation, slot }, &mut rng).unwrap();
            let query = Query::from_bytes(&world.stack, &query.to_bytes()).unwrap();
            asked.push((generation, slot as usize, secret, query));
        }
        let queries: Vec<Query> = asked.iter().map(|(.., query)| query.clone()).collect();
        // In any order of the generations.
        let encoded = [&world.encoded[2], &world.encoded[0], &world.encoded[1]];
        let answers = answer(&world.stack, &encoded, &queries).unwrap();
        for ((generation, slot, secret, _), answer) in asked.into_iter().zip(answers) {
            let answer = Answer::from_bytes(&world.stack, &answer.to_bytes()).unwrap();
            assert_eq!(answer.to_bytes().len() as u64, world.stack.answer_bytes());
            assert!(secret.decode(&world.hint, &answer).unwrap() == world.slots[generation][slot]);
        }
    }
}

#[test]
fn runs_longer_than_an_accumulator_come_back() {
    for set in SETS {
        runs_longer_than_an_accumulator_come_back_in(set);
    }
}

fn runs_longer_than_an_accumulator_come_back_in(set: ParamSetId) {
    // t times polynomials is far above 1024 products.
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let world = world(vec![info_in(set, 2000, 40, 32, 1)], &mut rng);
    let (secret, query) = client::query(
        &world.stack,
        Choice::Slot {
            generation: 0,
            slot: 1999,
        },
        &mut rng,
    )
    .unwrap();
    let answers = answer(&world.stack, &[&world.encoded[0]], &[query]).unwrap();
    assert!(secret.decode(&world.hint, &answers[0]).unwrap() == world.slots[0][1999]);
}

#[test]
fn a_dummy_gives_no_slot() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let world = world(vec![info(16, 1900, 2, 1)], &mut rng);
    let (secret, query) = client::query(&world.stack, Choice::Dummy, &mut rng).unwrap();
    assert_eq!(query.to_bytes().len() as u64, world.stack.query_bytes());
    let answers = answer(&world.stack, &[&world.encoded[0]], &[query]).unwrap();
    assert_eq!(
        answers[0].to_bytes().len() as u64,
        world.stack.answer_bytes()
    );
    let bytes = secret.decode(&world.hint, &answers[0]).unwrap();
    // Every symbol is p / 2, whatever the slots hold: 2^18 in each 19 bits.
    let mut filler = vec![0u8; 1900];
    for bit in (18..1900 * 8).step_by(19) {
        filler[bit / 8] |= 1 << (bit % 8);
    }
    assert_eq!(bytes, filler);
}

#[test]
fn slots_of_constant_bytes_come_back() {
    for set in SETS {
        slots_of_constant_bytes_come_back_in(set);
    }
}

fn slots_of_constant_bytes_come_back_in(set: ParamSetId) {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let info = info_in(set, 64, 4096, 1, 1);
    let stack = Stack::new(vec![info]).unwrap();
    for byte in [0, 255] {
        let encoded = encode(&info, &vec![vec![byte; 4096]; 64]);
        let hint = StackHint::sum(&stack, &[encoded.hint()]).unwrap();
        let (secret, query) = client::query(
            &stack,
            Choice::Slot {
                generation: 0,
                slot: 33,
            },
            &mut rng,
        )
        .unwrap();
        let answers = answer(&stack, &[&encoded], &[query]).unwrap();
        assert_eq!(secret.decode(&hint, &answers[0]).unwrap(), [byte; 4096]);
    }
}

#[test]
fn kernels_answer_alike() {
    for set in SETS {
        kernels_answer_alike_in(set);
    }
}

fn kernels_answer_alike_in(set: ParamSetId) {
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let world = world(vec![info_in(set, 40, 3000, 4, 1)], &mut rng);
    let parts: Vec<QueryPart> = (0..9)
        .map(|slot| {
            let choice = Choice::Slot {
                generation: 0,
                slot,
            };
            client::query(&world.stack, choice, &mut rng)
                .unwrap()
                .1
                .part(&world.stack, 0)
                .unwrap()
        })
        .collect();
    let answers = |kernel| -> Vec<Answer> {
        let mut answers: Vec<_> = parts
            .iter()
            .map(|_| PartialAnswer::new(&world.stack))
            .collect();
        world.encoded[0]
            .accumulate_with(kernel, &parts, &mut answers)
            .unwrap();
        answers
            .into_iter()
            .map(|answer| answer.finish().unwrap())
            .collect()
    };
    let expected = answers(Kernel::best());
    for kernel in Kernel::available() {
        assert!(answers(kernel) == expected, "{}", kernel.name());
    }
}

#[test]
fn partial_answers_of_several_machines_add_up() {
    for set in SETS {
        partial_answers_of_several_machines_add_up_in(set);
    }
}

fn partial_answers_of_several_machines_add_up_in(set: ParamSetId) {
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let world = world(
        vec![
            info_in(set, 9, 700, 2, 1),
            info_in(set, 10, 700, 2, 2),
            info_in(set, 11, 700, 2, 3),
        ],
        &mut rng,
    );
    let (secret, query) = client::query(
        &world.stack,
        Choice::Slot {
            generation: 2,
            slot: 5,
        },
        &mut rng,
    )
    .unwrap();
    let on = |generations: &[usize]| {
        let mut answers = [PartialAnswer::new(&world.stack)];
        for &g in generations {
            world.encoded[g]
                .accumulate(&[query.part(&world.stack, g).unwrap()], &mut answers)
                .unwrap();
        }
        let [answer] = answers;
        // What one machine sends to the next.
        PartialAnswer::from_bytes(&world.stack, &answer.to_bytes()).unwrap()
    };
    let mut sum = on(&[2]);
    assert_eq!(
        sum.merge(&on(&[1, 2])),
        Err(Error::AddedTwice {
            what: "the partial answer"
        })
    );
    sum.merge(&on(&[0, 1])).unwrap();
    assert!(secret.decode(&world.hint, &sum.finish().unwrap()).unwrap() == world.slots[2][5]);
}

#[test]
fn hints_can_be_added_and_taken_out_as_the_stack_changes() {
    let mut rng = ChaCha20Rng::seed_from_u64(8);
    let world = world(vec![info(9, 700, 2, 1), info(10, 700, 2, 2)], &mut rng);
    let hints: Vec<Hint> = world.encoded.iter().map(Encoded::hint).collect();
    let later = Stack::new(vec![*hints[1].generation()]).unwrap();
    let mut sum = StackHint::sum(&world.stack, &hints).unwrap();
    sum.remove(&hints[0]).unwrap();
    assert!(sum.covers(&later) && !sum.covers(&world.stack));
    let (secret, query) = client::query(
        &later,
        Choice::Slot {
            generation: 0,
            slot: 3,
        },
        &mut rng,
    )
    .unwrap();
    let answers = answer(&later, &[&world.encoded[1]], &[query]).unwrap();
    assert!(secret.decode(&sum, &answers[0]).unwrap() == world.slots[1][3]);
}

#[test]
fn a_slot_that_cannot_be_read_is_named() {
    let failed = Encoded::encode(&info(10, 100, 2, 1), |slot, _, _| {
        if slot == 7 {
            Err(std::io::Error::other("gone"))
        } else {
            Ok(())
        }
    });
    assert!(matches!(failed, Err(EncodeError::Read { slot: 7, .. })));
}

#[test]
fn what_was_kept_answers_as_what_was_made() {
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    for set in SETS {
        let world = world(vec![info_in(set, 70, 50_000, 4, 1)], &mut rng);
        let info = world.stack.generations()[0];
        let kept = Kept(bytemuck::cast_slice(world.encoded[0].bytes()).to_vec());
        let short = Kept(kept.0[..kept.0.len() - ROW / 4].to_vec());
        let again = Encoded::from_shared(&info, Box::new(kept)).unwrap();
        assert!(matches!(
            Encoded::from_shared(&info, Box::new(short)),
            Err(Error::Malformed { .. })
        ));
        assert!(again.hint() == world.encoded[0].hint());
        let choice = Choice::Slot {
            generation: 0,
            slot: 69,
        };
        let (secret, query) = client::query(&world.stack, choice, &mut rng).unwrap();
        let answers = answer(&world.stack, &[&again], &[query]).unwrap();
        assert!(secret.decode(&world.hint, &answers[0]).unwrap() == world.slots[0][69]);
    }
}

/// Bytes that begin where a row may.
struct Kept(Vec<u32>);

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        bytemuck::cast_slice(&self.0)
    }
}

/// Bytes of an encoded row.
const ROW: usize = 64;

#[test]
fn stripes_make_up_the_generation() {
    let mut rng = ChaCha20Rng::seed_from_u64(10);
    for set in SETS {
        // Several stripes, the last one short.
        let info = info_in(set, 3, 1_500_000, 64, 1);
        let slots = random_slots(&info, &mut rng);
        let sealer = Sealer::new(&info).unwrap().with_stripe_bytes(1 << 20);
        assert!(sealer.stripes().len() > 2);
        let (mut slot_end, mut encoded_end) = (0, 0);
        let mut encoded = Vec::new();
        let mut hint = Vec::new();
        for stripe in sealer.stripes() {
            assert_eq!(stripe.slot_range.start, slot_end);
            assert_eq!(stripe.encoded_range.start, encoded_end);
            (slot_end, encoded_end) = (stripe.slot_range.end, stripe.encoded_range.end);
            let mut bytes = vec![0; (encoded_end - stripe.encoded_range.start) as usize];
            let mut buffers = sealer.buffers().unwrap();
            let read = |slot: u32, offset: u64, bytes: &mut [u8]| {
                bytes.copy_from_slice(&slots[slot as usize][offset as usize..][..bytes.len()]);
                Ok::<_, Infallible>(())
            };
            let sealed = sealer.seal_stripe(&stripe, &mut buffers, read).unwrap();
            bytes.copy_from_slice(sealed.encoded);
            assert!(sealer.hint_of(&stripe, &bytes).unwrap() == sealed.hint);
            assert!(sealer.hint_of(&stripe, &bytes[ROW..]).is_err());
            encoded.extend(bytes);
            hint.extend_from_slice(sealed.hint);
        }
        assert_eq!(slot_end, info.shape.slot_bytes() as usize);
        let (expected, expected_hint) =
            Encoded::seal::<Infallible>(&info, |slot, offset, bytes| {
                bytes.copy_from_slice(&slots[slot as usize][offset as usize..][..bytes.len()]);
                Ok(())
            })
            .unwrap();
        assert!(encoded == expected.bytes());
        assert!(sealer.assemble_hint(hint.clone()).unwrap() == expected_hint);
        assert!(sealer.assemble_hint(hint[1..].to_vec()).is_err());
        assert!(expected.hint() == expected_hint);
    }
}

#[test]
fn the_formats_have_not_changed() {
    let mut rng = ChaCha20Rng::from_seed([9; 32]);
    let world = world(vec![info(20, 1000, 4, 1), info(9, 1000, 4, 2)], &mut rng);
    let choice = Choice::Slot {
        generation: 1,
        slot: 6,
    };
    let (_, query) = client::query(&world.stack, choice, &mut rng).unwrap();
    let answer = answer(
        &world.stack,
        &[&world.encoded[0], &world.encoded[1]],
        std::slice::from_ref(&query),
    )
    .unwrap();
    let digest =
        |bytes: &[u8]| hex::encode(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes));
    let found = [
        hex::encode(world.stack.digest()),
        digest(&world.encoded[0].hint().to_bytes()),
        digest(&query.to_bytes()),
        digest(&answer[0].to_bytes()),
    ];
    // A change here breaks stored hints and peers of other versions: give the formats a new version instead.
    let pinned = [
        "1f1727003643d84525198f1641ea1f0415f238f2f78aeeed372d9c1abf9f9db4",
        "18fd81757d157c66be7db65e4e26543f58f24d3f812879a4903b78d05ba3fd7c",
        "503e9aaf5f396f3deedb4456dfac3d5dd2a4d6ffc007f1633edb5ccf3438ebc1",
        "a85f3552f306650faf0a1c13a5803c666d3e33302a1765d2f44aad408078945a",
    ];
    assert_eq!(found, pinned);
}
