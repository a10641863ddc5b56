//! Measured noise against the formula (oblivious-encoding 8).

use super::*;
use crate::ring::{Batch, Coeff, Kernel, LANES, Ntt};
use crate::{bits, wire};

/// The mean square of the noise in the coefficients of the chosen slot, before the answer is rounded.
fn measured_variance(
    stack: &Stack,
    encoded: &[Encoded],
    hint: &StackHint,
    slot: &[u8],
    rng: &mut ChaCha20Rng,
) -> f64 {
    let params = stack.params();
    let (secret, query) = client::query(
        stack,
        Choice::Slot {
            generation: 0,
            slot: 0,
        },
        rng,
    )
    .unwrap();
    let mut partial = [PartialAnswer::new(stack)];
    for (g, encoded) in encoded.iter().enumerate() {
        encoded
            .accumulate(&[query.part(stack, g).unwrap()], &mut partial)
            .unwrap();
    }
    let [partial] = partial;
    assert_eq!(
        stack.shape().interleave(),
        1,
        "answers are whole polynomials"
    );
    let row_bytes = wire::row_bytes(params.plaintext_bits);
    let mut padded = slot.to_vec();
    padded.resize(stack.shape().symbol_rows(params) * row_bytes, 0);
    let symbols: Vec<u64> = padded
        .chunks_exact(row_bytes)
        .flat_map(|row| bits::unpack_row(row, params.plaintext_bits))
        .collect();
    let ring = params.ring();
    let (q, p) = (params.modulus() as i128, 1i128 << params.plaintext_bits);
    let mut squares = 0.0;
    let blocks = partial
        .rows
        .as_slice()
        .chunks_exact(ring.rows())
        .zip(hint.rows().chunks_exact(ring.rows()));
    for ((answer, hint), symbols) in blocks.zip(symbols.chunks(ring.n * LANES)) {
        let answer = Batch::<Ntt>::from_rows(ring, answer).into_coeff(Kernel::best());
        let mut masks = Batch::<Ntt>::from_rows(ring, hint);
        masks.multiply(Kernel::best(), &secret.values);
        let masks = masks.into_coeff(Kernel::best());
        for (index, symbol) in symbols.iter().enumerate() {
            let expected = params.delta() as i128 * (i128::from(*symbol) - p / 2);
            let got = lift(&answer, index) - lift(&masks, index);
            let noise = (got - expected + q / 2).rem_euclid(q) - q / 2;
            squares += (noise as f64).powi(2);
        }
    }
    squares / symbols.len() as f64
}

/// The number in [0, q) of a coefficient.
fn lift(batch: &Batch<Coeff>, index: usize) -> i128 {
    let ring = batch.ring;
    let residue = |prime: usize| batch.residues(prime)[index / LANES][index % LANES];
    let scaled = (0..ring.primes.len()).map(|prime| {
        let p = &ring.primes[prime];
        let n = p.factor(ring.n as u32).value;
        p.multiply(p.multiply(residue(prime), ring.crt_scale(prime).value), n)
    });
    ring.lift(scaled) as i128
}

/// One block of whole rows, so that every coefficient carries data.
fn full_block(set: ParamSetId) -> u32 {
    let params = Params::by_id(set).unwrap();
    (params.degree * wire::row_bytes(params.plaintext_bits)) as u32
}

#[test]
fn noise_is_what_the_formula_says() {
    let mut rng = ChaCha20Rng::seed_from_u64(20);
    // Dominated by the query's errors, then by what the hints leave out.
    let few = |set| vec![info_in(set, 100, full_block(set), 1, 1)];
    let many = |set| {
        (0..12)
            .map(|s| info_in(set, 1, full_block(set), 1, s))
            .collect()
    };
    for generations in SETS.into_iter().flat_map(|set| [few(set), many(set)]) {
        let world = world(generations, &mut rng);
        let noise = world
            .stack
            .params()
            .noise(world.stack.polys(), world.encoded.len());
        let expected = noise.query_variance + noise.hint_variance;
        let measured: f64 = (0..8)
            .map(|_| {
                measured_variance(
                    &world.stack,
                    &world.encoded,
                    &world.hint,
                    &world.slots[0][0],
                    &mut rng,
                )
            })
            .sum::<f64>()
            / 8.0;
        let ratio = measured / expected;
        assert!(
            (0.95..1.05).contains(&ratio),
            "measured over expected variance: {ratio}"
        );
    }
}

#[test]
fn a_bad_parameter_set_fails_as_predicted() {
    let mut rng = ChaCha20Rng::seed_from_u64(21);
    let bad = GenerationInfo {
        params: ParamSetId(0xFFFF),
        ..info(64, 4096, 1, 1)
    };
    let refused = Stack::new(vec![bad]);
    assert_eq!(
        refused.err(),
        Some(Error::TooNoisy {
            generations: 1,
            polys: 64
        })
    );
    let stack = Stack::assemble(vec![bad], 64);
    let slots = random_slots(&bad, &mut rng);
    let encoded = encode(&bad, &slots);
    let hint = StackHint::sum(&stack, &[encoded.hint()]).unwrap();
    let (secret, query) = client::query(
        &stack,
        Choice::Slot {
            generation: 0,
            slot: 5,
        },
        &mut rng,
    )
    .unwrap();
    let answers = answer(&stack, &[&encoded], &[query]).unwrap();
    assert_ne!(secret.decode(&hint, &answers[0]).unwrap(), slots[5]);
}
