//! The audit log (docs/protocol.md 11): entries chained by hash, written in the transaction of what
//! they record, under a signed head that is replaced with each.
//!
//! Every append first checks that the last entry is the one that the signed head names: a log that
//! somebody shortened or changed at its end is not continued, and so not made to look whole.

use std::io::Write;

use futures_util::TryStreamExt as _;
use harpo_protocol::access::{Obligation, Requester};
use harpo_protocol::audit::{AuditHead, Broken, Checkpoint, Verifier};
use harpo_protocol::id::{BundleId, Digest, GenerationId, Nonce, PartyId};
use harpo_protocol::identity::Role;
use harpo_protocol::sign::{Signed, SigningKey, VerifyingKey};
use harpo_protocol::time::Timestamp;
use harpo_service::db::{Db, DbError};
use serde::{Deserialize, Serialize};
use sqlx::SqliteConnection;

use crate::policy::Consent;

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// The log began.
    Initialised {
        /// SHA-256 of the authority's certificate.
        authority: Digest,
        /// Trust's own party.
        party: PartyId,
    },
    /// An enrolment code was issued.
    CodeIssued {
        /// For this role.
        role: Role,
        /// The joining party's name.
        name: String,
    },
    /// A party joined.
    Enrolled {
        /// Who.
        party: PartyId,
        /// As what.
        role: Role,
        /// Its name.
        name: String,
    },
    /// Strangers tried to join and were refused.
    EnrolmentRefused {
        /// Why, the last time.
        reason: String,
        /// How many times since the entry before.
        #[serde(default = "once")]
        count: u64,
    },
    /// A party got a new certificate.
    Renewed {
        /// Who.
        party: PartyId,
    },
    /// A party's certificates are no longer accepted.
    Revoked {
        /// Whose.
        party: PartyId,
    },
    /// A deposit was refused.
    DepositRefused {
        /// Who deposited.
        party: PartyId,
        /// What, the last time.
        bundle: Option<BundleId>,
        /// Why, the last time.
        reason: String,
        /// How many times.
        #[serde(default = "once")]
        count: u64,
    },
    /// A bundle contradicts one of another hospital. It was taken all the same: to refuse it would tell its depositor
    /// what the other hospital has, and let whoever comes first keep others out.
    Contradiction {
        /// The new bundle.
        bundle: BundleId,
        /// The other hospital's.
        other: BundleId,
        /// What stands in both, with different content or for different patients.
        what: String,
    },
    /// A bundle is in trust's hands.
    Deposited {
        /// The bundle.
        bundle: BundleId,
        /// Who deposited it.
        party: PartyId,
        /// Who created it there.
        creator: String,
        /// Digest of its manifest.
        manifest: Digest,
        /// Where it was placed.
        generation: GenerationId,
    },
    /// A user searched.
    Searched {
        /// The user's hospital.
        party: PartyId,
        /// The user.
        requester: Requester,
        /// `study`, `series`, `instance` or `locate`.
        level: String,
        /// Tags that were searched by.
        keys: Vec<String>,
        /// Bundles that the policy let the user see.
        permitted: u64,
        /// Bundles that it withheld.
        withheld: u64,
    },
    /// A user was permitted a bundle.
    Released {
        /// The user's hospital.
        party: PartyId,
        /// The user.
        requester: Requester,
        /// The bundle.
        bundle: BundleId,
        /// The rules that permitted.
        rules: Vec<String>,
        /// What they demand.
        obligations: Vec<Obligation>,
        /// The permit; none if the hospital held the bytes already.
        grant: Option<Nonce>,
        /// Nonces of the tickets.
        tickets: Vec<Nonce>,
    },
    /// A party was given what it spends in a round.
    Round {
        /// Who.
        party: PartyId,
        /// Which round.
        number: u64,
        /// Nonce of the ticket.
        ticket: Nonce,
        /// The bundle of the errand, if it was given one.
        errand: Option<BundleId>,
        /// … and the grant to give it back.
        grant: Option<Nonce>,
    },
    /// A bundle was given back, and placed anew.
    Replaced {
        /// The bundle.
        bundle: BundleId,
        /// Who gave it back.
        party: PartyId,
        /// As an errand; otherwise because it was read.
        errand: bool,
        /// Where it was.
        from: GenerationId,
        /// Where it was placed.
        to: GenerationId,
    },
    /// A user was denied a bundle.
    Denied {
        /// The user's hospital.
        party: PartyId,
        /// The user.
        requester: Requester,
        /// The bundle.
        bundle: BundleId,
        /// The rules that forbade; none for the default denial.
        rules: Vec<String>,
    },
    /// The slots of a generation begin to leave, and the next one is open.
    Sealing {
        /// Which one.
        generation: GenerationId,
    },
    /// A generation is in the stack.
    Sealed {
        /// Which one.
        generation: GenerationId,
        /// Digest of its slots.
        slots: Digest,
        /// Digest of its hint.
        hint: Digest,
    },
    /// A generation is in no stack any more: all of its bundles were placed anew or erased.
    Retired {
        /// Which one.
        generation: GenerationId,
    },
    /// The cloud has other bytes than trust sent.
    SealMismatch {
        /// Of this generation.
        generation: GenerationId,
        /// What trust sent.
        expected: Digest,
        /// What the cloud has; none if it only said that it is something else.
        found: Option<Digest>,
    },
    /// The cloud did not prove that it has what it sealed.
    SlotsUnproven {
        /// Of this generation.
        generation: GenerationId,
        /// The slots in question. If it refused to prove, all that it was asked for.
        slots: Vec<u32>,
    },
    /// A bundle's keys were destroyed.
    Erased {
        /// Which one.
        bundle: BundleId,
        /// What the operator gave as the reason.
        reason: String,
    },
    /// Gateways are told another key of the cloud's for the relay, or the first.
    RelayKey {
        /// SHA-256 of its base64.
        key: Digest,
    },
    /// An abandoned deposit was removed.
    DepositExpired {
        /// Which one.
        bundle: BundleId,
    },
    /// A patient's consent was recorded.
    Consented {
        /// The patient.
        patient: String,
        /// At this hospital; everywhere if none.
        origin: Option<PartyId>,
        /// What.
        consent: Consent,
    },
}

