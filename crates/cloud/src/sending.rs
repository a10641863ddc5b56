//! Handing bytes to a reader that may be slow, or go away. A task of its own does it and owns what that occupies: who
//! takes nothing cannot keep a place by leaving the connection open.

use std::future::Future;
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, stream};
use http::{HeaderValue, header};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use crate::Error;
use crate::config::Limits;

/// What is handed over at a time. Pieces that wait to be sent outlive the place, so they are small.
pub(crate) const PIECE_BYTES: usize = 64 << 10;

/// Why it did not come to the end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Ended {
    #[error("the reader is too slow")]
    TooSlow,
    #[error("the reader went away")]
    Gone,
    #[error(transparent)]
    Failed(#[from] Error),
}

/// Whoever takes the bytes.
#[derive(Debug)]
pub(crate) struct Reader {
    pieces: mpsc::Sender<Bytes>,
    limits: Limits,
    sent: u64,
    /// Only waiting for the reader counts, not for what is to be sent.
    waited: Duration,
}

impl Reader {
    /// Bytes handed over, or about to be.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// Waits until the reader takes a piece of `length` bytes, which must follow.
    ///
    /// # Errors
    /// [`Ended::TooSlow`], by the measure of docs/protocol.md 9.2, or [`Ended::Gone`].
    pub(crate) async fn room(&mut self, length: usize) -> Result<mpsc::Permit<'_, Bytes>, Ended> {
        let allowed = patience(&self.limits) + at_slowest(&self.limits, self.sent);
        let began = Instant::now();
        let room = timeout(allowed.saturating_sub(self.waited), self.pieces.reserve())
            .await
            .map_err(|_| Ended::TooSlow)?
            .map_err(|_| Ended::Gone)?;
        self.waited += began.elapsed();
        self.sent += length as u64;
        Ok(room)
    }
}

/// The `bytes` bytes that `send` hands over. Ends with an error if they do not come whole.
pub(crate) fn stream<F>(
    bytes: u64,
    limits: Limits,
    send: impl FnOnce(Reader) -> F,
) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static
where
    F: Future<Output = Result<(), Ended>> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(1);
    let reader = Reader {
        pieces: sender.clone(),
        limits,
        sent: 0,
        waited: Duration::ZERO,
    };
    tokio::spawn(run(sender, send(reader)));
    stream::try_unfold((receiver, bytes), async |(mut receiver, left)| {
        match receiver.recv().await {
            Some(piece) => {
                let left = left.saturating_sub(Bytes::len(&piece) as u64);
                Ok(Some((piece, (receiver, left))))
            }
            None if left == 0 => Ok(None),
            // Why is in the log.
            None => Err(Error::TaskLost),
        }
    })
}

async fn run(pieces: mpsc::Sender<Bytes>, sending: impl Future<Output = Result<(), Ended>>) {
    let ended = tokio::select! {
        () = pieces.closed() => Err(Ended::Gone),
        ended = sending => ended,
    };
    match ended {
        Ok(()) => {}
        Err(Ended::Failed(error)) => {
            let error = harpo_service::causes::in_one_line(&error);
            tracing::error!(error, "what was asked for could not be sent to its end");
        }
        Err(why) => tracing::debug!(%why, "what was asked for was not taken to its end"),
    }
}

/// An answer of `length` bytes that nobody on the way may keep.
pub(crate) fn response(body: Body, length: u64) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// How far a peer may fall behind the slowest rate.
pub(crate) fn patience(limits: &Limits) -> Duration {
    Duration::from_secs(limits.retrieval_patience_seconds)
}

/// What `bytes` take at the slowest rate.
pub(crate) fn at_slowest(limits: &Limits, bytes: u64) -> Duration {
    let rate = u64::from(limits.retrieval_min_kib_per_second.max(1)) << 10;
    Duration::from_millis(bytes.saturating_mul(1000) / rate)
}
