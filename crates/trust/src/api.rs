//! The interfaces of trust over HTTP (docs/protocol.md 1, 2, 4, 5.7, 7, 8, 9.7). Who asks is checked against the
//! database for every request, so that a revocation holds on open connections, too; and before the first byte of a
//! body is read ([`caller`]), so that strangers cannot fill the memory.

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::routing::{get, post, put};
use harpo_protocol::manifest::MAX_MANIFEST_BYTES;
use harpo_service::http::{ApiError, limit_body};
use serde::de::DeserializeOwned;

use crate::error::refuse;
use crate::serve::Trust;

mod access;
mod caller;
mod deposits;
mod identity;
mod replacements;

use caller::{Enrolled, Members, Message};

/// Largest body of a stranger: a certificate request, two public keys, server names.
const MAX_STRANGERS_BYTES: usize = 16 << 10;
/// Largest body of everything else but deposits.
const MAX_MESSAGE_BYTES: usize = 256 << 10;
/// A manifest in base64, and the wrapped key.
const MAX_DEPOSIT_BYTES: usize = MAX_MANIFEST_BYTES / 3 * 4 + (64 << 10);

/// All routes.
pub(crate) fn router(trust: Arc<Trust>) -> Router {
    let fragment_bytes = trust.config.layout().fragment_bytes();
    let strangers = Router::new().route("/v1/enrol", post(identity::enrol));
    let messages = Router::new()
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
        .route("/v1/notices", get(access::notices))
        .route("/v1/rounds", post(replacements::round))
        .route("/v1/replacements/{bundle}", post(replacements::complete));
    let deposits = Router::new().route("/v1/deposits", post(deposits::begin));
    let fragments = Router::new().route(
        "/v1/deposits/{bundle}/fragments/{fragment}",
        put(deposits::fragment),
    );
    let fragments = fragments.route(
        "/v1/replacements/{bundle}/fragments/{fragment}",
        put(replacements::fragment),
    );
    limit_body(messages, MAX_MESSAGE_BYTES)
        .merge(limit_body(strangers, MAX_STRANGERS_BYTES))
        .merge(limit_body(deposits, MAX_DEPOSIT_BYTES))
        .merge(limit_body(fragments, fragment_bytes))
        .with_state(trust)
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