fn once() -> u64 {
    1
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Timestamp,
    /// What.
    #[serde(flatten)]
    pub event: Event,
}

/// What is wrong with the log.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The database.
    #[error(transparent)]
    Db(#[from] DbError),
    /// An entry contradicts the chain.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// The signed head is missing, or not signed by this trust service.
    #[error("the signed head of the audit log is missing or was not signed by this service")]
    Head,
    /// Entries were removed from the end, or added to it, past the service.
    #[error(
        "the audit log ends at entry {found} and its signed head names entry {expected}: \
         entries were removed or added behind the service's back"
    )]
    End {
        /// The number in the signed head.
        expected: u64,
        /// The number of the last entry.
        found: u64,
    },
    /// The chain is whole, and still not the log that somebody holds a receipt for.
    #[error(
        "entry {number} of the audit log has another hash than expected, or is missing: the log was rewritten"
    )]
    Rewritten {
        /// The entry.
        number: u64,
    },
    /// An entry could not be written to its destination.
    #[error("the log could not be written out")]
    Output(#[from] std::io::Error),
}

impl From<sqlx::Error> for AuditError {
    fn from(error: sqlx::Error) -> Self {
        Self::Db(error.into())
    }
}

/// Adds an entry within a transaction that holds the write lock, and signs the new head (11.1, 11.2).
pub(crate) async fn append(
    tx: &mut SqliteConnection,
    key: &SigningKey,
    at: Timestamp,
    event: Event,
) -> Result<AuditHead, AuditError> {
    let head = head(tx, &key.verifying_key()).await?;
    let last = last(tx).await?;
    if last != head {
        return Err(AuditError::End {
            expected: head.number,
            found: last.number,
        });
    }
    #[expect(
        clippy::expect_used,
        reason = "entries are plain data with string keys"
    )]
    let entry = serde_json::to_string(&Entry { at, event }).expect("an entry serialises");
    let head = head.append(entry.as_bytes());
    let signed = key.sign(&Checkpoint { head, at }).to_json();
    sqlx::query("INSERT INTO audit (number, entry, hash) VALUES (?, ?, ?)")
        .bind(head.number as i64)
        .bind(entry)
        .bind(head.hash.0.as_slice())
        .execute(&mut *tx)
        .await?;
    sqlx::query("INSERT OR REPLACE INTO checkpoint (one, signed) VALUES (1, ?)")
        .bind(signed)
        .execute(&mut *tx)
        .await?;
    Ok(head)
}

