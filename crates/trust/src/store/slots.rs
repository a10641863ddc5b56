//! Slots and cells: what is where in a generation, and the keys that open it (docs/protocol.md 5).

use std::collections::BTreeMap;

use harpo_protocol::cell::CellAddress;
use harpo_protocol::id::{BundleId, Digest};
use harpo_protocol::placement::{OccupiedSlot, Place};
use harpo_protocol::release::Placement;
use harpo_protocol::secret::{KEY_BYTES, PlacementKey};
use harpo_protocol::time::Timestamp;
use rand_core::CryptoRng;
use sqlx::{SqliteConnection, SqliteExecutor};
use zeroize::Zeroizing;

use super::bytes;
use crate::error::{TrustError, damaged};

/// The slots that hold fragments or are leaving.
pub(crate) async fn occupied(
    db: impl SqliteExecutor<'_>,
    number: i64,
) -> Result<BTreeMap<u32, OccupiedSlot>, TrustError> {
    let rows: Vec<(u32, u16, Option<i64>, i64)> =
        sqlx::query_as("SELECT slot, used, leaves, progress FROM slot WHERE generation = ?")
            .bind(number)
            .fetch_all(db)
            .await?;
    let slots = rows.into_iter().map(|(slot, used, leaves, progress)| {
        let leaves = leaves.map(|at| Timestamp(at as u64));
        let closed = progress > 0;
        (
            slot,
            OccupiedSlot {
                used,
                leaves,
                closed,
            },
        )
    });
    Ok(slots.collect())
}

