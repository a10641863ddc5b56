//! The bytes of a slot (docs/protocol.md 5.2): always the same for the same slot, so that it can be
//! sent again.

use std::collections::BTreeMap;

use bytes::Bytes;
use harpo_protocol::cell::{CellAddress, Layout, seal_cell};
use harpo_protocol::domain::{hash, sha256};
use harpo_protocol::id::GenerationId;
use harpo_protocol::secret::PlacementKey;

use crate::error::{TrustError, damaged};
use crate::serve::Trust;
use crate::store::generations::Generation;
use crate::store::slots::{self, Content};

/// Reads the fragments of a closed slot and encrypts its cells.
pub(super) async fn slot(
    trust: &Trust,
    generation: &Generation,
    slot: u32,
) -> Result<Vec<u8>, TrustError> {
    let db = trust.store.db.read();
    let content = slots::content(db, generation.number, slot).await?;
    let mut fragments = BTreeMap::new();
    for (cell, bundle, fragment, _) in &content.cells {
        fragments.insert(*cell, trust.cache.get(*bundle, *fragment).await?);
    }
    let (id, layout) = (generation.id, generation.layout);
    let expected = content.digest;
    let bytes =
        tokio::task::spawn_blocking(move || encrypt(id, &layout, slot, &content, fragments))
            .await
            .map_err(|_| damaged("a slot"))??;
    if expected.is_some_and(|digest| digest != sha256(&bytes)) {
        return Err(damaged("a slot that was sent before"));
    }
    Ok(bytes)
}

fn encrypt(
    generation: GenerationId,
    layout: &Layout,
    slot: u32,
    content: &Content,
    mut fragments: BTreeMap<u16, Bytes>,
) -> Result<Vec<u8>, TrustError> {
    let keys: BTreeMap<u16, &PlacementKey> = content
        .cells
        .iter()
        .map(|(cell, _, _, key)| (*cell, key))
        .collect();
    let mut bytes = Vec::with_capacity(layout.slot_bytes() as usize);
    for cell in 0..layout.cells_per_slot {
        let at = CellAddress {
            generation,
            slot,
            cell,
        };
        let (mut plain, cover);
        let key = match (keys.get(&cell), fragments.remove(&cell)) {
            (Some(key), Some(fragment)) => {
                plain = fragment.to_vec();
                *key
            }
            _ => {
                plain = vec![0; layout.fragment_bytes()];
                cover = cover_key(&content.cover, cell)?;
                &cover
            }
        };
        seal_cell(key, at, &mut plain)?;
        bytes.extend_from_slice(&plain);
    }
    if bytes.len() != layout.slot_bytes() as usize {
        return Err(damaged("a fragment's length"));
    }
    Ok(bytes)
}

/// The key of an unused cell. The key that it is derived from is random, serves this slot only, and is
/// destroyed when the generation is sealed.
fn cover_key(cover: &[u8], cell: u16) -> Result<PlacementKey, TrustError> {
    let key = hash("cover", &[cover, &cell.to_be_bytes()]);
    PlacementKey::from_slice(&key.0).ok_or_else(|| damaged("a cover key"))
}
