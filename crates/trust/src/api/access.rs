//! Search, release and what follows (docs/protocol.md 7.1, 8).

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use harpo_protocol::id::{BundleId, Nonce};
use harpo_protocol::release::{Notice, Release};
use harpo_protocol::search::{LocateResponse, SearchResponse};
use harpo_protocol::sign::Signed;
use harpo_protocol::stack::StackDescriptor;
use harpo_service::http::{ApiError, Json};
use serde::Deserialize;

use super::{Enrolled, Message, parse, segment};
use crate::error::{TrustError, refuse};
use crate::release;
use crate::serve::Trust;
use crate::store::{permits, stacks};

/// `GET /v1/stacks` (7.1).
pub(super) async fn stacks(
    State(trust): State<Arc<Trust>>,
    _: Enrolled,
) -> Result<Json<Vec<Signed<StackDescriptor>>>, ApiError> {
    Ok(Json(stacks::all(trust.store.db.read()).await?))
}

/// `POST /v1/search` (8.2).
pub(super) async fn search(
    State(trust): State<Arc<Trust>>,
    Message { party, body, .. }: Message,
) -> Result<Json<SearchResponse>, ApiError> {
    let request = parse(&body)?;
    Ok(Json(release::search(&trust, &party, &request).await?))
}

/// `POST /v1/locate` (8.3).
pub(super) async fn locate(
    State(trust): State<Arc<Trust>>,
    Message { party, body, .. }: Message,
) -> Result<Json<LocateResponse>, ApiError> {
    let request = parse(&body)?;
    Ok(Json(release::locate(&trust, &party, &request).await?))
}

/// `POST /v1/releases` (8.4).
pub(super) async fn release(
    State(trust): State<Arc<Trust>>,
    Message { party, body, .. }: Message,
) -> Result<Json<Release>, ApiError> {
    let request = parse(&body)?;
    Ok(Json(release::release(&trust, &party, &request).await?))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Granted {
    grant: Nonce,
}

/// `GET /v1/bundles/{bundle}/fragments/{i}?grant=…` (8.5).
pub(super) async fn fragment(
    State(trust): State<Arc<Trust>>,
    Enrolled { party, .. }: Enrolled,
    Path((bundle, index)): Path<(String, String)>,
    query: Result<Query<Granted>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let (bundle, index) = (segment::<BundleId>(&bundle)?, segment(&index)?);
    let Query(Granted { grant }) = query.map_err(|e| refuse::malformed(e.to_string()))?;
    let bytes = release::cached_fragment(&trust, &party, bundle, index, grant).await?;
    Ok(([(header::CONTENT_TYPE, "application/octet-stream")], bytes).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct After {
    #[serde(default)]
    after: u64,
}

/// `GET /v1/notices?after=n` (8.7).
pub(super) async fn notices(
    State(trust): State<Arc<Trust>>,
    Enrolled { party, .. }: Enrolled,
    query: Result<Query<After>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Vec<Notice>>, ApiError> {
    let Query(After { after }) = query.map_err(|e| refuse::malformed(e.to_string()))?;
    let notices = permits::notices(trust.store.db.read(), party.id, after).await;
    Ok(Json(notices.map_err(|e: TrustError| ApiError::from(e))?))
}
