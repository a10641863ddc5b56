//! `POST /api/prefetch`: a worklist, or whoever knows what will be read, says so ahead (docs/protocol.md 9.7).

use axum::extract::{DefaultBodyLimit, State};
use axum::routing::post;
use axum::{Extension, Json, Router};
use harpo_protocol::access::Requester;
use harpo_protocol::time::Timestamp;
use http::StatusCode;
use serde::Deserialize;

use crate::archive::ArchiveError;
use crate::consult::Consult;
use crate::consult::ahead::Planned;
use crate::web::ApiError;

const BODY_BYTES: usize = 4096;
/// Longest identifier, PS3.5, value representation UI.
const UID_BYTES: usize = 64;
/// How far ahead, at most.
const MOST: std::time::Duration = std::time::Duration::from_secs(31 * 24 * 3600);

/// What will be needed, and when.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    study_instance_uid: String,
    /// RFC 3339.
    by: String,
}

/// The route, to be put behind authentication.
pub fn routes(consult: Consult) -> Router {
    Router::new()
        .route("/api/prefetch", post(ask))
        .layer(DefaultBodyLimit::max(BODY_BYTES))
        .with_state(consult)
}

async fn ask(
    State(consult): State<Consult>,
    Extension(who): Extension<Requester>,
    Json(wish): Json<Wish>,
) -> Result<(StatusCode, Json<Planned>), ApiError> {
    let uid = &wish.study_instance_uid;
    if uid.is_empty() || uid.len() > UID_BYTES {
        let why = "study_instance_uid has 1 to 64 characters";
        return Err(ApiError::bad_request(why));
    }
    let by: Timestamp = wish
        .by
        .parse()
        .map_err(|error| ApiError::bad_request(format!("by: {error}")))?;
    if by > consult.now().after(MOST) {
        return Err(ApiError::bad_request("by is more than 31 days ahead"));
    }
    let planned = consult.ahead(&who, uid, by).await;
    let planned = planned.map_err(ArchiveError::from)?;
    if planned.planned + planned.here == 0 {
        return Err(ArchiveError::NotFound.into());
    }
    Ok((StatusCode::ACCEPTED, Json(planned)))
}
