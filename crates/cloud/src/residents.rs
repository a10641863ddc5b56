//! The encoded generations in memory: what retrievals read.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use harpo_oblivious::{Encoded, GenerationInfo, ParamSetId, Seed, Shape, Stack};
use harpo_protocol::id::GenerationId;
use harpo_protocol::stack::Figures;

use crate::Error;

#[cfg(test)]
mod tests;

const MIB: u64 = 1 << 20;

/// A generation that can answer queries.
#[derive(Debug)]
pub(crate) struct Resident(pub(crate) Encoded);

/// Where a closed generation stands.
#[derive(Debug)]
enum Entry {
    /// Being encoded; its memory is set aside.
    Loading {
        bytes: u64,
    },
    Ready {
        bytes: u64,
        resident: Arc<Resident>,
    },
    /// Cannot be used; why, for whoever asks for it.
    Failed {
        why: String,
    },
}

impl Entry {
    fn bytes(&self) -> u64 {
        match self {
            Self::Loading { bytes } | Self::Ready { bytes, .. } => *bytes,
            Self::Failed { .. } => 0,
        }
    }
}

/// What [`Residents::counts`] says.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) ready: u32,
    pub(crate) loading: u32,
    pub(crate) failed: u32,
    pub(crate) bytes: u64,
}

/// All of them, within a limit of memory.
#[derive(Debug)]
pub(crate) struct Residents {
    limit_bytes: u64,
    entries: RwLock<HashMap<GenerationId, Entry>>,
}

/// A ticket's stack, and the generations that make it up, in the same order.
#[derive(Clone, Debug)]
pub(crate) struct Loaded {
    pub(crate) stack: Arc<Stack>,
    pub(crate) residents: Vec<Arc<Resident>>,
}

impl Residents {
    pub(crate) fn new(limit_mib: u64) -> Self {
        Self {
            limit_bytes: limit_mib.saturating_mul(MIB),
            entries: RwLock::default(),
        }
    }

    /// Whether a generation that takes `bytes` would fit now.
    pub(crate) fn fits(&self, id: GenerationId, bytes: u64) -> Result<(), Error> {
        self.check(&self.read(), id, bytes)
    }

    /// Sets memory aside for a generation that is about to be encoded.
    pub(crate) fn reserve(&self, id: GenerationId, bytes: u64) -> Result<(), Error> {
        let mut entries = self.write();
        self.check(&entries, id, bytes)?;
        entries.insert(id, Entry::Loading { bytes });
        Ok(())
    }

    /// Puts an encoded generation into service, unless it was removed meanwhile.
    pub(crate) fn ready(&self, id: GenerationId, resident: Resident) {
        if let Some(entry) = self.write().get_mut(&id) {
            *entry = Entry::Ready {
                bytes: entry.bytes(),
                resident: Arc::new(resident),
            };
        }
    }

    /// Marks a generation as unusable, and gives its memory back.
    pub(crate) fn failed(&self, id: GenerationId, why: String) {
        self.write().insert(id, Entry::Failed { why });
    }

    /// How many generations are in service, being loaded, and unusable; and the memory set aside for them, in bytes.
    pub(crate) fn counts(&self) -> Counts {
        let mut counts = Counts::default();
        for entry in self.read().values() {
            match entry {
                Entry::Loading { .. } => counts.loading += 1,
                Entry::Ready { .. } => counts.ready += 1,
                Entry::Failed { .. } => counts.failed += 1,
            }
            counts.bytes += entry.bytes();
        }
        counts
    }

    /// Forgets a generation. Retrievals that are under way keep it until they end.
    pub(crate) fn remove(&self, id: GenerationId) {
        self.write().remove(&id);
    }

    /// Why a generation is unusable, if it is.
    pub(crate) fn failure(&self, id: GenerationId) -> Option<Error> {
        match self.read().get(&id)? {
            Entry::Failed { why } => Some(Error::Unusable {
                generation: id,
                why: why.clone(),
            }),
            _ => None,
        }
    }

    /// The stack of these generations.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Busy`] while one is being encoded, [`Error::Unusable`], and
    /// [`Error::Malformed`] if they cannot form a stack.
    pub(crate) fn stack(&self, ids: &[GenerationId]) -> Result<Loaded, Error> {
        let entries = self.read();
        let residents = ids
            .iter()
            .map(|id| match entries.get(id) {
                None => Err(Error::NotFound("generation")),
                Some(Entry::Loading { .. }) => Err(Error::Busy("the stack is being loaded")),
                Some(Entry::Failed { why }) => Err(Error::Unusable {
                    generation: *id,
                    why: why.clone(),
                }),
                Some(Entry::Ready { resident, .. }) => Ok(Arc::clone(resident)),
            })
            .collect::<Result<Vec<_>, _>>()?;
        drop(entries);
        let stack = Stack::new(
            residents
                .iter()
                .map(|resident| *resident.0.info())
                .collect(),
        )
        .map_err(|e| Error::malformed("stack", e.to_string()))?;
        Ok(Loaded {
            stack: Arc::new(stack),
            residents,
        })
    }

    fn check(
        &self,
        entries: &HashMap<GenerationId, Entry>,
        id: GenerationId,
        bytes: u64,
    ) -> Result<(), Error> {
        let used: u64 = entries
            .iter()
            .filter(|(other, _)| **other != id)
            .map(|(_, e)| e.bytes())
            .sum();
        let free = self.limit_bytes.saturating_sub(used);
        if bytes <= free {
            return Ok(());
        }
        Err(Error::MemoryFull {
            needed_mib: bytes.div_ceil(MIB),
            free_mib: free / MIB,
            limit_mib: self.limit_bytes / MIB,
        })
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<GenerationId, Entry>> {
        self.entries.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, HashMap<GenerationId, Entry>> {
        self.entries.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The ring engine's view of a generation's public figures.
///
/// # Errors
/// [`Error::Malformed`] for figures that no generation can have.
pub(crate) fn info(figures: &Figures) -> Result<GenerationInfo, Error> {
    let refused = |e: harpo_oblivious::Error| Error::malformed("figures", e.to_string());
    let shape =
        Shape::new(figures.slots, figures.slot_bytes, figures.interleave).map_err(refused)?;
    let info = GenerationInfo {
        params: ParamSetId(figures.parameter_set),
        shape,
        seed: Seed(figures.seed.0),
    };
    info.encoded_bytes().map_err(refused)?;
    // A generation must at least be able to stand alone in a stack.
    Stack::new(vec![info]).map_err(refused)?;
    Ok(info)
}
