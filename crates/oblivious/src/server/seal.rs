//! From slot bytes to encoded rows (oblivious-encoding 3.2), and from those to the hint (5.1).

use crate::ring::{
    Factors, Kernel, LANES, N, Ring, Row, Rows, Simd, Task, dot_tiles, forward, inverse,
};
use crate::{Params, Shape, wire};

/// The slots that share one polynomial.
pub(super) struct Group {
    slot_bytes: usize,
    /// Bytes from one slot to the next: whole rows, and what reading a u32 may touch beyond.
    pitch: usize,
    bytes: Vec<u8>,
    /// Slots in the group; the last group may have fewer than t.
    count: usize,
    interleave: usize,
    symbol_rows: usize,
    rows_per_block: usize,
    bits: u32,
}

impl Group {
    pub(super) fn new(shape: &Shape, params: &Params) -> Self {
        let symbol_rows = shape.symbol_rows(params);
        let pitch = symbol_rows * wire::row_bytes(params.plaintext_bits) + size_of::<u32>();
        let interleave = shape.interleave() as usize;
        Group {
            slot_bytes: shape.slot_bytes() as usize,
            pitch,
            bytes: vec![0; pitch * interleave.min(shape.slots() as usize)],
            count: 0,
            interleave,
            symbol_rows,
            rows_per_block: shape.rows_per_block(params),
            bits: params.plaintext_bits,
        }
    }

    /// The buffers of the next `count` slots.
    pub(super) fn slots(&mut self, count: u32) -> impl Iterator<Item = &mut [u8]> {
        self.count = count as usize;
        let slot_bytes = self.slot_bytes;
        self.bytes
            .chunks_exact_mut(self.pitch)
            .take(self.count)
            .map(move |slot| &mut slot[..slot_bytes])
    }

    /// Encodes one block of the group as polynomial `poly` of `rows`.
    pub(super) fn encode(&self, block: usize, poly: usize, scratch: &mut Rows, rows: &mut [Row]) {
        let scratch = scratch.as_mut_slice();
        Kernel::best().run(BlockEncode {
            group: self,
            block,
            poly,
            scratch,
            rows,
        });
    }
}

/// Encodes sixteen chunks of the slots of a group as one polynomial each.
struct BlockEncode<'a> {
    group: &'a Group,
    block: usize,
    poly: usize,
    /// 2 n rows.
    scratch: &'a mut [Row],
    /// All polynomials of the block.
    rows: &'a mut [Row],
}

impl BlockEncode<'_> {
    /// Coefficient k t + i is symbol row k of slot i, less p / 2; zero where there is no slot or no more bytes.
    #[inline(always)]
    fn fill<S: Simd>(&mut self, simd: S) {
        let group = self.group;
        let (first, second) = self.scratch.split_at_mut(N);
        let primes = &Ring::get().primes;
        let half = 1 << (group.bits - 1);
        let centre = [
            simd.splat(primes[0].value - half),
            simd.splat(primes[1].value - half),
        ];
        let row_bytes = wire::row_bytes(group.bits);
        let start = self.block * group.rows_per_block;
        let present = group
            .symbol_rows
            .saturating_sub(start)
            .min(group.rows_per_block);
        for i in 0..group.interleave {
            let filled = if i < group.count { present } else { 0 };
            for k in 0..filled {
                let at = i * group.pitch + (start + k) * row_bytes;
                let bytes = &group.bytes[at..at + row_bytes + size_of::<u32>()];
                let symbols = simd.load(&unpack_row(bytes, group.bits));
                let coefficient = k * group.interleave + i;
                simd.store(simd.add(symbols, centre[0]), &mut first[coefficient]);
                simd.store(simd.add(symbols, centre[1]), &mut second[coefficient]);
            }
            for k in filled..group.rows_per_block {
                first[k * group.interleave + i] = [0; LANES];
                second[k * group.interleave + i] = [0; LANES];
            }
        }
    }
}

impl Task for BlockEncode<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, simd: S) {
        self.fill(simd);
        let polys = self.rows.len() / (2 * N);
        let (first, second) = self.scratch.split_at_mut(N);
        let primes = &Ring::get().primes;
        forward(simd, &primes[0], first);
        forward(simd, &primes[1], second);
        for (row, target) in self.scratch.iter().zip(self.rows.chunks_exact_mut(polys)) {
            simd.stream(simd.load(row), &mut target[self.poly]);
        }
        simd.fence();
    }
}

/// Sixteen symbols of `bits` (at most 25) bits; `bytes` has four bytes more than they take.
#[inline(always)]
fn unpack_row(bytes: &[u8], bits: u32) -> Row {
    let mask = (1 << bits) - 1;
    let mut row = [0; LANES];
    for (lane, symbol) in row.iter_mut().enumerate() {
        let bit = lane * bits as usize;
        let b = &bytes[bit / 8..bit / 8 + 4];
        *symbol = u32::from_le_bytes([b[0], b[1], b[2], b[3]]) >> (bit % 8) & mask;
    }
    row
}

/// The hint of one block: the sum of a_j D_j, without its low bits.
pub(super) struct BlockHint<'a> {
    pub(super) rows: &'a [Row],
    pub(super) factors: &'a Factors,
    /// 2 n rows.
    pub(super) scratch: &'a mut [Row],
    /// n rows.
    pub(super) coefficients: &'a mut [u32],
    pub(super) drop: u32,
}

impl Task for BlockHint<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let ring = Ring::get();
        let polys = self.factors.polys();
        let halves = self
            .scratch
            .chunks_exact_mut(N)
            .zip(self.rows.chunks_exact(N * polys));
        for (index, (sums, rows)) in halves.enumerate() {
            let prime = &ring.primes[index];
            let factors = self.factors.residues(index).chunks_exact(polys);
            for ((sum, lines), factors) in
                sums.iter_mut().zip(rows.chunks_exact(polys)).zip(factors)
            {
                // A stack has at most 1024 polynomials, so this emits once.
                dot_tiles(simd, prime, lines, &[factors], |_, x| simd.store(x, sum));
            }
            inverse(simd, prime, sums, ring.crt_scale(index));
        }
        let (first, second) = self.scratch.split_at(N);
        for ((a, b), out) in first
            .iter()
            .zip(second)
            .zip(self.coefficients.as_chunks_mut::<LANES>().0)
        {
            for lane in 0..LANES {
                out[lane] = (ring.lift(a[lane], b[lane]) >> self.drop) as u32;
            }
        }
    }
}
