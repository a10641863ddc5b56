//! An authority, a relay, gateways, and what stands in the cloud's place: it opens capsules as the cloud does, and notes
//! what it could know of who asks.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use harpo_protocol::id::PartyId;
use harpo_relay::Running;
use harpo_relay::config::RelayConfig;
use harpo_relay::enrol::Enrolment;
use harpo_service::clock::{Clock, Timestamp};
use harpo_service::http::{
    ApiError, Client, ClientError, Limits, Peer, Response as Answer, Server,
};
use harpo_service::ohttp::{
    self, KEYS_TYPE, ObliviousClient, PublicKey, RESPONSE_TYPE, RequestHead, ResponseHead,
    ServerKeys,
};
use harpo_service::random;
use harpo_service::shutdown::Shutdown;
use harpo_service::tls::{
    Authority, ClientAuth, Expect, Identity, Role, Subject, client_config, generate_key_and_csr,
    server_config,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use tokio_util::sync::CancellationToken;

const DAY: Duration = Duration::from_secs(86_400);
pub(crate) const PIECE: usize = 64 << 10;

/// What the far side saw of one request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) peer: SocketAddr,
    pub(crate) party: PartyId,
}

pub(crate) struct Far {
    keys: ServerKeys,
    pub(crate) seen: Mutex<Vec<Seen>>,
    /// Bytes that were taken of answers.
    pub(crate) given: AtomicU64,
    /// Requests wait here where they ask for it.
    pub(crate) gate: tokio::sync::Semaphore,
}

pub(crate) struct World {
    dir: tempfile::TempDir,
    clock: Clock,
    authority: Authority,
    pub(crate) far: Arc<Far>,
    pub(crate) far_stop: CancellationToken,
    pub(crate) config: RelayConfig,
}

impl World {
    /// An enrolled relay that does not run yet, and its cloud, which does.
    pub(crate) async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(Timestamp::from_secs(1_800_000_000));
        let authority = Authority::create(&dir.path().join("ca"), clock.now()).unwrap();
        let keys = ServerKeys::load_or_make(&dir.path().join("keys"), &mut random::system());
        let far = Arc::new(Far {
            keys: keys.unwrap(),
            seen: Mutex::default(),
            given: AtomicU64::new(0),
            gate: tokio::sync::Semaphore::new(0),
        });
        let mut world = Self {
            dir,
            clock,
            authority,
            far,
            far_stop: CancellationToken::new(),
            config: RelayConfig::new("", ""),
        };
        let loopback = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let identity = world.identity("cloud", Role::Cloud, 2);
        let server = Server::bind(loopback, Limits::default())
            .await
            .unwrap()
            .with_tls(server_config(&identity, ClientAuth::Required).unwrap())
            .with_clock(world.clock.clone());
        world.config = RelayConfig::new(
            world.dir.path().join("relay"),
            format!("https://{}", server.local_addr()),
        );
        world.config.listen.set_port(0);
        world.config.admin.listen.set_port(0);
        let router = Router::new()
            .route("/v1/ohttp", post(answer))
            .with_state(Arc::clone(&world.far));
        tokio::spawn(server.serve(router, world.far_stop.clone()));
        world.install(&world.config.identity_dir(), Role::Relay, 3);
        let enrolment = Enrolment {
            party: PartyId([3; 16]),
            trust_url: "https://127.0.0.1:9".into(),
            server_names: vec!["127.0.0.1".into()],
        };
        enrolment.store(&world.config.enrolment_file()).unwrap();
        world
    }

    pub(crate) async fn start(&self) -> Running {
        harpo_relay::serve(self.config.clone(), self.clock.clone(), Shutdown::new())
            .await
            .unwrap()
    }

    fn install(&self, dir: &Path, role: Role, party: u8) -> Identity {
        let csr = generate_key_and_csr(dir).unwrap();
        let subject = Subject {
            role,
            party: PartyId([party; 16]),
            server_names: vec!["127.0.0.1".into()],
        };
        let chain = self
            .authority
            .issue(&csr, &subject, DAY, self.clock.now())
            .unwrap();
        Identity::install(dir, &chain, self.authority.root(), self.clock.clone()).unwrap()
    }

    fn identity(&self, name: &str, role: Role, party: u8) -> Identity {
        self.install(&self.dir.path().join(name), role, party)
    }

    /// A client of the relay with this role and name.
    pub(crate) fn client(&self, relay: &Running, role: Role, party: u8) -> Client {
        self.client_of(
            &format!("https://{}", relay.address()),
            (role, party),
            Role::Relay,
        )
    }

    /// A client of the far side itself.
    pub(crate) fn direct(&self) -> Client {
        self.client_of(&self.config.cloud_url, (Role::Relay, 77), Role::Cloud)
    }

    fn client_of(&self, url: &str, (role, party): (Role, u8), whom: Role) -> Client {
        let identity = self.identity(&format!("{role}-{party}-{whom}"), role, party);
        Client::new(url, client_config(&identity, Expect::role(whom)).unwrap()).unwrap()
    }

    pub(crate) fn key(&self) -> PublicKey {
        PublicKey::from_list(&self.far.keys.public().unwrap()).unwrap()
    }

    /// The way of one gateway.
    pub(crate) fn gateway(&self, relay: &Running, party: u8) -> ObliviousClient {
        ObliviousClient::new(self.client(relay, Role::Gateway, party), self.key())
    }
}

