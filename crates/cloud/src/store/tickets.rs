//! Spent tickets (docs/protocol.md 9.2), and what they bought (9.5).

use harpo_protocol::id::{Digest, Nonce};
use harpo_protocol::time::Timestamp;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::Store;
use crate::Error;

/// Bytes of a digest.
const DIGEST_BYTES: usize = 32;

/// What a ticket was spent for. It is never good for anything else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bought {
    /// Answers to these queries: the SHA-256 of each, in order.
    Queries(Vec<Digest>),
    /// The whole stack.
    Stack,
}

/// A spent ticket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spent {
    /// `None` if it was spent before that was recorded.
    pub(crate) bought: Option<Bought>,
    /// How often it was resumed.
    pub(crate) resumptions: u32,
    /// The slot at which its last stream began.
    pub(crate) stream_from: u32,
}

impl Store {
    /// What a ticket was spent for; `None` if it was not.
    pub(crate) async fn spent(&self, nonce: Nonce) -> Result<Option<Spent>, Error> {
        let row = sqlx::query(
            "SELECT bought, queries, resumptions, stream_from FROM tickets WHERE nonce = ?",
        )
        .bind(nonce.0.as_slice())
        .fetch_optional(self.0.read())
        .await?;
        row.as_ref().map(spent_of).transpose()
    }

    /// Spent tickets that are remembered.
    pub(crate) async fn ticket_count(&self) -> Result<u64, Error> {
        let row = sqlx::query("SELECT count(*) FROM tickets")
            .fetch_one(self.0.read())
            .await?;
        Ok(row.try_get(0)?)
    }

    /// Spends a ticket: returns once nonce and purchase are durable (9.2).
    ///
    /// # Errors
    /// [`Error::Spent`] if it was there; [`Error::Expired`] if it might have been and is forgotten.
    pub(crate) async fn spend(
        &self,
        nonce: Nonce,
        expires: Timestamp,
        bought: &Bought,
    ) -> Result<(), Error> {
        let (kind, queries) = match bought {
            Bought::Queries(digests) => {
                let bytes: Vec<u8> = digests.iter().flat_map(|digest| digest.0).collect();
                ("queries", Some(bytes))
            }
            Bought::Stack => ("stack", None),
        };
        let mut tx = self.0.begin("spend").await?;
        let horizon: i64 = sqlx::query("SELECT expires FROM ticket_horizon")
            .fetch_one(&mut *tx)
            .await?
            .try_get(0)?;
        if millis(expires) <= horizon {
            return Err(Error::Expired);
        }
        let done = sqlx::query(
            "INSERT INTO tickets (nonce, expires, bought, queries) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
        )
        .bind(nonce.0.as_slice())
        .bind(millis(expires))
        .bind(kind)
        .bind(queries)
        .execute(&mut *tx)
        .await?;
        if done.rows_affected() == 0 {
            return Err(Error::Spent);
        }
        tx.commit().await?;
        Ok(())
    }

    /// Counts a resumption: returns once that is durable (9.5). The caller has checked what is asked for; a stream goes
    /// on at slot `stream_from` (9.6), which is 0 for queries.
    ///
    /// # Errors
    /// [`Error::Spent`] if there were `most`, the ticket is not there, or its last stream began further on.
    pub(crate) async fn resume(
        &self,
        nonce: Nonce,
        most: u32,
        stream_from: u32,
    ) -> Result<(), Error> {
        let mut tx = self.0.begin("resume").await?;
        let done = sqlx::query(
            "UPDATE tickets SET resumptions = resumptions + 1, stream_from = ?1 \
             WHERE nonce = ?2 AND bought IS NOT NULL AND resumptions < ?3 AND stream_from <= ?1",
        )
        .bind(stream_from)
        .bind(nonce.0.as_slice())
        .bind(most)
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

fn spent_of(row: &SqliteRow) -> Result<Spent, Error> {
    let bought = match row.try_get::<Option<&str>, _>("bought")? {
        Some("queries") => {
            let bytes: &[u8] = row.try_get("queries")?;
            let digests = bytes.chunks_exact(DIGEST_BYTES).map(Digest::from_slice);
            Some(Bought::Queries(digests.collect::<Result<_, _>>()?))
        }
        Some(_) => Some(Bought::Stack),
        None => None,
    };
    Ok(Spent {
        bought,
        resumptions: row.try_get("resumptions")?,
        stream_from: row.try_get("stream_from")?,
    })
}

fn millis(time: Timestamp) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}
