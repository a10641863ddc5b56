//! Bundles that were refused for good, and what an operator wants done with them.

use harpo_protocol::time::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError, unsigned};

/// A bundle that was refused for good. Its instances stay in the spool until it is discarded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// Which.
    pub bundle: String,
    /// Of which study.
    pub study: String,
    /// Trust's code (docs/protocol.md 13), or `damaged` or `malformed` if it could not be sealed.
    pub code: String,
    /// In words.
    pub message: String,
    /// When.
    pub at: Timestamp,
    /// What an operator wants, if it is not done yet.
    pub wish: Option<Wish>,
}

/// What an operator wants done with a refused bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Deposit it after all: what stood against it was settled.
    Retry,
    /// Give it up, with its instances.
    Discard,
}

impl Wish {
    fn as_str(self) -> &'static str {
        match self {
            Self::Retry => "retry",
            Self::Discard => "discard",
        }
    }
}

impl Store {
    /// Notes that a bundle is refused for good.
    pub async fn add_refusal(
        &self,
        bundle: &str,
        study: &str,
        code: &str,
        message: &str,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin("keep refusal").await?;
        sqlx::query(
            "INSERT OR IGNORE INTO refusals (bundle, study, code, message, refused_ms) \
             VALUES (?, ?, ?, ?, ?)",
        )
        .bind(bundle)
        .bind(study)
        .bind(code)
        .bind(message)
        .bind(at.as_millis() as i64)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// Every refused bundle, oldest first.
    pub async fn refusals(&self) -> Result<Vec<Refusal>, StoreError> {
        let rows = sqlx::query(
            "SELECT bundle, study, code, message, refused_ms, wish FROM refusals \
             ORDER BY refused_ms, bundle",
        )
        .fetch_all(self.db.read())
        .await?;
        rows.iter().map(refusal).collect()
    }

    /// The refused bundles about which an operator wants something done.
    pub async fn wishes(&self) -> Result<Vec<(Refusal, Wish)>, StoreError> {
        let refusals = self.refusals().await?;
        Ok(refusals
            .into_iter()
            .filter_map(|refusal| refusal.wish.map(|wish| (refusal, wish)))
            .collect())
    }

    /// Notes what an operator wants done with a refused bundle; false if there is no such one.
    pub async fn wish(&self, bundle: &str, wish: Wish) -> Result<bool, StoreError> {
        let mut tx = self.db.begin("note wish").await?;
        let done = sqlx::query("UPDATE refusals SET wish = ? WHERE bundle = ?")
            .bind(wish.as_str())
            .bind(bundle)
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected() > 0)
    }

    /// Forgets that a bundle was refused.
    pub async fn remove_refusal(&self, bundle: &str) -> Result<(), StoreError> {
        let mut tx = self.db.begin("remove refusal").await?;
        sqlx::query("DELETE FROM refusals WHERE bundle = ?")
            .bind(bundle)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

fn refusal(row: &SqliteRow) -> Result<Refusal, StoreError> {
    let wish: Option<String> = row.try_get(5)?;
    Ok(Refusal {
        bundle: row.try_get(0)?,
        study: row.try_get(1)?,
        code: row.try_get(2)?,
        message: row.try_get(3)?,
        at: Timestamp(unsigned(row, 4)?),
        wish: match wish.as_deref() {
            Some("retry") => Some(Wish::Retry),
            Some("discard") => Some(Wish::Discard),
            _ => None,
        },
    })
}
