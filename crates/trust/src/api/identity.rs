//! Identities (docs/protocol.md 2.3, 2.5 to 2.7).

use std::sync::Arc;

use axum::extract::{FromRequest as _, Request, State};
use harpo_protocol::identity::{CertificateChain, EnrolResponse, TrustInfo};
use harpo_protocol::sign::Signed;
use harpo_service::http::{ApiError, Json, Peer, Raw};

use super::{Enrolled, Members, Message, parse};
use crate::enrolment;
use crate::error::refuse;
use crate::serve::Trust;

/// `POST /v1/enrol` (2.3): for those who have no certificate yet.
pub(super) async fn enrol(
    State(trust): State<Arc<Trust>>,
    peer: Peer,
    request: Request,
) -> Result<Json<EnrolResponse>, ApiError> {
    if peer.party().is_some() {
        return Err(refuse::rejected("a party that wants to enrol again"));
    }
    let attempt = trust.enrolments.take(peer.addr().ip(), trust.store.now());
    let attempt = attempt.map_err(|after| {
        refuse::busy("too many refused attempts to enrol; try again later", after)
    })?;
    let Raw(body) = Raw::from_request(request, &trust).await?;
    let response = enrolment::enrol(&trust, &body).await?;
    attempt.was_right();
    Ok(Json(response))
}

/// `POST /v1/renew` (2.5).
pub(super) async fn renew(
    State(trust): State<Arc<Trust>>,
    Message { party, body, .. }: Message<Members>,
) -> Result<Json<CertificateChain>, ApiError> {
    let request = parse(&body)?;
    Ok(Json(enrolment::renew(&trust, &party, &request).await?))
}

/// `POST /v1/passes` (2.6).
pub(super) async fn pass(
    State(trust): State<Arc<Trust>>,
    Message { body, .. }: Message,
) -> Result<Json<CertificateChain>, ApiError> {
    let request = parse(&body)?;
    Ok(Json(enrolment::pass(&trust, &request)?))
}

/// `GET /v1/info` (2.7).
pub(super) async fn info(
    State(trust): State<Arc<Trust>>,
    _: Enrolled,
) -> Result<Json<Signed<TrustInfo>>, ApiError> {
    let relay = trust.relay.info()?;
    Ok(Json(trust.store.signing.sign(&TrustInfo {
        sealing_key: trust.opening.sealing_key(),
        layout: trust.config.layout(),
        cloud_url: trust.config.cloud.url.clone(),
        issued: trust.store.now(),
        unmarked_modalities: trust.config.marks.unmarked_modalities.clone(),
        rounds: trust.config.retrieval.rule(),
        at_once_for: trust.config.retrieval.at_once_for.clone(),
        relay,
    })))
}
