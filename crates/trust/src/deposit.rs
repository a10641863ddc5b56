//! Taking bundles in (docs/protocol.md 4): everything is checked, durable before it is acknowledged, and
//! repeatable at every step.

use std::time::Duration;

use bytes::Bytes;
use harpo_protocol::deposit::{DepositRequest, DepositStatus, Receipt, unwrap_content_key};
use harpo_protocol::domain::sha256;
use harpo_protocol::id::{BundleId, GenerationId};
use harpo_protocol::identity::Credential;
use harpo_protocol::manifest::{Attributes, Manifest};
use harpo_protocol::placement::OpenGeneration;
use harpo_protocol::sign::{Signed, Verified};
use harpo_protocol::time::Timestamp;
use harpo_service::http::ApiError;
use harpo_service::random;
use sqlx::SqliteConnection;

use crate::audit::Event;
use crate::enrolment;
use crate::error::{TrustError, refuse};
use crate::policy::{Consent, Hospital, Question, Resource};
use crate::quota;
use crate::refusals::{self, Refusal};
use crate::serve::Trust;
use crate::store::bundles::{self, Bundle, NewBundle, State};
use crate::store::catalogue::{self, StudyColumns};
use crate::store::generations::{self, Generation};
use crate::store::parties::Party;
use crate::store::slots;

/// Longest text fields of a manifest outside its attributes.
const MAX_TEXT_BYTES: usize = 256;

/// How far a hospital's clock may be from this service's (4.1, 10.1).
const CLOCK_SKEW: Duration = Duration::from_secs(10 * 60);

/// Writes a refusal into the audit log. One that only asks to come back later refuses nothing.
pub(crate) async fn note_refusal(
    trust: &Trust,
    party: &Party,
    bundle: Option<BundleId>,
    error: TrustError,
) -> TrustError {
    let TrustError::Refused(refusal) = &error else {
        return error;
    };
    if refusal.retry_after.is_some() {
        return error;
    }
    let refusal = Refusal::new(Some(party.id), bundle, refusal);
    match refusals::note(trust, refusal).await {
        Ok(()) => error,
        Err(failure) => failure,
    }
}

/// Begins a deposit, or looks how far it is (4.1).
pub(crate) async fn begin(
    trust: &Trust,
    party: &Party,
    request: &DepositRequest,
) -> Result<DepositStatus, TrustError> {
    let manifest = check(trust, party, request)?;
    let mut tx = trust.store.db.begin("begin deposit").await?;
    let digest = request.manifest.digest();
    match bundles::find(&mut *tx, manifest.bundle).await? {
        None => {
            let fragments = manifest.fragments.len() as u64;
            quota::check(&trust.config, &mut tx, party, fragments).await?;
            let columns = StudyColumns::of(&manifest)?;
            let new = NewBundle {
                manifest: &manifest,
                signed: &request.manifest,
                content_key: &request.content_key,
                begun: trust.store.now(),
            };
            let number = bundles::insert(&mut tx, &new, &columns).await?;
            catalogue::insert(&mut tx, number, &manifest).await?;
            refuse_contradiction(&mut tx, number).await?;
        }
        Some(known) if known.origin != party.id || known.digest != digest => {
            return Err(refuse::conflict(format!(
                "bundle {} was deposited with another manifest; close a new bundle",
                manifest.bundle
            ))
            .into());
        }
        Some(known) => match known.state {
            State::Receiving => {}
            State::Placed => return Ok(DepositStatus { missing: vec![] }),
            State::Erased => return Err(erased(&known).into()),
        },
    }
    tx.commit().await?;
    let fragments = manifest.fragments.len() as u32;
    let missing = trust.cache.missing(manifest.bundle, fragments).await?;
    Ok(DepositStatus { missing })
}

/// Everything that can be checked without the database.
fn check(
    trust: &Trust,
    party: &Party,
    request: &DepositRequest,
) -> Result<Verified<Manifest>, TrustError> {
    let (_, credential) = enrolment::credential(trust, party)?;
    let manifest = request
        .manifest
        .verify(&credential.keys.signing)
        .map_err(|_| refuse::rejected("a manifest that its party did not sign"))?;
    if manifest.origin != party.id {
        return Err(refuse::rejected("a manifest with another origin than its depositor").into());
    }
    check_times(manifest.created, &credential, trust.store.now())?;
    manifest
        .validate()
        .map_err(|e| refuse::malformed(e.to_string()))?;
    check_texts(&manifest)?;
    let capacity = trust.config.layout().capacity();
    if manifest.fragments.len() as u64 > u64::from(capacity) {
        return Err(refuse::too_large(format!(
            "a bundle of {} fragments; the largest has {capacity}: close smaller bundles",
            manifest.fragments.len()
        ))
        .into());
    }
    let digest = request.manifest.digest();
    unwrap_content_key(
        &request.content_key,
        manifest.bundle,
        digest,
        &trust.opening,
    )
    .map_err(|_| refuse::rejected("a content key that is not wrapped to this service"))?;
    check_policy(trust, party, &manifest)?;
    Ok(manifest)
}

