use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::*;
use crate::{GenerationInfo, ParamSetId, Seed};

const N: usize = 2048;

fn stack() -> Stack {
    stack_in(ParamSetId(1))
}

fn stack_in(params: ParamSetId) -> Stack {
    let info = |slots, seed| GenerationInfo {
        params,
        shape: Shape::new(slots, 512, 8).unwrap(),
        seed: Seed([seed; 32]),
    };
    Stack::new(vec![info(20, 1), info(150, 2)]).unwrap()
}

/// What a query's polynomials hold beyond a_j s: index of the polynomial, coefficient and value of everything that is
/// not small, as multiples of Delta.
fn selections(stack: &Stack, choice: Choice, seed: u64) -> Vec<(usize, usize, i128)> {
    let (secret, query) = query(stack, choice, &mut ChaCha20Rng::seed_from_u64(seed)).unwrap();
    let params = stack.params();
    let bytes = query.to_bytes();
    let mut found = Vec::new();
    for (info, offset) in stack.generations().iter().zip(stack.offsets()) {
        for j in 0..info.shape.polys() {
            let mut known =
                sample::public_batch(params.ring(), &info.seed, j, 1).into_ntt(Kernel::best());
            known.multiply(Kernel::best(), &secret.values);
            let known = known.into_coeff(Kernel::best());
            let ring = params.ring();
            let mut residues = vec![0; ring.rows()];
            let start = wire::QUERY_HEADER + (offset + j) as usize * params.poly_bytes();
            bits::unpack(&bytes[start..][..params.poly_bytes()], 27, &mut residues);
            for k in 0..ring.n {
                let rest = |prime: usize| {
                    let p = i128::from(params.primes[prime]);
                    (i128::from(residues[prime * ring.n + k])
                        - i128::from(known.residues(prime)[k][0]))
                    .rem_euclid(p)
                };
                let value = lift(params, rest);
                if value.abs() > 21 {
                    let multiple = (value as f64 / params.delta() as f64).round() as i128;
                    assert!((value - multiple * params.delta() as i128).abs() <= 21);
                    found.push(((offset + j) as usize, k, multiple));
                }
            }
        }
    }
    found
}

/// The centred number with these residues: one prime after the other.
fn lift(params: &Params, residue: impl Fn(usize) -> i128) -> i128 {
    let (mut x, mut modulus) = (0, 1);
    for (index, prime) in params.primes.iter().enumerate() {
        let p = i128::from(*prime);
        let inverse = params.ring().primes[index].invert((modulus % p) as u32);
        x += modulus * ((residue(index) - x) * i128::from(inverse)).rem_euclid(p);
        modulus *= p;
    }
    if x > modulus / 2 { x - modulus } else { x }
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
fn a_query_in_the_larger_ring_selects_exactly_its_slot() {
    let stack = stack_in(ParamSetId(2));
    let choice = Choice::Slot {
        generation: 1,
        slot: 149,
    };
    assert_eq!(selections(&stack, choice, 1), [(3 + 18, 4096 - 5, -1)]);
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
