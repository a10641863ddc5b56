use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::{GenerationInfo, ParamSetId, Seed};

fn stack() -> Stack {
    let info = |slots, seed| GenerationInfo {
        params: ParamSetId(1),
        shape: Shape::new(slots, 512, 8).unwrap(),
        seed: Seed([seed; 32]),
    };
    Stack::new(vec![info(20, 1), info(150, 2)]).unwrap()
}

/// What a query's polynomials hold beyond a_j s: index of the polynomial, coefficient and value of everything that is
/// not small, as multiples of Delta.
fn selections(stack: &Stack, choice: Choice, seed: u64) -> Vec<(usize, usize, i64)> {
    let (secret, query) = query(stack, choice, &mut ChaCha20Rng::seed_from_u64(seed)).unwrap();
    let params = stack.params();
    let bytes = query.to_bytes();
    let mut found = Vec::new();
    for (info, offset) in stack.generations().iter().zip(stack.offsets()) {
        for j in 0..info.shape.polys() {
            let mut known = sample::public_batch(&info.seed, j, 1).into_ntt(Kernel::best());
            known.multiply(Kernel::best(), &secret.values);
            let known = known.into_coeff(Kernel::best());
            let mut residues = vec![0; 2 * N];
            let start = wire::QUERY_HEADER + (offset + j) as usize * wire::POLY_BYTES;
            for (prime, residues) in residues.chunks_exact_mut(N).enumerate() {
                let start = start + prime * wire::RESIDUE_BYTES;
                bits::unpack(&bytes[start..start + wire::RESIDUE_BYTES], 27, residues);
            }
            for k in 0..N {
                let rest = |prime: usize| {
                    let p = i128::from(params.primes[prime]);
                    (i128::from(residues[prime * N + k]) - i128::from(known.residues(prime)[k][0]))
                        .rem_euclid(p)
                };
                let value = lift(params, rest(0), rest(1));
                if value.abs() > 21 {
                    let multiple = (value as f64 / params.delta() as f64).round() as i64;
                    assert!((value - multiple * params.delta() as i64).abs() <= 21);
                    found.push(((offset + j) as usize, k, multiple));
                }
            }
        }
    }
    found
}

/// The centred number with these residues, by trial-free textbook CRT.
fn lift(params: &Params, r0: i128, r1: i128) -> i64 {
    let (p0, p1) = (i128::from(params.primes[0]), i128::from(params.primes[1]));
    let inverse = i128::from(Ring::get().primes[1].invert((p0 % p1) as u32));
    let x = r0 + p0 * ((r1 - r0) * inverse).rem_euclid(p1);
    i64::try_from(if x > p0 * p1 / 2 { x - p0 * p1 } else { x }).unwrap()
}

#[test]
fn a_query_selects_exactly_its_slot() {
    let stack = stack();
    for (generation, slot, expected) in [
        (0, 0, (0, 0, 1)),
        (0, 1, (0, N - 1, -1)),
        (0, 19, (2, N - 3, -1)),
        (1, 0, (3, 0, 1)),
        (1, 149, (3 + 18, N - 5, -1)),
    ] {
        assert_eq!(
            selections(&stack, Choice::Slot { generation, slot }, 1),
            [expected]
        );
    }
    assert_eq!(selections(&stack, Choice::Dummy, 1), []);
}

#[test]
fn slots_outside_the_stack_are_refused() {
    let stack = stack();
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    for (generation, slot) in [(0, 20), (1, 150), (2, 0), (usize::MAX, 0), (0, u32::MAX)] {
        let refused = query(&stack, Choice::Slot { generation, slot }, &mut rng);
        assert_eq!(refused.err(), Some(Error::NoSuchSlot));
    }
}

#[test]
fn secrets_and_queries_are_fresh_and_of_one_size() {
    let stack = stack();
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let choice = Choice::Slot {
        generation: 1,
        slot: 7,
    };
    let (a, first) = query(&stack, choice, &mut rng).unwrap();
    let (b, second) = query(&stack, choice, &mut rng).unwrap();
    let (_, dummy) = query(&stack, Choice::Dummy, &mut rng).unwrap();
    assert_ne!(a.values.residues(0), b.values.residues(0));
    assert_ne!(first, second);
    for query in [first, second, dummy] {
        assert_eq!(query.to_bytes().len() as u64, stack.query_bytes());
        assert_eq!(Query::from_bytes(&stack, &query.to_bytes()).unwrap(), query);
    }
}

#[test]
fn every_query_draws_the_same_randomness() {
    // The amount of work depends on the stack only.
    let stack = stack();
    let used = |choice| {
        let mut rng = ChaCha20Rng::seed_from_u64(4);
        query(&stack, choice, &mut rng).unwrap();
        rng.get_word_pos()
    };
    let expected = used(Choice::Dummy);
    for slot in [0, 1, 77, 149] {
        assert_eq!(
            used(Choice::Slot {
                generation: 1,
                slot
            }),
            expected
        );
    }
}

#[test]
fn what_is_secret_does_not_print() {
    let stack = stack();
    let choice = Choice::Slot {
        generation: 1,
        slot: 123,
    };
    let (secret, _) = query(&stack, choice, &mut ChaCha20Rng::seed_from_u64(5)).unwrap();
    assert_eq!(format!("{choice:?} {secret:?}"), "Choice(..) Secret(..)");
}
