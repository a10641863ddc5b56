//! A client of one other party.

use std::error::Error;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _, TryStreamExt as _};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use rustls::ClientConfig;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ErrorBody;
use super::failure::{ClientError, failure};
use crate::tls::TlsError;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(60);
/// Shorter than servers keep idle connections, so that the client gives up first.
const POOL_IDLE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a refusal that are read.
const REFUSAL_BYTES: usize = 64 << 10;
/// How long a refusal's body may take in all.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest pause that the other side is granted when it asks for one: what it says is its word alone, and may not
/// put anybody to sleep for good.
const LONGEST_RETRY_AFTER: Duration = Duration::from_secs(600);

/// A client of the party at one base address. Follows no redirects, uses no proxies; connecting may
/// take 5 s, and an answer may pause for 60 s.
///
/// Clones share connections. [`Client::fresh`] does not: use it where two requests on one
/// connection would show that they belong together, and after a renewal to leave connections of the
/// old certificate behind.
#[derive(Clone, Debug)]
pub struct Client {
    base: String,
    tls: Option<ClientConfig>,
    read_timeout: Duration,
    inner: reqwest::Client,
}

impl Client {
    /// A client of `base` (`https://host:port`, perhaps with a path) with a configuration of
    /// [`tls`](crate::tls).
    ///
    /// # Errors
    /// [`ClientError::Request`] if `base` is not an https address.
    pub fn new(base: &str, tls: ClientConfig) -> Result<Self, ClientError> {
        Self::build(base, Some(tls), READ_TIMEOUT)
    }

    /// A client of `base` (`http://host:port`) without TLS, for loopback.
    ///
    /// # Errors
    /// [`ClientError::Request`] if `base` is not an http address.
    pub fn plain(base: &str) -> Result<Self, ClientError> {
        Self::build(base, None, READ_TIMEOUT)
    }

    /// The same client with connections of its own.
    ///
    /// # Errors
    /// [`ClientError::Request`], which [`Client::new`] would have met already.
    pub fn fresh(&self) -> Result<Self, ClientError> {
        Self::build(&self.base, self.tls.clone(), self.read_timeout)
    }

    /// The same client, with connections of its own, that lets an answer pause for so long.
    ///
    /// # Errors
    /// [`ClientError::Request`], which [`Client::new`] would have met already.
    pub fn with_read_timeout(&self, read_timeout: Duration) -> Result<Self, ClientError> {
        Self::build(&self.base, self.tls.clone(), read_timeout)
    }

    fn build(
        base: &str,
        tls: Option<ClientConfig>,
        read_timeout: Duration,
    ) -> Result<Self, ClientError> {
        let scheme = if tls.is_some() { "https" } else { "http" };
        let url = reqwest::Url::parse(base).ok();
        if url.is_none_or(|url| url.scheme() != scheme || !url.has_host()) {
            return Err(ClientError::Request {
                reason: format!("`{base}` is not of the form {scheme}://HOST:PORT"),
            });
        }
        let impossible = |reason: String| ClientError::Request { reason };
        let config = match &tls {
            Some(config) => config.clone(),
            None => crate::tls::no_tls_config()
                .map_err(|error: TlsError| impossible(error.to_string()))?,
        };
        let inner = reqwest::Client::builder()
            .tls_backend_preconfigured(config)
            .https_only(tls.is_some())
            .http1_only()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .tcp_nodelay(true)
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(read_timeout)
            .pool_idle_timeout(POOL_IDLE_TIMEOUT)
            .build()
            .map_err(|error| impossible(error.to_string()))?;
        Ok(Self {
            base: base.trim_end_matches('/').to_owned(),
            tls,
            read_timeout,
            inner,
        })
    }

    /// The address it was made for.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Begins a request to `path` (`/v1/...`) below the base.
    pub fn request(&self, method: Method, path: &str) -> Request {
        Request {
            base: self.base.clone(),
            inner: self.inner.request(method, format!("{}{path}", self.base)),
            content_type: None,
        }
    }

    /// Begins a GET.
    pub fn get(&self, path: &str) -> Request {
        self.request(Method::GET, path)
    }

    /// Begins a POST.
    pub fn post(&self, path: &str) -> Request {
        self.request(Method::POST, path)
    }

    /// Begins a PUT.
    pub fn put(&self, path: &str) -> Request {
        self.request(Method::PUT, path)
    }

    /// Begins a DELETE.
    pub fn delete(&self, path: &str) -> Request {
        self.request(Method::DELETE, path)
    }
}

/// A request being put together.
#[derive(Debug)]
#[must_use]
pub struct Request {
    base: String,
    inner: reqwest::RequestBuilder,
    /// Added when sending, since adding a header twice would send both.
    content_type: Option<HeaderValue>,
}

