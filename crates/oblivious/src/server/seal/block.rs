//! One block of a generation: sixteen chunks of every slot.

use crate::ring::{
    Factors, LANES, Ring, Row, Simd, Single, Task, dot_tiles, forward, inverse, reduce_loosely,
};
use crate::{Params, Shape, bits, wire};

/// Encodes a block: one polynomial for each group of slots and chunk.
pub(super) struct BlockEncode<'a> {
    pub(super) ring: &'static Ring,
    pub(super) shape: &'a Shape,
    pub(super) params: &'static Params,
    /// A piece of every slot, `pitch` bytes apart.
    pub(super) plain: &'a [u8],
    pub(super) pitch: usize,
    /// Blocks in the pieces before this one.
    pub(super) skip: usize,
    /// Number of the block in the generation.
    pub(super) block: usize,
    /// Rows of one polynomial.
    pub(super) scratch: &'a mut [Row],
    /// All polynomials of the block.
    pub(super) rows: &'a mut [Row],
}

impl BlockEncode<'_> {
    /// Coefficient k t + i is symbol row k of slot i of the group, less p / 2; zero where there is no slot or no row.
    #[inline(always)]
    fn fill<S: Simd>(&mut self, simd: S, poly: usize) {
        let (ring, bits) = (self.ring, self.params.plaintext_bits);
        let t = self.shape.interleave() as usize;
        let row_bytes = wire::row_bytes(bits);
        let rows_per_block = self.shape.rows_per_block(self.params);
        let present = self
            .shape
            .symbol_rows(self.params)
            .saturating_sub(self.block * rows_per_block)
            .min(rows_per_block);
        // Minus half of p, in each prime.
        let less_half: Vec<u32> = ring
            .primes
            .iter()
            .map(|prime| prime.value - prime.reduce(1 << (bits - 1)))
            .collect();
        for i in 0..t {
            let slot = poly * t + i;
            let in_use = slot < self.shape.slots() as usize;
            let filled = if in_use { present } else { 0 };
            for k in 0..filled {
                let at = slot * self.pitch + (self.skip * rows_per_block + k) * row_bytes;
                let symbols = unpack_symbols(&self.plain[at..], bits);
                let symbols = simd.load(&symbols);
                for (index, prime) in ring.primes.iter().enumerate() {
                    // Below 2^25 and the prime, or twice the prime and the prime: below three times the prime in any case.
                    let symbols = if bits > 26 {
                        reduce_loosely(simd, prime, symbols)
                    } else {
                        symbols
                    };
                    let centred = simd.add(symbols, simd.splat(less_half[index]));
                    simd.store(centred, &mut self.scratch[index * ring.n + k * t + i]);
                }
            }
            for k in filled..rows_per_block {
                for index in 0..ring.primes.len() {
                    self.scratch[index * ring.n + k * t + i] = [0; LANES];
                }
            }
        }
    }
}

impl Task for BlockEncode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        let polys = self.shape.polys() as usize;
        for poly in 0..polys {
            self.fill(simd, poly);
            for (prime, rows) in self
                .ring
                .primes
                .iter()
                .zip(self.scratch.chunks_exact_mut(self.ring.n))
            {
                forward(simd, prime, rows);
            }
            for (row, target) in self.scratch.iter().zip(self.rows.chunks_exact_mut(polys)) {
                simd.stream(simd.load(row), &mut target[poly]);
            }
        }
        simd.fence();
    }
}

/// Sixteen symbols of `bits` bits, at most 25 or exactly 32; `bytes` has four bytes more than they take.
#[inline(always)]
fn unpack_symbols(bytes: &[u8], bits: u32) -> Row {
    let mut row = [0; LANES];
    if bits == 32 {
        for (symbol, bytes) in row.iter_mut().zip(bytes.as_chunks::<4>().0) {
            *symbol = u32::from_le_bytes(*bytes);
        }
        return row;
    }
    let mask = (1 << bits) - 1;
    let bytes = &bytes[..wire::row_bytes(bits) + 4];
    for (lane, symbol) in row.iter_mut().enumerate() {
        let bit = lane * bits as usize;
        let b = &bytes[bit / 8..bit / 8 + 4];
        *symbol = u32::from_le_bytes([b[0], b[1], b[2], b[3]]) >> (bit % 8) & mask;
    }
    row
}

/// The hint of one block: the sum of a_j D_j, without its low bits.
pub(super) struct BlockHint<'a> {
    pub(super) ring: &'static Ring,
    pub(super) params: &'static Params,
    pub(super) rows: &'a [Row],
    pub(super) factors: &'a Factors,
    /// Rows of one polynomial.
    pub(super) scratch: &'a mut [Row],
    /// One packed row for each coefficient.
    pub(super) packed: &'a mut [u8],
}

impl Task for BlockHint<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ring = self.ring;
        let polys = self.factors.polys();
        let parts = self
            .scratch
            .chunks_exact_mut(ring.n)
            .zip(self.rows.chunks_exact(ring.n * polys));
        for (index, (sums, rows)) in parts.enumerate() {
            let prime = &ring.primes[index];
            let factors = self.factors.residues(index).chunks_exact(polys);
            for ((sum, lines), factors) in
                sums.iter_mut().zip(rows.chunks_exact(polys)).zip(factors)
            {
                *sum = [0; LANES];
                dot_tiles(simd, prime, lines, &[factors], &mut Single(sum));
            }
            inverse(simd, prime, sums, ring.crt_scale(index));
        }
        let bits = self.params.hint_bits();
        let packed = self.packed.chunks_exact_mut(wire::row_bytes(bits));
        for (coefficient, packed) in packed.enumerate() {
            let mut row = [0; LANES];
            for (lane, value) in row.iter_mut().enumerate() {
                let residues = self.scratch[coefficient..].iter().step_by(ring.n);
                let whole = ring.lift(residues.map(|row| row[lane]));
                *value = (whole >> self.params.hint_drop) as u64;
            }
            bits::pack_row(&row, bits, packed);
        }
    }
}
