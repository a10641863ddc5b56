//! Which slots are there, and with which bytes (docs/protocol.md 6.1).

use harpo_protocol::id::{Digest, GenerationId};
use sqlx::{Row as _, SqliteConnection};

use super::rows::digest_at;
use super::{Generation, State, Store, fetch};
use crate::Error;

impl Store {
    /// Number of slots written.
    pub(crate) async fn slot_count(&self, id: GenerationId) -> Result<u32, Error> {
        let row = sqlx::query("SELECT count(*) FROM slots WHERE generation = ?")
            .bind(id.0.as_slice())
            .fetch_one(self.0.read())
            .await?;
        Ok(row.try_get(0)?)
    }

    /// Digests of the slots, in index order.
    pub(crate) async fn slot_digests(&self, id: GenerationId) -> Result<Vec<(u32, Digest)>, Error> {
        let mut connection = self.0.read().acquire().await?;
        digests(&mut connection, id).await
    }

    /// Whether a slot of `bytes` bytes may be written; asked before its bytes are read (6.1).
    pub(crate) async fn admit(&self, id: GenerationId, bytes: u32) -> Result<(), Error> {
        match self.generation(id).await? {
            Some(generation) => admit(&generation, bytes),
            None => Ok(()),
        }
    }

    /// Whether a slot is there already with the same bytes (6.1).
    pub(crate) async fn has_slot(
        &self,
        id: GenerationId,
        slot: u32,
        digest: Digest,
    ) -> Result<bool, Error> {
        let mut connection = self.0.read().acquire().await?;
        compare(&mut connection, id, slot, digest).await
    }

    /// Enters a slot whose bytes are durable (6.1); does nothing if it is there. The first slot fixes the
    /// generation's slot size.
    pub(crate) async fn put_slot(
        &self,
        id: GenerationId,
        slot: u32,
        bytes: u32,
        digest: Digest,
    ) -> Result<(), Error> {
        let mut tx = self.0.begin("put slot").await?;
        match fetch(&mut tx, id).await? {
            Some(generation) => admit(&generation, bytes)?,
            None => {
                sqlx::query(
                    "INSERT INTO generations (id, state, slot_bytes) VALUES (?, 'open', ?)",
                )
                .bind(id.0.as_slice())
                .bind(bytes)
                .execute(&mut *tx)
                .await?;
            }
        }
        if !compare(&mut tx, id, slot, digest).await? {
            sqlx::query("INSERT INTO slots (generation, slot, digest) VALUES (?, ?, ?)")
                .bind(id.0.as_slice())
                .bind(slot)
                .bind(digest.0.as_slice())
                .execute(&mut *tx)
                .await?;
        }
        tx.commit().await?;
        Ok(())
    }
}

fn admit(generation: &Generation, bytes: u32) -> Result<(), Error> {
    match generation.state {
        State::Open if generation.slot_bytes == bytes => Ok(()),
        State::Open => Err(Error::malformed(
            "slot",
            format!(
                "{bytes} bytes, and the generation's slots have {}",
                generation.slot_bytes
            ),
        )),
        State::Sealing(_) | State::Sealed(..) | State::Retired => Err(Error::Conflict(
            "the generation is closed; nothing is written to it".into(),
        )),
    }
}

/// Whether the slot is there with this digest; a conflict if it is there with another.
async fn compare(
    connection: &mut SqliteConnection,
    id: GenerationId,
    slot: u32,
    digest: Digest,
) -> Result<bool, Error> {
    let row = sqlx::query("SELECT digest FROM slots WHERE generation = ? AND slot = ?")
        .bind(id.0.as_slice())
        .bind(slot)
        .fetch_optional(connection)
        .await?;
    match row {
        None => Ok(false),
        Some(row) if digest_at(&row, 0)? == digest => Ok(true),
        Some(_) => Err(Error::Conflict(format!("slot {slot} holds other bytes"))),
    }
}

/// Digests of the slots, in index order.
pub(super) async fn digests(
    connection: &mut SqliteConnection,
    id: GenerationId,
) -> Result<Vec<(u32, Digest)>, Error> {
    sqlx::query("SELECT slot, digest FROM slots WHERE generation = ? ORDER BY slot")
        .bind(id.0.as_slice())
        .fetch_all(connection)
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0)?, digest_at(row, 1)?)))
        .collect()
}
