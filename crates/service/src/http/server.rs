//! The accept loop.

use std::any::Any;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;
use tower_http::catch_panic::CatchPanicLayer;

use super::body::{Patience, RequestBody};
use super::stall::StallGuard;
use super::strangers::Strangers;
use super::{ApiError, Peer};
use crate::clock::Clock;
use crate::tls::PartyCertificate;

/// What a [`Server`] puts up with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections at a time; further ones wait in the system's queue. 1024.
    pub max_connections: usize,
    /// Of these, such as showed no certificate although the server demands TLS; further ones are closed. A
    /// quarter of them, at least one, may come from one network address. 1024.
    pub max_anonymous: usize,
    /// For the TLS handshake. 10 s.
    pub handshake_timeout: Duration,
    /// For the head of a request, counted from the end of the one before: so also how long an idle
    /// connection is kept. 20 s.
    pub header_timeout: Duration,
    /// Without a byte of a body that a handler waits for. 30 s.
    pub body_idle_timeout: Duration,
    /// For waiting for a body all together, besides what [`Self::body_bytes_per_second`] grants. 60 s.
    pub body_grace: Duration,
    /// So many bytes of a body earn another second of waiting: bodies that come more slowly are cut in the end. 64
    /// KiB.
    pub body_bytes_per_second: u32,
    /// Without the peer taking a byte of the answer. 30 s.
    pub write_idle_timeout: Duration,
    /// Bytes of the head of a request. 32 KiB.
    pub max_header_bytes: usize,
    /// For requests in flight to finish when the server stops. 30 s.
    pub drain_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 1024,
            max_anonymous: 1024,
            handshake_timeout: Duration::from_secs(10),
            header_timeout: Duration::from_secs(20),
            body_idle_timeout: Duration::from_secs(30),
            body_grace: Duration::from_secs(60),
            body_bytes_per_second: 64 << 10,
            write_idle_timeout: Duration::from_secs(30),
            max_header_bytes: 32 << 10,
            drain_timeout: Duration::from_secs(30),
        }
    }
}

/// How a [`Server`] ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Connections that were cut because the drain took too long.
    pub cut: usize,
}

/// A listening socket that serves an axum [`Router`] over HTTP/1.1, with TLS
/// ([`Server::with_tls`]) or, for loopback, without.
///
/// Every request carries a [`Peer`]; a handler that panics answers 500; refusals in plain text (as
/// axum's own are) leave as JSON; a certificate that expires on an open connection ends it.
pub struct Server {
    listener: TcpListener,
    addr: SocketAddr,
    connection: Connection,
}

/// What a connection needs to know.
#[derive(Clone)]
struct Connection {
    limits: Limits,
    clock: Clock,
    tls: Option<TlsAcceptor>,
    strangers: Arc<Strangers>,
    stop: CancellationToken,
}

impl Server {
    /// Listens at `addr`; port 0 chooses a free one.
    ///
    /// # Errors
    /// If the address cannot be listened at; the message names it.
    pub async fn bind(addr: SocketAddr, limits: Limits) -> io::Result<Self> {
        let name = |error: io::Error| {
            io::Error::new(
                error.kind(),
                format!("cannot listen at {addr}: {error}; is something else using it?"),
            )
        };
        let listener = TcpListener::bind(addr).await.map_err(name)?;
        let addr = listener.local_addr()?;
        let connection = Connection {
            strangers: Strangers::new(limits.max_anonymous),
            limits,
            clock: Clock::system(),
            tls: None,
            stop: CancellationToken::new(),
        };
        Ok(Self {
            listener,
            addr,
            connection,
        })
    }

    /// Demands TLS, as [`tls::server_config`](crate::tls::server_config) says.
    #[must_use]
    pub fn with_tls(mut self, config: Arc<ServerConfig>) -> Self {
        self.connection.tls = Some(TlsAcceptor::from(config));
        self
    }

