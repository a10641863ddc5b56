//! Carrying: one request to the cloud and its answer back, as they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody as _};
use axum::extract::{Request, State};
use axum::response::Response;
use axum::routing::post;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use harpo_service::causes::in_one_line;
use harpo_service::http::{ApiError, Client, ClientError, Peer, bounded};
use harpo_service::metrics::Counter;
use harpo_service::ohttp::{REQUEST_TYPE, RESPONSE_TYPE};
use harpo_service::tls::Role;
use http::{HeaderValue, StatusCode, header};
use tokio::time::{Instant, timeout_at};

use crate::config::Limits;
use crate::figures::Carried;
use crate::places::Places;

/// When a gateway is told to come back.
const BUSY_FOR: Duration = Duration::from_secs(2);

/// What is shared by all requests.
#[derive(Debug)]
pub(crate) struct Forwarder {
    /// Shows the relay's certificate to the cloud; every request has a connection of its own.
    pub(crate) cloud: Client,
    pub(crate) places: Arc<Places>,
    pub(crate) limits: Limits,
    pub(crate) carried: Carried,
}

/// The one route.
pub(crate) fn router(forwarder: Arc<Forwarder>) -> Router {
    Router::new()
        .route("/v1/relay", post(relay))
        .fallback(unknown)
        .method_not_allowed_fallback(unknown)
        .with_state(forwarder)
}

async fn unknown() -> ApiError {
    ApiError::not_found("not_found", "there is no such interface")
}

/// Why a body was cut.
#[derive(Debug, thiserror::Error)]
enum Cut {
    #[error("it broke off")]
    Broke(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("it is larger than is carried")]
    TooLarge,
    #[error("it took longer than is allowed")]
    TooLong,
}

/// `POST /v1/relay` (docs/protocol.md 9.8).
async fn relay(
    State(forwarder): State<Arc<Forwarder>>,
    peer: Peer,
    request: Request,
) -> Result<Response, ApiError> {
    let gateway = peer.require(Role::Gateway)?;
    let limits = &forwarder.limits;
    if request.headers().get(header::CONTENT_TYPE) != Some(&HeaderValue::from_static(REQUEST_TYPE))
    {
        return Err(ApiError::bad_request(
            "malformed",
            format!("only {REQUEST_TYPE} is carried"),
        ));
    }
    let place = forwarder.places.take(gateway);
    let place = place.map_err(|why| ApiError::unavailable("busy", why, BUSY_FOR))?;
    let largest = limits.max_request_mib.saturating_mul(1 << 20);
    let too_large = || ApiError::too_large(usize::try_from(largest).ok());
    let body = request.into_body();
    if body.size_hint().lower() > largest {
        return Err(too_large());
    }
    let deadline = Instant::now() + Duration::from_secs(limits.total_seconds);
    let was_too_large = Arc::new(AtomicBool::new(false));
    let carried = &forwarder.carried;
    let body = bounded_body(body.into_data_stream(), largest, deadline, ());
    let body = counted(body, carried.received.clone(), carried.cut.clone());
    let noted = Arc::clone(&was_too_large);
    let body = body.inspect(move |piece| {
        if matches!(piece, Err(Cut::TooLarge)) {
            noted.store(true, Ordering::Relaxed);
        }
    });
    // A connection that nothing else comes over.
    let cloud = forwarder
        .cloud
        .fresh()
        .map_err(|error| ApiError::internal(&error))?;
    // Built anew: nothing of the gateway's request goes on but its body.
    let sent = cloud
        .post("/v1/ohttp")
        .header(header::CONTENT_TYPE, HeaderValue::from_static(REQUEST_TYPE))
        .stream(body)
        .send();
    let answer = match timeout_at(deadline, sent).await {
        Err(_) => {
            return Err(ApiError::new(
                StatusCode::REQUEST_TIMEOUT,
                "timeout",
                "the request took longer than is allowed",
            ));
        }
        Ok(Err(_)) if was_too_large.load(Ordering::Relaxed) => return Err(too_large()),
        Ok(Err(error)) => return Err(refusal(&error)),
        Ok(Ok(answer)) => answer,
    };
    if answer.headers().get(header::CONTENT_TYPE) != Some(&HeaderValue::from_static(RESPONSE_TYPE))
    {
        tracing::warn!("the cloud's answer is no encapsulated response");
        return Err(unavailable());
    }
    let largest = limits.max_answer_mib.saturating_mul(1 << 20);
    let body = bounded_body(answer.stream(), largest, deadline, place);
    let body = counted(body, carried.sent.clone(), carried.cut.clone());
    let mut answer = Response::new(Body::from_stream(body));
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(RESPONSE_TYPE),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// A body whose bytes are counted, and whether it broke off.
fn counted(
    body: impl Stream<Item = Result<Bytes, Cut>> + Send + 'static,
    bytes: Counter,
    cut: Counter,
) -> impl Stream<Item = Result<Bytes, Cut>> + Send + 'static {
    body.inspect(move |piece| match piece {
        Ok(piece) => bytes.increment(piece.len() as u64),
        Err(_) => cut.increment(1),
    })
}

/// A body that ends with an error where it is over `most` bytes, or at `deadline`. Holds `place` until it ends.
fn bounded_body<S, E, P>(
    body: S,
    most: u64,
    deadline: Instant,
    place: P,
) -> impl Stream<Item = Result<Bytes, Cut>> + Send + 'static
where
    S: Stream<Item = Result<Bytes, E>> + Send + Unpin + 'static,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
    P: Send + 'static,
{
    let state = (body, most, deadline, place);
    stream::try_unfold(
        state,
        async |(mut body, left, deadline, place)| match timeout_at(deadline, body.next()).await {
            Err(_) => Err(Cut::TooLong),
            Ok(None) => Ok(None),
            Ok(Some(Err(error))) => Err(Cut::Broke(error.into())),
            Ok(Some(Ok(piece))) => {
                let left = left.checked_sub(piece.len() as u64).ok_or(Cut::TooLarge)?;
                Ok(Some((piece, (body, left, deadline, place))))
            }
        },
    )
}

fn unavailable() -> ApiError {
    ApiError::unavailable(
        "unavailable",
        "the cloud cannot be reached, or broke off",
        BUSY_FOR,
    )
}

/// What the gateway hears of a request that the cloud did not answer.
fn refusal(error: &ClientError) -> ApiError {
    let ClientError::Refused {
        status,
        code,
        message,
        retry_after,
    } = error
    else {
        tracing::warn!(error = in_one_line(error), "the cloud did not answer");
        return unavailable();
    };
    // The cloud speaks of the capsule here, which it could not open. Only codes that are known go on.
    let code = [
        "rejected",
        "malformed",
        "timeout",
        "busy",
        "too_large",
        "expired",
    ]
    .into_iter()
    .find(|known| known == code);
    let Some(code) = code else {
        tracing::warn!(%status, "the cloud refuses what it should carry out");
        return unavailable();
    };
    let mut refusal = ApiError::new(*status, code, bounded(message));
    refusal.retry_after = *retry_after;
    refusal
}