/// Consumers check the manifest's time against the credential (10.1): what they would refuse is refused now.
fn check_times(
    created: Timestamp,
    credential: &Credential,
    now: Timestamp,
) -> Result<(), ApiError> {
    let minutes = CLOCK_SKEW.as_secs() / 60;
    if created > now.after(CLOCK_SKEW) {
        return Err(refuse::wrong_clock(format!(
            "the manifest was made at {created}, more than {minutes} minutes ahead of this service's clock ({now}): set \
             the gateway's clock"
        )));
    }
    if created < credential.issued - CLOCK_SKEW {
        return Err(refuse::wrong_clock(format!(
            "the manifest was made at {created}, more than {minutes} minutes before its party was enrolled ({}): set \
             the gateway's clock",
            credential.issued
        )));
    }
    if now > credential.expires || created > credential.expires {
        return Err(refuse::expired(
            "the party's credential has expired; enrol it again",
        ));
    }
    Ok(())
}

/// Attributes are handed to other hospitals: they must at least have the form of the DICOM JSON model.
fn check_texts(manifest: &Manifest) -> Result<(), ApiError> {
    let texts = [
        ("creator", &manifest.creator),
        ("patient ID", &manifest.study.patient_id),
    ];
    for (what, text) in texts {
        if text.len() > MAX_TEXT_BYTES || text.chars().any(char::is_control) {
            return Err(refuse::malformed(format!(
                "the {what} is longer than {MAX_TEXT_BYTES} bytes or holds control characters"
            )));
        }
    }
    let study = &manifest.study;
    let series = study.series.iter().map(|series| &series.attributes);
    let instances = manifest
        .instances()
        .map(|(_, instance)| &instance.attributes);
    std::iter::once(&study.attributes)
        .chain(series)
        .chain(instances)
        .try_for_each(check_attributes)
}

fn check_attributes(attributes: &Attributes) -> Result<(), ApiError> {
    for (tag, attribute) in attributes {
        let is_tag = tag.len() == 8
            && tag
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b));
        let has_vr = attribute
            .get("vr")
            .and_then(|vr| vr.as_str())
            .is_some_and(|vr| vr.len() == 2 && vr.bytes().all(|b| b.is_ascii_uppercase()));
        if !is_tag || !has_vr {
            return Err(refuse::malformed(format!(
                "attribute {tag:?} is not in the DICOM JSON model"
            )));
        }
    }
    Ok(())
}

fn check_policy(trust: &Trust, party: &Party, manifest: &Manifest) -> Result<(), ApiError> {
    let hospital = Hospital {
        party: party.id,
        name: &party.name,
    };
    let resource = Resource {
        bundle: manifest.bundle,
        origin: hospital,
        patient_id: &manifest.study.patient_id,
        study_instance_uid: &manifest.study.study_instance_uid,
        // Consent is about sharing; nothing is shared yet.
        consent: Consent::Unknown,
        modalities: &catalogue::modalities(manifest),
    };
    let decision = trust.policy.decide(Question::Deposit, hospital, &resource);
    if decision.permit {
        Ok(())
    } else {
        Err(refuse::denied("the policy does not permit this deposit"))
    }
}

async fn refuse_contradiction(tx: &mut SqliteConnection, number: i64) -> Result<(), TrustError> {
    match catalogue::contradiction(tx, number).await? {
        Some(what) => Err(refuse::conflict(what).into()),
        None => Ok(()),
    }
}

fn erased(bundle: &Bundle) -> ApiError {
    refuse::conflict(format!("bundle {} was erased", bundle.id))
}

/// The party's own bundle; those of others do not exist for it.
async fn own(
    db: impl sqlx::SqliteExecutor<'_>,
    party: &Party,
    id: BundleId,
) -> Result<Bundle, TrustError> {
    bundles::find(db, id)
        .await?
        .filter(|bundle| bundle.origin == party.id)
        .ok_or_else(|| refuse::not_found("no such deposit; begin it first").into())
}

/// Stores one fragment (4.2).
pub(crate) async fn put_fragment(
    trust: &Trust,
    party: &Party,
    id: BundleId,
    fragment: u32,
    bytes: Bytes,
) -> Result<(), TrustError> {
    // Before the database is looked at: nobody removes the bundle's fragments in between.
    let storing = trust.cache.storing(id).await;
    let db = trust.store.db.read();
    let bundle = own(db, party, id).await?;
    if bundle.state == State::Erased {
        return Err(erased(&bundle).into());
    }
    if fragment >= bundle.fragments {
        return Err(refuse::not_found(format!(
            "the manifest lists {} fragments",
            bundle.fragments
        ))
        .into());
    }
    let expected = trust.config.layout().fragment_bytes();
    if bytes.len() != expected {
        return Err(refuse::malformed(format!(
            "a fragment of {} bytes; it must have {expected}",
            bytes.len()
        ))
        .into());
    }
    let digest = bundles::fragment_digest(db, bundle.number, fragment).await?;
    if sha256(&bytes) != digest {
        return Err(refuse::rejected("a fragment that its manifest does not list").into());
    }
    // A repeat after completion changes nothing: the fragment may have left the cache long ago.
    if bundle.state != State::Receiving {
        return Ok(());
    }
    storing.put(fragment, bytes).await?;
    // The operator's process does not wait for this one's locks.
    if bundles::find(db, id)
        .await?
        .is_none_or(|bundle| !bundle.is_cached())
    {
        trust.cache.remove(id).await?;
    }
    Ok(())
}