/// Bytes that are the same on both sides.
pub(crate) fn noise(length: usize) -> impl Stream<Item = std::io::Result<Bytes>> + Send + 'static {
    let piece: Bytes = (0..PIECE).map(|at| (at * at / 7) as u8).collect();
    stream::unfold(length, move |left| {
        let piece = piece.clone();
        async move {
            let size = left.min(PIECE);
            (size > 0).then(|| (Ok(piece.slice(..size)), left - size))
        }
    })
}

/// Asks for an answer of so many bytes, with a body of so many.
pub(crate) async fn ask(
    way: &ObliviousClient,
    path: &str,
    up: usize,
) -> Result<Answer, ClientError> {
    let head = RequestHead {
        method: Method::POST,
        path: path.to_owned(),
        fields: HeaderMap::new(),
        length: up as u64,
    };
    way.send(&head, noise(up)).await
}

/// Answers `/give/BYTES` with that many bytes, after reading the request; `/wait` when the test lets it; `/busy` never.
async fn answer(
    State(far): State<Arc<Far>>,
    peer: Peer,
    request: Request,
) -> Result<Response, ApiError> {
    let party = peer.require(Role::Relay)?;
    let headers = request.headers().clone();
    if headers[header::CONTENT_TYPE] == KEYS_TYPE {
        // Not of the protocol: the same bytes without any relay or capsule, to compare speeds.
        let length: usize = headers[header::CONTENT_LOCATION]
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        return Ok(Body::from_stream(noise(length)).into_response());
    }
    let body = request.into_body().into_data_stream();
    let opened = ohttp::open(&far.keys, body).await;
    let opened = opened.map_err(|e| ApiError::forbidden("rejected", e.to_string()))?;
    let mut inner = opened.inner.unwrap();
    far.seen.lock().unwrap().push(Seen {
        path: inner.head.path.clone(),
        headers,
        peer: peer.addr(),
        party,
    });
    while let Some(piece) = inner.body.next().await {
        piece.map_err(|e| ApiError::bad_request("malformed", e.to_string()))?;
    }
    let path = inner.head.path;
    if path == "/wait" {
        far.gate.acquire().await.unwrap().forget();
    }
    let length = path
        .strip_prefix("/give/")
        .map_or(5, |length| length.parse().unwrap());
    let mut fields = HeaderMap::new();
    if path == "/busy" {
        fields.insert(header::RETRY_AFTER, HeaderValue::from_static("9"));
    }
    let head = ResponseHead {
        status: match path.as_str() {
            "/busy" => StatusCode::SERVICE_UNAVAILABLE,
            _ => StatusCode::OK,
        },
        fields,
        length: length as u64,
    };
    let counting = Arc::clone(&far);
    let body = noise(length).inspect(move |piece| {
        let bytes = piece.as_ref().map_or(0, Bytes::len) as u64;
        counting.given.fetch_add(bytes, Ordering::Relaxed);
    });
    let sealed = opened
        .sealer
        .seal(head.to_bytes().unwrap(), body, length as u64);
    let mut response = Response::new(Body::from_stream(sealed.boxed()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(RESPONSE_TYPE),
    );
    headers.insert("x-cloud", HeaderValue::from_static("a word to the gateway"));
    Ok(response)
}