/// Writes the slots that a placement changed.
pub(crate) async fn save(
    tx: &mut SqliteConnection,
    number: i64,
    before: &BTreeMap<u32, OccupiedSlot>,
    after: &BTreeMap<u32, OccupiedSlot>,
) -> Result<(), TrustError> {
    for (index, slot) in after {
        if before.get(index) == Some(slot) {
            continue;
        }
        sqlx::query(
            "INSERT INTO slot (generation, slot, used, leaves) VALUES (?, ?, ?, ?) \
             ON CONFLICT (generation, slot) DO UPDATE SET used = excluded.used",
        )
        .bind(number)
        .bind(index)
        .bind(slot.used)
        .bind(slot.leaves.map(|at| at.0 as i64))
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Gives a bundle's fragments, in order, to their places, each under a fresh key (5.2).
pub(crate) async fn insert_cells(
    tx: &mut SqliteConnection,
    number: i64,
    bundle: i64,
    places: &[Place],
    rng: &mut impl CryptoRng,
) -> Result<(), TrustError> {
    for (fragment, place) in places.iter().enumerate() {
        let key = PlacementKey::random(rng);
        sqlx::query(
            "INSERT INTO cell (generation, slot, cell, bundle, fragment, key) \
             VALUES (?, ?, ?, ?, ?, ?)",
        )
        .bind(number)
        .bind(place.slot)
        .bind(place.cell)
        .bind(bundle)
        .bind(fragment as i64)
        .bind(key.expose().as_slice())
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Destroys the placement keys of a bundle that is placed anew (5.7).
pub(crate) async fn remove_cells(tx: &mut SqliteConnection, bundle: i64) -> Result<(), TrustError> {
    sqlx::query("DELETE FROM cell WHERE bundle = ?")
        .bind(bundle)
        .execute(tx)
        .await?;
    Ok(())
}

/// Fixes the bytes of slots: nothing is placed in them any more, and what they leave free becomes
/// cover (5.3). The cover key is kept until the generation is sealed, so that a retry sends the same
/// bytes.
pub(crate) async fn close(
    tx: &mut SqliteConnection,
    number: i64,
    slots: impl IntoIterator<Item = u32>,
    rng: &mut impl CryptoRng,
) -> Result<(), TrustError> {
    for slot in slots {
        let mut cover = Zeroizing::new([0; KEY_BYTES]);
        rng.fill_bytes(&mut *cover);
        sqlx::query(
            "INSERT INTO slot (generation, slot, used, progress, cover) VALUES (?, ?, 0, 1, ?) \
             ON CONFLICT (generation, slot) DO UPDATE SET progress = 1, cover = excluded.cover \
             WHERE progress = 0",
        )
        .bind(number)
        .bind(slot)
        .bind(cover.as_slice())
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// A slot whose bytes are fixed and that the cloud has not confirmed.
pub(crate) struct Leaving {
    pub(crate) slot: u32,
    /// The time that was drawn for it, if one was.
    pub(crate) at: Option<Timestamp>,
}

/// The slots that are leaving and have not arrived, earliest first.
pub(crate) async fn leaving(
    db: impl SqliteExecutor<'_>,
    number: i64,
) -> Result<Vec<Leaving>, TrustError> {
    let rows: Vec<(u32, Option<i64>)> = sqlx::query_as(
        "SELECT slot, leaves FROM slot WHERE generation = ? AND progress = 1 ORDER BY leaves, slot",
    )
    .bind(number)
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(slot, leaves)| Leaving {
            slot,
            at: leaves.map(|at| Timestamp(at as u64)),
        })
        .collect())
}

/// What a leaving slot is made of.
pub(crate) struct Content {
    /// Its unused cells' keys are derived from it.
    pub(crate) cover: Zeroizing<Vec<u8>>,
    /// What its bytes were when they left before.
    pub(crate) digest: Option<Digest>,
    /// Used cells: index, bundle, fragment, key.
    pub(crate) cells: Vec<(u16, BundleId, u32, PlacementKey)>,
}

pub(crate) async fn content(
    db: &sqlx::SqlitePool,
    number: i64,
    slot: u32,
) -> Result<Content, TrustError> {
    let (cover, digest): (Option<Vec<u8>>, Option<Vec<u8>>) =
        sqlx::query_as("SELECT cover, digest FROM slot WHERE generation = ? AND slot = ?")
            .bind(number)
            .bind(slot)
            .fetch_one(db)
            .await?;
    let rows: Vec<(u16, Vec<u8>, u32, Vec<u8>)> = sqlx::query_as(
        "SELECT cell.cell, bundle.id, cell.fragment, cell.key FROM cell \
         JOIN bundle ON bundle.number = cell.bundle \
         WHERE cell.generation = ? AND cell.slot = ? ORDER BY cell.cell",
    )
    .bind(number)
    .bind(slot)
    .fetch_all(db)
    .await?;
    let cells = rows
        .into_iter()
        .map(|(cell, bundle, fragment, key)| {
            let key = placement_key(key)?;
            Ok((cell, bytes!(BundleId, bundle)?, fragment, key))
        })
        .collect::<Result<_, TrustError>>()?;
    Ok(Content {
        cover: Zeroizing::new(cover.ok_or_else(|| damaged("a slot's cover key"))?),
        digest: digest.map(|d| bytes!(Digest, d)).transpose()?,
        cells,
    })
}

fn placement_key(bytes: Vec<u8>) -> Result<PlacementKey, TrustError> {
    PlacementKey::from_slice(&Zeroizing::new(bytes)).ok_or_else(|| damaged("a placement key"))
}

/// The cloud has confirmed a slot.
pub(crate) async fn arrived(
    tx: &mut SqliteConnection,
    number: i64,
    slot: u32,
    digest: Digest,
) -> Result<(), TrustError> {
    sqlx::query("UPDATE slot SET progress = 2, digest = ? WHERE generation = ? AND slot = ?")
        .bind(digest.0.as_slice())
        .bind(number)
        .bind(slot)
        .execute(tx)
        .await?;
    Ok(())
}

/// SHA-256 of each slot, in index order; all must have arrived.
pub(crate) async fn digests(
    tx: &mut SqliteConnection,
    number: i64,
) -> Result<Vec<Digest>, TrustError> {
    sqlx::query_scalar::<_, Option<Vec<u8>>>(
        "SELECT digest FROM slot WHERE generation = ? ORDER BY slot",
    )
    .bind(number)
    .fetch_all(tx)
    .await?
    .into_iter()
    .map(|digest| {
        let digest = digest.ok_or_else(|| damaged("a slot's digest"))?;
        bytes!(Digest, digest)
    })
    .collect()
}

/// The places and keys of a bundle's fragments, in fragment order.
pub(crate) async fn placements(
    tx: &mut SqliteConnection,
    bundle: i64,
) -> Result<Vec<Placement>, TrustError> {
    let rows: Vec<(Vec<u8>, u32, u16, Vec<u8>)> = sqlx::query_as(
        "SELECT generation.id, cell.slot, cell.cell, cell.key FROM cell \
         JOIN generation ON generation.number = cell.generation \
         WHERE cell.bundle = ? ORDER BY cell.fragment",
    )
    .bind(bundle)
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|(generation, slot, cell, key)| {
            Ok(Placement {
                at: CellAddress {
                    generation: bytes!(GenerationId, generation)?,
                    slot,
                    cell,
                },
                key: placement_key(key)?,
            })
        })
        .collect()
}
