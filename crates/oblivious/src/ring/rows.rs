//! Rows in memory, aligned to cache lines.

use zeroize::Zeroize;

use super::{LANES, Row};

/// A fixed number of rows, each on its own cache line where the allocator allows it: a row that straddles two
/// lines costs twice the memory traffic. Alignment is a matter of speed only.
pub(crate) struct Rows {
    words: Vec<u32>,
    start: usize,
    len: usize,
}

impl Rows {
    /// `len` zero rows. Pages are not touched before they are written.
    pub(crate) fn zero(len: usize) -> Self {
        let words = vec![0u32; (len + 1) * LANES];
        // At most 15 words: a u32 pointer is 4-aligned. Otherwise run unaligned.
        let start = Some(words.as_ptr().align_offset(64))
            .filter(|words| *words < LANES)
            .unwrap_or(0);
        Rows { words, start, len }
    }

    pub(crate) fn as_slice(&self) -> &[Row] {
        self.words[self.start..][..self.len * LANES].as_chunks().0
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Row] {
        self.words[self.start..][..self.len * LANES]
            .as_chunks_mut()
            .0
    }
}

impl Zeroize for Rows {
    fn zeroize(&mut self) {
        self.words.as_mut_slice().zeroize();
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("len", &self.len)
            .finish_non_exhaustive()
    }
}
