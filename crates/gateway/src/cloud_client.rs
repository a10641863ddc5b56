//! Connections to the cloud. Each shows a pass of its own (docs/protocol.md 2.6), so that the cloud
//! cannot tell which belong together; or, where there is a relay, requests that pass through it and show the cloud
//! nobody (9.8).

use std::io;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use harpo_protocol::Malformed;
use harpo_protocol::id::GenerationId;
use harpo_protocol::identity::{RelayInfo, Role, TrustInfo};
use harpo_service::clock::Clock;
use harpo_service::http::{Client, ClientError, Response};
use harpo_service::ohttp::{ObliviousClient, PublicKey, RequestHead};
use harpo_service::tls::{Expect, Identity, PassKey, TlsError, client_config};
use http::{HeaderMap, HeaderValue, Method, header};

use crate::trust_client::TrustClient;

/// How long the cloud may be silent: other retrievals may go first, over a large stack.
const PATIENCE: Duration = Duration::from_secs(600);

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Trust gave no pass.
    #[error("trust gave no pass for the cloud")]
    Pass(#[source] ClientError),
    /// The pass, or the certificate for the relay, is not usable.
    #[error("the certificate for the way to the cloud is not usable")]
    Tls(#[from] TlsError),
    /// The key for what passes through the relay is not one.
    #[error("the cloud's key for the relay, as trust tells it, is not usable")]
    Key(#[source] Malformed),
    /// The address is not one.
    #[error("the address of the cloud, or of the relay, is not usable")]
    Address(#[source] ClientError),
}

/// One anonymous connection, or a way that needs none.
#[derive(Debug)]
pub struct CloudClient(Way);

#[derive(Debug)]
enum Way {
    /// With a pass.
    Direct(Box<Client>),
    /// Each request by itself.
    Relayed(Box<ObliviousClient>),
}

impl CloudClient {
    /// Asks trust for a pass and prepares a connection that shows it; where there is a relay, prepares to ask through
    /// it, as this gateway and without a pass.
    pub async fn connect(
        trust: &TrustClient,
        info: &TrustInfo,
        identity: &Identity,
        clock: &Clock,
    ) -> Result<Self, ConnectError> {
        if let Some(relay) = &info.relay {
            return Self::relayed(relay, identity);
        }
        let key = PassKey::generate()?;
        let chain = trust
            .pass(key.certificate_request().to_owned())
            .await
            .map_err(ConnectError::Pass)?;
        let tls = key.client_config(&chain, identity.root(), clock, Expect::role(Role::Cloud))?;
        let http = Client::new(&info.cloud_url, tls)
            .and_then(|client| client.with_read_timeout(PATIENCE))
            .map_err(ConnectError::Address)?;
        Ok(Self(Way::Direct(Box::new(http))))
    }

    fn relayed(relay: &RelayInfo, identity: &Identity) -> Result<Self, ConnectError> {
        let key = PublicKey::from_base64(&relay.keys).map_err(ConnectError::Key)?;
        let tls = client_config(identity, Expect::role(Role::Relay))?;
        let http = Client::new(&relay.url, tls)
            .and_then(|client| client.with_read_timeout(PATIENCE))
            .map_err(ConnectError::Address)?;
        Ok(Self(Way::Relayed(Box::new(ObliviousClient::new(
            http, key,
        )))))
    }

    /// The rest of a hint, from byte `from` on (protocol 7.2).
    pub async fn hint(&self, generation: GenerationId, from: u64) -> Result<Response, ClientError> {
        let range = HeaderValue::try_from(format!("bytes={from}-")).map_err(|error| {
            ClientError::Request {
                reason: error.to_string(),
            }
        })?;
        let path = format!("/v1/generations/{generation}/hint");
        match &self.0 {
            Way::Direct(http) => http.get(&path).header(header::RANGE, range).send().await,
            Way::Relayed(way) => {
                let head = RequestHead {
                    method: Method::GET,
                    path,
                    fields: HeaderMap::from_iter([(header::RANGE, range)]),
                    length: 0,
                };
                way.send(&head, stream::empty()).await
            }
        }
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
        let path = with_from("/v1/retrievals", from);
        match &self.0 {
            Way::Direct(http) => {
                let length = HeaderValue::from(length);
                let request = http.post(&path).header(header::CONTENT_LENGTH, length);
                request.stream(body).send().await
            }
            Way::Relayed(way) => way.send(&posted(path, length), body).await,
        }
    }

    /// A stream of the whole stack, or of what is missing of an interrupted one, from slot `from` on (protocol 9.6):
    /// sends the ticket. Returns with the head of the answer, when the cloud has accepted it.
    pub async fn stream(&self, head: Bytes, from: Option<u32>) -> Result<Response, ClientError> {
        let path = with_from("/v1/streams", from);
        match &self.0 {
            Way::Direct(http) => http.post(&path).bytes(head).send().await,
            Way::Relayed(way) => {
                let request = posted(path, head.len() as u64);
                way.send(&request, stream::iter([Ok(head)])).await
            }
        }
    }

    /// The address: of the cloud, or of the relay.
    pub fn base(&self) -> &str {
        match &self.0 {
            Way::Direct(http) => http.base(),
            Way::Relayed(way) => way.base(),
        }
    }

    /// A connection without TLS, for tests that cut it to the byte.
    #[cfg(test)]
    pub(crate) fn plain(cloud_url: &str) -> Self {
        let http = Client::plain(cloud_url)
            .and_then(|client| client.with_read_timeout(Duration::from_millis(700)))
            .unwrap();
        Self(Way::Direct(Box::new(http)))
    }
}

/// With the one parameter of resuming (9.5, 9.6).
fn with_from(path: &str, from: Option<u32>) -> String {
    match from {
        None => path.to_owned(),
        Some(from) => format!("{path}?from={from}"),
    }
}

fn posted(path: String, length: u64) -> RequestHead {
    RequestHead {
        method: Method::POST,
        path,
        fields: HeaderMap::new(),
        length,
    }
}
