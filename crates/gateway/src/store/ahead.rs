//! What was asked for ahead (docs/protocol.md 9.7).

use harpo_protocol::access::Requester;
use harpo_protocol::id::BundleId;
use harpo_protocol::time::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError};

/// A bundle that somebody will need.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ahead {
    /// Which.
    pub bundle: BundleId,
    /// Who asked, and in whose name it is released.
    pub requester: Requester,
    /// Not asked for before.
    pub due: Timestamp,
    /// When it is needed.
    pub by: Timestamp,
}

impl Store {
    /// Notes what was asked for ahead. A bundle that is noted already keeps its moment, unless it is needed earlier now.
    pub async fn add_ahead(&self, ahead: &[Ahead]) -> Result<(), StoreError> {
        let mut tx = self.db.begin("note what is needed").await?;
        for ahead in ahead {
            sqlx::query(
                "INSERT INTO ahead (bundle, user, role, purpose, due_ms, by_ms) VALUES (?, ?, ?, ?, ?, ?) \
                 ON CONFLICT (bundle) DO UPDATE SET user = excluded.user, role = excluded.role, \
                 purpose = excluded.purpose, due_ms = excluded.due_ms, by_ms = excluded.by_ms \
                 WHERE excluded.by_ms < ahead.by_ms",
            )
            .bind(ahead.bundle.to_string())
            .bind(&ahead.requester.user)
            .bind(&ahead.requester.role)
            .bind(ahead.requester.purpose.code())
            .bind(ahead.due.as_millis() as i64)
            .bind(ahead.by.as_millis() as i64)
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    /// What is due at `now`, the earliest first, at most `limit`.
    pub async fn ahead_due(&self, now: Timestamp, limit: u32) -> Result<Vec<Ahead>, StoreError> {
        let rows = sqlx::query(
            "SELECT bundle, user, role, purpose, due_ms, by_ms FROM ahead WHERE due_ms <= ? \
             ORDER BY due_ms, bundle LIMIT ?",
        )
        .bind(now.as_millis() as i64)
        .bind(limit)
        .fetch_all(self.db.read())
        .await?;
        rows.iter().map(ahead).collect()
    }

    /// How many bundles are noted.
    pub async fn ahead(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT count(*) FROM ahead")
            .fetch_one(self.db.read())
            .await?;
        Ok(super::unsigned(&row, 0)?)
    }

    /// Forgets one.
    pub async fn remove_ahead(&self, bundle: BundleId) -> Result<(), StoreError> {
        let mut tx = self.db.begin("forget what was needed").await?;
        sqlx::query("DELETE FROM ahead WHERE bundle = ?")
            .bind(bundle.to_string())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

fn ahead(row: &SqliteRow) -> Result<Ahead, StoreError> {
    let decode = |error: harpo_protocol::Malformed| sqlx::Error::Decode(error.into());
    let (bundle, purpose): (String, String) = (row.try_get(0)?, row.try_get(3)?);
    Ok(Ahead {
        bundle: bundle.parse().map_err(decode)?,
        requester: Requester {
            user: row.try_get(1)?,
            role: row.try_get(2)?,
            purpose: purpose.parse().map_err(decode)?,
        },
        due: Timestamp(super::unsigned(row, 4)?),
        by: Timestamp(super::unsigned(row, 5)?),
    })
}
