//! What the operator can do. Works on the data folder, also while the service runs: both go through the
//! database, and the service looks there at every request.

use std::io::Write;
use std::time::Duration;

use harpo_protocol::audit::AuditHead;
use harpo_protocol::id::{BundleId, GenerationId, PartyId};
use harpo_protocol::identity::{EnrolCode, Role};
use harpo_protocol::time::Timestamp;
use harpo_service::clock::Clock;
use rand_core::CryptoRng;

use crate::audit::{self, AuditError, Event};
use crate::cache;
use crate::error::TrustError;
use crate::folder::Folder;
use crate::policy::Consent;
use crate::store::generations::State;
use crate::store::parties::{self, Party};
use crate::store::{Store, bundles, catalogue, generations, permits};

/// Longest name of a party, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// How often emptying the write-ahead log is tried, each time waiting for readers as long as the database does.
const EMPTY_LOG_TRIES: u32 = 4;
const EMPTY_LOG_PAUSE: Duration = Duration::from_millis(200);

/// An opened data folder.
pub struct Operator {
    folder: Folder,
    store: Store,
}

/// What an erasure would destroy, or has destroyed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erasure {
    /// The bundle.
    pub bundle: BundleId,
    /// The name of the hospital that deposited it.
    pub origin: String,
    /// Its study.
    pub study_instance_uid: String,
    /// Its patient, as the origin names it.
    pub patient_id: String,
    /// Instances in it.
    pub instances: u32,
    /// Whether its bytes are in the cloud, where they stay, unreadable, until their generation is retired.
    pub in_cloud: bool,
    /// Whether it was done.
    pub done: bool,
    /// Whether what was destroyed is also gone from the write-ahead log of the database. If not, somebody was reading
    /// all the while: it goes when the log is next emptied, at the latest when the service stops.
    pub log_emptied: bool,
}

impl Operator {
    /// Opens a folder that [`init`](crate::init) made.
    ///
    /// # Errors
    /// [`TrustError::Folder`] if there is none; files, database.
    pub async fn open(folder: &Folder, clock: Clock) -> Result<Self, TrustError> {
        Ok(Self {
            store: folder.open(clock).await?,
            folder: folder.clone(),
        })
    }

    /// Closes the database.
    pub async fn close(self) {
        self.store.db.close().await;
    }

    /// Issues a one-time code with which a party joins (docs/protocol.md 2.2); it is shown once. Also says until when
    /// it works.
    ///
    /// # Errors
    /// [`TrustError::Usage`] for roles that do not join, or an impossible name.
    pub async fn new_code(
        &self,
        role: Role,
        name: &str,
        rng: &mut impl CryptoRng,
    ) -> Result<(EnrolCode, Timestamp), TrustError> {
        let name = name.trim();
        if !matches!(role, Role::Gateway | Role::Cloud | Role::Relay) {
            return Err(TrustError::Usage(format!(
                "a {role} does not enrol; the role is gateway, cloud or relay"
            )));
        }
        if name.is_empty() || name.len() > MAX_NAME_BYTES || name.chars().any(char::is_control) {
            return Err(TrustError::Usage(format!(
                "the name must be 1 to {MAX_NAME_BYTES} bytes without control characters"
            )));
        }
        let config = self.folder.config()?;
        let authority = self.folder.authority()?;
        let code = EnrolCode::generate(authority.root().der(), rng);
        let lasting = Duration::from_secs(3600 * u64::from(config.certificates.code_hours));
        let expires = self.store.now().after(lasting);
        let mut tx = self.store.db.begin("new code").await?;
        parties::insert_code(&mut tx, code.secret.digest(), role, name, expires).await?;
        let event = Event::CodeIssued {
            role,
            name: name.to_owned(),
        };
        self.store.audit(&mut tx, event).await?;
        tx.commit().await?;
        Ok((code, expires))
    }

    /// All parties, in order of enrolment.
    ///
    /// # Errors
    /// Database.
    pub async fn parties(&self) -> Result<Vec<Party>, TrustError> {
        parties::all(self.store.db.read()).await
    }

