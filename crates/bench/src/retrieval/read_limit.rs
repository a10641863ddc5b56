//! The machine's sequential read limit: how fast a sum over plain memory goes, which no scan can beat.

use anyhow::{Context, Result, ensure};
use memmap2::{Advice, MmapMut};
use rayon::prelude::*;

use crate::clock::timed;

/// Bytes that one step adds up: two cache lines, in as many sums as fill the processor's registers.
const STEP: usize = 128;
/// Bytes that are filled with one constant.
const PIECE: usize = 1 << 20;

/// Memory to read, in huge pages where the system gives them, so that the limit is the memory's and not that of
/// address translation.
#[derive(Debug)]
pub(crate) struct Buffer {
    memory: MmapMut,
    huge_pages: bool,
    /// The sum of all words.
    expected: u64,
}

impl Buffer {
    /// `bytes` of memory (rounded down to 1 MiB, at least that), written once so that they are really there.
    pub(crate) fn new(bytes: u64) -> Result<Self> {
        let pieces = usize::try_from(bytes)?.max(PIECE) / PIECE;
        let mut memory = MmapMut::map_anon(pieces * PIECE)
            .with_context(|| format!("cannot get {bytes} bytes of memory; use fewer --slots"))?;
        let huge_pages = memory.advise(Advice::HugePage).is_ok();
        memory
            .par_chunks_exact_mut(PIECE)
            .enumerate()
            .for_each(|(index, piece)| {
                for word in piece.as_chunks_mut::<8>().0 {
                    *word = constant(index).to_le_bytes();
                }
            });
        let expected = (0..pieces).fold(0u64, |sum, index| {
            sum.wrapping_add(constant(index).wrapping_mul(PIECE as u64 / 8))
        });
        Ok(Buffer {
            memory,
            huge_pages,
            expected,
        })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.memory.len() as u64
    }

    /// Whether the system was willing to use huge pages.
    pub(crate) fn huge_pages(&self) -> bool {
        self.huge_pages
    }

    /// Seconds of reading everything once, with the threads of the current rayon pool, each its own part.
    pub(crate) fn read(&self) -> Result<f64> {
        let part = self
            .memory
            .len()
            .div_ceil(rayon::current_num_threads())
            .next_multiple_of(PIECE);
        let (sum, seconds) = timed(|| {
            self.memory
                .par_chunks(part)
                .map(sum_of_words)
                .reduce(|| 0, u64::wrapping_add)
        });
        ensure!(sum == self.expected, "the memory did not keep its bytes");
        Ok(seconds)
    }
}

fn constant(index: usize) -> u64 {
    (index as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

/// The sum of all little-endian words of 8 bytes; what does not fill a step is left out.
fn sum_of_words(bytes: &[u8]) -> u64 {
    let mut sums = [0u64; STEP / 8];
    for step in bytes.as_chunks::<STEP>().0 {
        for (sum, word) in sums.iter_mut().zip(step.as_chunks::<8>().0) {
            *sum = sum.wrapping_add(u64::from_le_bytes(*word));
        }
    }
    sums.iter().fold(0, |sum, part| sum.wrapping_add(*part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_in_the_sum() {
        let bytes: Vec<u8> = (0..4 * STEP).map(|i| (i * 7) as u8).collect();
        let plain = bytes.as_chunks::<8>().0.iter().fold(0u64, |sum, word| {
            sum.wrapping_add(u64::from_le_bytes(*word))
        });
        assert_eq!(sum_of_words(&bytes), plain);
    }

    #[test]
    fn a_buffer_is_read_whole_whatever_the_threads() {
        let buffer = Buffer::new(5 << 20).unwrap();
        assert_eq!(buffer.bytes(), 5 << 20);
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            assert!(pool.install(|| buffer.read()).unwrap() > 0.0);
        }
    }

    #[test]
    fn a_changed_byte_is_noticed() {
        let mut buffer = Buffer::new(1 << 20).unwrap();
        buffer.memory[12345] ^= 1;
        assert!(buffer.read().is_err());
    }
}
