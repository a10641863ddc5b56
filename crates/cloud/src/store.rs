//! What the cloud remembers: generations, the digests of their slots, and spent tickets. Slot bytes are elsewhere
//! ([`crate::slots`]). Every change is one immediate transaction, durable when the function returns.

use harpo_protocol::id::{Digest, GenerationId};
use harpo_protocol::stack::{SealRequest, slots_digest};
use harpo_service::db::Db;
use sqlx::migrate::Migrator;
use sqlx::{Row as _, SqliteConnection};

use self::rows::generation_of;
use self::slots::digests;
use crate::Error;

mod rows;
mod slots;
mod tickets;

pub(crate) use self::tickets::Bought;

#[cfg(test)]
mod tests;

/// The schema.
pub(crate) static MIGRATOR: Migrator = sqlx::migrate!();

/// A generation as the database has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Generation {
    pub(crate) id: GenerationId,
    /// Length of every slot, fixed by the first.
    pub(crate) slot_bytes: u32,
    pub(crate) state: State,
}

/// The life of a generation, in order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum State {
    Open,
    Sealing(SealRequest),
    Sealed(SealRequest, Sealed),
    /// Kept as a mark: a late write must not bring it back.
    Retired,
}

/// What sealing came to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sealed {
    /// `slots_digest` of what was read back.
    pub(crate) read_back: Digest,
    pub(crate) hint: HintRecord,
}

/// What is known of a stored hint.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct HintRecord {
    pub(crate) digest: Digest,
    pub(crate) bytes: u64,
}

/// What became of a request to seal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Begin {
    /// Sealing begins now.
    Started,
    /// The same request was accepted before.
    Repeated,
}

/// The state database.
#[derive(Clone, Debug)]
pub(crate) struct Store(Db);

impl Store {
    pub(crate) fn new(db: Db) -> Self {
        Self(db)
    }

    pub(crate) async fn generation(&self, id: GenerationId) -> Result<Option<Generation>, Error> {
        let mut connection = self.0.read().acquire().await?;
        fetch(&mut connection, id).await
    }

    /// Checks that exactly the slots of `request` are there, and closes the generation to writing (6.2).
    pub(crate) async fn begin_seal(
        &self,
        id: GenerationId,
        request: &SealRequest,
    ) -> Result<Begin, Error> {
        let mut tx = self.0.begin("begin seal").await?;
        let generation = fetch(&mut tx, id)
            .await?
            .ok_or(Error::NotFound("generation"))?;
        match &generation.state {
            State::Open => {}
            State::Sealing(earlier) | State::Sealed(earlier, _) if earlier == request => {
                return Ok(Begin::Repeated);
            }
            State::Sealing(_) | State::Sealed(..) => {
                return Err(Error::Conflict(
                    "the generation was sealed with other figures".into(),
                ));
            }
            State::Retired => return Err(Error::NotFound("generation")),
        }
        let figures = &request.figures;
        if figures.slot_bytes != generation.slot_bytes {
            return Err(Error::Conflict(format!(
                "its slots have {} bytes",
                generation.slot_bytes
            )));
        }
        check_slots(&digests(&mut tx, id).await?, request)?;
        if seed_is_taken(&mut tx, figures.seed).await? {
            return Err(Error::Conflict(
                "the seed is another generation's; draw a fresh one".into(),
            ));
        }
        sqlx::query(
            "UPDATE generations SET state = 'sealing', slots = ?, parameter_set = ?, interleave = ?, seed = ?, \
             slots_digest = ? WHERE id = ?",
        )
        .bind(figures.slots)
        .bind(figures.parameter_set)
        .bind(figures.interleave)
        .bind(figures.seed.0.as_slice())
        .bind(request.slots.0.as_slice())
        .bind(id.0.as_slice())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(Begin::Started)
    }

