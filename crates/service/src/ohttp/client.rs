//! The gateway's end (docs/protocol.md 9.8).

use std::io;

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use http::{HeaderValue, header};
use tokio::sync::oneshot;

use super::head::{RequestHead, ResponseHead};
use super::keys::PublicKey;
use super::stream::{HeadError, Outlet, Plain, Sealer, body, read_head};
use super::{REQUEST_TYPE, RESPONSE_TYPE, broken};
use crate::http::{Client, ClientError, Response};

/// Where encapsulated requests go at the relay.
const PATH: &str = "/v1/relay";

/// Asks the cloud through the relay. Every request is sealed anew, to the cloud.
#[derive(Clone, Debug)]
pub struct ObliviousClient {
    relay: Client,
    path: &'static str,
    key: PublicKey,
}

type Source = BoxStream<'static, io::Result<Bytes>>;

impl ObliviousClient {
    /// `relay` shows the relay who asks; `key` is the cloud's.
    #[must_use]
    pub fn new(relay: Client, key: PublicKey) -> Self {
        let path = PATH;
        Self { relay, path, key }
    }

    /// The same, with another path: a relay itself asks at `/v1/ohttp`.
    #[must_use]
    pub fn at(self, path: &'static str) -> Self {
        Self { path, ..self }
    }

    /// The relay's address.
    #[must_use]
    pub fn base(&self) -> &str {
        self.relay.base()
    }

    /// Sends a request whose body has exactly the length that its head says. Returns once the head of the cloud's answer
    /// was opened and says success (2xx).
    ///
    /// # Errors
    /// [`ClientError`]: as of a request without relay. What does not open, and a relay that says `unavailable` or
    /// `timeout`, is [`ClientError::Unreachable`]: the way to the cloud broke.
    pub async fn send<S>(&self, head: &RequestHead, content: S) -> Result<Response, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let (sealer, answered, mut opening) = self.prepare().map_err(impossible)?;
        let bytes = head.to_bytes().map_err(impossible)?;
        let sealed = sealer.seal(bytes, content, head.length);
        let outer = self
            .relay
            .post(self.path)
            .header(header::CONTENT_TYPE, HeaderValue::from_static(REQUEST_TYPE))
            .stream(sealed)
            .send()
            .await;
        let outer = match outer {
            Ok(outer) => outer,
            Err(error) if matches!(error.code(), Some("unavailable" | "timeout")) => {
                return Err(self.broke(error).await);
            }
            Err(error) => return Err(error),
        };
        if outer.headers().get(header::CONTENT_TYPE)
            != Some(&HeaderValue::from_static(RESPONSE_TYPE))
        {
            return Err(self
                .broke(broken("the relay's answer is no encapsulated response"))
                .await);
        }
        // Fails only if the reader is gone, which is below.
        let _ = answered.send(outer.stream().map_err(io::Error::other).boxed());
        match read_head(&mut opening, ResponseHead::read).await {
            Ok((head, first)) => {
                let content = body(opening, first, head.length);
                self.answer(head, content)?.if_success().await
            }
            Err(HeadError::Broken(error)) => Err(self.broke(error).await),
            Err(HeadError::Malformed(error)) => Err(ClientError::Malformed {
                base: self.base().to_owned(),
                reason: error.to_string(),
            }),
        }
    }

    /// What seals one request and opens its answer, whose bytes are still to be sent.
    fn prepare(&self) -> Result<(Sealer, oneshot::Sender<Source>, Plain), ohttp::Error> {
        let outlet = Outlet::default();
        let request = self.key.request()?.encapsulate_stream(outlet.clone())?;
        // The answer can only be opened by what sealed the request, which is about to go away with its body.
        let (answered, answer) = oneshot::channel::<Source>();
        let answer = stream::once(answer).map(|answer| {
            answer.unwrap_or_else(|_| stream::iter([Err(broken("there is no answer"))]).boxed())
        });
        let opening = request.response(answer.flatten().into_async_read())?;
        Ok((Sealer::new(request, outlet), answered, Box::pin(opening)))
    }

    fn answer<S>(&self, head: ResponseHead, content: S) -> Result<Response, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let mut answer = http::Response::new(reqwest::Body::wrap_stream(content));
        *answer.status_mut() = head.status;
        *answer.headers_mut() = head.fields;
        answer
            .headers_mut()
            .insert(header::CONTENT_LENGTH, HeaderValue::from(head.length));
        Ok(Response::assembled(self.base(), answer))
    }

    /// The connection counts as broken, for this reason.
    async fn broke(
        &self,
        reason: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> ClientError {
        let reason = broken(reason);
        let failing = stream::iter([Err::<Bytes, _>(reason)]);
        let answer = http::Response::new(reqwest::Body::wrap_stream(failing));
        match Response::assembled(self.base(), answer).bytes(0).await {
            Err(error) => error,
            Ok(_) => ClientError::Malformed {
                base: self.base().to_owned(),
                reason: "it broke off".to_owned(),
            },
        }
    }
}

fn impossible(error: impl std::fmt::Display) -> ClientError {
    ClientError::Request {
        reason: error.to_string(),
    }
}
