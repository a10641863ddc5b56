//! Connections to the cloud. Each shows a pass of its own (docs/protocol.md 2.6), so that the cloud
//! cannot tell which belong together.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use harpo_protocol::id::GenerationId;
use harpo_protocol::identity::Role;
use harpo_service::http::{Client, ClientError, Response};
use harpo_service::tls::{Expect, PassKey, Root, TlsError};
use http::HeaderValue;

use crate::trust_client::TrustClient;

/// How long the cloud may be silent: other retrievals may go first, over a large stack.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Trust gave no pass.
    #[error("trust gave no pass for the cloud")]
    Pass(#[source] ClientError),
    /// The pass is not usable.
    #[error("the pass for the cloud is not usable")]
    Tls(#[from] TlsError),
    /// The address is not one.
    #[error("the cloud's address is not usable")]
    Address(#[source] ClientError),
}

/// One anonymous connection.
#[derive(Debug)]
pub struct CloudClient {
    http: Client,
}

impl CloudClient {
    /// Asks trust for a pass and prepares a connection that shows it.
    pub async fn connect(
        trust: &TrustClient,
        cloud_url: &str,
        root: &Root,
        clock: &harpo_service::clock::Clock,
    ) -> Result<Self, ConnectError> {
        let key = PassKey::generate()?;
        let chain = trust
            .pass(key.certificate_request().to_owned())
            .await
            .map_err(ConnectError::Pass)?;
        let tls = key.client_config(&chain, root, clock, Expect::role(Role::Cloud))?;
        let http = Client::new(cloud_url, tls)
            .and_then(|client| client.with_read_timeout(PATIENCE))
            .map_err(ConnectError::Address)?;
        Ok(Self { http })
    }

    /// The rest of a hint, from byte `from` on (protocol 7.2).
    pub async fn hint(&self, generation: GenerationId, from: u64) -> Result<Response, ClientError> {
        let range = HeaderValue::try_from(format!("bytes={from}-")).map_err(|error| {
            ClientError::Request {
                reason: error.to_string(),
            }
        })?;
        self.http
            .get(&format!("/v1/generations/{generation}/hint"))
            .header(http::header::RANGE, range)
            .send()
            .await
    }

    /// A retrieval (protocol 9.2), or the rest of an interrupted one from answer `from` on (9.5): sends a body
    /// of `length` bytes. Returns with the head of the answer, when the cloud has accepted the ticket.
    pub async fn retrieve<S>(
        &self,
        body: S,
        length: u64,
        from: Option<u32>,
    ) -> Result<Response, ClientError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let request = self.http.post("/v1/retrievals");
        let request = match from {
            None => request,
            Some(from) => request.query(&[("from", from)]),
        };
        request
            .header(http::header::CONTENT_LENGTH, HeaderValue::from(length))
            .stream(body)
            .send()
            .await
    }

    /// A stream of the whole stack, or of what is missing of an interrupted one, from slot `from` on (protocol 9.6):
    /// sends the ticket. Returns with the head of the answer, when the cloud has accepted it.
    pub async fn stream(&self, head: Bytes, from: Option<u32>) -> Result<Response, ClientError> {
        let request = self.http.post("/v1/streams");
        let request = match from {
            None => request,
            Some(from) => request.query(&[("from", from)]),
        };
        request.bytes(head).send().await
    }

    /// The address.
    pub fn base(&self) -> &str {
        self.http.base()
    }

    /// A connection without TLS, for tests that cut it to the byte.
    #[cfg(test)]
    pub(crate) fn plain(cloud_url: &str) -> Self {
        Self {
            http: Client::plain(cloud_url)
                .and_then(|client| client.with_read_timeout(Duration::from_millis(700)))
                .unwrap(),
        }
    }
}