/// The signed head; before the first entry there is none.
async fn head(tx: &mut SqliteConnection, key: &VerifyingKey) -> Result<AuditHead, AuditError> {
    let signed: Option<String> = sqlx::query_scalar("SELECT signed FROM checkpoint WHERE one = 1")
        .fetch_optional(&mut *tx)
        .await?;
    match signed {
        None if last(tx).await? == AuditHead::EMPTY => Ok(AuditHead::EMPTY),
        None => Err(AuditError::Head),
        Some(signed) => Signed::<Checkpoint>::from_json(&signed)
            .ok()
            .and_then(|signed| signed.verify(key).ok())
            .map(|checkpoint| checkpoint.head)
            .ok_or(AuditError::Head),
    }
}

async fn last(tx: &mut SqliteConnection) -> Result<AuditHead, AuditError> {
    let row: Option<(i64, Vec<u8>)> =
        sqlx::query_as("SELECT number, hash FROM audit ORDER BY number DESC LIMIT 1")
            .fetch_optional(&mut *tx)
            .await?;
    let Some((number, hash)) = row else {
        return Ok(AuditHead::EMPTY);
    };
    let number = number as u64;
    let hash = Digest::from_slice(&hash).map_err(|_| Broken::Hash { number })?;
    Ok(AuditHead { number, hash })
}

/// Checks the whole log (11): every hash, the order, the signed head, and, if given, that the entry
/// which somebody's receipt names is still in it. Answers the head. Sees one moment of the log, also
/// while the service writes.
pub async fn verify(
    db: &Db,
    key: &VerifyingKey,
    expect: Option<AuditHead>,
) -> Result<AuditHead, AuditError> {
    let mut tx = db.read().begin().await?;
    let mut verifier = Verifier::default();
    let mut expected_found = expect.is_none_or(|e| e == AuditHead::EMPTY);
    {
        let mut rows = sqlx::query_as::<_, (i64, String, Vec<u8>)>(
            "SELECT number, entry, hash FROM audit ORDER BY number",
        )
        .fetch(&mut *tx);
        while let Some((number, entry, hash)) = rows.try_next().await? {
            verifier.next(number as u64, entry.as_bytes(), &hash)?;
            expected_found |= expect == Some(verifier.head());
        }
    }
    let head = head(&mut tx, key).await?;
    if head.number != verifier.head().number {
        return Err(AuditError::End {
            expected: head.number,
            found: verifier.head().number,
        });
    }
    if head != verifier.head() {
        return Err(AuditError::Rewritten {
            number: head.number,
        });
    }
    match expect {
        Some(expect) if !expected_found => Err(AuditError::Rewritten {
            number: expect.number,
        }),
        _ => Ok(head),
    }
}

/// Writes the log as JSON lines: `{"number", "hash", "entry"}`, the entry as the exact text that was
/// hashed. Answers how many.
pub async fn export(db: &Db, out: &mut impl Write) -> Result<u64, AuditError> {
    #[derive(Serialize)]
    struct Line<'a> {
        number: u64,
        hash: String,
        entry: &'a str,
    }
    let mut count = 0;
    let mut rows = sqlx::query_as::<_, (i64, String, Vec<u8>)>(
        "SELECT number, entry, hash FROM audit ORDER BY number",
    )
    .fetch(db.read());
    while let Some((number, entry, hash)) = rows.try_next().await? {
        let line = Line {
            number: number as u64,
            hash: hex::encode(hash),
            entry: &entry,
        };
        serde_json::to_writer(&mut *out, &line).map_err(std::io::Error::from)?;
        out.write_all(b"\n")?;
        count += 1;
    }
    Ok(count)
}
