//! Who may give what back (docs/protocol.md 5.7).

use harpo_protocol::id::{BundleId, Nonce, PartyId};
use harpo_protocol::time::Timestamp;
use sqlx::{SqliteConnection, SqliteExecutor};

use super::bundles::Bundle;
use super::bytes;
use crate::error::{TrustError, damaged};

/// A grant to give a bundle back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grant {
    /// The generation of the copy that it is for.
    pub(crate) generation: i64,
    pub(crate) is_errand: bool,
    pub(crate) expires: Timestamp,
}

/// Grants it for the copy that is read from the stack now. `errand` is how many slots an errand brings at most.
pub(crate) async fn grant(
    tx: &mut SqliteConnection,
    nonce: Nonce,
    party: PartyId,
    bundle: &Bundle,
    errand: Option<u32>,
    expires: Timestamp,
) -> Result<(), TrustError> {
    let generation = bundle
        .generation
        .ok_or_else(|| damaged("a bundle's place"))?;
    sqlx::query(
        "INSERT INTO give_back (nonce, party, bundle, generation, errand, expires) VALUES (?, ?, ?, ?, ?, ?)",
    )
    .bind(nonce.0.as_slice())
    .bind(party.0.as_slice())
    .bind(bundle.number)
    .bind(generation)
    .bind(errand)
    .bind(expires.0 as i64)
    .execute(tx)
    .await?;
    Ok(())
}

/// The grant of this party for this bundle, if there is one.
pub(crate) async fn find(
    db: impl SqliteExecutor<'_>,
    nonce: Nonce,
    party: PartyId,
    bundle: BundleId,
) -> Result<Option<Grant>, TrustError> {
    let row: Option<(i64, Option<u32>, i64)> = sqlx::query_as(
        "SELECT give_back.generation, errand, expires FROM give_back \
         JOIN bundle ON bundle.number = give_back.bundle \
         WHERE nonce = ? AND party = ? AND bundle.id = ?",
    )
    .bind(nonce.0.as_slice())
    .bind(party.0.as_slice())
    .bind(bundle.0.as_slice())
    .fetch_optional(db)
    .await?;
    Ok(row.map(|(generation, errand, expires)| Grant {
        generation,
        is_errand: errand.is_some(),
        expires: Timestamp(expires as u64),
    }))
}

/// Whether somebody may give back the present copy of a bundle.
pub(crate) async fn is_under_way(
    db: impl SqliteExecutor<'_>,
    bundle: &Bundle,
    now: Timestamp,
) -> Result<bool, TrustError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM give_back WHERE bundle = ? AND generation = ? AND expires >= ?)",
    )
    .bind(bundle.number)
    .bind(bundle.generation)
    .bind(now.0 as i64)
    .fetch_one(db)
    .await?)
}

/// Slots that errands under way bring at most: those of all parties, and those of this one.
pub(crate) async fn errand_slots(
    db: impl SqliteExecutor<'_>,
    party: PartyId,
    now: Timestamp,
) -> Result<(u32, u32), TrustError> {
    let (all, own): (i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(errand), 0), coalesce(sum(CASE WHEN party = ? THEN errand END), 0) \
         FROM give_back JOIN bundle ON bundle.number = give_back.bundle \
         WHERE bundle.state = 'placed' AND bundle.generation = give_back.generation AND expires >= ?",
    )
    .bind(party.0.as_slice())
    .bind(now.0 as i64)
    .fetch_one(db)
    .await?;
    let most = |slots: i64| u32::try_from(slots).unwrap_or(u32::MAX);
    Ok((most(all), most(own)))
}

/// Fragments of the bundles, but for this one, that a party may give back now.
pub(crate) async fn fragments(
    db: impl SqliteExecutor<'_>,
    party: PartyId,
    besides: i64,
    now: Timestamp,
) -> Result<u64, TrustError> {
    let fragments: i64 = sqlx::query_scalar(
        "SELECT coalesce(sum(length(fragments)), 0) / 32 FROM bundle \
         WHERE state = 'placed' AND number != ? AND (number, generation) IN \
           (SELECT bundle, generation FROM give_back WHERE party = ? AND expires >= ?)",
    )
    .bind(besides)
    .bind(party.0.as_slice())
    .bind(now.0 as i64)
    .fetch_one(db)
    .await?;
    Ok(fragments as u64)
}

/// Whether a party has an errand in this stack that it has not finished.
pub(crate) async fn has_errand(
    db: impl SqliteExecutor<'_>,
    party: PartyId,
    stack: i64,
    now: Timestamp,
) -> Result<bool, TrustError> {
    Ok(sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM give_back JOIN bundle ON bundle.number = give_back.bundle \
         JOIN generation ON generation.number = give_back.generation \
         WHERE party = ? AND errand IS NOT NULL AND expires >= ? AND generation.stack = ? \
         AND bundle.state = 'placed' AND bundle.generation = give_back.generation)",
    )
    .bind(party.0.as_slice())
    .bind(now.0 as i64)
    .bind(stack)
    .fetch_one(db)
    .await?)
}

/// A party's own bundles that are read from this stack and that nobody is giving back, with their fragments' number.
pub(crate) async fn candidates(
    db: impl SqliteExecutor<'_>,
    party: PartyId,
    stack: i64,
    now: Timestamp,
) -> Result<Vec<(BundleId, u32)>, TrustError> {
    let rows: Vec<(Vec<u8>, u32)> = sqlx::query_as(
        "SELECT bundle.id, length(fragments) / 32 FROM generation \
         JOIN bundle ON bundle.generation = generation.number \
         WHERE generation.stack = ? AND generation.state = 'sealed' AND generation.cached = 0 \
         AND bundle.state = 'placed' AND bundle.origin = ? AND NOT EXISTS (SELECT 1 FROM give_back \
           WHERE give_back.bundle = bundle.number AND give_back.generation = bundle.generation \
           AND give_back.expires >= ?)",
    )
    .bind(stack)
    .bind(party.0.as_slice())
    .bind(now.0 as i64)
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(id, fragments)| Ok((bytes!(BundleId, id)?, fragments)))
        .collect()
}

/// The grant is no more.
pub(crate) async fn remove(tx: &mut SqliteConnection, nonce: Nonce) -> Result<(), TrustError> {
    sqlx::query("DELETE FROM give_back WHERE nonce = ?")
        .bind(nonce.0.as_slice())
        .execute(tx)
        .await?;
    Ok(())
}

/// What was given back under them and not completed is wanted no more.
pub(crate) async fn remove_expired(
    tx: &mut SqliteConnection,
    now: Timestamp,
) -> Result<(), TrustError> {
    sqlx::query("DELETE FROM give_back WHERE expires < ?")
        .bind(now.0 as i64)
        .execute(tx)
        .await?;
    Ok(())
}