    /// Shuts a party out, from its next request on, also on connections that are open.
    ///
    /// # Errors
    /// [`TrustError::Usage`] if there is no such party, or it was revoked before.
    pub async fn revoke(&self, party: PartyId) -> Result<(), TrustError> {
        let mut tx = self.store.db.begin("revoke").await?;
        if !parties::revoke(&mut tx, party, self.store.now()).await? {
            return Err(TrustError::Usage(format!(
                "{party} is not an enrolled party, or was revoked before; see the list of parties"
            )));
        }
        self.store.audit(&mut tx, Event::Revoked { party }).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Records a patient's consent: at one hospital, whose patient identifiers are meant, or, without one, at every
    /// hospital that uses the identifier. [`Consent::Unknown`] withdraws what was recorded.
    ///
    /// # Errors
    /// [`TrustError::Usage`] for an empty patient or an unknown hospital.
    pub async fn set_consent(
        &self,
        patient: &str,
        origin: Option<PartyId>,
        consent: Consent,
    ) -> Result<(), TrustError> {
        if patient.is_empty() {
            return Err(TrustError::Usage("the patient ID is empty".to_owned()));
        }
        let mut tx = self.store.db.begin("consent").await?;
        if let Some(party) = origin
            && parties::find(&mut *tx, party).await?.is_none()
        {
            return Err(TrustError::Usage(format!(
                "{party} is not an enrolled party"
            )));
        }
        permits::set_consent(&mut tx, patient, origin, consent).await?;
        let event = Event::Consented {
            patient: patient.to_owned(),
            origin,
            consent,
        };
        self.store.audit(&mut tx, event).await?;
        tx.commit().await?;
        Ok(())
    }

    /// Erases a bundle (docs/protocol.md 12), or, unless `confirmed`, only tells what would be erased.
    ///
    /// # Errors
    /// [`TrustError::Usage`] if there is no such deposited bundle.
    pub async fn erase(
        &self,
        id: BundleId,
        reason: &str,
        confirmed: bool,
    ) -> Result<Erasure, TrustError> {
        let mut tx = self.store.db.begin("erase").await?;
        let found = (
            bundles::find(&mut *tx, id).await?,
            catalogue::of_bundle(&mut *tx, id).await?,
        );
        let (Some(bundle), Some(listed)) = found else {
            return Err(TrustError::Usage(format!(
                "there is no deposited bundle {id}; it may have been erased before"
            )));
        };
        let mut erasure = Erasure {
            bundle: id,
            origin: listed.origin_name,
            study_instance_uid: listed.study,
            patient_id: listed.patient,
            instances: listed.instances,
            in_cloud: bundle.in_cloud,
            done: confirmed,
            log_emptied: false,
        };
        if !confirmed {
            return Ok(erasure);
        }
        bundles::erase(&mut tx, &bundle).await?;
        let event = Event::Erased {
            bundle: id,
            reason: reason.to_owned(),
        };
        self.store.audit(&mut tx, event).await?;
        tx.commit().await?;
        // The keys must not stay in the write-ahead log either.
        erasure.log_emptied = self.empty_log().await?;
        let needed = bundles::erased_without_cells(self.store.db.read()).await?;
        if needed.contains(&id) {
            cache::remove(self.folder.cache_dir(), id)?;
        }
        Ok(erasure)
    }

    /// Readers of the service may still need the log: tries again for a while. Whether it was emptied.
    async fn empty_log(&self) -> Result<bool, TrustError> {
        for _ in 0..EMPTY_LOG_TRIES {
            if self.store.db.empty_log().await? {
                return Ok(true);
            }
            tokio::time::sleep(EMPTY_LOG_PAUSE).await;
        }
        tracing::warn!(
            "the database's write-ahead log could not be emptied: it was being read all the while"
        );
        Ok(false)
    }

    /// Asks the service to seal the open generation now; it begins within about a second, or when it is
    /// started.
    ///
    /// # Errors
    /// [`TrustError::Usage`] if nothing was deposited in it: there is nothing to seal.
    pub async fn seal(&self) -> Result<GenerationId, TrustError> {
        let mut tx = self.store.db.begin("ask to seal").await?;
        let open = generations::unsealed(&mut *tx)
            .await?
            .into_iter()
            .find(|g| g.state == State::Open && g.first_deposit.is_some())
            .ok_or_else(|| {
                TrustError::Usage("nothing was deposited since the last sealing".to_owned())
            })?;
        generations::ask_to_seal(&mut tx, open.number).await?;
        tx.commit().await?;
        Ok(open.id)
    }

    /// Checks the audit log from its first entry to its signed head (docs/protocol.md 11), and that it still holds the
    /// entry that a receipt names.
    ///
    /// # Errors
    /// [`AuditError`] says what is wrong with the log.
    pub async fn verify_audit(&self, expect: Option<AuditHead>) -> Result<AuditHead, AuditError> {
        audit::verify(&self.store.db, &self.store.signing.verifying_key(), expect).await
    }

    /// Writes the audit log as JSON lines; answers how many.
    ///
    /// # Errors
    /// [`AuditError::Output`], [`AuditError::Db`].
    pub async fn export_audit(&self, out: &mut impl Write) -> Result<u64, AuditError> {
        audit::export(&self.store.db, out).await
    }
}

/// Reads `NUMBER:HASH`, as receipts and [`Operator::verify_audit`] give heads.
///
/// # Errors
/// [`TrustError::Usage`].
pub fn parse_head(text: &str) -> Result<AuditHead, TrustError> {
    let wrong = || TrustError::Usage(format!("{text:?} is not of the form NUMBER:HASH"));
    let (number, hash) = text.split_once(':').ok_or_else(wrong)?;
    Ok(AuditHead {
        number: number.parse().map_err(|_| wrong())?,
        hash: hash.parse().map_err(|_| wrong())?,
    })
}
