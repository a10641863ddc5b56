//! Where encoded rows live: in memory of their own, or in bytes that the caller mapped from a file.

use crate::Error;
use crate::ring::{Row, Rows};

/// Bytes of a row.
pub(super) const ROW_BYTES: usize = size_of::<Row>();

/// The bytes of encoded rows that a caller keeps in memory, for instance a mapped file.
pub type SharedBytes = Box<dyn AsRef<[u8]> + Send + Sync>;

/// The rows of an encoded generation.
pub(super) enum Storage {
    Own(Rows),
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
            Self::Own(rows) => rows.as_slice(),
            Self::Shared(bytes) => bytemuck::cast_slice((**bytes).as_ref()),
        }
    }
}

impl std::fmt::Debug for Storage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Own(_) => "Own(..)",
            Self::Shared(_) => "Shared(..)",
        })
    }
}
