//! What happened to this hospital's own bundles elsewhere (docs/protocol.md 8.7).

use harpo_protocol::access::Obligation;
use harpo_protocol::release::Notice;
use serde::{Deserialize, Serialize};
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, unsigned};

/// A notice, as the hospital's people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoticeRow {
    /// Trust's number, ascending.
    pub number: u64,
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Which bundle was released.
    pub bundle: String,
    /// Its study, if this gateway still has the receipt.
    pub study: Option<String>,
    /// To which hospital.
    pub consumer: String,
    /// To which user there.
    pub user: String,
    /// With which role.
    pub role: String,
    /// For what: an HL7 v3 PurposeOfUse code.
    pub purpose: String,
    /// What the permit demanded.
    pub obligations: Vec<Obligation>,
}

impl NoticeRow {
    /// Whether a second person must review the access.
    #[must_use]
    pub fn wants_review(&self) -> bool {
        self.obligations.contains(&Obligation::SecondReview)
    }
}

const COLUMNS: &str = "SELECT n.number, n.at_ms, n.bundle, r.study, n.consumer, n.user, n.role, \
     n.purpose, n.obligations FROM notices n LEFT JOIN receipts r ON r.bundle = n.bundle";

impl Store {
    /// The number of the newest notice; 0 if there is none.
    pub async fn last_notice(&self) -> Result<u64, StoreError> {
        let row = sqlx::query("SELECT coalesce(max(number), 0) FROM notices")
            .fetch_one(self.db.read())
            .await?;
        Ok(unsigned(&row, 0)?)
    }

    /// Keeps notices, all or none; those that are here already stay as they are.
    pub async fn add_notices(&self, notices: &[Notice]) -> Result<(), StoreError> {
        let mut tx = self.db.begin("keep notices").await?;
        for notice in notices {
            let obligations = serde_json::to_string(&notice.obligations)
                .map_err(|error| sqlx::Error::Encode(error.into()))?;
            sqlx::query("INSERT OR IGNORE INTO notices VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
                .bind(notice.number as i64)
                .bind(notice.at.as_millis() as i64)
                .bind(notice.bundle.to_string())
                .bind(&notice.consumer)
                .bind(&notice.requester.user)
                .bind(&notice.requester.role)
                .bind(notice.requester.purpose.code())
                .bind(obligations)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// The last `limit` notices, newest first.
    pub async fn notices(&self, limit: u32) -> Result<Vec<NoticeRow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "{COLUMNS} ORDER BY n.number DESC LIMIT ?"
        )))
        .bind(limit)
        .fetch_all(self.db.read())
        .await?;
        rows.iter().map(notice).collect()
    }

    /// Every access that a second person must review, oldest first.
    pub async fn reviews(&self) -> Result<Vec<NoticeRow>, StoreError> {
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} ORDER BY n.number")))
            .fetch_all(self.db.read())
            .await?;
        let notices: Result<Vec<NoticeRow>, _> = rows.iter().map(notice).collect();
        Ok(notices?
            .into_iter()
            .filter(NoticeRow::wants_review)
            .collect())
    }
}

fn notice(row: &SqliteRow) -> Result<NoticeRow, StoreError> {
    let obligations: String = row.try_get(8)?;
    Ok(NoticeRow {
        number: unsigned(row, 0)?,
        at_ms: unsigned(row, 1)?,
        bundle: row.try_get(2)?,
        study: row.try_get(3)?,
        consumer: row.try_get(4)?,
        user: row.try_get(5)?,
        role: row.try_get(6)?,
        purpose: row.try_get(7)?,
        obligations: serde_json::from_str(&obligations)
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
    })
}
