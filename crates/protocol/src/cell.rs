//! Cells and slots: what the cloud stores (docs/protocol.md 5.2).
//!
//! A cell is a fragment encrypted under a placement key of its own, or the encryption of zeros
//! under a key that is thrown away. Without the key the two cannot be told apart, which is also
//! the whole of sender privacy: a consumer can fetch any combination of slots and reads only the
//! cells whose keys a release gave it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use serde::{Deserialize, Serialize};

use crate::domain::domain;
use crate::id::GenerationId;
use crate::secret::PlacementKey;
use crate::{Malformed, Rejected};

/// Bytes that each AEAD layer adds.
pub const TAG_BYTES: usize = 16;

/// The network-wide sizes: public, and the same for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layout {
    /// Bytes of a cell in the cloud.
    pub cell_bytes: u32,
    /// Cells of a slot.
    pub cells_per_slot: u16,
    /// Slots of a generation.
    pub slots: u32,
}

impl Layout {
    /// The default: 16 cells of 256 KiB in a slot, 256 slots (1 GiB) in a generation, which the cloud holds encoded
    /// in 3 GiB (docs/oblivious-encoding.md 10).
    pub const DEFAULT: Self = Self {
        cell_bytes: 256 << 10,
        cells_per_slot: 16,
        slots: 256,
    };

    /// Checks the bounds within which everything else works.
    pub fn validate(&self) -> Result<(), Malformed> {
        let complain = |why: &str| Err(Malformed::new("layout", why));
        if !(1024..=4 << 20).contains(&self.cell_bytes) || !self.cell_bytes.is_multiple_of(64) {
            return complain("cell_bytes must be a multiple of 64 from 1,024 to 4,194,304");
        }
        if !(1..=256).contains(&self.cells_per_slot) {
            return complain("cells_per_slot must be from 1 to 256");
        }
        if !(1..=1 << 16).contains(&self.slots) {
            return complain("slots must be from 1 to 65,536");
        }
        Ok(())
    }

    /// Bytes of a slot.
    pub fn slot_bytes(&self) -> u32 {
        self.cell_bytes * u32::from(self.cells_per_slot)
    }

    /// Bytes of a fragment: a cell without its tag.
    pub fn fragment_bytes(&self) -> usize {
        self.cell_bytes as usize - TAG_BYTES
    }

    /// Bytes of a pack that a fragment carries.
    pub fn chunk_bytes(&self) -> usize {
        self.fragment_bytes() - TAG_BYTES
    }

    /// Fragments that one generation can hold at most: the largest bundle.
    pub fn capacity(&self) -> u32 {
        self.slots * u32::from(self.cells_per_slot)
    }
}

/// Where a cell is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellAddress {
    /// Its generation.
    pub generation: GenerationId,
    /// Index of its slot in the generation.
    pub slot: u32,
    /// Index of the cell in the slot.
    pub cell: u16,
}

impl CellAddress {
    fn bound(&self) -> Vec<u8> {
        let mut bytes = domain("cell");
        bytes.extend_from_slice(&self.generation.0);
        bytes.extend_from_slice(&self.slot.to_be_bytes());
        bytes.extend_from_slice(&self.cell.to_be_bytes());
        bytes
    }
}

/// Encrypts a fragment for its place, in place: appends the tag (docs/protocol.md 5.2). The nonce is zero because
/// each key encrypts one cell only; the same cell encrypted again gives the same bytes, so an upload can be retried.
pub fn seal_cell(
    key: &PlacementKey,
    at: CellAddress,
    fragment: &mut Vec<u8>,
) -> Result<(), Rejected> {
    aead(key.expose())?
        .seal_in_place_append_tag(zero_nonce(), Aad::from(at.bound()), fragment)
        .map_err(|_| Rejected)
}

/// Decrypts a cell to its fragment (docs/protocol.md 10.1).
pub fn open_cell(key: &PlacementKey, at: CellAddress, cell: &[u8]) -> Result<Vec<u8>, Rejected> {
    let mut bytes = cell.to_vec();
    let plain = aead(key.expose())?
        .open_in_place(zero_nonce(), Aad::from(at.bound()), &mut bytes)
        .map_err(|_| Rejected)?
        .len();
    bytes.truncate(plain);
    Ok(bytes)
}

pub(crate) fn aead(key: &[u8; 32]) -> Result<LessSafeKey, Rejected> {
    UnboundKey::new(&AES_256_GCM, key)
        .map(LessSafeKey::new)
        .map_err(|_| Rejected)
}

fn zero_nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn a_cell_opens_only_with_its_key_at_its_place() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
        let key = PlacementKey::random(&mut rng);
        let at = CellAddress {
            generation: GenerationId([3; 16]),
            slot: 5,
            cell: 7,
        };
        let mut cell = vec![9; 1008];
        seal_cell(&key, at, &mut cell).unwrap();
        assert_eq!(cell.len(), 1024);
        assert_eq!(open_cell(&key, at, &cell).unwrap(), vec![9; 1008]);
        assert!(open_cell(&PlacementKey::random(&mut rng), at, &cell).is_err());
        for wrong in [
            CellAddress { slot: 6, ..at },
            CellAddress { cell: 8, ..at },
            CellAddress {
                generation: GenerationId([4; 16]),
                ..at
            },
        ] {
            assert!(open_cell(&key, wrong, &cell).is_err());
        }
        assert!(open_cell(&key, at, &cell[..1023]).is_err());
        assert!(open_cell(&key, at, &[]).is_err());
    }

    #[test]
    fn layouts_out_of_bounds_are_refused() {
        assert!(Layout::DEFAULT.validate().is_ok());
        for bad in [
            Layout {
                cell_bytes: 0,
                ..Layout::DEFAULT
            },
            Layout {
                cell_bytes: 1 << 30,
                ..Layout::DEFAULT
            },
            Layout {
                cell_bytes: 1025,
                ..Layout::DEFAULT
            },
            Layout {
                cells_per_slot: 0,
                ..Layout::DEFAULT
            },
            Layout {
                slots: 0,
                ..Layout::DEFAULT
            },
            Layout {
                slots: 1 << 17,
                ..Layout::DEFAULT
            },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
