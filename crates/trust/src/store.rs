//! The database: what trust knows. One module for each kind of thing; all functions take the
//! connection, so that what belongs together is written in one transaction.

use harpo_protocol::audit::AuditHead;
use harpo_protocol::sign::SigningKey;
use harpo_protocol::time::Timestamp;
use harpo_service::clock::Clock;
use harpo_service::db::Db;
use sqlx::SqliteConnection;

use crate::audit::{self, Event};
use crate::error::TrustError;

pub(crate) mod bundles;
pub(crate) mod catalogue;
pub(crate) mod figures;
pub(crate) mod generations;
pub(crate) mod give_back;
pub(crate) mod parties;
pub(crate) mod permits;
pub(crate) mod relay_key;
pub(crate) mod rounds;
pub(crate) mod slots;
pub(crate) mod stacks;

/// The database, and what signs the head of its audit log.
pub(crate) struct Store {
    pub(crate) db: Db,
    /// Signs trust's statements.
    pub(crate) signing: SigningKey,
    pub(crate) clock: Clock,
}

impl Store {
    pub(crate) fn new(db: Db, signing: SigningKey, clock: Clock) -> Self {
        Self { db, signing, clock }
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Adds an entry to the audit log in the caller's transaction.
    pub(crate) async fn audit(
        &self,
        tx: &mut SqliteConnection,
        event: Event,
    ) -> Result<AuditHead, TrustError> {
        Ok(audit::append(tx, &self.signing, self.now(), event).await?)
    }

    /// Records something by itself.
    pub(crate) async fn audit_alone(&self, event: Event) -> Result<AuditHead, TrustError> {
        let mut tx = self.db.begin("audit").await?;
        let head = self.audit(&mut tx, event).await?;
        tx.commit().await?;
        Ok(head)
    }
}

/// A column that holds an identifier or digest.
macro_rules! bytes {
    ($type:ident, $column:expr) => {
        harpo_protocol::id::$type::from_slice(&$column)
            .map_err(|_| $crate::error::damaged(stringify!($type)))
    };
}
pub(crate) use bytes;