    /// Judges the certificates of open connections by this clock instead of the machine's.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.connection.clock = clock;
        self
    }

    /// Where it listens, with the port that was chosen.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// Serves `router` until `stop` is cancelled; then accepts nothing more, lets requests in flight
    /// finish within the drain timeout, and cuts the rest.
    pub async fn serve(mut self, router: Router, stop: CancellationToken) -> Drained {
        self.connection.stop = stop.clone();
        let router = router.layer(CatchPanicLayer::custom(panicked));
        let drain_timeout = self.connection.limits.drain_timeout;
        let mut connections = JoinSet::new();
        self.accept(router, &stop, &mut connections).await;

        let drained = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(drain_timeout, drained).await.is_ok() {
            return Drained { cut: 0 };
        }
        let cut = connections.len();
        tracing::warn!(cut, "connections cut: they did not finish in time");
        connections.shutdown().await;
        Drained { cut }
    }

    /// Returns when `stop` is cancelled; closes the listening socket.
    async fn accept(self, router: Router, stop: &CancellationToken, tasks: &mut JoinSet<()>) {
        let permits = Arc::new(Semaphore::new(self.connection.limits.max_connections));
        let next = async || {
            // Never closed, so this always yields a permit.
            let permit = Arc::clone(&permits).acquire_owned().await.ok();
            (self.listener.accept().await, permit)
        };
        loop {
            let (accepted, permit) = tokio::select! {
                biased;
                () = stop.cancelled() => return,
                Some(_) = tasks.join_next() => continue,
                accepted = next() => accepted,
            };
            match accepted {
                Ok((stream, addr)) => {
                    let connection = self.connection.clone();
                    let router = router.clone();
                    tasks.spawn(async move {
                        connection.run(stream, addr, router).await;
                        drop(permit);
                    });
                }
                Err(error) => {
                    // Out of file descriptors, most likely: wait for some to be given back.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Connection {
    async fn run(self, stream: TcpStream, addr: SocketAddr, router: Router) {
        // Answers are written whole: waiting to fill segments only delays them.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let stream = StallGuard::new(stream, self.limits.write_idle_timeout);
        let Some(acceptor) = self.tls.clone() else {
            self.http(stream, Peer::anonymous(addr), router).await;
            return;
        };
        let handshake = tokio::time::timeout(
            self.limits.handshake_timeout,
            acceptor.accept(stream).into_fallible(),
        );
        let outcome = tokio::select! {
            () = self.stop.cancelled() => return,
            outcome = handshake => outcome,
        };
        match outcome {
            Ok(Ok(stream)) => {
                let peer = match peer_of(stream.get_ref().1.peer_certificates(), addr) {
                    Ok(peer) => peer,
                    Err(error) => {
                        tracing::warn!(%error, "a certificate passed the handshake unread");
                        return;
                    }
                };
                let known = peer.certificate().is_some();
                let place = if known {
                    None
                } else {
                    self.strangers.admit(addr.ip())
                };
                if known || place.is_some() {
                    self.http(stream, peer, router).await;
                } else {
                    tracing::debug!(%addr, "closed: too many connections without a certificate");
                }
                drop(place);
            }
            Ok(Err((error, stream))) => {
                tracing::debug!(%error, "handshake refused");
                linger(stream).await;
            }
            Err(_) => tracing::debug!("handshake took too long"),
        }
    }

    async fn http<IO>(self, stream: IO, peer: Peer, router: Router)
    where
        IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (clock, patience) = (self.clock, Patience::new(&self.limits));
        let service = service_fn(move |request: http::Request<Incoming>| {
            let (router, peer, clock) = (router.clone(), peer.clone(), clock.clone());
            async move {
                let mut request = request.map(|body| Body::new(RequestBody::new(body, patience)));
                if let Some(expired) = refuse_expired(&peer, &clock) {
                    return Ok::<_, Infallible>(expired);
                }
                request.extensions_mut().insert(peer);
                let response = router.oneshot(request).await?;
                Ok(in_one_shape(response).await)
            }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.limits.header_timeout)
            .max_header_size(self.limits.max_header_bytes)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = std::pin::pin!(connection);
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            () = self.stop.cancelled() => {
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "connection ended early");
        }
    }
}

fn peer_of(
    chain: Option<&[rustls_pki_types::CertificateDer<'_>]>,
    addr: SocketAddr,
) -> Result<Peer, crate::tls::TlsError> {
    match chain.and_then(<[_]>::first) {
        Some(der) => Ok(Peer::verified(addr, PartyCertificate::from_der(der)?)),
        None => Ok(Peer::anonymous(addr)),
    }
}

/// The handshake checked the certificate once; connections may outlive it.
fn refuse_expired(peer: &Peer, clock: &Clock) -> Option<Response> {
    let expires = peer.certificate()?.expires;
    if clock.now() <= expires {
        return None;
    }
    let mut response = ApiError::forbidden(
        "expired",
        format!("the connection's certificate expired at {expires}; renew it and connect again"),
    )
    .into_response();
    response
        .headers_mut()
        .insert(header::CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}

/// After a refused handshake: hears the peer out for a moment. Closing at once, with bytes unread,
/// would make its system throw away the alert that says why.
async fn linger(mut stream: StallGuard) {
    const TIME: Duration = Duration::from_secs(1);
    const BYTES: u64 = 64 << 10;
    let heard_out = async {
        stream.shutdown().await?;
        tokio::io::copy(&mut stream.take(BYTES), &mut tokio::io::sink()).await
    };
    // The connection is lost either way.
    let _ = tokio::time::timeout(TIME, heard_out).await;
}

fn panicked(_: Box<dyn Any + Send + 'static>) -> Response {
    // The panic hook has reported what and where.
    ApiError::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal",
        "the request failed inside the service; its log says why",
    )
    .into_response()
}

/// Gives refusals in plain text, or without a body, the one shape that clients read.
async fn in_one_shape(response: Response) -> Response {
    const LONGEST: usize = 4 << 10;
    let status = response.status();
    let is_plain = response
        .headers()
        .get(header::CONTENT_TYPE)
        .is_none_or(|kind| kind.as_bytes().starts_with(b"text/plain"));
    if !(status.is_client_error() || status.is_server_error()) || !is_plain {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let text = axum::body::to_bytes(body, LONGEST)
        .await
        .unwrap_or_default();
    let mut message = String::from_utf8_lossy(&text).into_owned();
    if message.is_empty() {
        status
            .canonical_reason()
            .unwrap_or("refused")
            .clone_into(&mut message);
    }
    let shaped = ApiError::new(status, ApiError::code_of(status), message).into_response();
    let (shape, body) = shaped.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    parts.headers.extend(shape.headers);
    Response::from_parts(parts, body)
}
