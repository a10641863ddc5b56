//! Deposits (docs/protocol.md 4).

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use harpo_protocol::deposit::{DepositRequest, DepositStatus, Receipt};
use harpo_protocol::id::BundleId;
use harpo_protocol::sign::Signed;
use harpo_service::http::{ApiError, Json, Peer, Raw};

use super::{gateway, parse, segment};
use crate::deposit;
use crate::serve::Trust;

/// `POST /v1/deposits` (4.1).
pub(super) async fn begin(
    State(trust): State<Arc<Trust>>,
    peer: Peer,
    Raw(body): Raw,
) -> Result<Json<DepositStatus>, ApiError> {
    let party = gateway(&trust, &peer).await?;
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
    peer: Peer,
    Path((bundle, index)): Path<(String, String)>,
    Raw(body): Raw,
) -> Result<StatusCode, ApiError> {
    let party = gateway(&trust, &peer).await?;
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
    peer: Peer,
    Path(bundle): Path<String>,
) -> Result<Json<Signed<Receipt>>, ApiError> {
    let party = gateway(&trust, &peer).await?;
    let bundle = segment::<BundleId>(&bundle)?;
    match deposit::complete(&trust, &party, bundle).await {
        Ok(receipt) => Ok(Json(receipt)),
        Err(error) => {
            let error = deposit::note_refusal(&trust, &party, Some(bundle), error).await;
            Err(error.into())
        }
    }
}
