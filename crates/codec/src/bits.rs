//! Bits, the lowest of each byte first.

/// Appends bits to bytes.
#[derive(Default)]
pub(crate) struct BitWriter {
    bytes: Vec<u8>,
    held: u64,
    count: u32,
}

impl BitWriter {
    /// Appends the low `count` bits of `value`, at most 32; the others are zero.
    #[inline(always)]
    pub(crate) fn push(&mut self, value: u32, count: u32) {
        self.held |= u64::from(value) << self.count;
        self.count += count;
        if self.count >= 32 {
            self.bytes
                .extend_from_slice(&(self.held as u32).to_le_bytes());
            self.held >>= 32;
            self.count -= 32;
        }
    }

    /// The bytes; bits that fill the last are zero.
    pub(crate) fn finish(mut self) -> Vec<u8> {
        let rest = self.count.div_ceil(8) as usize;
        self.bytes
            .extend_from_slice(&self.held.to_le_bytes()[..rest]);
        self.bytes
    }
}

/// At least 57 bits from bit `at` on. Behind the end all bits are zero.
#[inline(always)]
pub(crate) fn window(bytes: &[u8], at: usize) -> u64 {
    let from = at >> 3;
    let window = match bytes.get(from..from + 8) {
        Some(window) => window
            .first_chunk()
            .map_or(0, |window| u64::from_le_bytes(*window)),
        None => tail(bytes.get(from..).unwrap_or(&[])),
    };
    window >> (at & 7)
}

/// Less than eight bytes.
#[cold]
fn tail(bytes: &[u8]) -> u64 {
    let shift = |window, &byte| window << 8 | u64::from(byte);
    bytes.iter().rev().fold(0, shift)
}

/// Whether bits up to `at` are exactly all bytes, and what fills the last is zero.
pub(crate) fn ends(bytes: &[u8], at: usize) -> bool {
    at.div_ceil(8) == bytes.len() && (at & 7 == 0 || bytes[at >> 3] >> (at & 7) == 0)
}

/// Reads what [`BitWriter`] wrote.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, at most 32. Behind the end all bits are zero.
    pub(crate) fn take(&mut self, count: u32) -> u32 {
        let window = window(self.bytes, self.at);
        self.at += count as usize;
        (window & ((1u64 << count) - 1)) as u32
    }

    /// Bytes that were touched.
    pub(crate) fn bytes_read(&self) -> usize {
        self.at.div_ceil(8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let mut writer = BitWriter::default();
        let items: Vec<(u32, u32)> = (0..2000u32)
            .map(|i| {
                let count = i * 7 % 33;
                let value = i.wrapping_mul(0x9E37_79B9);
                (value & ((1u64 << count) - 1) as u32, count)
            })
            .collect();
        items
            .iter()
            .for_each(|&(value, count)| writer.push(value, count));
        let bytes = writer.finish();
        let mut reader = BitReader::new(&bytes);
        for &(value, count) in &items {
            assert!(!ends(&bytes, reader.at) || count == 0);
            assert_eq!(reader.take(count), value);
        }
        assert!(ends(&bytes, reader.at));
        assert_eq!(reader.take(32), 0);
        assert!(!ends(&bytes, reader.at));
    }

    #[test]
    fn what_fills_the_last_byte_is_zero() {
        assert!(!ends(&[0b1000_0001], 7));
        assert!(ends(&[0b0100_0001], 7));
    }
}
