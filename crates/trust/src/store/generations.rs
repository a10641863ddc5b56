//! Generations (docs/protocol.md 5, 6).

use harpo_protocol::cell::Layout;
use harpo_protocol::id::{Digest, GenerationId};
use harpo_protocol::stack::SealRequest;
use harpo_protocol::time::Timestamp;
use rand_core::CryptoRng;
use sqlx::{SqliteConnection, SqliteExecutor};

use super::{bytes, slots};
use crate::error::{TrustError, damaged};

/// Where a generation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Takes deposits.
    Open,
    /// Its slots are leaving.
    Sealing,
    /// All have left; the cloud encodes.
    Encoding,
    /// In a stack.
    Sealed,
    /// Gone.
    Retired,
}

impl State {
    fn parse(text: &str) -> Result<Self, TrustError> {
        Ok(match text {
            "open" => Self::Open,
            "sealing" => Self::Sealing,
            "encoding" => Self::Encoding,
            "sealed" => Self::Sealed,
            "retired" => Self::Retired,
            _ => return Err(damaged("a generation's state")),
        })
    }
}

/// A generation.
#[derive(Clone, Debug)]
pub(crate) struct Generation {
    /// Orders them by opening.
    pub(crate) number: i64,
    pub(crate) id: GenerationId,
    pub(crate) state: State,
    pub(crate) first_deposit: Option<Timestamp>,
    /// The operator asked to seal it.
    pub(crate) asked: bool,
    pub(crate) layout: Layout,
    pub(crate) request: Option<SealRequest>,
    /// Once it is closed: when its slots begin to leave (5.5).
    pub(crate) leaves: Option<Timestamp>,
    /// The cloud did not prove one of its slots (5.6).
    pub(crate) doubted: bool,
}

type Row = (
    i64,
    Vec<u8>,
    String,
    Option<i64>,
    bool,
    u32,
    u16,
    u32,
    Option<String>,
    Option<i64>,
    bool,
);

fn generation(row: Row) -> Result<Generation, TrustError> {
    let (
        number,
        id,
        state,
        first_deposit,
        asked,
        slots,
        cells,
        cell_bytes,
        request,
        leaves,
        doubted,
    ) = row;
    Ok(Generation {
        number,
        id: bytes!(GenerationId, id)?,
        state: State::parse(&state)?,
        first_deposit: first_deposit.map(|at| Timestamp(at as u64)),
        asked,
        layout: Layout {
            cell_bytes,
            cells_per_slot: cells,
            slots,
        },
        request: request
            .map(|text| serde_json::from_str(&text))
            .transpose()
            .map_err(|_| damaged("a seal request"))?,
        leaves: leaves.map(|at| Timestamp(at as u64)),
        doubted,
    })
}

/// Those that are neither sealed nor retired, oldest first.
pub(crate) async fn unsealed(db: impl SqliteExecutor<'_>) -> Result<Vec<Generation>, TrustError> {
    sqlx::query_as::<_, Row>(
        "SELECT number, id, state, first_deposit, asked, slots, cells, cell_bytes, request, \
         leaves, doubted FROM generation WHERE state IN ('open', 'sealing', 'encoding') ORDER BY number",
    )
    .fetch_all(db)
    .await?
    .into_iter()
    .map(generation)
    .collect()
}

