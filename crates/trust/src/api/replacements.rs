//! Rounds, and what comes back (docs/protocol.md 5.7, 9.7).

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use harpo_protocol::id::{BundleId, Nonce};
use harpo_service::http::ApiError;
use serde::Deserialize;

use super::{Enrolled, Message, parse, segment};
use crate::error::refuse;
use crate::serve::Trust;
use crate::{replacement, rounds};

/// Nothing to say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// `POST /v1/rounds` (9.7).
pub(super) async fn round(
    State(trust): State<Arc<Trust>>,
    Message { party, body, .. }: Message,
) -> Result<Response, ApiError> {
    let Nothing {} = parse(&body)?;
    let answer = rounds::round(&trust, &party).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Granted {
    grant: Nonce,
}

fn grant(query: Result<Query<Granted>, QueryRejection>) -> Result<Nonce, ApiError> {
    let Query(Granted { grant }) = query.map_err(|e| refuse::malformed(e.to_string()))?;
    Ok(grant)
}

/// `PUT /v1/replacements/{bundle}/fragments/{i}?grant=…` (5.7).
pub(super) async fn fragment(
    State(trust): State<Arc<Trust>>,
    Path((bundle, index)): Path<(String, String)>,
    query: Result<Query<Granted>, QueryRejection>,
    Message { party, body, .. }: Message,
) -> Result<StatusCode, ApiError> {
    let (bundle, index) = (segment::<BundleId>(&bundle)?, segment(&index)?);
    let grant = grant(query)?;
    replacement::put_fragment(&trust, &party, bundle, index, grant, body).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /v1/replacements/{bundle}?grant=…` (5.7).
pub(super) async fn complete(
    State(trust): State<Arc<Trust>>,
    Enrolled { party, .. }: Enrolled,
    Path(bundle): Path<String>,
    query: Result<Query<Granted>, QueryRejection>,
) -> Result<StatusCode, ApiError> {
    let bundle = segment::<BundleId>(&bundle)?;
    let grant = grant(query)?;
    replacement::complete(&trust, &party, bundle, grant).await?;
    Ok(StatusCode::NO_CONTENT)
}
