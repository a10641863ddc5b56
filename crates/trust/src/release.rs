//! Decision and release (docs/protocol.md 8.4 to 8.7, 9.1). What is released is put together in the
//! transaction that records the decision, so that the answer can leave only after the record.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use harpo_protocol::access::{Obligation, Requester};
use harpo_protocol::deposit::unwrap_content_key;
use harpo_protocol::id::{BundleId, Nonce};
use harpo_protocol::release::{Access, Notice, Release, ReleaseRequest, Secrets, Source};
use harpo_protocol::retrieval::{Ticket, classes};
use harpo_protocol::search::{LocateRequest, LocateResponse, SearchRequest, SearchResponse};
use harpo_protocol::sign::Signed;
use harpo_protocol::stack::StackDescriptor;
use harpo_protocol::wrap::SealingKey;
use harpo_service::blobs::BlobError;
use harpo_service::http::ApiError;
use harpo_service::random;
use sqlx::SqliteConnection;

use crate::audit::Event;
use crate::enrolment;
use crate::error::{TrustError, damaged, refuse};
use crate::policy::Decision;
use crate::replacement;
use crate::search::{self, Tally};
use crate::serve::Trust;
use crate::store::bundles::{self, Bundle, State};
use crate::store::parties::{self, Party};
use crate::store::{catalogue, permits, slots, stacks};

/// Longest name or role of a user, in bytes.
const MAX_REQUESTER_BYTES: usize = 256;

/// Most matching keys of a search: they stand in the audit log.
const MAX_KEYS: usize = 64;

/// A hospital's word for its user must at least be printable: it stands in the audit log and in notices.
fn check_requester(requester: &Requester) -> Result<(), ApiError> {
    for text in [&requester.user, &requester.role] {
        if text.is_empty() || text.len() > MAX_REQUESTER_BYTES || text.chars().any(char::is_control)
        {
            return Err(refuse::malformed(format!(
                "user and role must be 1 to {MAX_REQUESTER_BYTES} bytes without control characters"
            )));
        }
    }
    Ok(())
}

/// Searches, and records it (8.2).
pub(crate) async fn search(
    trust: &Trust,
    party: &Party,
    request: &SearchRequest,
) -> Result<SearchResponse, TrustError> {
    check_requester(&request.requester)?;
    let is_tag = |tag: &str| {
        tag.len() == 8
            && tag
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'A'..=b'F').contains(&b))
    };
    if request.matching.len() > MAX_KEYS {
        return Err(refuse::malformed(format!("more than {MAX_KEYS} matching keys")).into());
    }
    if let Some(tag) = request.matching.keys().find(|tag| !is_tag(tag)) {
        return Err(refuse::malformed(format!(
            "{tag:?} is not a tag of eight upper-case hexadecimal digits"
        ))
        .into());
    }
    let mut snapshot = trust.store.db.read().begin().await?;
    let (response, tally) = search::search(&mut snapshot, &trust.policy, party, request).await?;
    drop(snapshot);
    let level = match request.level {
        harpo_protocol::search::Level::Study => "study",
        harpo_protocol::search::Level::Series => "series",
        harpo_protocol::search::Level::Instance => "instance",
    };
    let keys = request.matching.keys().cloned().collect();
    record_search(trust, party, &request.requester, level, keys, &tally).await?;
    Ok(response)
}

/// Finds the bundles of a study, and records it (8.3).
pub(crate) async fn locate(
    trust: &Trust,
    party: &Party,
    request: &LocateRequest,
) -> Result<LocateResponse, TrustError> {
    check_requester(&request.requester)?;
    let mut snapshot = trust.store.db.read().begin().await?;
    let (response, tally) = search::locate(&mut snapshot, &trust.policy, party, request).await?;
    drop(snapshot);
    record_search(trust, party, &request.requester, "locate", vec![], &tally).await?;
    Ok(response)
}

async fn record_search(
    trust: &Trust,
    party: &Party,
    requester: &Requester,
    level: &str,
    keys: Vec<String>,
    tally: &Tally,
) -> Result<(), TrustError> {
    let event = Event::Searched {
        party: party.id,
        requester: requester.clone(),
        level: level.to_owned(),
        keys,
        permitted: tally.permitted,
        withheld: tally.withheld,
    };
    trust.store.audit_alone(event).await?;
    Ok(())
}

/// Decides, records, releases (8.4).
pub(crate) async fn release(
    trust: &Trust,
    party: &Party,
    request: &ReleaseRequest,
) -> Result<Release, TrustError> {
    check_requester(&request.requester)?;
    let mut tx = trust.store.db.begin("release").await?;
    let absent = || refuse::not_found("no such bundle, or it was erased");
    let listed = catalogue::of_bundle(&mut *tx, request.bundle)
        .await?
        .ok_or_else(absent)?;
    let bundle = bundles::find(&mut *tx, request.bundle)
        .await?
        .ok_or_else(absent)?;
    let decision = search::decide(&trust.policy, party, &request.requester, &listed, true);
    if !decision.permit {
        return deny(trust, tx, party, request, decision).await;
    }
    let (_, consumer) = enrolment::credential(trust, party)?;
    let origin = parties::find(&mut *tx, bundle.origin)
        .await?
        .ok_or_else(|| damaged("a party"))?;
    let (origin_credential, _) = enrolment::credential(trust, &origin)?;
    let manifest = bundles::manifest(&mut *tx, bundle.number).await?;
    let granted = if request.held {
        None
    } else {
        Some(grant(trust, &mut tx, party, &bundle, &consumer.keys.sealing).await?)
    };
    let (access, tickets) = granted.unzip();
    let event = Event::Released {
        party: party.id,
        requester: request.requester.clone(),
        bundle: bundle.id,
        rules: decision.rules,
        obligations: decision.obligations.clone(),
        grant: access.as_ref().map(|access| access.grant),
        tickets: tickets.unwrap_or_default(),
    };
    trust.store.audit(&mut tx, event).await?;
    if decision.obligations.contains(&Obligation::NotifyOrigin) {
        let notice = Notice {
            number: 0,
            at: trust.store.now(),
            bundle: bundle.id,
            consumer: party.name.clone(),
            requester: request.requester.clone(),
            obligations: decision.obligations.clone(),
        };
        permits::notify(&mut tx, bundle.origin, notice).await?;
    }
    tx.commit().await?;
    Ok(Release {
        bundle: bundle.id,
        manifest,
        origin: origin_credential,
        obligations: decision.obligations,
        access,
    })
}

