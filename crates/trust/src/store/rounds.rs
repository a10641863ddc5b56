//! Each party's last round (docs/protocol.md 9.7).

use harpo_protocol::id::PartyId;
use sqlx::{SqliteConnection, SqliteExecutor};

use crate::error::TrustError;

/// What a party was answered in round `number`, if it asked.
pub(crate) async fn answer(
    db: impl SqliteExecutor<'_>,
    party: PartyId,
    number: u64,
) -> Result<Option<String>, TrustError> {
    Ok(
        sqlx::query_scalar("SELECT answer FROM round WHERE party = ? AND number = ?")
            .bind(party.0.as_slice())
            .bind(number as i64)
            .fetch_optional(db)
            .await?,
    )
}

/// Remembers an answer in place of the last one.
pub(crate) async fn answered(
    tx: &mut SqliteConnection,
    party: PartyId,
    number: u64,
    answer: &str,
) -> Result<(), TrustError> {
    sqlx::query("INSERT OR REPLACE INTO round (party, number, answer) VALUES (?, ?, ?)")
        .bind(party.0.as_slice())
        .bind(number as i64)
        .bind(answer)
        .execute(tx)
        .await?;
    Ok(())
}
