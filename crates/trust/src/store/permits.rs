//! Permits for the upload cache, notices, consent (docs/protocol.md 8.5, 8.7).

use harpo_protocol::id::{BundleId, Nonce, PartyId};
use harpo_protocol::release::Notice;
use harpo_protocol::time::Timestamp;
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::error::{TrustError, damaged};
use crate::policy::Consent;

/// Most notices of one answer.
pub(crate) const MAX_NOTICES: i64 = 1000;

pub(crate) async fn grant(
    tx: &mut SqliteConnection,
    nonce: Nonce,
    party: PartyId,
    bundle: BundleId,
    expires: Timestamp,
) -> Result<(), TrustError> {
    sqlx::query("INSERT INTO permit (nonce, party, bundle, expires) VALUES (?, ?, ?, ?)")
        .bind(nonce.0.as_slice())
        .bind(party.0.as_slice())
        .bind(bundle.0.as_slice())
        .bind(expires.0 as i64)
        .execute(tx)
        .await?;
    Ok(())
}

/// When the permit of this party for this bundle ends, if there is such a permit.
pub(crate) async fn find(
    db: impl SqliteExecutor<'_>,
    nonce: Nonce,
    party: PartyId,
    bundle: BundleId,
) -> Result<Option<Timestamp>, TrustError> {
    let expires: Option<i64> = sqlx::query_scalar(
        "SELECT expires FROM permit WHERE nonce = ? AND party = ? AND bundle = ?",
    )
    .bind(nonce.0.as_slice())
    .bind(party.0.as_slice())
    .bind(bundle.0.as_slice())
    .fetch_optional(db)
    .await?;
    Ok(expires.map(|at| Timestamp(at as u64)))
}

pub(crate) async fn remove_expired(
    tx: &mut SqliteConnection,
    now: Timestamp,
) -> Result<(), TrustError> {
    sqlx::query("DELETE FROM permit WHERE expires < ?")
        .bind(now.0 as i64)
        .execute(tx)
        .await?;
    Ok(())
}

/// Numbers a notice and stores it.
pub(crate) async fn notify(
    tx: &mut SqliteConnection,
    party: PartyId,
    mut notice: Notice,
) -> Result<(), TrustError> {
    let last: Option<i64> = sqlx::query_scalar("SELECT max(number) FROM notice WHERE party = ?")
        .bind(party.0.as_slice())
        .fetch_one(&mut *tx)
        .await?;
    notice.number = last.unwrap_or(0) as u64 + 1;
    let text = serde_json::to_string(&notice).map_err(|_| damaged("a notice"))?;
    sqlx::query("INSERT INTO notice (party, number, notice) VALUES (?, ?, ?)")
        .bind(party.0.as_slice())
        .bind(notice.number as i64)
        .bind(text)
        .execute(tx)
        .await?;
    Ok(())
}

/// Notices of a party with numbers above `after`, ascending.
pub(crate) async fn notices(
    db: impl SqliteExecutor<'_>,
    party: PartyId,
    after: u64,
) -> Result<Vec<Notice>, TrustError> {
    let texts: Vec<String> = sqlx::query_scalar(
        "SELECT notice FROM notice WHERE party = ? AND number > ? ORDER BY number LIMIT ?",
    )
    .bind(party.0.as_slice())
    .bind(i64::try_from(after).unwrap_or(i64::MAX))
    .bind(MAX_NOTICES)
    .fetch_all(db)
    .await?;
    texts
        .iter()
        .map(|text| serde_json::from_str(text).map_err(|_| damaged("a notice")))
        .collect()
}

/// Records a patient's consent; for every hospital that uses the identifier if `origin` is none.
/// [`Consent::Unknown`] removes what was recorded.
pub(crate) async fn set_consent(
    tx: &mut SqliteConnection,
    patient: &str,
    origin: Option<PartyId>,
    consent: Consent,
) -> Result<(), TrustError> {
    let origin = origin.map_or_else(Vec::new, |party| party.0.to_vec());
    let query = match consent {
        Consent::Unknown => sqlx::query("DELETE FROM consent WHERE patient = ? AND origin = ?"),
        _ => sqlx::query(
            "INSERT OR REPLACE INTO consent (patient, origin, consent) VALUES (?, ?, ?)",
        ),
    };
    let query = query.bind(patient).bind(origin);
    let query = match consent {
        Consent::Unknown => query,
        _ => query.bind(consent.as_str()),
    };
    query.execute(tx).await?;
    Ok(())
}
