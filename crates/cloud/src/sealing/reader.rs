//! A generation's slots as the ring engine takes them: piece by piece, checked when all have been read.

use harpo_protocol::domain::Hasher;
use harpo_protocol::id::{Digest, GenerationId};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::slots::{ReadError, Slots};

/// The slots of one generation, for a thread that may block.
pub(super) struct Reader {
    pub(super) slots: Slots,
    pub(super) id: GenerationId,
    /// What each slot must be, by index.
    pub(super) digests: Vec<Digest>,
    pub(super) runtime: Handle,
    pub(super) stop: CancellationToken,
}

/// One reading of all slots from beginning to end.
pub(super) struct Reading<'a> {
    reader: &'a Reader,
    /// `None` for a slot that is known to be damaged.
    hashers: Vec<Option<Hasher>>,
}

impl Reader {
    /// Begins a reading.
    pub(super) fn begin(&self) -> Reading<'_> {
        Reading {
            reader: self,
            hashers: self
                .digests
                .iter()
                .map(|_| Some(Hasher::default()))
                .collect(),
        }
    }
}

impl Reading<'_> {
    /// Reads the next piece of a slot. One that is damaged reads as zeros from there on, so that one reading finds all
    /// of them.
    pub(super) fn read(&mut self, slot: u32, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        let reader = self.reader;
        if reader.stop.is_cancelled() {
            return Err(Error::Stopping);
        }
        let index = slot as usize;
        let (Some(digest), Some(Some(hasher))) =
            (reader.digests.get(index), self.hashers.get_mut(index))
        else {
            bytes.fill(0);
            return Ok(());
        };
        let piece = reader
            .slots
            .read_piece(reader.id, slot, *digest, offset, bytes);
        match reader.runtime.block_on(piece) {
            Ok(()) => hasher.update(bytes),
            Err(ReadError::Damaged) => {
                self.hashers[index] = None;
                bytes.fill(0);
            }
            Err(ReadError::Store(source)) => {
                return Err(Error::SlotUnreadable {
                    generation: reader.id,
                    slot,
                    source,
                });
            }
        }
        Ok(())
    }

    /// The digests of what was read, if all of it is what was written; otherwise which slots are damaged.
    pub(super) fn finish(self) -> Result<Vec<Digest>, Vec<u32>> {
        let found: Vec<Option<Digest>> = self
            .hashers
            .into_iter()
            .zip(&self.reader.digests)
            .map(|(hasher, expected)| hasher.map(Hasher::finish).filter(|d| d == expected))
            .collect();
        let damaged: Vec<u32> = (0..)
            .zip(&found)
            .filter_map(|(slot, digest)| digest.is_none().then_some(slot))
            .collect();
        if damaged.is_empty() {
            Ok(found.into_iter().flatten().collect())
        } else {
            Err(damaged)
        }
    }
}
