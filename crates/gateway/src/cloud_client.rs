//! Connections to the cloud. Each shows a pass of its own (docs/protocol.md 2.6), so that the cloud
//! cannot tell which belong together.

use futures_util::StreamExt as _;
use harpo_protocol::id::GenerationId;
use harpo_protocol::identity::Role;
use harpo_service::http::{Client, ClientError, Response};
use harpo_service::tls::{Expect, PassKey, Root, TlsError};
use http::HeaderValue;

use crate::trust_client::TrustClient;

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
        let http = Client::new(cloud_url, tls).map_err(ConnectError::Address)?;
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

    /// A retrieval: sends the body, and returns the whole answer of exactly `expected` bytes
    /// (protocol 9.2). It is read to its end before anything is decoded, so that what was decoded
    /// cannot show in how it is read (9.3).
    pub async fn retrieve(&self, body: Vec<u8>, expected: usize) -> Result<Vec<u8>, ClientError> {
        let response = self.http.post("/v1/retrievals").bytes(body).send().await?;
        let mut stream = response.stream();
        let mut answers = Vec::with_capacity(expected);
        while let Some(piece) = stream.next().await {
            let piece = piece?;
            if answers.len() + piece.len() > expected {
                return Err(self.wrong_length(expected));
            }
            answers.extend_from_slice(&piece);
        }
        match answers.len() == expected {
            true => Ok(answers),
            false => Err(self.wrong_length(expected)),
        }
    }

    fn wrong_length(&self, expected: usize) -> ClientError {
        ClientError::Malformed {
            base: self.http.base().to_owned(),
            reason: format!("it is not the {expected} bytes that the stack's shape demands"),
        }
    }
}
