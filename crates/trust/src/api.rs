//! The interfaces of trust over HTTP (docs/protocol.md 1, 2, 4, 7, 8). Who asks is checked against the
//! database for every request, so that a revocation holds on open connections, too.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post, put};
use harpo_protocol::identity::Role;
use harpo_protocol::manifest::MAX_MANIFEST_BYTES;
use harpo_service::http::{ApiError, Peer, limit_body};
use serde::de::DeserializeOwned;

use crate::error::{TrustError, refuse};
use crate::serve::Trust;
use crate::store::parties::{self, Party};

mod access;
mod deposits;
mod identity;

/// Largest body of everything but deposits.
const MAX_MESSAGE_BYTES: usize = 256 << 10;
/// A manifest in base64, and the wrapped key.
const MAX_DEPOSIT_BYTES: usize = MAX_MANIFEST_BYTES / 3 * 4 + (64 << 10);

/// All routes.
pub(crate) fn router(trust: Arc<Trust>) -> Router {
    let fragment_bytes = trust.config.layout().fragment_bytes();
    let messages = Router::new()
        .route("/v1/enrol", post(identity::enrol))
        .route("/v1/renew", post(identity::renew))
        .route("/v1/passes", post(identity::pass))
        .route("/v1/info", get(identity::info))
        .route("/v1/deposits/{bundle}/complete", post(deposits::complete))
        .route("/v1/stacks", get(access::stacks))
        .route("/v1/search", post(access::search))
        .route("/v1/locate", post(access::locate))
        .route("/v1/releases", post(access::release))
        .route(
            "/v1/bundles/{bundle}/fragments/{fragment}",
            get(access::fragment),
        )
        .route("/v1/notices", get(access::notices));
    let deposits = Router::new().route("/v1/deposits", post(deposits::begin));
    let fragments = Router::new().route(
        "/v1/deposits/{bundle}/fragments/{fragment}",
        put(deposits::fragment),
    );
    limit_body(messages, MAX_MESSAGE_BYTES)
        .merge(limit_body(deposits, MAX_DEPOSIT_BYTES))
        .merge(limit_body(fragments, fragment_bytes))
        .with_state(trust)
}

/// The enrolled party behind a connection, if it has one of these roles and was not revoked.
async fn party(trust: &Trust, peer: &Peer, roles: &[Role]) -> Result<Party, TrustError> {
    let id = peer.party().ok_or_else(refuse::unidentified)?;
    let party = parties::find(trust.store.db.read(), id)
        .await?
        .ok_or_else(|| refuse::rejected(format!("{id} is not enrolled")))?;
    if party.revoked.is_some() {
        return Err(refuse::rejected(format!("{id} was revoked")).into());
    }
    if peer.role() != Some(party.role) || !roles.contains(&party.role) {
        return Err(refuse::rejected(format!("{id} is a {}", party.role)).into());
    }
    Ok(party)
}

async fn gateway(trust: &Trust, peer: &Peer) -> Result<Party, TrustError> {
    party(trust, peer, &[Role::Gateway]).await
}

/// A message of this protocol.
fn parse<T: DeserializeOwned>(body: &Bytes) -> Result<T, ApiError> {
    serde_json::from_slice(body).map_err(|error| refuse::malformed(error.to_string()))
}

/// A part of the path; what is none names nothing.
fn segment<T: std::str::FromStr>(text: &str) -> Result<T, ApiError> {
    text.parse()
        .map_err(|_| refuse::not_found("there is nothing at this address"))
}
