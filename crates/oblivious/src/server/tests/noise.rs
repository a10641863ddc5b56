//! Measured noise against the formula (oblivious-encoding 8).

use super::*;
use crate::ring::{Batch, Coeff, Ring};
use crate::wire;

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
    let mut symbols = vec![0; stack.shape().symbol_rows(params) * LANES];
    let mut padded = slot.to_vec();
    padded.resize(
        stack.shape().symbol_rows(params) * wire::row_bytes(params.plaintext_bits),
        0,
    );
    crate::bits::unpack(&padded, params.plaintext_bits, &mut symbols);
    let (q, p) = (params.modulus() as i128, 1i128 << params.plaintext_bits);
    let mut squares = 0.0;
    let blocks = partial
        .rows
        .as_slice()
        .chunks_exact(2 * N)
        .zip(hint.rows().chunks_exact(2 * N));
    for ((answer, hint), symbols) in blocks.zip(symbols.chunks(N * LANES)) {
        let answer = coefficients(answer);
        let mut masks = Batch::<crate::ring::Ntt>::from_rows(hint);
        masks.multiply(Kernel::best(), &secret.values);
        let masks = masks.into_coeff(Kernel::best());
        for (index, symbol) in symbols.iter().enumerate() {
            let expected = i128::from(params.delta()) * (i128::from(*symbol) - p / 2);
            let got = lift(&answer, index) - lift(&masks, index);
            let noise = (got - expected + q / 2).rem_euclid(q) - q / 2;
            squares += (noise as f64).powi(2);
        }
    }
    squares / symbols.len() as f64
}

fn coefficients(rows: &[crate::ring::Row]) -> Batch<Coeff> {
    Batch::<crate::ring::Ntt>::from_rows(rows).into_coeff(Kernel::best())
}

fn lift(batch: &Batch<Coeff>, index: usize) -> i128 {
    let ring = Ring::get();
    let residue = |prime: usize| batch.residues(prime)[index / LANES][index % LANES];
    let p = [
        i128::from(ring.primes[0].value),
        i128::from(ring.primes[1].value),
    ];
    let inverse = i128::from(ring.primes[1].invert(ring.primes[0].value % ring.primes[1].value));
    let (a, b) = (i128::from(residue(0)), i128::from(residue(1)));
    a + p[0] * ((b - a) * inverse).rem_euclid(p[1])
}

/// One block of whole rows, so that every coefficient carries data.
const FULL_BLOCK: u32 = (2048 * 38) as u32;

#[test]
fn noise_is_what_the_formula_says() {
    let mut rng = ChaCha20Rng::seed_from_u64(20);
    // Dominated by the query's errors, then by what the hints leave out.
    for generations in [
        vec![info(100, FULL_BLOCK, 1, 1)],
        (0..12).map(|s| info(1, FULL_BLOCK, 1, s)).collect(),
    ] {
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
