//! Deposits (docs/protocol.md 4).

use std::sync::Arc;

use axum::extract::{FromRequest as _, Path, Request, State};
use axum::http::StatusCode;
use harpo_protocol::deposit::{DepositRequest, DepositStatus, Receipt};
use harpo_protocol::id::BundleId;
use harpo_protocol::sign::Signed;
use harpo_service::http::{ApiError, Json};

use super::{Enrolled, Message, parse, segment};
use crate::deposit;
use crate::serve::Trust;

/// `POST /v1/deposits` (4.1).
pub(super) async fn begin(
    State(trust): State<Arc<Trust>>,
    Enrolled { party, .. }: Enrolled,
    request: Request,
) -> Result<Json<DepositStatus>, ApiError> {
    // Manifests may be large: so many of a hospital's in memory, and no more.
    let _place = trust.manifests.enter(party.id)?;
    let Message { party, body, .. }: Message = Message::from_request(request, &trust).await?;
    let outcome = match parse::<DepositRequest>(&body) {
        Ok(request) => deposit::begin(&trust, &party, &request).await,
        Err(refusal) => Err(refusal.into()),
    };
    match outcome {
        Ok(status) => Ok(Json(status)),
        Err(error) => Err(deposit::note_refusal(&trust, &party, None, error)
            .await
            .into()),
    }
}

/// `PUT /v1/deposits/{bundle}/fragments/{i}` (4.2).
pub(super) async fn fragment(
    State(trust): State<Arc<Trust>>,
    Path((bundle, index)): Path<(String, String)>,
    Message { party, body, .. }: Message,
) -> Result<StatusCode, ApiError> {
    let (bundle, index) = (segment::<BundleId>(&bundle)?, segment(&index)?);
    match deposit::put_fragment(&trust, &party, bundle, index, body).await {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(error) => {
            let error = deposit::note_refusal(&trust, &party, Some(bundle), error).await;
            Err(error.into())
        }
    }
}

/// `POST /v1/deposits/{bundle}/complete` (4.3).
pub(super) async fn complete(
    State(trust): State<Arc<Trust>>,
    Enrolled { party, .. }: Enrolled,
    Path(bundle): Path<String>,
) -> Result<Json<Signed<Receipt>>, ApiError> {
    let bundle = segment::<BundleId>(&bundle)?;
    match deposit::complete(&trust, &party, bundle).await {
        Ok(receipt) => Ok(Json(receipt)),
        Err(error) => {
            let error = deposit::note_refusal(&trust, &party, Some(bundle), error).await;
            Err(error.into())
        }
    }
}
