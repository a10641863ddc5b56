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

/// Reads what [`BitWriter`] wrote. Behind the end all bits are zero; [`Self::ends`] tells whether anything was read there.
pub(crate) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `count` bits, at most 32.
    #[inline(always)]
    pub(crate) fn take(&mut self, count: u32) -> u32 {
        let window = self.window() >> (self.at & 7);
        self.at += count as usize;
        (window & ((1u64 << count) - 1)) as u32
    }

    #[inline(always)]
    fn window(&self) -> u64 {
        let from = self.at >> 3;
        match self.bytes.get(from..).and_then(<[u8]>::first_chunk) {
            Some(chunk) => u64::from_le_bytes(*chunk),
            None => self.tail(from),
        }
    }

    /// Less than eight bytes are left.
    #[cold]
    fn tail(&self, from: usize) -> u64 {
        let rest = self.bytes.get(from..).unwrap_or(&[]);
        rest.iter()
            .rev()
            .fold(0, |window, &byte| window << 8 | u64::from(byte))
    }

    /// Bytes that were touched.
    pub(crate) fn bytes_read(&self) -> usize {
        self.at.div_ceil(8)
    }

    /// Whether exactly all bytes were read, and what fills the last is zero.
    pub(crate) fn ends(&self) -> bool {
        self.bytes_read() == self.bytes.len()
            && (self.at & 7 == 0 || self.bytes[self.at >> 3] >> (self.at & 7) == 0)
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
            assert!(!reader.ends() || count == 0);
            assert_eq!(reader.take(count), value);
        }
        assert!(reader.ends());
        assert_eq!(reader.take(32), 0);
        assert!(!reader.ends());
    }

    #[test]
    fn what_fills_the_last_byte_is_zero() {
        let mut reader = BitReader::new(&[0b1000_0001]);
        assert_eq!(reader.take(7), 1);
        assert!(!reader.ends());
    }
}
