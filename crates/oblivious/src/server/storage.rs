//! Where encoded rows live: in memory of their own, on huge pages where the system gives them, or in bytes that the
//! caller mapped from a file.

use memmap2::{Advice, MmapMut, MmapOptions};

use crate::Error;
use crate::ring::Row;

/// Bytes of a row.
pub(super) const ROW_BYTES: usize = size_of::<Row>();

/// Rows in whole pages.
pub(super) struct Pages(MmapMut);

impl Pages {
    /// `rows` zero rows. Pages are not touched before they are written.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] if the system gives no such memory.
    pub(super) fn zero(rows: usize) -> Result<Self, Error> {
        let refused = |bytes| Error::OutOfMemory { bytes };
        let bytes = rows
            .checked_mul(ROW_BYTES)
            .ok_or_else(|| refused(usize::MAX))?;
        // An empty mapping does not exist.
        let map = MmapOptions::new()
            .len(bytes.max(ROW_BYTES))
            .map_anon()
            .map_err(|_| refused(bytes))?;
        // With pages of 4 KiB a generation of 1 GiB would take 900,000 faults to fill and one entry of the address cache
        // for each row while it is filled. A system without huge pages refuses, which costs speed alone.
        let _ = map.advise(Advice::HugePage);
        Ok(Self(map))
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [Row] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}

/// The bytes of encoded rows that a caller keeps in memory, for instance a mapped file.
pub type SharedBytes = Box<dyn AsRef<[u8]> + Send + Sync>;

/// The rows of an encoded generation.
pub(super) enum Storage {
    Pages(Pages),
    Shared(SharedBytes),
}

impl Storage {
    /// Takes bytes that the caller keeps.
    ///
    /// # Errors
    /// [`Error::Malformed`] if they are not `rows` rows, or do not begin where a row may. Mapped files always do.
    pub(super) fn shared(bytes: SharedBytes, rows: usize) -> Result<Self, Error> {
        let malformed = |reason| Error::Malformed {
            what: "encoded generation",
            reason,
        };
        if cfg!(target_endian = "big") {
            return Err(malformed("the form on disk is for little-endian machines"));
        }
        let found: &[Row] = bytemuck::try_cast_slice((*bytes).as_ref())
            .map_err(|_| malformed("its bytes are not aligned, or no whole rows"))?;
        if found.len() != rows {
            return Err(malformed("its length does not fit the shape"));
        }
        Ok(Self::Shared(bytes))
    }

    pub(super) fn rows(&self) -> &[Row] {
        match self {
            Self::Pages(pages) => bytemuck::cast_slice(&pages.0),
            Self::Shared(bytes) => bytemuck::cast_slice((**bytes).as_ref()),
        }
    }
}

impl std::fmt::Debug for Pages {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Pages(..)")
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pages(_) => "Pages(..)",
            Self::Shared(_) => "Shared(..)",
        })
    }
}
