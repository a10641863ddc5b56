//! The attack that the ring allows: one query for the sum of two slots (docs/threat-model.md, "What a consumer may learn").
//!
//! A query is b_j = a_j s + e_j + Delta m_j for each polynomial j. Whoever made it can add Delta X^-i to any b_j and so
//! select slot i of polynomial j as well; the answer decodes to the sum, coefficient by coefficient modulo p.

use anyhow::{Result, ensure};
use harpo_oblivious::Params;
use harpo_protocol::retrieval::Ticket;
use harpo_protocol::sign::Signed;

use crate::rogue::{Held, Rogue, ask, read};

/// Bits of a residue on the wire (docs/oblivious-encoding.md).
const RESIDUE_BITS: usize = 27;

/// Asks for slot `first` plus slot `second`.
pub(crate) async fn sum_of_two(
    rogue: &Rogue,
    held: &Held,
    ticket: &Signed<Ticket>,
    generation: usize,
    first: u32,
    second: u32,
) -> Result<Vec<u8>> {
    let (secret, query) = ask(held, generation, first)?;
    let mut bytes = query.to_bytes();
    select(held, &mut bytes, generation, second)?;
    let answer = rogue.spend(ticket, &bytes).await?;
    read(held, secret, &answer)
}

/// Adds Delta X^-i to the polynomial of `slot`.
fn select(held: &Held, query: &mut [u8], generation: usize, slot: u32) -> Result<()> {
    let stack = &held.stack;
    ensure!(generation == 0, "written for the first generation");
    let params = stack.params();
    let interleave = stack.generations()[0].shape.interleave();
    let (poly, place) = ((slot / interleave) as usize, (slot % interleave) as usize);
    let residues = stack.polys() as usize * params.primes.len() * params.degree;
    let header = query.len() - residues * RESIDUE_BITS / 8;
    for (index, prime) in params.primes.iter().enumerate() {
        let prime = u64::from(*prime);
        let delta = (params.delta() % u128::from(prime)) as u64;
        // X^-i is 1 for i = 0 and −X^(n−i) else.
        let (coefficient, weight) = match place {
            0 => (0, delta),
            place => (params.degree - place, prime - delta),
        };
        let at = (params.primes.len() * poly + index) * params.degree + coefficient;
        let residue = bits(&query[header..], at, RESIDUE_BITS);
        set_bits(
            &mut query[header..],
            at,
            RESIDUE_BITS,
            (residue + weight) % prime,
        );
    }
    Ok(())
}

/// The sum of two slots as the ring adds them: in symbols of the default parameter set, modulo p, each moved by p / 2 so that zero
/// is in the middle (docs/oblivious-encoding.md 3.2).
pub(crate) fn add(first: &[u8], second: &[u8]) -> Vec<u8> {
    let width = Params::DEFAULT.plaintext_bits as usize;
    let symbols = (first.len() * 8).div_ceil(width);
    let padded = |slot: &[u8]| [slot, &[0; 8]].concat();
    let (first_slot, second_slot) = (padded(first), padded(second));
    let mut sum = vec![0; first_slot.len()];
    for at in 0..symbols {
        let middle = 1 << (width - 1);
        let both = bits(&first_slot, at, width) + bits(&second_slot, at, width) + middle;
        set_bits(&mut sum, at, width, both % (1 << width));
    }
    sum.truncate(first.len());
    sum
}

/// Value number `at` of a little-endian string of values of `width` bits.
fn bits(bytes: &[u8], at: usize, width: usize) -> u64 {
    (0..width).fold(0, |value, bit| {
        let position = at * width + bit;
        value | u64::from(bytes[position / 8] >> (position % 8) & 1) << bit
    })
}

fn set_bits(bytes: &mut [u8], at: usize, width: usize, value: u64) {
    for bit in 0..width {
        let position = at * width + bit;
        let mask = 1 << (position % 8);
        bytes[position / 8] &= !mask;
        if value >> bit & 1 == 1 {
            bytes[position / 8] |= mask;
        }
    }
}
