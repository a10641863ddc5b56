//! What left this gateway for taking away (docs/protocol.md 10.3).

use harpo_protocol::export::Export;
use harpo_protocol::id::BundleId;
use harpo_protocol::sign::Signed;
use sqlx::Row as _;
use sqlx::sqlite::SqliteRow;

use super::{Store, StoreError};

const COLUMNS: &str = "SELECT statement FROM exports";

impl Store {
    /// Writes exports down, all or none; durable when this returns.
    pub async fn add_exports(
        &self,
        exports: &[(Export, Signed<Export>)],
    ) -> Result<(), StoreError> {
        let mut tx = self.db.begin("note exports").await?;
        for (export, signed) in exports {
            sqlx::query("INSERT INTO exports (id, bundle, study, statement) VALUES (?, ?, ?, ?)")
                .bind(signed.digest().0.as_slice())
                .bind(export.bundle.to_string())
                .bind(&export.study_instance_uid)
                .bind(signed.to_json())
                .execute(&mut *tx)
                .await?;
        }
        Ok(tx.commit().await?)
    }

    /// The exports of a bundle, oldest first. They are this gateway's own: its key verifies them.
    pub async fn exports_of(&self, bundle: BundleId) -> Result<Vec<Signed<Export>>, StoreError> {
        let query = format!("{COLUMNS} WHERE bundle = ? ORDER BY number");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(bundle.to_string())
            .fetch_all(self.db.read())
            .await?;
        rows.iter().map(from_row).collect()
    }

    /// All exports, newest first.
    pub async fn exports(&self) -> Result<Vec<Signed<Export>>, StoreError> {
        let query = format!("{COLUMNS} ORDER BY number DESC");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .fetch_all(self.db.read())
            .await?;
        rows.iter().map(from_row).collect()
    }
}

fn from_row(row: &SqliteRow) -> Result<Signed<Export>, StoreError> {
    let text: String = row.try_get(0)?;
    Ok(Signed::from_json(&text).map_err(|e| sqlx::Error::Decode(Box::new(e)))?)
}

#[cfg(test)]
mod tests {
    use harpo_protocol::access::{Purpose, Requester};
    use harpo_protocol::id::{Nonce, PartyId};
    use harpo_protocol::sign::SigningKey;
    use harpo_protocol::time::Timestamp;

    use super::*;

    fn export(bundle: u8, nonce: u8) -> Export {
        Export {
            consumer: PartyId([1; 16]),
            consumer_name: "Mercy Hospital".into(),
            requester: Requester {
                user: "grace".into(),
                role: "physician".into(),
                purpose: Purpose::Treat,
            },
            at: Timestamp(1_800_000_000_000),
            bundle: BundleId([bundle; 16]),
            study_instance_uid: "1.2".into(),
            traced: true,
            nonce: Nonce([nonce; 16]),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn exports_are_durable_all_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("gateway.db");
        let store = Store::open(&file).await.unwrap();
        let key = SigningKey::from_seed(&[1; 32]);
        let signed = |bundle, nonce| {
            let export = export(bundle, nonce);
            let signed = key.sign(&export);
            (export, signed)
        };
        store
            .add_exports(&[signed(1, 1), signed(2, 2)])
            .await
            .unwrap();
        // The second is there already: nothing of this is kept.
        let again = [signed(1, 3), signed(2, 2)];
        assert!(store.add_exports(&again).await.is_err());
        let store = Store::open(&file).await.unwrap();
        let of_one = store.exports_of(BundleId([1; 16])).await.unwrap();
        assert_eq!(of_one.len(), 1);
        let verified = of_one[0].verify(&key.verifying_key()).unwrap();
        assert_eq!(verified.requester.user, "grace");
        let newest = store.exports().await.unwrap();
        assert_eq!(newest.len(), 2);
        let verified = newest[0].verify(&key.verifying_key()).unwrap();
        assert_eq!(verified.bundle, BundleId([2; 16]));
    }
}
