//! The cloud's key for the relay, as gateways are told it (docs/protocol.md 9.8).

use harpo_protocol::time::Timestamp;
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::error::TrustError;

/// The key, base64, and since when it is told.
pub(crate) async fn find(
    db: impl SqliteExecutor<'_>,
) -> Result<Option<(String, Timestamp)>, TrustError> {
    let row: Option<(String, i64)> =
        sqlx::query_as("SELECT key, since FROM relay_key WHERE one = 1")
            .fetch_optional(db)
            .await?;
    Ok(row.map(|(key, since)| (key, Timestamp(since as u64))))
}

/// Another one from now on.
pub(crate) async fn set(
    tx: &mut SqliteConnection,
    key: &str,
    now: Timestamp,
) -> Result<(), TrustError> {
    sqlx::query("INSERT OR REPLACE INTO relay_key (one, key, since) VALUES (1, ?, ?)")
        .bind(key)
        .bind(now.0 as i64)
        .execute(tx)
        .await?;
    Ok(())
}
