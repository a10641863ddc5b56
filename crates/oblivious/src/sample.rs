//! Random polynomials: the public ones from a seed (oblivious-encoding 3.3), secrets and errors from the caller's
//! generator (oblivious-encoding 4.2).

use rand_chacha::ChaCha20Rng;
use rand_core::{CryptoRng, Rng, SeedableRng};
use zeroize::Zeroizing;

use crate::Seed;
use crate::ring::{Batch, Coeff, LANES, PRIME_BITS, Ring};

/// The public polynomials a_first .. of a generation, `count` (at most sixteen) of them in the first lanes.
///
/// Polynomial j takes words from ChaCha20 with the seed as key, j as nonce and counter 0. The low 27 bits of each
/// word are a residue unless they reach the prime, then the word is skipped; n residues modulo the first prime,
/// then n modulo the next.
pub(crate) fn public_batch(
    ring: &'static Ring,
    seed: &Seed,
    first: u32,
    count: usize,
) -> Batch<Coeff> {
    let mut batch = Batch::zero(ring);
    for lane in 0..count {
        let mut rng = ChaCha20Rng::from_seed(seed.0);
        rng.set_stream(u64::from(first) + lane as u64);
        let mut bytes = [0; 1024];
        let mut at = bytes.len();
        for (index, prime) in ring.primes.iter().enumerate() {
            for coefficient in 0..ring.n {
                *batch.coefficient_mut(index, coefficient, lane) = loop {
                    if at == bytes.len() {
                        rng.fill_bytes(&mut bytes);
                        at = 0;
                    }
                    let word = u32::from_le_bytes([
                        bytes[at],
                        bytes[at + 1],
                        bytes[at + 2],
                        bytes[at + 3],
                    ]);
                    at += 4;
                    let residue = word & ((1 << PRIME_BITS) - 1);
                    if residue < prime.value {
                        break residue;
                    }
                };
            }
        }
    }
    batch
}

/// A polynomial with coefficients uniform in -1, 0, 1 (bias below 2^-62), in lane 0. Constant time.
pub(crate) fn ternary(ring: &'static Ring, rng: &mut impl CryptoRng) -> Batch<Coeff> {
    let mut batch = Batch::zero(ring);
    let mut bytes = Zeroizing::new(vec![0; 8 * ring.n]);
    rng.fill_bytes(&mut bytes);
    for (coefficient, word) in bytes.as_chunks::<8>().0.iter().enumerate() {
        let third = ((u128::from(u64::from_le_bytes(*word)) * 3) >> 64) as u32;
        for (index, prime) in ring.primes.iter().enumerate() {
            *batch.coefficient_mut(index, coefficient, 0) =
                wrap(third + prime.value - 1, prime.value);
        }
    }
    batch
}

/// Adds fresh errors to every coefficient of the first `count` lanes: the number of ones among `eta` bits less that among
/// `eta` others. Constant time.
pub(crate) fn add_errors(
    batch: &mut Batch<Coeff>,
    count: usize,
    eta: u32,
    rng: &mut impl CryptoRng,
) {
    debug_assert!(2 * eta <= 48 && count <= LANES);
    let half = (1u64 << eta) - 1;
    let ring = batch.ring;
    let mut bytes = Zeroizing::new(vec![0; 6 * ring.n]);
    for lane in 0..count {
        rng.fill_bytes(&mut bytes);
        for (coefficient, b) in bytes.as_chunks::<6>().0.iter().enumerate() {
            let word = u64::from_le_bytes([b[0], b[1], b[2], b[3], b[4], b[5], 0, 0]);
            let (plus, minus) = (
                (word & half).count_ones(),
                (word >> eta & half).count_ones(),
            );
            for (index, prime) in ring.primes.iter().enumerate() {
                let residue = batch.coefficient_mut(index, coefficient, lane);
                *residue = wrap(
                    wrap(*residue + plus, prime.value) + prime.value - minus,
                    prime.value,
                );
            }
        }
    }
}

/// From below twice the prime to below the prime, without a branch.
#[inline(always)]
pub(crate) fn wrap(value: u32, prime: u32) -> u32 {
    value.min(value.wrapping_sub(prime))
}

#[cfg(test)]
mod tests;
