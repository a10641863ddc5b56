//! Rows in memory: aligned to cache lines, and on huge pages where there are many.

use memmap2::{Advice, MmapMut, MmapOptions};
use zeroize::Zeroize;

use super::{LANES, Row};

/// From this many bytes on, rows get pages of their own.
const LARGE: usize = 4 << 20;

/// A fixed number of rows, each on its own cache line where the allocator allows it: a row that straddles two
/// lines costs twice the memory traffic. Alignment is a matter of speed only.
pub(crate) struct Rows(Memory);

enum Memory {
    Words {
        words: Vec<u32>,
        start: usize,
        len: usize,
    },
    Pages {
        map: MmapMut,
        len: usize,
    },
}

impl Rows {
    /// `len` zero rows. Pages are not touched before they are written.
    pub(crate) fn zero(len: usize) -> Self {
        if len >= LARGE / size_of::<Row>()
            && let Some(rows) = Self::in_pages(len)
        {
            return rows;
        }
        let words = vec![0u32; (len + 1) * LANES];
        // At most 15 words: a u32 pointer is 4-aligned. Otherwise run unaligned.
        let start = Some(words.as_ptr().align_offset(64))
            .filter(|words| *words < LANES)
            .unwrap_or(0);
        Rows(Memory::Words { words, start, len })
    }

    /// `len` zero rows in pages of their own, or `None` if the system gives no such memory.
    ///
    /// With pages of 4 KiB a generation of 1 GiB would take 800,000 faults to fill, and one entry of the address cache for
    /// each row while it is filled. A system without huge pages refuses the advice, which costs speed alone.
    pub(crate) fn in_pages(len: usize) -> Option<Self> {
        let bytes = len.checked_mul(size_of::<Row>())?;
        // An empty mapping does not exist.
        let map = MmapOptions::new()
            .len(bytes.max(size_of::<Row>()))
            .map_anon()
            .ok()?;
        let _ = map.advise(Advice::HugePage);
        Some(Rows(Memory::Pages { map, len }))
    }

    pub(crate) fn as_slice(&self) -> &[Row] {
        match &self.0 {
            Memory::Words { words, start, len } => words[*start..][..len * LANES].as_chunks().0,
            Memory::Pages { map, len } => &bytemuck::cast_slice(map)[..*len],
        }
    }

    pub(crate) fn as_mut_slice(&mut self) -> &mut [Row] {
        match &mut self.0 {
            Memory::Words { words, start, len } => {
                words[*start..][..*len * LANES].as_chunks_mut().0
            }
            Memory::Pages { map, len } => &mut bytemuck::cast_slice_mut(map)[..*len],
        }
    }
}

impl Zeroize for Rows {
    fn zeroize(&mut self) {
        self.as_mut_slice().as_flattened_mut().zeroize();
    }
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rows")
            .field("len", &self.as_slice().len())
            .finish_non_exhaustive()
    }
}
