//! The scan: sums of products over a generation, and rounding (oblivious-encoding 6).

use rayon::prelude::*;

use super::PartialAnswer;
use crate::ring::{Column, Kernel, MAX_PRODUCTS, Ring, Row, Rows, Simd, Task, dot_tiles, inverse};
use crate::{Params, QueryPart, Shape, bits, wire};

/// Blocks that one task works on together, so that what it reads of the queries stays in the nearest cache.
const BLOCKS_PER_TASK: usize = 4;

/// Adds the generation's contribution to `answers`, which were checked to belong to `parts`.
pub(super) fn accumulate(
    kernel: Kernel,
    shape: &Shape,
    params: &Params,
    rows: &[Row],
    parts: &[QueryPart],
    answers: &mut [PartialAnswer],
) {
    let ring = params.ring();
    let polys = shape.polys() as usize;
    let out_rows = ring.primes.len() * shape.rows_per_block(params);
    let tasks = rows.par_chunks(BLOCKS_PER_TASK * ring.rows() * polys);
    // For each task the same blocks of every answer.
    let mut outs: Vec<Vec<&mut [Row]>> = Vec::new();
    outs.resize_with(tasks.len(), || Vec::with_capacity(answers.len()));
    for answer in answers {
        let blocks = answer
            .rows
            .as_mut_slice()
            .chunks_mut(BLOCKS_PER_TASK * out_rows);
        outs.iter_mut()
            .zip(blocks)
            .for_each(|(outs, blocks)| outs.push(blocks));
    }
    tasks.zip(outs).for_each(|(rows, outs)| {
        kernel.run(Scan {
            ring,
            rows,
            polys,
            interleave: shape.interleave() as usize,
            parts,
            outs,
        });
    });
}

/// Sums of products over a few blocks, for all queries.
struct Scan<'a, 'b> {
    ring: &'static Ring,
    rows: &'a [Row],
    polys: usize,
    interleave: usize,
    parts: &'a [QueryPart],
    /// For each query the blocks' n / t rows for each prime.
    outs: Vec<&'b mut [Row]>,
}

impl Task for Scan<'_, '_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        // Neighbouring roots, in bit-reversed order, share their t-th power. Summing over t of them leaves the
        // coefficients at multiples of t, so one output row is a sum over t roots and all polynomials.
        let ring = self.ring;
        let run = self.interleave * self.polys;
        let outputs = ring.n / self.interleave;
        let blocks = self.rows.len() / (ring.rows() * self.polys);
        let mut factors = Vec::with_capacity(self.parts.len());
        for (index, prime) in ring.primes.iter().enumerate() {
            for output in 0..outputs {
                // What a sum can hold, so that the queries' part of it is in the nearest cache for all blocks.
                for start in (0..run).step_by(MAX_PRODUCTS) {
                    let length = MAX_PRODUCTS.min(run - start);
                    let at = output * run + start;
                    factors.clear();
                    factors.extend(
                        self.parts
                            .iter()
                            .map(|part| &part.factors.residues(index)[at..][..length]),
                    );
                    for block in 0..blocks {
                        let first = (block * ring.primes.len() + index) * ring.n * self.polys;
                        let lines = &self.rows[first + at..][..length];
                        let out = (block * ring.primes.len() + index) * outputs + output;
                        let mut sums = Column {
                            outs: &mut self.outs,
                            at: out,
                        };
                        dot_tiles(simd, prime, lines, &factors, &mut sums);
                    }
                }
            }
        }
    }
}

/// Adds sums of the same shape.
pub(super) fn add(sum: &mut Rows, other: &Rows, ring: &Ring, rows_per_block: usize) {
    let primes = ring.primes.iter().cycle();
    let pairs = sum
        .as_mut_slice()
        .chunks_mut(rows_per_block)
        .zip(other.as_slice().chunks(rows_per_block));
    for ((sum, other), prime) in pairs.zip(primes) {
        for (sum, other) in sum.as_flattened_mut().iter_mut().zip(other.as_flattened()) {
            *sum = crate::sample::wrap(*sum + other, prime.value);
        }
    }
}

/// Rounds the sums to `answer_bits` bits and packs them; what pads the last row is zero.
pub(super) fn finish(kernel: Kernel, shape: &Shape, params: &Params, rows: &mut Rows) -> Vec<u8> {
    let ring = params.ring();
    let rows_per_block = shape.rows_per_block(params);
    let row_bytes = wire::row_bytes(params.answer_bits);
    let mut packed = vec![0; shape.symbol_rows(params) * row_bytes];
    rows.as_mut_slice()
        .par_chunks_mut(ring.primes.len() * rows_per_block)
        .zip(packed.par_chunks_mut(rows_per_block * row_bytes))
        .for_each(|(rows, packed)| {
            kernel.run(Round {
                ring,
                rows,
                packed,
                bits: params.answer_bits,
            })
        });
    let used = shape.symbols(params) % crate::ring::LANES;
    if used > 0
        && let Some(last) = packed.rchunks_mut(row_bytes).next()
    {
        let mut row = bits::unpack_row(last, params.answer_bits);
        row[used..].fill(0);
        bits::pack_row(&row, params.answer_bits, last);
    }
    packed
}

/// Rounds one block: round(2^bits x / q) modulo 2^bits.
struct Round<'a> {
    ring: &'static Ring,
    rows: &'a mut [Row],
    packed: &'a mut [u8],
    bits: u32,
}

impl Task for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ring = self.ring;
        let per_prime = self.rows.len() / ring.primes.len();
        for (index, rows) in self.rows.chunks_exact_mut(per_prime).enumerate() {
            inverse(simd, &ring.primes[index], rows, ring.crt_scale(index));
        }
        let half = 1u64 << (63 - self.bits);
        let packed = self.packed.chunks_exact_mut(wire::row_bytes(self.bits));
        for (index, packed) in packed.enumerate() {
            let row = ring.fractions(self.rows, index);
            let row = row.map(|fraction| fraction.wrapping_add(half) >> (64 - self.bits));
            bits::pack_row(&row, self.bits, packed);
        }
    }
}
