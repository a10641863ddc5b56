//! Bundles: what was deposited (docs/protocol.md 4).

use harpo_protocol::deposit::Receipt;
use harpo_protocol::id::{BundleId, Digest, PartyId};
use harpo_protocol::manifest::Manifest;
use harpo_protocol::sign::Signed;
use harpo_protocol::time::Timestamp;
use harpo_protocol::wrap::Wrapped;
use sqlx::{SqliteConnection, SqliteExecutor};

use super::bytes;
use crate::error::{TrustError, damaged};

/// Where a bundle stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Fragments are coming.
    Receiving,
    /// Deposited.
    Placed,
    /// Its keys are destroyed.
    Erased,
}

/// A bundle without its large parts.
#[derive(Clone, Debug)]
pub(crate) struct Bundle {
    pub(crate) number: i64,
    pub(crate) id: BundleId,
    pub(crate) origin: PartyId,
    pub(crate) state: State,
    pub(crate) digest: Digest,
    /// How many.
    pub(crate) fragments: u32,
    /// Where it was placed last.
    pub(crate) generation: Option<i64>,
    /// Whether the cloud has bytes of it: its generation is sealed, or one in which it was before (5.7).
    pub(crate) in_cloud: bool,
    /// Whether it is read from the stack: its generation is sealed, and no longer in the upload cache.
    pub(crate) in_stack: bool,
}

impl Bundle {
    /// Whether its fragments may be in the upload cache, and wanted there: until it is read from the stack, and of an
    /// erased one until [`cleared`].
    pub(crate) fn is_cached(&self) -> bool {
        !self.in_stack && self.fragments > 0
    }
}

type Row = (
    i64,
    Vec<u8>,
    Vec<u8>,
    String,
    Vec<u8>,
    i64,
    Option<String>,
    Option<bool>,
    Option<i64>,
    i64,
);

pub(crate) async fn find(
    db: impl SqliteExecutor<'_>,
    id: BundleId,
) -> Result<Option<Bundle>, TrustError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT bundle.number, bundle.id, origin, bundle.state, digest, length(fragments) / 32, \
         generation.state, generation.cached, bundle.generation, replaced FROM bundle \
         LEFT JOIN generation ON generation.number = bundle.generation WHERE bundle.id = ?",
    )
    .bind(id.0.as_slice())
    .fetch_optional(db)
    .await?;
    let Some((number, id, origin, state, digest, fragments, stands, cached, generation, replaced)) =
        row
    else {
        return Ok(None);
    };
    let sealed = stands.is_some_and(|state| state == "sealed" || state == "retired");
    let state = match state.as_str() {
        "receiving" => State::Receiving,
        "placed" => State::Placed,
        "erased" => State::Erased,
        _ => return Err(damaged("a bundle's state")),
    };
    Ok(Some(Bundle {
        number,
        id: bytes!(BundleId, id)?,
        origin: bytes!(PartyId, origin)?,
        state,
        digest: bytes!(Digest, digest)?,
        fragments: fragments as u32,
        generation,
        in_cloud: sealed || replaced > 0,
        in_stack: sealed && cached == Some(false),
    }))
}

/// SHA-256 of one fragment, by the manifest.
pub(crate) async fn fragment_digest(
    db: impl SqliteExecutor<'_>,
    number: i64,
    fragment: u32,
) -> Result<Digest, TrustError> {
    let digest: Vec<u8> =
        sqlx::query_scalar("SELECT substr(fragments, ?, 32) FROM bundle WHERE number = ?")
            .bind(i64::from(fragment) * 32 + 1)
            .bind(number)
            .fetch_one(db)
            .await?;
    bytes!(Digest, digest)
}

/// A new deposit, as it is stored before any fragment.
pub(crate) struct NewBundle<'a> {
    pub(crate) manifest: &'a Manifest,
    pub(crate) signed: &'a Signed<Manifest>,
    pub(crate) content_key: &'a Wrapped,
    pub(crate) begun: Timestamp,
}

