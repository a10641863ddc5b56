//! The consumer: making a query and decoding its answer (oblivious-encoding 4 and 7).
//!
//! Neither branches nor memory addresses depend on the secret, nor on which slot is chosen; a caller's [`Choice`] is taken
//! apart once, by its kind and its generation (docs/oblivious-transfer.md 9.1).

use rand_core::CryptoRng;
use rayon::prelude::*;
use subtle::{ConditionallySelectable, ConstantTimeEq, ConstantTimeLess};
use zeroize::Zeroizing;

use crate::ring::{
    Batch, Coeff, Kernel, LANES, Ring, Row, Rows, Simd, Single, Task, Values, dot_tiles, inverse,
};
use crate::{Answer, Error, Params, Query, Shape, Stack, StackHint, bits, sample, wire};

/// What a query asks for. Known to the consumer alone, until the query is made.
#[derive(Clone, Copy)]
pub enum Choice {
    /// One slot of one generation, which is counted in the order of the stack.
    Slot {
        /// Index of the generation in the stack.
        generation: usize,
        /// Index of the slot in the generation.
        slot: u32,
    },
    /// No slot: pads a retrieval to its class. The server cannot tell it from a real query.
    Dummy,
}

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Choice(..)")
    }
}

/// The secret of one query, the only thing that opens its answer. Whoever asked holds it until the answer is decoded;
/// it is wiped when dropped and never used for a second query.
pub struct Secret {
    /// s at the roots.
    pub(crate) values: Values,
    params: &'static Params,
    shape: Shape,
    stack: [u8; 32],
    /// Digests of the stack's generations, sorted.
    members: Vec<[u8; 32]>,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// The choice as numbers that the query is computed from without branches.
struct Selection {
    real: subtle::Choice,
    /// Index of the polynomial in the stack.
    poly: u32,
    /// Index of the slot among those that share the polynomial.
    place: u32,
}

impl Selection {
    fn new(stack: &Stack, choice: Choice) -> Result<Self, Error> {
        let (real, generation, slot) = match choice {
            Choice::Slot { generation, slot } => (1u8, generation as u64, slot),
            Choice::Dummy => (0, 0, 0),
        };
        let real = subtle::Choice::from(real);
        let interleave = stack.shape().interleave();
        let mut known = !real;
        let mut poly = 0;
        for (index, info) in stack.generations().iter().enumerate() {
            let here = real & (index as u64).ct_eq(&generation);
            known |= here & slot.ct_lt(&info.shape.slots());
            poly.conditional_assign(
                &(stack.offsets()[index].wrapping_add(slot >> interleave.ilog2())),
                here,
            );
        }
        // Only a caller's mistake makes this branch differ.
        if bool::from(known) {
            Ok(Selection {
                real,
                poly,
                place: slot & (interleave - 1),
            })
        } else {
            Err(Error::NoSuchSlot)
        }
    }

