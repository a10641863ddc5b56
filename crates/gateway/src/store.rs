//! The gateway's database: receipts, refusals, the local cache's catalogue, and what fetches cost.

pub mod ahead;
pub mod exports;
pub mod marks;
pub mod notices;
pub mod refusals;

use std::path::{Path, PathBuf};
use std::time::Duration;

use harpo_oblivious::Engine;
use harpo_protocol::deposit::Receipt;
use harpo_protocol::id::{BundleId, Digest};
use harpo_protocol::manifest::Manifest;
use harpo_protocol::sign::Signed;
use harpo_protocol::time::Timestamp;
use harpo_service::db::{Db, DbError, open_sqlite};
use serde::Serialize;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use crate::consult::progress::{RUNNING, Snapshot};
use crate::consult::retrieve::Wire;
use crate::open::CheckedAccess;

/// The database failed.
#[derive(Debug, thiserror::Error)]
#[error("the gateway's database failed")]
pub struct StoreError(#[from] DbError);

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        Self(error.into())
    }
}

/// An opened bundle on the local disk.
#[derive(Debug, Clone)]
pub struct Cached {
    /// Which.
    pub bundle: BundleId,
    /// Of which study.
    pub study: String,
    /// Bytes on the disk.
    pub bytes: u64,
    /// In manifest order.
    pub instances: Vec<CachedInstance>,
}

/// One instance of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CachedInstance {
    /// SOPInstanceUID.
    pub sop_instance_uid: String,
    /// SOPClassUID.
    pub sop_class_uid: String,
    /// SeriesInstanceUID.
    pub series_instance_uid: String,
    /// The Part 10 file.
    pub path: PathBuf,
    /// SHA-256 of that file.
    pub sha256: Digest,
}

impl CachedInstance {
    /// Name of the `number`th instance's file in its bundle's folder: not made of anybody's words.
    pub fn file_name(number: usize) -> String {
        format!("{number:06}.dcm")
    }
}

impl Cached {
    /// The bundle of `manifest`, in `dir`.
    pub fn new(manifest: &Manifest, dir: &Path, bytes: u64) -> Self {
        let instances = manifest
            .instances()
            .enumerate()
            .map(|(number, (series, instance))| CachedInstance {
                sop_instance_uid: instance.sop_instance_uid.clone(),
                sop_class_uid: instance.sop_class_uid.clone(),
                series_instance_uid: series.series_instance_uid.clone(),
                path: dir.join(CachedInstance::file_name(number)),
                sha256: instance.sha256,
            })
            .collect();
        let study = manifest.study.study_instance_uid.clone();
        Self {
            bundle: manifest.bundle,
            study,
            bytes,
            instances,
        }
    }
}

/// What a fetch cost.
#[derive(Debug, Clone, Serialize)]
pub struct Fetch {
    /// Which bundle.
    pub bundle: BundleId,
    /// `cache` (trust's) or `stack` (the cloud's).
    pub source: &'static str,
    /// How it came from the cloud; none from trust's cache.
    #[serde(skip)]
    pub engine: Option<Engine>,
    /// When it began.
    pub at: Timestamp,
    /// How long it took.
    pub took: Duration,
    /// Fragments of the bundle.
    pub fragments: u64,
    /// Bytes of the stack that every query covered.
    pub stack_bytes: u64,
    /// Bytes of its hints, whenever they were fetched.
    pub hint_bytes: u64,
    /// On the wire.
    #[serde(skip)]
    pub wire: Wire,
    /// Instances that carried the producer's reliability mark, which was right.
    pub authentic: u64,
    /// Instances that came without.
    pub unmarked: u64,
    /// `opened`, or what went wrong.
    pub outcome: String,
}

impl Fetch {
    /// One that begins.
    pub fn new(manifest: &Manifest, access: &CheckedAccess, at: Timestamp) -> Self {
        Self {
            bundle: manifest.bundle,
            source: if access.stack.is_some() {
                "stack"
            } else {
                "cache"
            },
            engine: None,
            at,
            took: Duration::ZERO,
            fragments: manifest.fragments.len() as u64,
            stack_bytes: 0,
            hint_bytes: 0,
            wire: Wire::default(),
            authentic: 0,
            unmarked: 0,
            outcome: String::new(),
        }
    }
}

