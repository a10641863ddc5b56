//! Bodies of requests: how large, how slow, and what happens to those that nobody reads.

use std::error::Error;
use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Limited};
use hyper::body::{Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

use super::ApiError;
use super::server::Limits;

/// Limits the bodies of all requests to `router`'s routes to `max` bytes, however a handler reads
/// them: a longer one that says its length is refused with 413 `too_large` before the handler runs,
/// others break off at the limit (which [`Raw`](super::Raw) and [`Json`](super::Json) refuse alike).
///
/// Replaces the 2 MiB that otherwise holds for extractors. Applied again further out, the smaller
/// limit holds.
pub fn limit_body<S: Clone + Send + Sync + 'static>(router: Router<S>, max: usize) -> Router<S> {
    router
        .layer(from_fn_with_state(max, limit))
        .layer(DefaultBodyLimit::disable())
}

async fn limit(State(max): State<usize>, request: Request, next: Next) -> Response {
    let too_long = usize::try_from(request.body().size_hint().lower())
        .map_or(true, |announced| announced > max);
    if too_long {
        return ApiError::too_large(Some(max)).into_response();
    }
    next.run(request.map(|body| Body::new(Limited::new(body, max))))
        .await
}

/// How much of a body that no handler wants is read all the same, and for how long. Closing a
/// connection under a peer that still sends makes its system discard the refusal unread.
const LINGER_BYTES: usize = 32 << 20;
const LINGER_TIME: Duration = Duration::from_secs(5);

/// How long a body may keep its reader waiting. Only time in which the reader waits for the peer counts: a handler that
/// is slow itself takes nothing from the peer's time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Without a byte.
    idle: Duration,
    /// All together, and …
    grace: Duration,
    /// … one more second for so many bytes that came.
    bytes_per_second: u32,
}

impl Patience {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            idle: limits.body_idle_timeout,
            grace: limits.body_grace,
            bytes_per_second: limits.body_bytes_per_second.max(1),
        }
    }

    /// How long the next bytes may take.
    fn left(&self, received: u64, waited: Duration) -> Duration {
        let earned = received.saturating_mul(1000) / u64::from(self.bytes_per_second);
        let total = self.grace.saturating_add(Duration::from_millis(earned));
        total.saturating_sub(waited).min(self.idle)
    }
}

/// A request's body that fails when it stalls or trickles, and that reads on for a while after a
/// handler refused it.
pub(super) struct RequestBody {
    inner: Option<Incoming>,
    patience: Patience,
    received: u64,
    waited: Duration,
    /// Since when the reader waits, and for how long it will.
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

/// The peer sent nothing for too long, or too little.
#[derive(Debug, thiserror::Error)]
#[error("the body came too slowly")]
struct TooSlow;

impl RequestBody {
    pub(super) fn new(inner: Incoming, patience: Patience) -> Self {
        Self {
            inner: Some(inner),
            patience,
            received: 0,
            waited: Duration::ZERO,
            waiting: None,
        }
    }
}

impl HttpBody for RequestBody {
    type Data = Bytes;
    type Error = Box<dyn Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let Some(inner) = &mut self.inner else {
            return Poll::Ready(None);
        };
        if let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) {
            if let Some((since, _)) = self.waiting.take() {
                self.waited += since.elapsed();
            }
            if let Some(Ok(frame)) = &frame {
                self.received += frame.data_ref().map_or(0, Bytes::len) as u64;
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        let left = self.patience.left(self.received, self.waited);
        let (_, timer) = self
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(left))));
        ready!(timer.as_mut().poll(cx));
        // Nothing to linger for.
        self.inner = None;
        Poll::Ready(Some(Err(Box::new(TooSlow))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner
            .as_ref()
            .map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(body) = self.inner.take().filter(|body| !body.is_end_stream()) else {
            return;
        };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(linger(body));
        }
    }
}

async fn linger(mut body: Incoming) {
    let deadline = Instant::now() + LINGER_TIME;
    let mut left = LINGER_BYTES;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout_at(deadline, body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len);
        match left.checked_sub(length) {
            Some(rest) => left = rest,
            None => return,
        }
    }
}

/// Whether `error` comes from a body that stalled or trickled.
pub(super) fn is_too_slow(error: &(dyn Error + 'static)) -> bool {
    crate::causes::causes(error).any(|error| error.is::<TooSlow>())
}
