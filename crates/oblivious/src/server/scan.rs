//! The scan: sums of products over a generation, and rounding (oblivious-encoding 6).

use rayon::prelude::*;

use super::PartialAnswer;
use crate::ring::{Kernel, LANES, N, Ring, Row, Rows, Simd, Task, add_rows, dot_tiles, inverse};
use crate::{Params, QueryPart, Shape};

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
    let polys = shape.polys() as usize;
    let out_rows = 2 * shape.rows_per_block(params);
    let tasks = rows.par_chunks(BLOCKS_PER_TASK * 2 * N * polys);
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
        let run = self.interleave * self.polys;
        let outputs = N / self.interleave;
        let mut factors = Vec::with_capacity(self.parts.len());
        for (index, prime) in Ring::get().primes.iter().enumerate() {
            for output in 0..outputs {
                factors.clear();
                factors.extend(
                    self.parts
                        .iter()
                        .map(|part| &part.factors.residues(index)[output * run..][..run]),
                );
                for (block, rows) in self.rows.chunks_exact(2 * N * self.polys).enumerate() {
                    let lines = &rows[index * N * self.polys + output * run..][..run];
                    let at = (2 * block + index) * outputs + output;
                    dot_tiles(simd, prime, lines, &factors, |k, x| {
                        let out = &mut self.outs[k][at];
                        let sum = add_rows(simd, prime, simd.load(out), x);
                        simd.store(sum, out);
                    });
                }
            }
        }
    }
}

/// Adds sums of the same shape.
pub(super) fn add(sum: &mut Rows, other: &Rows, rows_per_block: usize) {
    let primes = Ring::get().primes.iter().cycle();
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

/// Rounds the sums to `answer_bits` bits; what pads the last row is zero.
pub(super) fn finish(kernel: Kernel, shape: &Shape, params: &Params, rows: &mut Rows) -> Vec<u32> {
    let rows_per_block = shape.rows_per_block(params);
    let mut symbols = vec![0; shape.symbol_rows(params) * LANES];
    rows.as_mut_slice()
        .par_chunks_mut(2 * rows_per_block)
        .zip(symbols.par_chunks_mut(rows_per_block * LANES))
        .for_each(|(rows, symbols)| {
            kernel.run(Round {
                rows,
                symbols,
                bits: params.answer_bits,
            })
        });
    symbols[shape.symbols(params)..].fill(0);
    symbols
}

/// Rounds one block: round(2^bits x / q) modulo 2^bits.
struct Round<'a> {
    rows: &'a mut [Row],
    symbols: &'a mut [u32],
    bits: u32,
}

impl Task for Round<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ring = Ring::get();
        let (first, second) = self.rows.split_at_mut(self.rows.len() / 2);
        inverse(simd, &ring.primes[0], first, ring.crt_scale(0));
        inverse(simd, &ring.primes[1], second, ring.crt_scale(1));
        let half = 1u64 << (63 - self.bits);
        for ((a, b), out) in first
            .iter()
            .zip(second.iter())
            .zip(self.symbols.as_chunks_mut::<LANES>().0)
        {
            for lane in 0..LANES {
                out[lane] =
                    (ring.fraction(a[lane], b[lane]).wrapping_add(half) >> (64 - self.bits)) as u32;
            }
        }
    }
}