impl Request {
    /// Adds a header.
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        if name == header::CONTENT_TYPE {
            self.content_type = Some(value);
        } else {
            self.inner = self.inner.header(name, value);
        }
        self
    }

    /// Adds parameters after the path's `?`.
    pub fn query(mut self, parameters: &(impl Serialize + ?Sized)) -> Self {
        self.inner = self.inner.query(parameters);
        self
    }

    /// Sends `value` as JSON.
    pub fn json(mut self, value: &(impl Serialize + ?Sized)) -> Self {
        self.content_type
            .get_or_insert(HeaderValue::from_static("application/json"));
        self.inner = self.inner.json(value);
        self
    }

    /// Sends these bytes, as `application/octet-stream` unless a header said otherwise.
    pub fn bytes(self, bytes: impl Into<Bytes>) -> Self {
        self.octets(reqwest::Body::from(bytes.into()))
    }

    /// Sends what `stream` yields, without knowing its length beforehand.
    pub fn stream<S, E>(self, stream: S) -> Self
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.octets(reqwest::Body::wrap_stream(stream))
    }

    fn octets(mut self, body: reqwest::Body) -> Self {
        self.content_type
            .get_or_insert(HeaderValue::from_static("application/octet-stream"));
        self.inner = self.inner.body(body);
        self
    }

    /// Limits the time from connecting to the answer's last byte.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.inner = self.inner.timeout(timeout);
        self
    }

    /// Sends it. Returns once the head of the answer is there and says success (2xx).
    ///
    /// # Errors
    /// [`ClientError`]; every other status is [`ClientError::Refused`].
    pub async fn send(self) -> Result<Response, ClientError> {
        let Self {
            base,
            mut inner,
            content_type,
        } = self;
        if let Some(kind) = content_type {
            // Replaces what the library has put there.
            inner = inner.headers(HeaderMap::from_iter([(header::CONTENT_TYPE, kind)]));
        }
        let answer = inner.send().await.map_err(|error| failure(&base, error))?;
        let response = Response {
            base,
            inner: answer,
        };
        response.if_success().await
    }

    /// Sends it and reads an answer in JSON of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Request::send`] and [`Response::json`].
    pub async fn send_json<T: DeserializeOwned>(self, limit: usize) -> Result<T, ClientError> {
        self.send().await?.json(limit).await
    }

    /// Sends it and reads an answer of at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Request::send`] and [`Response::bytes`].
    pub async fn send_bytes(self, limit: usize) -> Result<Bytes, ClientError> {
        self.send().await?.bytes(limit).await
    }
}

/// An answer that says success, with its body still to be read.
#[derive(Debug)]
pub struct Response {
    base: String,
    inner: reqwest::Response,
}

impl Response {
    /// An answer that came by another way than a connection of its own.
    pub(crate) fn assembled(base: &str, answer: http::Response<reqwest::Body>) -> Self {
        Self {
            base: base.to_owned(),
            inner: answer.into(),
        }
    }

    /// The answer, if it says success (2xx).
    pub(crate) async fn if_success(self) -> Result<Self, ClientError> {
        match self.status().is_success() {
            true => Ok(self),
            false => Err(self.into_refusal().await),
        }
    }

    /// The HTTP status.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// The headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// The body, at most `limit` bytes.
    ///
    /// # Errors
    /// [`ClientError::Malformed`] if it is longer, [`ClientError::Unreachable`] if it breaks off.
    pub async fn bytes(self, limit: usize) -> Result<Bytes, ClientError> {
        let too_long = |base: &str| ClientError::Malformed {
            base: base.to_owned(),
            reason: format!("it is longer than the {limit} bytes expected"),
        };
        let announced = self.inner.content_length().unwrap_or(0);
        let announced = usize::try_from(announced).unwrap_or(usize::MAX);
        if announced > limit {
            return Err(too_long(&self.base));
        }
        let Self { base, mut inner } = self;
        let mut bytes = BytesMut::with_capacity(announced);
        while let Some(chunk) = inner.chunk().await.map_err(|error| failure(&base, error))? {
            if chunk.len() > limit - bytes.len() {
                return Err(too_long(&base));
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.freeze())
    }

    /// The body as JSON, at most `limit` bytes.
    ///
    /// # Errors
    /// As [`Response::bytes`]; [`ClientError::Malformed`] also if it is other JSON or none.
    pub async fn json<T: DeserializeOwned>(self, limit: usize) -> Result<T, ClientError> {
        let base = self.base.clone();
        let bytes = self.bytes(limit).await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Malformed {
            base,
            reason: error.to_string(),
        })
    }

    /// The body as it comes. The caller counts.
    pub fn stream(self) -> impl Stream<Item = Result<Bytes, ClientError>> + Send + Unpin {
        let Self { base, inner } = self;
        inner
            .bytes_stream()
            .map_err(move |error| failure(&base, error))
            .boxed()
    }

    async fn into_refusal(self) -> ClientError {
        let status = self.status();
        let retry_after = self
            .headers()
            .get(header::RETRY_AFTER)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse::<u64>().ok())
            .map(|seconds| Duration::from_secs(seconds).min(LONGEST_RETRY_AFTER));
        // A body that trickles may not keep the caller either: the status says enough.
        let body = tokio::time::timeout(REFUSAL_TIMEOUT, self.bytes(REFUSAL_BYTES)).await;
        let body = body.ok().and_then(Result::ok).unwrap_or_default();
        let (code, message) = match serde_json::from_slice::<ErrorBody>(&body) {
            Ok(body) => (body.error.code, body.error.message),
            Err(_) => (
                "unknown".to_owned(),
                "the other side did not say why".to_owned(),
            ),
        };
        ClientError::Refused {
            status,
            code,
            message,
            retry_after,
        }
    }
}