/// A fetch, as the hospital's people read it. It does not say of which bundle: what somebody reads is
/// no other user's business.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, serde::Deserialize)]
pub struct FetchRow {
    /// Ascending; none while it goes on.
    pub number: Option<u64>,
    /// `cache` or `stack`.
    pub source: String,
    /// `ring` (queries) or `stream` (the whole stack): how it came from the cloud; none from trust's cache.
    pub engine: Option<String>,
    /// When it began, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// How long it took.
    pub milliseconds: u64,
    /// Fragments of the bundle.
    pub fragments: u64,
    /// Queries, dummies included.
    pub queries: u64,
    /// Bytes of the stack.
    pub stack_bytes: u64,
    /// Bytes of its hints.
    pub hint_bytes: u64,
    /// Bytes sent, bodies only.
    pub bytes_up: u64,
    /// Bytes received, bodies only.
    pub bytes_down: u64,
    /// How often an interrupted retrieval went on.
    pub resumed: u64,
    /// Instances whose reliability mark was the producer's, and showed no alteration.
    #[serde(default)]
    pub authentic: u64,
    /// Instances that were opened without a reliability mark.
    #[serde(default)]
    pub unmarked: u64,
    /// `running`, `opened`, or what went wrong.
    pub outcome: String,
    /// How far it is, while it goes on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Snapshot>,
}

impl FetchRow {
    /// One that goes on.
    pub fn begun(fetch: &Fetch) -> Self {
        Self {
            number: None,
            source: fetch.source.to_owned(),
            engine: fetch.engine.map(|engine| engine.name().to_owned()),
            at_ms: fetch.at.as_millis(),
            milliseconds: 0,
            fragments: fetch.fragments,
            queries: 0,
            stack_bytes: fetch.stack_bytes,
            hint_bytes: fetch.hint_bytes,
            bytes_up: 0,
            bytes_down: 0,
            resumed: 0,
            authentic: 0,
            unmarked: 0,
            outcome: RUNNING.to_owned(),
            progress: None,
        }
    }