/// Stores the bundle's own row; the catalogue is [`super::catalogue::insert`]'s. Answers its number.
pub(crate) async fn insert(
    tx: &mut SqliteConnection,
    new: &NewBundle<'_>,
    catalogue: &super::catalogue::StudyColumns,
) -> Result<i64, TrustError> {
    let manifest = new.manifest;
    let content_key =
        serde_json::to_string(new.content_key).map_err(|_| damaged("a wrapped key"))?;
    let fragments: Vec<u8> = manifest.fragments.iter().flat_map(|d| d.0).collect();
    let done = sqlx::query(
        "INSERT INTO bundle (id, origin, state, begun, manifest, digest, content_key, fragments, \
         study, patient, study_date, accession, modalities, instances, attributes) \
         VALUES (?, ?, 'receiving', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
    )
    .bind(manifest.bundle.0.as_slice())
    .bind(manifest.origin.0.as_slice())
    .bind(new.begun.0 as i64)
    .bind(new.signed.to_json())
    .bind(new.signed.digest().0.to_vec())
    .bind(content_key)
    .bind(fragments)
    .bind(&manifest.study.study_instance_uid)
    .bind(&manifest.study.patient_id)
    .bind(&catalogue.study_date)
    .bind(&catalogue.accession)
    .bind(&catalogue.modalities)
    .bind(catalogue.instances)
    .bind(&catalogue.attributes)
    .execute(tx)
    .await?;
    Ok(done.last_insert_rowid())
}

/// The bundle is deposited and in this generation (4.3).
pub(crate) async fn placed(
    tx: &mut SqliteConnection,
    number: i64,
    generation: i64,
    at: Timestamp,
    receipt: &Signed<Receipt>,
) -> Result<(), TrustError> {
    sqlx::query(
        "UPDATE bundle SET state = 'placed', placed = ?, generation = ?, receipt = ? WHERE number = ?",
    )
    .bind(at.0 as i64)
    .bind(generation)
    .bind(receipt.to_json())
    .bind(number)
    .execute(tx)
    .await?;
    Ok(())
}

/// The bundle was placed anew, in this generation (5.7).
pub(crate) async fn replaced(
    tx: &mut SqliteConnection,
    number: i64,
    generation: i64,
) -> Result<(), TrustError> {
    sqlx::query("UPDATE bundle SET generation = ?, replaced = replaced + 1 WHERE number = ?")
        .bind(generation)
        .bind(number)
        .execute(tx)
        .await?;
    Ok(())
}

pub(crate) async fn receipt(
    db: impl SqliteExecutor<'_>,
    number: i64,
) -> Result<Option<Signed<Receipt>>, TrustError> {
    let text: Option<String> = sqlx::query_scalar("SELECT receipt FROM bundle WHERE number = ?")
        .bind(number)
        .fetch_one(db)
        .await?;
    text.map(|text| Signed::from_json(&text))
        .transpose()
        .map_err(|_| damaged("a receipt"))
}

pub(crate) async fn manifest(
    db: impl SqliteExecutor<'_>,
    number: i64,
) -> Result<Signed<Manifest>, TrustError> {
    let text: Option<String> = sqlx::query_scalar("SELECT manifest FROM bundle WHERE number = ?")
        .bind(number)
        .fetch_one(db)
        .await?;
    text.and_then(|text| Signed::from_json(&text).ok())
        .ok_or_else(|| damaged("a manifest"))
}

pub(crate) async fn content_key(
    db: impl SqliteExecutor<'_>,
    number: i64,
) -> Result<Wrapped, TrustError> {
    let text: Option<String> =
        sqlx::query_scalar("SELECT content_key FROM bundle WHERE number = ?")
            .bind(number)
            .fetch_one(db)
            .await?;
    text.and_then(|text| serde_json::from_str(&text).ok())
        .ok_or_else(|| damaged("a wrapped content key"))
}