/// The open one, which is made if there is none.
pub(crate) async fn open(
    tx: &mut SqliteConnection,
    layout: Layout,
    now: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<Generation, TrustError> {
    let row: Option<Row> = sqlx::query_as(
        "SELECT number, id, state, first_deposit, asked, slots, cells, cell_bytes, request, \
         leaves, doubted FROM generation WHERE state = 'open'",
    )
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = row {
        return generation(row);
    }
    let id = GenerationId::random(rng);
    let number = sqlx::query(
        "INSERT INTO generation (id, state, opened, slots, cells, cell_bytes) \
         VALUES (?, 'open', ?, ?, ?, ?)",
    )
    .bind(id.0.as_slice())
    .bind(now.0 as i64)
    .bind(layout.slots)
    .bind(layout.cells_per_slot)
    .bind(layout.cell_bytes)
    .execute(&mut *tx)
    .await?
    .last_insert_rowid();
    Ok(Generation {
        number,
        id,
        state: State::Open,
        first_deposit: None,
        asked: false,
        layout,
        request: None,
        leaves: None,
        doubted: false,
    })
}

/// Removes the open generation if nothing was deposited in it: the next one has the present layout.
pub(crate) async fn drop_empty(tx: &mut SqliteConnection) -> Result<(), TrustError> {
    sqlx::query("DELETE FROM generation WHERE state = 'open' AND first_deposit IS NULL")
        .execute(tx)
        .await?;
    Ok(())
}

/// The sizes of cells and slots that anything was ever deposited in.
pub(crate) async fn used_layout(
    db: impl SqliteExecutor<'_>,
) -> Result<Option<(u32, u16)>, TrustError> {
    Ok(sqlx::query_as(
        "SELECT cell_bytes, cells FROM generation \
         WHERE first_deposit IS NOT NULL AND state != 'retired' LIMIT 1",
    )
    .fetch_optional(db)
    .await?)
}

/// Notes the first deposit, unless one was noted before.
pub(crate) async fn note_deposit(
    tx: &mut SqliteConnection,
    number: i64,
    at: Timestamp,
) -> Result<(), TrustError> {
    sqlx::query(
        "UPDATE generation SET first_deposit = coalesce(first_deposit, ?) WHERE number = ?",
    )
    .bind(at.0 as i64)
    .bind(number)
    .execute(tx)
    .await?;
    Ok(())
}

/// The identifier of a generation.
pub(crate) async fn id(
    db: impl SqliteExecutor<'_>,
    number: i64,
) -> Result<GenerationId, TrustError> {
    let id: Vec<u8> = sqlx::query_scalar("SELECT id FROM generation WHERE number = ?")
        .bind(number)
        .fetch_one(db)
        .await?;
    bytes!(GenerationId, id)
}

/// Slots of the open generation, and how many of them errands have opened (5.7); nothing while it is empty.
pub(crate) async fn room(db: impl SqliteExecutor<'_>) -> Result<Option<(u32, u32)>, TrustError> {
    Ok(sqlx::query_as(
        "SELECT slots, brought FROM generation WHERE state = 'open' AND first_deposit IS NOT NULL",
    )
    .fetch_optional(db)
    .await?)
}

/// An errand has opened so many slots more.
pub(crate) async fn brought(
    tx: &mut SqliteConnection,
    number: i64,
    slots: u32,
) -> Result<(), TrustError> {
    sqlx::query("UPDATE generation SET brought = brought + ? WHERE number = ?")
        .bind(slots)
        .bind(number)
        .execute(tx)
        .await?;
    Ok(())
}

/// Marks a generation as sealing and closes all its slots, which leave from then on.
pub(crate) async fn begin_sealing(
    tx: &mut SqliteConnection,
    generation: &Generation,
    leaves: Timestamp,
    rng: &mut impl CryptoRng,
) -> Result<(), TrustError> {
    sqlx::query("UPDATE generation SET state = 'sealing', leaves = ? WHERE number = ?")
        .bind(leaves.0 as i64)
        .bind(generation.number)
        .execute(&mut *tx)
        .await?;
    slots::close(tx, generation.number, 0..generation.layout.slots, rng).await
}

/// All slots have arrived: the cloud is asked to seal with this request, which never changes again.
pub(crate) async fn begin_encoding(
    tx: &mut SqliteConnection,
    number: i64,
    request: &SealRequest,
) -> Result<(), TrustError> {
    let request = serde_json::to_string(request).map_err(|_| damaged("a seal request"))?;
    sqlx::query("UPDATE generation SET state = 'encoding', request = ? WHERE number = ?")
        .bind(request)
        .bind(number)
        .execute(tx)
        .await?;
    Ok(())
}

/// The cloud lost or changed slots: all leave again, the same bytes to the same places.
pub(crate) async fn send_again(tx: &mut SqliteConnection, number: i64) -> Result<(), TrustError> {
    sqlx::query("UPDATE slot SET progress = 1 WHERE generation = ?")
        .bind(number)
        .execute(&mut *tx)
        .await?;
    sqlx::query("UPDATE generation SET state = 'sealing' WHERE number = ?")
        .bind(number)
        .execute(tx)
        .await?;
    Ok(())
}

/// The generation is sealed. Cover keys go, and the placement keys of what was erased meanwhile.
pub(crate) async fn sealed(
    tx: &mut SqliteConnection,
    number: i64,
    hint: Digest,
    hint_bytes: u64,
    at: Timestamp,
) -> Result<(), TrustError> {
    sqlx::query(
        "UPDATE generation SET state = 'sealed', hint = ?, hint_bytes = ?, sealed = ? WHERE number = ?",
    )
    .bind(hint.0.as_slice())
    .bind(hint_bytes as i64)
    .bind(at.0 as i64)
    .bind(number)
    .execute(&mut *tx)
    .await?;
    sqlx::query("UPDATE slot SET cover = NULL WHERE generation = ?")
        .bind(number)
        .execute(&mut *tx)
        .await?;
    sqlx::query(
        "DELETE FROM cell WHERE generation = ? \
         AND bundle IN (SELECT number FROM bundle WHERE generation = ? AND state = 'erased')",
    )
    .bind(number)
    .bind(number)
    .execute(tx)
    .await?;
    Ok(())
}

/// The cloud did not prove a slot: it must prove all of them (5.6).
pub(crate) async fn doubt(tx: &mut SqliteConnection, number: i64) -> Result<(), TrustError> {
    sqlx::query("UPDATE generation SET doubted = 1 WHERE number = ?")
        .bind(number)
        .execute(tx)
        .await?;
    Ok(())
}

/// Generations that were sealed until then, and whose fragments are still in the cache.
pub(crate) async fn cached(
    db: impl SqliteExecutor<'_>,
    sealed_until: Timestamp,
) -> Result<Vec<i64>, TrustError> {
    Ok(sqlx::query_scalar(
        "SELECT number FROM generation WHERE cached = 1 \
         AND (state = 'retired' OR (state = 'sealed' AND sealed <= ?))",
    )
    .bind(sealed_until.0 as i64)
    .fetch_all(db)
    .await?)
}

/// Its bundles are read from the stack from this transaction on (8.5); their fragments may go.
pub(crate) async fn no_longer_cached(
    tx: &mut SqliteConnection,
    number: i64,
) -> Result<(), TrustError> {
    sqlx::query("UPDATE generation SET cached = 0 WHERE number = ?")
        .bind(number)
        .execute(tx)
        .await?;
    Ok(())
}

/// Retired generations that the cloud may still have.
pub(crate) async fn undeleted(
    db: impl SqliteExecutor<'_>,
) -> Result<Vec<(i64, GenerationId)>, TrustError> {
    let rows: Vec<(i64, Vec<u8>)> = sqlx::query_as(
        "SELECT number, id FROM generation WHERE state = 'retired' AND deleted = 0 ORDER BY number",
    )
    .fetch_all(db)
    .await?;
    rows.into_iter()
        .map(|(number, id)| Ok((number, bytes!(GenerationId, id)?)))
        .collect()
}

/// The cloud has nothing of a retired generation any more.
pub(crate) async fn deleted(tx: &mut SqliteConnection, number: i64) -> Result<(), TrustError> {
    for statement in [
        "DELETE FROM slot WHERE generation = ?",
        "UPDATE generation SET deleted = 1 WHERE number = ?",
    ] {
        sqlx::query(statement)
            .bind(number)
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// The operator wants the generation sealed.
pub(crate) async fn ask_to_seal(tx: &mut SqliteConnection, number: i64) -> Result<(), TrustError> {
    sqlx::query("UPDATE generation SET asked = 1 WHERE number = ?")
        .bind(number)
        .execute(tx)
        .await?;
    Ok(())
}
