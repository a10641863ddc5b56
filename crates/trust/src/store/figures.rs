//! Sums over the database, for the figures that trust tells of itself.

use harpo_protocol::time::Timestamp;
use sqlx::SqliteExecutor;

use crate::error::TrustError;

/// One stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StackCounts {
    /// Counted from 1, the oldest.
    pub(crate) number: i64,
    pub(crate) generations: i64,
    pub(crate) slots: i64,
    /// Bundles that can still be read from it.
    pub(crate) live: i64,
}

/// The stacks, oldest first.
pub(crate) async fn stacks(db: impl SqliteExecutor<'_>) -> Result<Vec<StackCounts>, TrustError> {
    let rows: Vec<(i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT stack, count(*), sum(slots), sum((SELECT count(*) FROM bundle \
         WHERE bundle.generation = generation.number AND bundle.state = 'placed')) \
         FROM generation WHERE state = 'sealed' AND stack IS NOT NULL GROUP BY stack ORDER BY stack",
    )
    .fetch_all(db)
    .await?;
    let counts = rows
        .into_iter()
        .map(|(number, generations, slots, live)| StackCounts {
            number,
            generations,
            slots,
            live,
        });
    Ok(counts.collect())
}

/// The open generation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct OpenCounts {
    pub(crate) slots: i64,
    /// Slots that hold a fragment.
    pub(crate) occupied: i64,
    /// Hospitals whose bundles are in it.
    pub(crate) hospitals: i64,
    /// Slots that errands have opened.
    pub(crate) brought: i64,
}

/// Zeros if there is none yet.
pub(crate) async fn open(db: impl SqliteExecutor<'_>) -> Result<OpenCounts, TrustError> {
    let row: Option<(i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT slots, \
         (SELECT count(*) FROM slot WHERE slot.generation = generation.number AND used > 0), \
         (SELECT count(DISTINCT origin) FROM bundle WHERE bundle.generation = generation.number), \
         brought FROM generation WHERE state = 'open'",
    )
    .fetch_optional(db)
    .await?;
    let counts = row.map(|(slots, occupied, hospitals, brought)| OpenCounts {
        slots,
        occupied,
        hospitals,
        brought,
    });
    Ok(counts.unwrap_or_default())
}

/// Why bundles are in the upload cache.
pub(crate) const CACHED: [&str; 4] = ["receiving", "waiting", "leaving", "sealed"];

/// Bundles in the upload cache and their fragments: which of [`CACHED`], how many. Of those that are being received,
/// the fragments that were announced.
pub(crate) async fn cached(
    db: impl SqliteExecutor<'_>,
) -> Result<Vec<(String, i64, i64)>, TrustError> {
    Ok(sqlx::query_as(
        "SELECT 'receiving', count(*), coalesce(sum(length(fragments) / 32), 0) \
         FROM bundle WHERE state = 'receiving' \
         UNION ALL \
         SELECT CASE generation.state WHEN 'open' THEN 'waiting' WHEN 'sealing' THEN 'leaving' \
         WHEN 'encoding' THEN 'leaving' ELSE 'sealed' END AS why, count(*), sum(length(fragments) / 32) \
         FROM generation JOIN bundle ON bundle.generation = generation.number \
         WHERE generation.cached = 1 AND length(fragments) > 0 GROUP BY why",
    )
    .fetch_all(db)
    .await?)
}

/// From deposit to sealing, in milliseconds, of what lies in the newest `most` generations that were sealed after
/// `since`; and when the newest of them was. What came by re-placement is left out.
pub(crate) async fn delays(
    db: &sqlx::SqlitePool,
    since: Option<Timestamp>,
    most: u32,
) -> Result<(Vec<i64>, Option<Timestamp>), TrustError> {
    let since_ms = since.map_or(-1, |at| at.0 as i64);
    let sealed: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT number, sealed FROM generation WHERE state = 'sealed' AND sealed > ? \
         ORDER BY sealed DESC LIMIT ?",
    )
    .bind(since_ms)
    .bind(most)
    .fetch_all(db)
    .await?;
    let mut delays = Vec::new();
    for (number, sealed) in &sealed {
        let of: Vec<i64> = sqlx::query_scalar(
            "SELECT ? - placed FROM bundle JOIN generation ON generation.number = bundle.generation \
             WHERE generation = ? AND placed >= opened",
        )
        .bind(sealed)
        .bind(number)
        .fetch_all(db)
        .await?;
        delays.extend(of);
    }
    let newest = sealed.first().map(|(_, at)| Timestamp(*at as u64));
    Ok((delays, newest.or(since)))
}

/// What may be given back now: after it was read, and on errands; and how often bundles were placed anew so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replacements {
    pub(crate) read: i64,
    pub(crate) errands: i64,
    pub(crate) done: i64,
}

pub(crate) async fn replacements(
    db: impl SqliteExecutor<'_>,
    now: Timestamp,
) -> Result<Replacements, TrustError> {
    let (read, errands, done) = sqlx::query_as(
        "SELECT count(DISTINCT CASE WHEN errand IS NULL THEN bundle.number END), \
         count(DISTINCT CASE WHEN errand IS NOT NULL THEN bundle.number END), \
         (SELECT coalesce(sum(replaced), 0) FROM bundle) \
         FROM give_back JOIN bundle ON bundle.number = give_back.bundle \
         WHERE bundle.state = 'placed' AND bundle.generation = give_back.generation AND expires >= ?",
    )
    .bind(now.0 as i64)
    .fetch_one(db)
    .await?;
    Ok(Replacements {
        read,
        errands,
        done,
    })
}

/// Entries of the audit log.
pub(crate) async fn audited(db: impl SqliteExecutor<'_>) -> Result<i64, TrustError> {
    Ok(
        sqlx::query_scalar("SELECT coalesce(max(number), 0) FROM audit")
            .fetch_one(db)
            .await?,
    )
}
