//! The records that everything is measured on: random bytes, resident in memory.

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rayon::prelude::*;

/// Bytes that are filled from one seed.
const PIECE: usize = 1 << 20;

/// `bytes` random bytes, the same in every run. They are not secret: a fixed seed lets a run be repeated.
pub(crate) fn random_bytes(bytes: usize) -> Vec<u8> {
    let mut memory = vec![0; bytes];
    memory
        .par_chunks_mut(PIECE)
        .enumerate()
        .for_each(|(index, piece)| ChaCha8Rng::seed_from_u64(index as u64).fill_bytes(piece));
    memory
}

/// Records of one size, one after the other in memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Records<'a> {
    bytes: &'a [u8],
    record_bytes: usize,
}

impl<'a> Records<'a> {
    /// The first `count` records of `record_bytes` bytes that `bytes` holds; `None` if it holds fewer.
    pub(crate) fn cut(bytes: &'a [u8], count: u32, record_bytes: u32) -> Option<Self> {
        let record_bytes = record_bytes as usize;
        let bytes = bytes.get(..(count as usize).checked_mul(record_bytes)?)?;
        Some(Records {
            bytes,
            record_bytes,
        })
    }

    pub(crate) fn count(&self) -> u32 {
        (self.bytes.len() / self.record_bytes) as u32
    }

    pub(crate) fn record_bytes(&self) -> usize {
        self.record_bytes
    }

    /// All records together.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    pub(crate) fn record(&self, index: u32) -> &'a [u8] {
        &self.bytes[index as usize * self.record_bytes..][..self.record_bytes]
    }
}

/// `wanted` distinct indexes below `count`, spread over the whole; fewer if there are fewer.
pub(crate) fn spread(count: u32, wanted: u32) -> Vec<u32> {
    let wanted = wanted.min(count);
    (0..wanted)
        .map(|i| {
            ((u64::from(i) * u64::from(count) + u64::from(count) / 2) / u64::from(wanted)) as u32
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_cut_without_gaps() {
        let bytes = random_bytes(1000);
        assert_eq!(bytes, random_bytes(1000));
        let records = Records::cut(&bytes, 9, 110).unwrap();
        assert_eq!((records.count(), records.bytes().len()), (9, 990));
        assert_eq!(records.record(8), &bytes[880..990]);
        assert!(Records::cut(&bytes, 10, 110).is_none());
    }

    #[test]
    fn pieces_differ() {
        let bytes = random_bytes(2 * PIECE);
        assert_ne!(bytes[..PIECE], bytes[PIECE..]);
    }

    #[test]
    fn wanted_records_are_distinct_and_exist() {
        for (count, wanted) in [(512, 8), (8, 8), (3, 16), (7, 5)] {
            let spread = spread(count, wanted);
            assert_eq!(spread.len() as u32, wanted.min(count));
            assert!(
                spread.windows(2).all(|pair| pair[0] < pair[1]),
                "{spread:?}"
            );
            assert!(spread.iter().all(|index| *index < count), "{spread:?}");
        }
    }
}