/// Removes every trace of a deposit that was never completed.
pub(crate) async fn forget(tx: &mut SqliteConnection, number: i64) -> Result<(), TrustError> {
    for statement in [
        "DELETE FROM instance WHERE bundle = ?",
        "DELETE FROM series WHERE bundle = ?",
        "DELETE FROM bundle WHERE number = ? AND state = 'receiving'",
    ] {
        sqlx::query(statement)
            .bind(number)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Destroys a bundle's keys and what the catalogue says of it (12.1). Deleted bytes are overwritten in the
/// database file, as it is opened ([`crate::Folder`]). Slots that are leaving keep the placement keys that their bytes are
/// made with until the generation is sealed; without the content key these open nothing.
pub(crate) async fn erase(tx: &mut SqliteConnection, bundle: &Bundle) -> Result<(), TrustError> {
    for statement in [
        "DELETE FROM instance WHERE bundle = ?",
        "DELETE FROM series WHERE bundle = ?",
        "DELETE FROM cell WHERE bundle = ? AND NOT EXISTS ( \
           SELECT 1 FROM slot JOIN generation ON generation.number = slot.generation \
           WHERE slot.generation = cell.generation AND slot.slot = cell.slot \
           AND slot.progress > 0 AND generation.state IN ('open', 'sealing', 'encoding'))",
        "UPDATE bundle SET state = 'erased', content_key = NULL, manifest = NULL, \
         attributes = '{}', patient = '', study_date = '', accession = '', modalities = '[]' \
         WHERE number = ?",
    ] {
        sqlx::query(statement)
            .bind(bundle.number)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// Bundles whose fragments are not needed in the cache: erased, and in no slot that still has to leave.
pub(crate) async fn erased_without_cells(
    db: impl SqliteExecutor<'_>,
) -> Result<Vec<BundleId>, TrustError> {
    let ids: Vec<Vec<u8>> = sqlx::query_scalar(
        "SELECT id FROM bundle WHERE state = 'erased' AND length(fragments) > 0 \
         AND NOT EXISTS (SELECT 1 FROM cell WHERE cell.bundle = bundle.number)",
    )
    .fetch_all(db)
    .await?;
    ids.into_iter().map(|id| bytes!(BundleId, id)).collect()
}

/// Nothing of an erased bundle is in the cache any more.
pub(crate) async fn cleared(tx: &mut SqliteConnection, id: BundleId) -> Result<(), TrustError> {
    sqlx::query("UPDATE bundle SET fragments = x'' WHERE id = ? AND state = 'erased'")
        .bind(id.0.as_slice())
        .execute(tx)
        .await?;
    Ok(())
}

/// The bundles of a generation.
pub(crate) async fn of_generation(
    db: impl SqliteExecutor<'_>,
    generation: i64,
) -> Result<Vec<BundleId>, TrustError> {
    let ids: Vec<Vec<u8>> = sqlx::query_scalar("SELECT id FROM bundle WHERE generation = ?")
        .bind(generation)
        .fetch_all(db)
        .await?;
    ids.into_iter().map(|id| bytes!(BundleId, id)).collect()
}

/// Deposits that were begun before `before` and never completed.
pub(crate) async fn abandoned(
    db: impl SqliteExecutor<'_>,
    before: Timestamp,
) -> Result<Vec<BundleId>, TrustError> {
    let ids: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT id FROM bundle WHERE state = 'receiving' AND begun < ?")
            .bind(before.0 as i64)
            .fetch_all(db)
            .await?;
    ids.into_iter().map(|id| bytes!(BundleId, id)).collect()
}

/// What one party has in trust's hands and not yet in the cloud. What was placed anew is not its doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Deposits that were begun and not completed.
    pub(crate) open: u64,
    /// Fragments in the upload cache, or announced for it.
    pub(crate) fragments: u64,
}

pub(crate) async fn held(tx: &mut SqliteConnection, origin: PartyId) -> Result<Held, TrustError> {
    let (open, receiving): (i64, i64) = sqlx::query_as(
        "SELECT count(*), coalesce(sum(length(fragments)), 0) / 32 FROM bundle \
         WHERE state = 'receiving' AND origin = ?",
    )
    .bind(origin.0.as_slice())
    .fetch_one(&mut *tx)
    .await?;
    let waiting: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(length(fragments)), 0) / 32 FROM bundle \
         WHERE generation IN (SELECT number FROM generation WHERE cached = 1) AND origin = ? \
         AND replaced = 0",
    )
    .bind(origin.0.as_slice())
    .fetch_one(tx)
    .await?;
    Ok(Held {
        open: open as u64,
        fragments: (receiving + waiting) as u64,
    })
}
