//! Spent tickets (docs/protocol.md 9.2).

use harpo_protocol::id::Nonce;
use harpo_protocol::time::Timestamp;
use sqlx::Row as _;

use super::Store;
use crate::Error;

impl Store {
    /// Whether a ticket was spent.
    pub(crate) async fn is_spent(&self, nonce: Nonce) -> Result<bool, Error> {
        let row = sqlx::query("SELECT 1 FROM tickets WHERE nonce = ?")
            .bind(nonce.0.as_slice())
            .fetch_optional(self.0.read())
            .await?;
        Ok(row.is_some())
    }

    /// Spends a ticket: returns once the nonce is durable (9.2).
    ///
    /// # Errors
    /// [`Error::Spent`] if it was there; [`Error::Expired`] if it might have been and is forgotten.
    pub(crate) async fn spend(&self, nonce: Nonce, expires: Timestamp) -> Result<(), Error> {
        let mut tx = self.0.begin("spend").await?;
        let horizon: i64 = sqlx::query("SELECT expires FROM ticket_horizon")
            .fetch_one(&mut *tx)
            .await?
            .try_get(0)?;
        if millis(expires) <= horizon {
            return Err(Error::Expired);
        }
        let done = sqlx::query(
            "INSERT INTO tickets (nonce, expires) VALUES (?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(nonce.0.as_slice())
        .bind(millis(expires))
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(Error::Spent);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Forgets tickets that expired at or before `horizon`; from now on none of those is accepted, whatever the
    /// clock says.
    pub(crate) async fn forget_tickets(&self, horizon: Timestamp) -> Result<u64, Error> {
        let mut tx = self.0.begin("forget tickets").await?;
        sqlx::query("UPDATE ticket_horizon SET expires = max(expires, ?)")
            .bind(millis(horizon))
            .execute(&mut *tx)
            .await?;
        let done = sqlx::query("DELETE FROM tickets WHERE expires <= ?")
            .bind(millis(horizon))
            .execute(&mut *tx)
            .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }
}

fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}