    /// The same with these bytes moved.
    pub fn with_wire(self, wire: Wire) -> Self {
        Self {
            queries: wire.queries,
            bytes_up: wire.up,
            bytes_down: wire.down,
            resumed: wire.resumed,
            ..self
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Store {
    db: Db,
}

impl Store {
    /// Opens or creates `gateway.db`.
    pub async fn open(path: &Path) -> Result<Self, StoreError> {
        Ok(Self {
            db: open_sqlite(path, &sqlx::migrate!()).await?,
        })
    }

    /// Whether trust has signed for the bundle.
    pub async fn has_receipt(&self, bundle: BundleId) -> Result<bool, StoreError> {
        self.exists(
            "SELECT 1 FROM receipts WHERE bundle = ?",
            &bundle.to_string(),
        )
        .await
    }

    async fn exists(&self, query: &'static str, key: &str) -> Result<bool, StoreError> {
        Ok(sqlx::query(query)
            .bind(key)
            .fetch_optional(self.db.read())
            .await?
            .is_some())
    }

    /// Keeps a receipt; durable when this returns.
    pub async fn add_receipt(
        &self,
        bundle: BundleId,
        study: &str,
        receipt: &Signed<Receipt>,
        at: Timestamp,
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin("keep receipt").await?;
        sqlx::query("INSERT OR IGNORE INTO receipts VALUES (?, ?, ?, ?)")
            .bind(bundle.to_string())
            .bind(study)
            .bind(receipt.to_json())
            .bind(at.as_millis() as i64)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Number of bundles deposited, and of bundles refused.
    pub async fn deposits(&self) -> Result<(u64, u64), StoreError> {
        let row =
            sqlx::query("SELECT (SELECT COUNT(*) FROM receipts), (SELECT COUNT(*) FROM refusals)")
                .fetch_one(self.db.read())
                .await?;
        Ok((unsigned(&row, 0)?, unsigned(&row, 1)?))
    }

    /// The instances of a bundle that is in the local cache, its files in `dir`.
    pub async fn cached(
        &self,
        bundle: BundleId,
        dir: &Path,
    ) -> Result<Option<Vec<CachedInstance>>, StoreError> {
        let rows = sqlx::query(
            "SELECT sop_instance, sop_class, series, file, sha256 FROM cached_instances \
             WHERE bundle = ? ORDER BY position",
        )
        .bind(bundle.to_string())
        .fetch_all(self.db.read())
        .await?;
        let instances: Vec<CachedInstance> = rows
            .iter()
            .map(|row| {
                let sha256: Vec<u8> = row.try_get(4)?;
                Ok(CachedInstance {
                    sop_instance_uid: row.try_get(0)?,
                    sop_class_uid: row.try_get(1)?,
                    series_instance_uid: row.try_get(2)?,
                    path: dir.join(row.try_get::<String, _>(3)?),
                    sha256: Digest::from_slice(&sha256)
                        .map_err(|error| sqlx::Error::Decode(Box::new(error)))?,
                })
            })
            .collect::<Result<_, sqlx::Error>>()?;
        Ok((!instances.is_empty()).then_some(instances))
    }

    /// Notes that a bundle was used.
    pub async fn touch_cached(&self, bundle: BundleId, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.db.begin("note use of bundle").await?;
        sqlx::query("UPDATE cached_bundles SET used_ms = ? WHERE bundle = ?")
            .bind(now.as_millis() as i64)
            .bind(bundle.to_string())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Enters a bundle that is on the disk.
    pub async fn add_cached(&self, cached: &Cached, now: Timestamp) -> Result<(), StoreError> {
        let mut tx = self.db.begin("enter bundle in cache").await?;
        let bundle = cached.bundle.to_string();
        sqlx::query("DELETE FROM cached_bundles WHERE bundle = ?")
            .bind(&bundle)
            .execute(&mut *tx)
            .await?;
        sqlx::query("INSERT INTO cached_bundles VALUES (?, ?, ?, ?, ?)")
            .bind(&bundle)
            .bind(&cached.study)
            .bind(cached.bytes as i64)
            .bind(now.as_millis() as i64)
            .bind(now.as_millis() as i64)
            .execute(&mut *tx)
            .await?;
        for (position, instance) in (0i64..).zip(&cached.instances) {
            sqlx::query("INSERT INTO cached_instances VALUES (?, ?, ?, ?, ?, ?, ?)")
                .bind(&bundle)
                .bind(&instance.sop_instance_uid)
                .bind(&instance.sop_class_uid)
                .bind(&instance.series_instance_uid)
                .bind(
                    instance
                        .path
                        .file_name()
                        .map(|n| n.to_string_lossy().into_owned()),
                )
                .bind(instance.sha256.0.as_slice())
                .bind(position)
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// Number of bundles in the local cache, and their bytes.
    pub async fn cache_size(&self) -> Result<(u64, u64), StoreError> {
        let row = sqlx::query("SELECT count(*), coalesce(sum(bytes), 0) FROM cached_bundles")
            .fetch_one(self.db.read())
            .await?;
        Ok((unsigned(&row, 0)?, unsigned(&row, 1)?))
    }

    /// Every bundle in the local cache.
    pub async fn all_cached(&self) -> Result<Vec<BundleId>, StoreError> {
        let bundles: Vec<String> = sqlx::query_scalar("SELECT bundle FROM cached_bundles")
            .fetch_all(self.db.read())
            .await?;
        Ok(bundles
            .iter()
            .filter_map(|bundle| bundle.parse().ok())
            .collect())
    }

    /// The least recently used bundles beyond `limit` bytes that were not used since `idle_since`.
    pub async fn beyond(
        &self,
        limit: u64,
        idle_since: Timestamp,
    ) -> Result<Vec<BundleId>, StoreError> {
        let rows =
            sqlx::query("SELECT bundle, bytes, used_ms FROM cached_bundles ORDER BY used_ms DESC")
                .fetch_all(self.db.read())
                .await?;
        let mut total = 0u64;
        let mut beyond = Vec::new();
        for row in &rows {
            total += unsigned(row, 1)?;
            let bundle: String = row.try_get(0)?;
            if let Ok(bundle) = bundle.parse::<BundleId>()
                && total > limit
                && unsigned(row, 2)? < idle_since.as_millis()
            {
                beyond.push(bundle);
            }
        }
        Ok(beyond)
    }

    /// Takes a bundle out of the catalogue.
    pub async fn forget_cached(&self, bundle: BundleId) -> Result<(), StoreError> {
        let mut tx = self.db.begin("forget cached bundle").await?;
        sqlx::query("DELETE FROM cached_bundles WHERE bundle = ?")
            .bind(bundle.to_string())
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Notes what a fetch cost.
    pub async fn add_fetch(&self, fetch: &Fetch) -> Result<(), StoreError> {
        let mut tx = self.db.begin("note fetch").await?;
        sqlx::query(
            "INSERT INTO fetches (bundle, source, at_ms, milliseconds, fragments, queries, \
             stack_bytes, hint_bytes, bytes_up, bytes_down, outcome, resumed, engine, authentic, \
             unmarked) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )
        .bind(fetch.bundle.to_string())
        .bind(fetch.source)
        .bind(fetch.at.as_millis() as i64)
        .bind(fetch.took.as_millis() as i64)
        .bind(fetch.fragments as i64)
        .bind(fetch.wire.queries as i64)
        .bind(fetch.stack_bytes as i64)
        .bind(fetch.hint_bytes as i64)
        .bind(fetch.wire.up as i64)
        .bind(fetch.wire.down as i64)
        .bind(&fetch.outcome)
        .bind(fetch.wire.resumed as i64)
        .bind(fetch.engine.map(Engine::name))
        .bind(fetch.authentic as i64)
        .bind(fetch.unmarked as i64)
        .execute(&mut *tx)
        .await?;
        Ok(tx.commit().await?)
    }

    /// The last `limit` fetches, newest first.
    pub async fn fetches(&self, limit: u32) -> Result<Vec<FetchRow>, StoreError> {
        let rows = sqlx::query(
            "SELECT number, source, at_ms, milliseconds, fragments, queries, stack_bytes, \
             hint_bytes, bytes_up, bytes_down, outcome, resumed, engine, authentic, unmarked \
             FROM fetches \
             ORDER BY number DESC LIMIT ?",
        )
        .bind(limit)
        .fetch_all(self.db.read())
        .await?;
        rows.iter().map(fetch_row).collect()
    }
}

/// What fetches of one source came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FetchSums {
    pub(crate) fetches: u64,
    pub(crate) failed: u64,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
}

impl Store {
    /// All fetches of a source (`cache` or `stack`) added up.
    pub(crate) async fn fetch_sums(&self, source: &str) -> Result<FetchSums, StoreError> {
        let row = sqlx::query(
            "SELECT COUNT(*), COALESCE(SUM(outcome <> 'opened'), 0), COALESCE(SUM(bytes_up), 0), \
             COALESCE(SUM(bytes_down), 0) FROM fetches WHERE source = ?",
        )
        .bind(source)
        .fetch_one(self.db.read())
        .await?;
        Ok(FetchSums {
            fetches: unsigned(&row, 0)?,
            failed: unsigned(&row, 1)?,
            bytes_up: unsigned(&row, 2)?,
            bytes_down: unsigned(&row, 3)?,
        })
    }
}

fn fetch_row(row: &SqliteRow) -> Result<FetchRow, StoreError> {
    Ok(FetchRow {
        number: Some(unsigned(row, 0)?),
        source: row.try_get(1)?,
        at_ms: unsigned(row, 2)?,
        milliseconds: unsigned(row, 3)?,
        fragments: unsigned(row, 4)?,
        queries: unsigned(row, 5)?,
        stack_bytes: unsigned(row, 6)?,
        hint_bytes: unsigned(row, 7)?,
        bytes_up: unsigned(row, 8)?,
        bytes_down: unsigned(row, 9)?,
        outcome: row.try_get(10)?,
        resumed: unsigned(row, 11)?,
        engine: row.try_get(12)?,
        authentic: unsigned(row, 13)?,
        unmarked: unsigned(row, 14)?,
        progress: None,
    })
}

fn unsigned(row: &SqliteRow, column: usize) -> Result<u64, sqlx::Error> {
    Ok(row.try_get::<i64, _>(column)?.cast_unsigned())
}