    /// Ends sealing. Returns whether it was still wanted: the generation may have been retired meanwhile.
    pub(crate) async fn finish_seal(
        &self,
        id: GenerationId,
        sealed: Sealed,
    ) -> Result<bool, Error> {
        let mut tx = self.0.begin("finish seal").await?;
        let done = sqlx::query(
            "UPDATE generations SET state = 'sealed', read_back = ?, hint_digest = ?, hint_bytes = ?, \
             sealed_order = (SELECT coalesce(max(sealed_order), 0) + 1 FROM generations) \
             WHERE id = ? AND state = 'sealing'",
        )
        .bind(sealed.read_back.0.as_slice())
        .bind(sealed.hint.digest.0.as_slice())
        .bind(i64::try_from(sealed.hint.bytes).unwrap_or(i64::MAX))
        .bind(id.0.as_slice())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Opens a generation again whose slots `damaged` could not be read back, and forgets these: the writer's
    /// retry brings them again.
    pub(crate) async fn reopen(&self, id: GenerationId, damaged: &[u32]) -> Result<(), Error> {
        let mut tx = self.0.begin("reopen").await?;
        for slot in damaged {
            sqlx::query("DELETE FROM slots WHERE generation = ? AND slot = ?")
                .bind(id.0.as_slice())
                .bind(slot)
                .execute(&mut *tx)
                .await?;
        }
        sqlx::query(
            "UPDATE generations SET state = 'open', slots = NULL, parameter_set = NULL, interleave = NULL, \
             seed = NULL, slots_digest = NULL WHERE id = ? AND state = 'sealing'",
        )
        .bind(id.0.as_slice())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(())
    }

    /// Retires a generation (6.4). Returns whether there was anything to retire.
    pub(crate) async fn retire(&self, id: GenerationId) -> Result<bool, Error> {
        let mut tx = self.0.begin("retire").await?;
        sqlx::query("DELETE FROM slots WHERE generation = ?")
            .bind(id.0.as_slice())
            .execute(&mut *tx)
            .await?;
        let done = sqlx::query(
            "UPDATE generations SET state = 'retired' WHERE id = ? AND state <> 'retired'",
        )
        .bind(id.0.as_slice())
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected() == 1)
    }

    /// Generations whose sealing was begun, and those that are sealed, in order of sealing.
    pub(crate) async fn closed(&self) -> Result<Vec<Generation>, Error> {
        let rows = sqlx::query(
            "SELECT * FROM generations WHERE state IN ('sealing', 'sealed') ORDER BY sealed_order NULLS LAST, id",
        )
        .fetch_all(self.0.read())
        .await?;
        rows.iter().map(generation_of).collect()
    }

    /// Sealed generations, and their slots.
    pub(crate) async fn sealed_counts(&self) -> Result<(u64, u64), Error> {
        let row = sqlx::query(
            "SELECT count(*), coalesce(sum(slots), 0) FROM generations WHERE state = 'sealed'",
        )
        .fetch_one(self.0.read())
        .await?;
        Ok((row.try_get(0)?, row.try_get(1)?))
    }

    pub(crate) async fn close(&self) {
        self.0.close().await;
    }
}

/// Compares what was recorded at writing with what trust says it wrote.
fn check_slots(present: &[(u32, Digest)], request: &SealRequest) -> Result<(), Error> {
    let expected = request.figures.slots;
    if let Some((stray, _)) = present.iter().find(|(slot, _)| *slot >= expected) {
        return Err(Error::Conflict(format!(
            "slot {stray} is outside the {expected} slots of the request"
        )));
    }
    let missing = expected - u32::try_from(present.len()).unwrap_or(expected);
    if missing > 0 {
        let first = (0..expected)
            .zip(present)
            .find(|(i, (slot, _))| i != slot)
            .map(|(i, _)| i);
        return Err(Error::Incomplete {
            missing,
            expected,
            first: first.unwrap_or(expected - missing),
        });
    }
    if slots_digest(present.iter().map(|(_, digest)| *digest)) != request.slots {
        return Err(Error::Conflict("the digest of the slots is another".into()));
    }
    Ok(())
}

async fn fetch(
    connection: &mut SqliteConnection,
    id: GenerationId,
) -> Result<Option<Generation>, Error> {
    sqlx::query("SELECT * FROM generations WHERE id = ?")
        .bind(id.0.as_slice())
        .fetch_optional(connection)
        .await?
        .as_ref()
        .map(generation_of)
        .transpose()
}

/// Seeds of retired generations count too: the same public polynomials must never serve twice.
async fn seed_is_taken(tx: &mut SqliteConnection, seed: Digest) -> Result<bool, Error> {
    let row = sqlx::query("SELECT 1 FROM generations WHERE seed = ?")
        .bind(seed.0.as_slice())
        .fetch_optional(tx)
        .await?;
    Ok(row.is_some())
}
