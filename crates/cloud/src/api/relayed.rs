//! What comes through the relay (docs/protocol.md 9.8): opened, handed to the very interfaces that passes have, and
//! the answer sealed, all of it as it comes.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use futures_util::StreamExt as _;
use harpo_service::causes::in_one_line;
use harpo_service::http::{ApiError, Peer};
use harpo_service::ohttp::{
    self, Inner, KEYS_TYPE, REQUEST_TYPE, RESPONSE_TYPE, ResponseHead, Sealer,
};
use harpo_service::tls::Role;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::time::{Instant, timeout_at};
use tower::ServiceExt as _;

use super::{announced, hint, require, retrieve, stream, unknown};
use crate::Error;
use crate::cloud::Cloud;
use crate::sending::patience;

/// Marks a request that came through the relay. Only what was opened here has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Relayed {
    /// The relay's address.
    pub(super) relay: SocketAddr,
    /// Bytes of the body, as the request itself says.
    pub(super) length: u64,
}

/// What can be reached.
fn inside(cloud: Arc<Cloud>) -> Router {
    Router::new()
        .route("/v1/generations/{generation}/hint", get(hint::get))
        .route("/v1/retrievals", post(retrieve))
        .route("/v1/streams", post(stream))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(cloud)
}

/// `GET /v1/ohttp-keys` (9.8).
pub(super) async fn keys(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
) -> Result<Response, ApiError> {
    require(&peer, Role::Trust)?;
    let kind = HeaderValue::from_static(KEYS_TYPE);
    let list = cloud.keys.public().map_err(Error::from)?;
    Ok(([(header::CONTENT_TYPE, kind)], list).into_response())
}

/// `POST /v1/ohttp` (9.8).
pub(super) async fn open(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
    request: Request,
) -> Result<Response, ApiError> {
    require(&peer, Role::Relay)?;
    if request.headers().get(header::CONTENT_TYPE) != Some(&HeaderValue::from_static(REQUEST_TYPE))
    {
        return Err(Error::malformed("request", format!("its type is not {REQUEST_TYPE}")).into());
    }
    // As for a ticket, of which there is none before this is open; what follows has times of its own.
    let opening = {
        let _reading = cloud.gate.ticket()?;
        let deadline = Instant::now() + patience(&cloud.limits);
        timeout_at(
            deadline,
            ohttp::open(&cloud.keys, request.into_body().into_data_stream()),
        )
        .await
    };
    let opened = opening
        .map_err(|_| Error::Timeout("it came too slowly"))?
        .map_err(|error| {
            tracing::debug!(
                error = in_one_line(&error),
                "a request through the relay does not open"
            );
            Error::Rejected
        })?;
    let answer = match opened.inner {
        Ok(inner) => ask(&cloud, peer.addr(), inner).await,
        Err(error) => ApiError::from(Error::from(error)).into_response(),
    };
    Ok(seal(opened.sealer, answer)?)
}

/// Puts the request to the interface that it names.
async fn ask(cloud: &Arc<Cloud>, relay: SocketAddr, inner: Inner) -> Response {
    let Inner { head, body } = inner;
    let mut request = Request::new(Body::from_stream(body));
    let Ok(path) = head.path.parse() else {
        return ApiError::from(Error::malformed("request", "its path is none")).into_response();
    };
    *request.uri_mut() = path;
    *request.method_mut() = head.method;
    *request.headers_mut() = head.fields;
    request.extensions_mut().insert(Relayed {
        relay,
        length: head.length,
    });
    match inside(Arc::clone(cloud)).oneshot(request).await {
        Ok(answer) => answer,
        Err(never) => match never {},
    }
}

/// The answer, sealed as it comes.
fn seal(sealer: Sealer, answer: Response) -> Result<Response, Error> {
    let (parts, body) = answer.into_parts();
    let length = length(&parts.headers, &body)
        .ok_or_else(|| Error::malformed("answer", "it does not say its length"))?;
    let head = ResponseHead {
        status: parts.status,
        fields: parts.headers,
        length,
    };
    let sealed = sealer.seal(head.to_bytes()?, body.into_data_stream(), length);
    let mut outer = Response::new(Body::from_stream(sealed.boxed()));
    let headers = outer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(RESPONSE_TYPE),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    *outer.status_mut() = StatusCode::OK;
    // For whoever counts outcomes; they do not leave.
    *outer.extensions_mut() = parts.extensions;
    Ok(outer)
}

/// Every interface says how long its answer is.
fn length(headers: &HeaderMap, body: &Body) -> Option<u64> {
    announced(body).or_else(|| {
        let said = headers.get(header::CONTENT_LENGTH)?;
        said.to_str().ok()?.parse().ok()
    })
}