    /// Adds Delta X^-place to the chosen polynomial, visiting every place of every polynomial:
    /// X^-i is 1 for i = 0 and else -X^(n - i).
    fn add_to(
        &self,
        batch: &mut Batch<Coeff>,
        first: u32,
        count: usize,
        interleave: u32,
        delta: u128,
    ) {
        for (index, prime) in batch.ring.primes.iter().enumerate() {
            let plus = (delta % u128::from(prime.value)) as u32;
            for place in 0..interleave {
                let (coefficient, weight) = if place == 0 {
                    (0, plus)
                } else {
                    (batch.ring.n - place as usize, prime.value - plus)
                };
                for lane in 0..count {
                    let hit = self.real
                        & (first + lane as u32).ct_eq(&self.poly)
                        & place.ct_eq(&self.place);
                    let weight = u32::conditional_select(&0, &weight, hit);
                    let residue = batch.coefficient_mut(index, coefficient, lane);
                    *residue = sample::wrap(*residue + weight, prime.value);
                }
            }
        }
    }
}

/// Makes a query over `stack` and the secret that opens its answer.
///
/// For each polynomial j of the stack the query has b_j = a_j s + e_j + Delta m_j, where s is fresh and m_j selects the
/// slot or is zero. Time and size depend on the stack only.
///
/// # Errors
/// [`Error::NoSuchSlot`] if the stack has no such generation or slot.
pub fn query(
    stack: &Stack,
    choice: Choice,
    rng: &mut impl CryptoRng,
) -> Result<(Secret, Query), Error> {
    let selection = Selection::new(stack, choice)?;
    let params = stack.params();
    let kernel = Kernel::best();
    let ring = params.ring();
    let mut secret = sample::ternary(ring, rng).into_ntt(kernel);
    let values = Values::first_of(&secret);
    secret.wipe();
    let mut query = Query::zero(stack);
    for (info, offset) in stack.generations().iter().zip(stack.offsets()) {
        let polys = info.shape.polys() as usize;
        for first in (0..polys).step_by(LANES) {
            let count = (polys - first).min(LANES);
            let mut batch =
                sample::public_batch(ring, &info.seed, first as u32, count).into_ntt(kernel);
            batch.multiply(kernel, &values);
            let mut batch = batch.into_coeff(kernel);
            sample::add_errors(&mut batch, count, params.eta, rng);
            let position = *offset + first as u32;
            selection.add_to(
                &mut batch,
                position,
                count,
                info.shape.interleave(),
                params.delta(),
            );
            query.put(position as usize, count, &batch);
        }
    }
    let mut members = stack.digests().to_vec();
    members.sort_unstable();
    Ok((
        Secret {
            values,
            params,
            shape: stack.shape(),
            stack: stack.digest(),
            members,
        },
        query,
    ))
}

impl Secret {
    /// Decodes the answer to this secret's query: the bytes of the chosen slot. The answer to a dummy decodes to
    /// bytes that are the same for every dummy and come from no slot.
    ///
    /// Nothing here detects a server that answers wrongly: the bytes must be authenticated by the caller, and the
    /// server must not learn whether that succeeded.
    ///
    /// # Errors
    /// [`Error::WrongStack`] if the answer or the sum of hints belongs to another stack.
    pub fn decode(self, hint: &StackHint, answer: &Answer) -> Result<Vec<u8>, Error> {
        if answer.stack != self.stack || answer.params != self.params {
            return Err(Error::WrongStack { what: "answer" });
        }
        if !hint.covers_sorted(&self.members) {
            return Err(Error::WrongStack {
                what: "sum of hints",
            });
        }
        let (params, ring) = (self.params, self.params.ring());
        let rows_per_block = self.shape.rows_per_block(params);
        let row_bytes = wire::row_bytes(params.plaintext_bits);
        let mut slot = vec![0; self.shape.symbol_rows(params) * row_bytes];
        let answered = answer
            .rows
            .par_chunks(rows_per_block * wire::row_bytes(params.answer_bits));
        slot.par_chunks_mut(rows_per_block * row_bytes)
            .zip(answered)
            .zip(hint.rows().par_chunks(ring.rows()))
            .for_each_init(
                // What it holds, H s, is linear in the secret.
                || Zeroizing::new(Rows::zero(ring.primes.len() * rows_per_block)),
                |scratch, ((bytes, answered), hint)| {
                    let scratch = scratch.as_mut_slice();
                    Kernel::best().run(Decode {
                        values: &self.values,
                        ring,
                        params,
                        hint,
                        answered,
                        scratch,
                        bytes,
                    });
                },
            );
        slot.truncate(self.shape.slot_bytes() as usize);
        Ok(slot)
    }
}

/// Decodes one block of chunks.
struct Decode<'a> {
    values: &'a Values,
    ring: &'static Ring,
    params: &'static Params,
    /// n rows for each prime.
    hint: &'a [Row],
    /// Packed rows of the answer.
    answered: &'a [u8],
    /// n / t rows for each prime.
    scratch: &'a mut [Row],
    bytes: &'a mut [u8],
}

impl Decode<'_> {
    /// H s, its coefficients at multiples of t, as fractions need them.
    #[inline(always)]
    fn masks<S: Simd>(&mut self, simd: S) {
        let ring = self.ring;
        let outputs = self.scratch.len() / ring.primes.len();
        let run = ring.n / outputs;
        let parts = self
            .scratch
            .chunks_exact_mut(outputs)
            .zip(self.hint.chunks_exact(ring.n));
        for (index, (masks, hint)) in parts.enumerate() {
            let prime = &ring.primes[index];
            let values = self.values.residues(index).chunks_exact(run);
            for ((mask, lines), values) in masks.iter_mut().zip(hint.chunks_exact(run)).zip(values)
            {
                *mask = [0; LANES];
                dot_tiles(simd, prime, lines, &[values], &mut Single(mask));
            }
            inverse(simd, prime, masks, ring.crt_scale(index));
        }
    }
}

impl Task for Decode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.masks(simd);
        let (bits, answer_bits) = (self.params.plaintext_bits, self.params.answer_bits);
        let answered = self.answered.chunks_exact(wire::row_bytes(answer_bits));
        let packed = self.bytes.chunks_exact_mut(wire::row_bytes(bits));
        for (index, (answered, packed)) in answered.zip(packed).enumerate() {
            let mut row = bits::unpack_row(answered, answer_bits);
            let masks = self.ring.fractions(self.scratch, index);
            for (symbol, mask) in row.iter_mut().zip(masks) {
                let phase = (*symbol << (64 - answer_bits)).wrapping_sub(mask);
                // Rounded to a multiple of 2^-bits, then back from centred values.
                let rounded = phase.wrapping_add(1 << (63 - bits)) >> (64 - bits);
                *symbol = rounded.wrapping_add(1 << (bits - 1)) & ((1 << bits) - 1);
            }
            bits::pack_row(&row, bits, packed);
        }
    }
}

#[cfg(test)]
mod tests;