/// Completes a deposit: placement, catalogue, audit and receipt in one transaction (4.3).
pub(crate) async fn complete(
    trust: &Trust,
    party: &Party,
    id: BundleId,
) -> Result<Signed<Receipt>, TrustError> {
    let mut tx = trust.store.db.begin("complete deposit").await?;
    let bundle = own(&mut *tx, party, id).await?;
    match bundle.state {
        State::Receiving => {}
        State::Erased => return Err(erased(&bundle).into()),
        State::Placed => {
            return bundles::receipt(&mut *tx, bundle.number)
                .await?
                .ok_or_else(|| crate::error::damaged("a receipt"));
        }
    }
    let missing = trust.cache.missing(id, bundle.fragments).await?;
    if !missing.is_empty() {
        return Err(refuse::incomplete(format!(
            "{} of {} fragments are missing",
            missing.len(),
            bundle.fragments
        ))
        .into());
    }
    // Another bundle may have been completed since this one began.
    refuse_contradiction(&mut tx, bundle.number).await?;
    let (_, credential) = enrolment::credential(trust, party)?;
    let manifest = bundles::manifest(&mut *tx, bundle.number)
        .await?
        .verify(&credential.keys.signing)
        .map_err(|_| crate::error::damaged("a manifest"))?;
    if let Some((other, what)) = catalogue::foreign_contradiction(&mut tx, bundle.number).await? {
        let event = Event::Contradiction {
            bundle: id,
            other,
            what,
        };
        trust.store.audit(&mut tx, event).await?;
    }
    let place = place(trust, &mut tx, &bundle).await?;
    let event = Event::Deposited {
        bundle: id,
        party: party.id,
        creator: manifest.creator.clone(),
        manifest: bundle.digest,
        generation: place.generation,
    };
    let now = trust.store.now();
    let receipt = trust.store.signing.sign(&Receipt {
        bundle: id,
        manifest: bundle.digest,
        depositor: party.id,
        received: now,
        audit: trust.store.audit(&mut tx, event).await?,
    });
    bundles::placed(&mut tx, bundle.number, place.number, now, &receipt).await?;
    tx.commit().await?;
    trust.wake.notify_one();
    Ok(receipt)
}

/// Where a bundle was placed.
pub(crate) struct Place {
    /// Of the generation.
    pub(crate) number: i64,
    pub(crate) generation: GenerationId,
    /// Slots that were opened for it.
    pub(crate) opened: u32,
}

/// Gives the bundle its cells in the open generation; one that it does not fit is sealed first (5.1).
pub(crate) async fn place(
    trust: &Trust,
    tx: &mut SqliteConnection,
    bundle: &Bundle,
) -> Result<Place, TrustError> {
    let (layout, now) = (trust.config.layout(), trust.store.now());
    // The second round has a generation of its own, empty.
    for _ in 0..2 {
        let rng = &mut random::system();
        let generation = generations::open(tx, layout, now, rng).await?;
        let before = slots::occupied(&mut *tx, generation.number).await?;
        let mut open = OpenGeneration::new(
            generation.layout,
            trust.config.mixing(),
            trust.config.seal_rule(),
            generation.first_deposit,
            before.clone(),
        );
        match open.place(bundle.fragments, now, rng) {
            Ok(places) => {
                let number = generation.number;
                slots::save(tx, number, &before, open.slots()).await?;
                slots::insert_cells(tx, number, bundle.number, &places, rng).await?;
                generations::note_deposit(tx, number, now).await?;
                return Ok(Place {
                    number,
                    generation: generation.id,
                    opened: (open.slots().len() - before.len()) as u32,
                });
            }
            Err(full) => {
                tracing::info!(generation = %generation.id, %full, "sealing");
                begin_sealing(trust, tx, &generation).await?;
            }
        }
    }
    Err(refuse::too_large("the bundle does not fit a generation").into())
}

/// Closes a generation, and records it. Its slots leave on the grid (5.5), unless the operator asked for it.
pub(crate) async fn begin_sealing(
    trust: &Trust,
    tx: &mut SqliteConnection,
    generation: &Generation,
) -> Result<(), TrustError> {
    let now = trust.store.now();
    let leaves = match generation.asked {
        true => now,
        false => trust.config.seal_moment(now),
    };
    generations::begin_sealing(tx, generation, leaves, &mut random::system()).await?;
    let event = Event::Sealing {
        generation: generation.id,
    };
    trust.store.audit(tx, event).await?;
    Ok(())
}
