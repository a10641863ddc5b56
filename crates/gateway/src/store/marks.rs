//! Keys of marks, by bundle (docs/protocol.md 10.2).

use harpo_protocol::id::{BundleId, Digest, PartyId};
use harpo_protocol::sign::VerifyingKey;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;
use zeroize::Zeroizing;

use super::{Store, StoreError};

/// What marks of one bundle are made and judged with. Kept by the gateways of its producer and its
/// consumers for as long as they want to judge pictures of it; the folder of the data guards it.
pub struct BundleKeys {
    /// The bundle.
    pub bundle: BundleId,
    /// Its study.
    pub study: String,
    /// Who sealed it.
    pub origin: PartyId,
    /// That hospital's name, as trust vouches for it.
    pub origin_name: String,
    /// Its signing key, from the credential that trust signed: verifies the attestation.
    pub origin_key: VerifyingKey,
    /// Of the reliability mark.
    pub mark_key: Zeroizing<[u8; 32]>,
    /// Of tracing marks.
    pub trace_key: Zeroizing<[u8; 32]>,
    /// The producer's signed attestation; JSON.
    pub attestation: String,
}

impl std::fmt::Debug for BundleKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BundleKeys")
            .field("bundle", &self.bundle)
            .finish_non_exhaustive()
    }
}

const COLUMNS: &str = "SELECT bundle, study, origin, origin_name, origin_key, mark_key, trace_key, \
     attestation FROM bundle_keys";

impl Store {
    /// Keeps the keys of a bundle; durable when this returns. What is here already stays.
    pub async fn add_bundle_keys(&self, keys: &BundleKeys) -> Result<(), StoreError> {
        let mut tx = self.db.begin("keep keys of marks").await?;
        sqlx::query("INSERT OR IGNORE INTO bundle_keys VALUES (?, ?, ?, ?, ?, ?, ?, ?)")
            .bind(keys.bundle.to_string())
            .bind(&keys.study)
            .bind(keys.origin.to_string())
            .bind(&keys.origin_name)
            .bind(Digest(keys.origin_key.0).to_string())
            .bind(keys.mark_key.as_slice())
            .bind(keys.trace_key.as_slice())
            .bind(&keys.attestation)
            .execute(&mut *tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// The keys of a bundle, if it was sealed or opened here.
    pub async fn bundle_keys(&self, bundle: BundleId) -> Result<Option<BundleKeys>, StoreError> {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!("{COLUMNS} WHERE bundle = ?")))
            .bind(bundle.to_string())
            .fetch_optional(self.db.read())
            .await?;
        row.as_ref().map(from_row).transpose()
    }

    /// The keys of all bundles of a study.
    pub async fn bundle_keys_of(&self, study: &str) -> Result<Vec<BundleKeys>, StoreError> {
        let query = format!("{COLUMNS} WHERE study = ? ORDER BY bundle");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(study)
            .fetch_all(self.db.read())
            .await?;
        rows.iter().map(from_row).collect()
    }
}

fn from_row(row: &SqliteRow) -> Result<BundleKeys, StoreError> {
    Ok(BundleKeys {
        bundle: id(row, 0)?,
        study: row.try_get(1)?,
        origin: id(row, 2)?,
        origin_name: row.try_get(3)?,
        origin_key: VerifyingKey(id::<Digest>(row, 4)?.0),
        mark_key: key(row, 5)?,
        trace_key: key(row, 6)?,
        attestation: row.try_get(7)?,
    })
}

pub(super) fn id<T>(row: &SqliteRow, column: usize) -> Result<T, sqlx::Error>
where
    T: std::str::FromStr<Err: std::error::Error + Send + Sync + 'static>,
{
    let text: String = row.try_get(column)?;
    text.parse().map_err(|e| sqlx::Error::Decode(Box::new(e)))
}

fn key(row: &SqliteRow, column: usize) -> Result<Zeroizing<[u8; 32]>, sqlx::Error> {
    let bytes = Zeroizing::new(row.try_get::<Vec<u8>, _>(column)?);
    let key = <[u8; 32]>::try_from(bytes.as_slice());
    Ok(Zeroizing::new(
        key.map_err(|e| sqlx::Error::Decode(Box::new(e)))?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn keys_are_kept_once_and_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("gateway.db")).await.unwrap();
        let keys = |bundle: u8, mark: u8| BundleKeys {
            bundle: BundleId([bundle; 16]),
            study: "1.2".into(),
            origin: PartyId([9; 16]),
            origin_name: "St. Luke's".into(),
            origin_key: VerifyingKey([8; 32]),
            mark_key: Zeroizing::new([mark; 32]),
            trace_key: Zeroizing::new([0x5a; 32]),
            attestation: "{}".into(),
        };
        store.add_bundle_keys(&keys(1, 3)).await.unwrap();
        store.add_bundle_keys(&keys(1, 4)).await.unwrap();
        store.add_bundle_keys(&keys(2, 5)).await.unwrap();
        let found = store.bundle_keys(BundleId([1; 16])).await.unwrap().unwrap();
        assert_eq!(*found.mark_key, [3; 32]);
        assert_eq!(found.origin, PartyId([9; 16]));
        assert_eq!(found.origin_key, VerifyingKey([8; 32]));
        assert!(!format!("{found:?}").contains("90, 90"));
        assert_eq!(store.bundle_keys_of("1.2").await.unwrap().len(), 2);
        assert!(store.bundle_keys_of("1.3").await.unwrap().is_empty());
        let missing = store.bundle_keys(BundleId([7; 16])).await.unwrap();
        assert!(missing.is_none());
    }
}
