//! The interfaces of docs/protocol.md 6, 7.2, 9.2 and 9.6.

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{FromRequestParts, Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post, put};
use harpo_protocol::id::{GenerationId, PartyId};
use harpo_protocol::stack::{SealRequest, SlotProofRequest};
use harpo_service::http::{ApiError, Json, Peer};
use harpo_service::tls::Role;
use http::StatusCode;
use http::request::Parts;
use tokio::time::{Duration, Instant};

use self::relayed::Relayed;
use crate::Error;
use crate::body::BodyReader;
use crate::cloud::Cloud;
use crate::retrieval::{self, Asker, Head};
use crate::stream;

mod hint;
mod relayed;

/// Largest JSON body.
const JSON_BYTES: usize = 64 << 10;
/// For a JSON body to arrive.
const JSON_UPLOAD: Duration = Duration::from_secs(30);

/// All routes.
pub(crate) fn router(cloud: Arc<Cloud>) -> Router {
    Router::new()
        .route("/v1/generations/{generation}", get(status).delete(retire))
        .route("/v1/generations/{generation}/slots/{slot}", put(put_slot))
        .route("/v1/generations/{generation}/seal", post(seal))
        .route("/v1/generations/{generation}/proofs", post(prove))
        .route("/v1/generations/{generation}/hint", get(hint::get))
        .route("/v1/retrievals", post(retrieve))
        .route("/v1/streams", post(stream))
        .route("/v1/ohttp", post(relayed::open))
        .route("/v1/ohttp-keys", get(relayed::keys))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(cloud)
}

async fn unknown() -> ApiError {
    Error::NotFound("interface").into()
}

async fn put_slot(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
    Path((generation, slot)): Path<(String, String)>,
    request: Request,
) -> Result<StatusCode, ApiError> {
    require(&peer, Role::Trust)?;
    let body = request.into_body();
    cloud
        .put_slot(
            parse(&generation)?,
            parse_index(&slot)?,
            announced(&body),
            body,
        )
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn seal(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
    Path(generation): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    require(&peer, Role::Trust)?;
    let request: SealRequest = json(request, "seal request").await?;
    Ok(Json(cloud.seal(parse(&generation)?, &request).await?).into_response())
}

async fn prove(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
    Path(generation): Path<String>,
    request: Request,
) -> Result<Response, ApiError> {
    require(&peer, Role::Trust)?;
    let request: SlotProofRequest = json(request, "proof request").await?;
    Ok(Json(cloud.prove(parse(&generation)?, request).await?).into_response())
}

async fn status(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
    Path(generation): Path<String>,
) -> Result<Response, ApiError> {
    require(&peer, Role::Trust)?;
    Ok(Json(cloud.status(parse(&generation)?).await?).into_response())
}

async fn retire(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
    Path(generation): Path<String>,
) -> Result<StatusCode, ApiError> {
    require(&peer, Role::Trust)?;
    cloud.retire(parse(&generation)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn retrieve(
    State(cloud): State<Arc<Cloud>>,
    asker: Asker,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = asked(request)?;
    Ok(retrieval::retrieve(&cloud, asker, head, body).await?)
}

async fn stream(
    State(cloud): State<Arc<Cloud>>,
    asker: Asker,
    request: Request,
) -> Result<Response, ApiError> {
    let (head, body) = asked(request)?;
    Ok(stream::stream(&cloud, asker, head, body).await?)
}

/// What a retrieval or a stream says before its body.
fn asked(request: Request) -> Result<(Head, Body), Error> {
    let from = request.uri().query().map(parse_from).transpose()?;
    let inside = request
        .extensions()
        .get::<Relayed>()
        .map(|relayed| relayed.length);
    let body = request.into_body();
    let length = inside.or_else(|| announced(&body));
    Ok((Head { from, length }, body))
}

impl<S: Sync> FromRequestParts<S> for Asker {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        if let Some(relayed) = parts.extensions.get::<Relayed>() {
            return Ok(Self {
                pass: None,
                address: relayed.relay,
            });
        }
        let peer = Peer::from_request_parts(parts, state).await?;
        Ok(Self {
            pass: Some(require(&peer, Role::Pass)?),
            address: peer.addr(),
        })
    }
}

/// Reads a message.
async fn json<T: serde::de::DeserializeOwned>(
    request: Request,
    what: &'static str,
) -> Result<T, Error> {
    let mut body = BodyReader::new(request.into_body(), Instant::now() + JSON_UPLOAD);
    let body = body.whole(JSON_BYTES).await?;
    serde_json::from_slice(&body).map_err(|e| Error::malformed(what, e.to_string()))
}

/// Who asks, if its certificate is of this role. What was wrong with it is not told (1.7).
fn require(peer: &Peer, role: Role) -> Result<PartyId, Error> {
    peer.require(role).map_err(|_| Error::Rejected)
}

fn parse(generation: &str) -> Result<GenerationId, Error> {
    Ok(generation.parse()?)
}

fn parse_index(text: &str) -> Result<u32, Error> {
    number(text).ok_or_else(|| Error::malformed("slot", "its index is not a number"))
}

/// The one parameter of a retrieval or a stream (9.5, 9.6).
fn parse_from(parameters: &str) -> Result<u32, Error> {
    parameters
        .strip_prefix("from=")
        .and_then(number)
        .ok_or_else(|| Error::malformed("retrieval", "its only parameter is from=NUMBER"))
}

/// A number has one spelling.
fn number(text: &str) -> Option<u32> {
    text.parse().ok().filter(|n: &u32| n.to_string() == text)
}

/// Length of a body, if the request says it.
fn announced(body: &Body) -> Option<u64> {
    body.size_hint().exact()
}