async fn deny(
    trust: &Trust,
    mut tx: harpo_service::db::Tx,
    party: &Party,
    request: &ReleaseRequest,
    decision: Decision,
) -> Result<Release, TrustError> {
    let event = Event::Denied {
        party: party.id,
        requester: request.requester.clone(),
        bundle: request.bundle,
        rules: decision.rules,
    };
    trust.store.audit(&mut tx, event).await?;
    tx.commit().await?;
    Err(refuse::denied(format!(
        "the policy does not permit this for the purpose {}",
        request.requester.purpose
    ))
    .into())
}

/// Keys, and the way to the bytes. Answers the nonces of the tickets besides.
async fn grant(
    trust: &Trust,
    tx: &mut SqliteConnection,
    party: &Party,
    bundle: &Bundle,
    to: &SealingKey,
) -> Result<(Access, Vec<Nonce>), TrustError> {
    let rng = &mut random::system();
    let wrapped = bundles::content_key(&mut *tx, bundle.number).await?;
    let content_key = unwrap_content_key(&wrapped, bundle.id, bundle.digest, &trust.opening)?;
    let grant = Nonce::random(rng);
    let mut give_back = false;
    let (placements, source, nonces) = if bundle.in_stack {
        let placements = slots::placements(tx, bundle.number).await?;
        let slots: BTreeSet<u32> = placements.iter().map(|p| p.at.slot).collect();
        let stack = stacks::of_bundle(&mut *tx, bundle.number).await?;
        let (tickets, nonces) = tickets(trust, &stack, slots.len() as u32)?;
        give_back = replacement::ask_back(trust, tx, party, bundle, grant).await?;
        (placements, Source::Stack { stack, tickets }, nonces)
    } else {
        let lasting = Duration::from_secs(trust.config.tickets.cache_seconds.into());
        let expires = trust.store.now().after(lasting);
        permits::grant(tx, grant, party.id, bundle.id, expires).await?;
        (Vec::new(), Source::Cache, Vec::new())
    };
    let secrets = Secrets {
        content_key,
        placements,
    };
    let access = Access {
        grant,
        secrets: secrets.wrap(bundle.id, grant, to, rng)?,
        source,
        give_back,
    };
    Ok((access, nonces))
}

/// The tickets that `slots` slots need (9.1), and their nonces.
fn tickets(
    trust: &Trust,
    stack: &Signed<StackDescriptor>,
    slots: u32,
) -> Result<(Vec<Signed<Ticket>>, Vec<Nonce>), TrustError> {
    let stack = stack
        .verify(&trust.store.signing.verifying_key())
        .map_err(|_| damaged("the stack descriptor"))?;
    let generations: Vec<_> = stack.generations.iter().map(|g| g.generation).collect();
    let validity = Duration::from_secs(trust.config.tickets.validity_seconds.into());
    // All tickets of a release have the same: to the minute, it is shared by others' too, and links nothing.
    let expires = trust.store.now().after(validity).minute_after();
    let tickets: Vec<Ticket> = classes(slots)
        .into_iter()
        .map(|queries| Ticket {
            nonce: Nonce::random(&mut random::system()),
            generations: generations.clone(),
            queries,
            expires,
        })
        .collect();
    let nonces = tickets.iter().map(|ticket| ticket.nonce).collect();
    let signed = tickets
        .iter()
        .map(|ticket| trust.store.signing.sign(ticket))
        .collect();
    Ok((signed, nonces))
}

/// A fragment from the upload cache, for the party that holds a permit (8.5).
pub(crate) async fn cached_fragment(
    trust: &Trust,
    party: &Party,
    id: BundleId,
    fragment: u32,
    grant: Nonce,
) -> Result<Bytes, TrustError> {
    let db = trust.store.db.read();
    let expires = permits::find(db, grant, party.id, id)
        .await?
        .ok_or_else(|| refuse::rejected("a fragment asked for without a permit"))?;
    if trust.store.now() > expires {
        return Err(refuse::expired("the permit is too old; ask for the release again").into());
    }
    let bundle = bundles::find(db, id)
        .await?
        .filter(|bundle| bundle.state == State::Placed)
        .ok_or_else(|| refuse::not_found("no such bundle, or it was erased"))?;
    if bundle.in_stack {
        return Err(refuse::gone().into());
    }
    if fragment >= bundle.fragments {
        return Err(
            refuse::not_found(format!("the bundle has {} fragments", bundle.fragments)).into(),
        );
    }
    match trust.cache.get(id, fragment).await {
        // Left the cache between the two looks.
        Err(BlobError::NotFound { .. }) => Err(refuse::gone().into()),
        other => Ok(other?),
    }
}
