//! Connections to the cloud. Each shows a pass of its own (docs/protocol.md 2.6), so that the cloud
//! cannot tell which belong together.

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
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

    /// A retrieval: sends the body and hands the answer to `keep` piece by piece; it must be exactly
    /// `expected` bytes (protocol 9.2). Nothing is handed over unless the cloud accepted the ticket.
    pub async fn retrieve(
        &self,
        body: Bytes,
        expected: u64,
        mut keep: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> Result<(), ClientError> {
        let response = self.http.post("/v1/retrievals").bytes(body).send().await?;
        let mut stream = response.stream();
        let mut received = 0;
        let mut kept = Ok(());
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            received += piece.len() as u64;
            if received > expected {
                return Err(self.wrong_length(expected));
            }
            // A disk that is full must not show: the answer is received to its end all the same.
            if kept.is_ok() {
                kept = keep(&piece);
            }
        }
        if received != expected {
            return Err(self.wrong_length(expected));
        }
        kept.map_err(|error| ClientError::Request {
            reason: format!("the answer could not be kept: {error}"),
        })
    }

    fn wrong_length(&self, expected: u64) -> ClientError {
        ClientError::Malformed {
            base: self.http.base().to_owned(),
            reason: format!("it is not the {expected} bytes that the stack's shape demands"),
        }
    }
}
