//! The stacks that sealed generations make (docs/protocol.md 7.1).

use harpo_protocol::id::GenerationId;
use harpo_protocol::rounds::stack_of;
use harpo_protocol::sign::{Signed, SigningKey};
use harpo_protocol::stack::{Figures, SealRequest, SealedGeneration, StackDescriptor};
use harpo_protocol::time::Timestamp;
use sqlx::{SqliteConnection, SqliteExecutor};

use super::bytes;
use crate::error::{TrustError, damaged};
use crate::stack::Bounds;

/// Puts the sealed generations that are in no stack yet, in the order of sealing, into the newest stack
/// or into new ones, and signs what changed.
pub(crate) async fn gather(
    tx: &mut SqliteConnection,
    bounds: Bounds,
    signing: &SigningKey,
    now: Timestamp,
) -> Result<(), TrustError> {
    let waiting: Vec<(i64, String)> = sqlx::query_as(
        "SELECT number, request FROM generation WHERE state = 'sealed' AND stack IS NULL \
         ORDER BY sealed, number",
    )
    .fetch_all(&mut *tx)
    .await?;
    for (generation, request) in waiting {
        let next = seal_request(&request)?.figures;
        let stack = stack_for(&mut *tx, bounds, &next).await?;
        sqlx::query(
            "UPDATE generation SET stack = ?, place = \
             (SELECT coalesce(max(place), 0) + 1 FROM generation WHERE stack = ?) WHERE number = ?",
        )
        .bind(stack)
        .bind(stack)
        .bind(generation)
        .execute(&mut *tx)
        .await?;
        let descriptor = signing.sign(&StackDescriptor {
            generations: members(&mut *tx, stack).await?,
            issued: now,
        });
        sqlx::query("INSERT OR REPLACE INTO stack (number, signed) VALUES (?, ?)")
            .bind(stack)
            .bind(descriptor.to_json())
            .execute(&mut *tx)
            .await?;
    }
    Ok(())
}

/// The newest stack if it takes the generation, else a new one.
async fn stack_for(
    tx: &mut SqliteConnection,
    bounds: Bounds,
    next: &Figures,
) -> Result<i64, TrustError> {
    let newest: Option<i64> = sqlx::query_scalar("SELECT max(number) FROM stack")
        .fetch_one(&mut *tx)
        .await?;
    let Some(newest) = newest else {
        return Ok(1);
    };
    let members = members(tx, newest).await?;
    let figures: Vec<&Figures> = members.iter().map(|member| &member.figures).collect();
    let takes = bounds.takes(&figures, next);
    Ok(if takes { newest } else { newest + 1 })
}

async fn members(
    tx: &mut SqliteConnection,
    stack: i64,
) -> Result<Vec<SealedGeneration>, TrustError> {
    type Row = (Vec<u8>, String, Vec<u8>, i64);
    let rows: Vec<Row> = sqlx::query_as(
        "SELECT id, request, hint, hint_bytes FROM generation \
         WHERE stack = ? AND state = 'sealed' ORDER BY place",
    )
    .bind(stack)
    .fetch_all(tx)
    .await?;
    rows.into_iter()
        .map(|(id, request, hint, hint_bytes)| {
            let request = seal_request(&request)?;
            Ok(SealedGeneration {
                generation: bytes!(GenerationId, id)?,
                figures: request.figures,
                slots: request.slots,
                hint: bytes!(Digest, hint)?,
                hint_bytes: hint_bytes as u64,
            })
        })
        .collect()
}

/// All of them, oldest first.
pub(crate) async fn all(
    db: impl SqliteExecutor<'_>,
) -> Result<Vec<Signed<StackDescriptor>>, TrustError> {
    sqlx::query_scalar::<_, String>("SELECT signed FROM stack ORDER BY number")
        .fetch_all(db)
        .await?
        .iter()
        .map(|text| descriptor(text))
        .collect()
}

/// The one that a round is for (9.7), with its number; none while nothing is sealed.
pub(crate) async fn of_round(
    tx: &mut SqliteConnection,
    round: u64,
) -> Result<Option<(i64, Signed<StackDescriptor>)>, TrustError> {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM stack")
        .fetch_one(&mut *tx)
        .await?;
    let Some(index) = stack_of(round, usize::try_from(count).unwrap_or(0)) else {
        return Ok(None);
    };
    let (number, text): (i64, String) =
        sqlx::query_as("SELECT number, signed FROM stack ORDER BY number LIMIT 1 OFFSET ?")
            .bind(i64::try_from(index).unwrap_or(i64::MAX))
            .fetch_one(tx)
            .await?;
    Ok(Some((number, descriptor(&text)?)))
}

/// The one that holds a bundle's generation, which is sealed.
pub(crate) async fn of_bundle(
    db: impl SqliteExecutor<'_>,
    bundle: i64,
) -> Result<Signed<StackDescriptor>, TrustError> {
    let text: String = sqlx::query_scalar(
        "SELECT stack.signed FROM bundle \
         JOIN generation ON generation.number = bundle.generation \
         JOIN stack ON stack.number = generation.stack WHERE bundle.number = ?",
    )
    .bind(bundle)
    .fetch_one(db)
    .await?;
    descriptor(&text)
}

/// Closed stacks in which no bundle is, and since when that is known.
pub(crate) async fn without_bundles(
    db: impl SqliteExecutor<'_>,
) -> Result<Vec<(i64, Option<Timestamp>)>, TrustError> {
    let rows: Vec<(i64, Option<i64>)> = sqlx::query_as(
        "SELECT number, emptied FROM stack WHERE number < (SELECT max(number) FROM stack) \
         AND NOT EXISTS (SELECT 1 FROM generation JOIN bundle ON bundle.generation = generation.number \
           WHERE generation.stack = stack.number AND bundle.state = 'placed')",
    )
    .fetch_all(db)
    .await?;
    Ok(rows
        .into_iter()
        .map(|(number, at)| (number, at.map(|at| Timestamp(at as u64))))
        .collect())
}

/// Notes that nothing is in a stack.
pub(crate) async fn emptied(
    tx: &mut SqliteConnection,
    stack: i64,
    at: Timestamp,
) -> Result<(), TrustError> {
    sqlx::query("UPDATE stack SET emptied = ? WHERE number = ?")
        .bind(at.0 as i64)
        .bind(stack)
        .execute(tx)
        .await?;
    Ok(())
}

/// The stack is no more (5.7): its generations, which are retired.
pub(crate) async fn retire(
    tx: &mut SqliteConnection,
    stack: i64,
) -> Result<Vec<GenerationId>, TrustError> {
    let ids: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT id FROM generation WHERE stack = ? ORDER BY place")
            .bind(stack)
            .fetch_all(&mut *tx)
            .await?;
    for statement in [
        "UPDATE generation SET state = 'retired' WHERE stack = ?",
        "DELETE FROM stack WHERE number = ?",
    ] {
        sqlx::query(statement).bind(stack).execute(&mut *tx).await?;
    }
    ids.into_iter().map(|id| bytes!(GenerationId, id)).collect()
}

fn descriptor(text: &str) -> Result<Signed<StackDescriptor>, TrustError> {
    Signed::from_json(text).map_err(|_| damaged("a stack descriptor"))
}

fn seal_request(text: &str) -> Result<SealRequest, TrustError> {
    serde_json::from_str(text).map_err(|_| damaged("a seal request"))
}
