use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{StatusCode, header};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::Clock;
use crate::tls::tests::{DAY, Pki};
use crate::tls::{
    ClientAuth, Expect, Identity, Role, anonymous_client_config, client_config, server_config,
};

mod limits;

const LOOPBACK: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

/// A server in the background, stopped when dropped.
struct Running {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<Drained>,
}

impl Running {
    async fn start(limits: Limits, router: Router) -> Self {
        Self::with(limits, router, |server| server).await
    }

    async fn tls(identity: &Identity, auth: ClientAuth) -> Self {
        let config = server_config(identity, auth).unwrap();
        let clock = identity.clock().clone();
        Self::with(Limits::default(), routes(), |server| {
            server.with_tls(config).with_clock(clock)
        })
        .await
    }

    async fn with(limits: Limits, router: Router, adapt: impl FnOnce(Server) -> Server) -> Self {
        let server = adapt(Server::bind(LOOPBACK, limits).await.unwrap());
        let (addr, stop) = (server.local_addr(), CancellationToken::new());
        let task = tokio::spawn(server.serve(router, stop.clone()));
        Self { addr, stop, task }
    }

    fn https(&self) -> String {
        format!("https://{}", self.addr)
    }

    fn client(&self) -> Client {
        Client::plain(&format!("http://{}", self.addr)).unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Greeting {
    words: String,
}

fn routes() -> Router {
    let limited = Router::new()
        .route(
            "/raw",
            post(async |Raw(bytes): Raw| bytes.len().to_string()),
        )
        .route("/json", post(async |Json(hi): Json<Greeting>| Json(hi)));
    Router::new()
        .route(
            "/who",
            get(async |peer: Peer| match peer.certificate() {
                Some(shown) => format!("{} {}", shown.role, shown.party),
                None => "anonymous".to_owned(),
            }),
        )
        .route(
            "/for-gateways",
            get(async |peer: Peer| {
                let party = peer.require(Role::Gateway)?;
                Ok::<_, ApiError>(party.to_string())
            }),
        )
        .route("/panic", get(panics))
        .route(
            "/later",
            get(async || {
                let after = Duration::from_millis(1500);
                Err::<(), _>(ApiError::unavailable("not_yet", "come back", after))
            }),
        )
        .route(
            "/much-later",
            get(async || {
                let after = Duration::from_secs(u64::MAX);
                Err::<(), _>(ApiError::unavailable("not_yet", "never", after))
            }),
        )
        .route("/echo", post(async |body: Body| body))
        .merge(limit_body(limited, 1 << 20))
}

async fn panics() -> StatusCode {
    panic!("on purpose")
}

fn text(bytes: Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

async fn who(server: &Running, tls: rustls::ClientConfig) -> Result<String, ClientError> {
    let client = Client::new(&server.https(), tls)?;
    client.get("/who").send_bytes(1000).await.map(text)
}

#[tokio::test]
async fn a_party_is_known_by_its_certificate() {
    let pki = Pki::new();
    let trust = pki.party(Role::Trust, 1);
    let gateway = pki.party(Role::Gateway, 2);
    let server = Running::tls(&trust, ClientAuth::Required).await;
    let config = client_config(&gateway, Expect::role(Role::Trust)).unwrap();
    let answer = who(&server, config.clone()).await.unwrap();
    assert_eq!(answer, format!("gateway {}", "02".repeat(16)));

    let client = Client::new(&server.https(), config).unwrap();
    let party = client.get("/for-gateways").send_bytes(100).await.unwrap();
    assert_eq!(text(party), "02".repeat(16));
    let cloud = pki.party(Role::Cloud, 3);
    let config = client_config(&cloud, Expect::role(Role::Trust)).unwrap();
    let client = Client::new(&server.https(), config).unwrap();
    let refused = client.get("/for-gateways").send().await.unwrap_err();
    assert_eq!(refused.code(), Some("rejected"));
    assert!(refused.to_string().contains("for a gateway"), "{refused}");
}

#[tokio::test]
async fn without_a_certificate_one_is_refused_or_anonymous() {
    let pki = Pki::new();
    let trust = pki.party(Role::Trust, 1);
    let root = pki.authority.root();
    let anonymous =
        || anonymous_client_config(root, &pki.clock, Expect::role(Role::Trust)).unwrap();
    let strict = Running::tls(&trust, ClientAuth::Required).await;
    // Many times: the refusal must not get lost when the client is quick to write.
    for _ in 0..20 {
        let refused = who(&strict, anonymous()).await.unwrap_err();
        assert!(matches!(refused, ClientError::Tls { .. }), "{refused:?}");
        assert!(refused.to_string().contains("enrol first"), "{refused}");
        assert!(!refused.is_transient());
    }
    let lenient = Running::tls(&trust, ClientAuth::Optional).await;
    assert_eq!(who(&lenient, anonymous()).await.unwrap(), "anonymous");
    let client = Client::new(&lenient.https(), anonymous()).unwrap();
    let refused = client.get("/for-gateways").send().await.unwrap_err();
    assert_eq!(refused.code(), Some("rejected"));
}

#[tokio::test]
async fn certificates_are_refused_before_and_after_their_time() {
    let pki = Pki::new();
    let trust = pki.party(Role::Trust, 1);
    let server = Running::tls(&trust, ClientAuth::Optional).await;
    // The clients' own clocks agree with the server's; only their certificates do not.
    let now = pki.clock.now();
    for moment in [now - DAY - Duration::from_secs(60), now + DAY] {
        // An authority of an earlier time: the present one could not have issued the older.
        let authority_dir = pki.dir.path().join(format!("root-{moment}"));
        let earlier = crate::tls::Authority::create(&authority_dir, now - DAY * 30).unwrap();
        let other = Pki {
            dir: tempfile::tempdir().unwrap(),
            clock: pki.clock.clone(),
            authority: earlier,
        };
        let server_identity = other.party(Role::Trust, 1);
        let server = Running::tls(&server_identity, ClientAuth::Optional).await;
        let gateway = other.party_from(Role::Gateway, 2, moment, pki.clock.clone());
        let config = client_config(&gateway, Expect::role(Role::Trust)).unwrap();
        let refused = who(&server, config).await.unwrap_err();
        assert!(matches!(refused, ClientError::Tls { .. }), "{refused:?}");
        assert!(
            refused.to_string().contains("expired or not yet"),
            "{refused}"
        );
    }
    let good = client_config(&pki.party(Role::Gateway, 2), Expect::role(Role::Trust)).unwrap();
    who(&server, good).await.unwrap();
}

#[tokio::test]
async fn a_server_whose_certificate_expired_is_refused_by_the_client() {
    let pki = Pki::new();
    let server = Running::tls(&pki.party(Role::Trust, 1), ClientAuth::Optional).await;
    let later = Clock::manual(pki.clock.now() + DAY * 2);
    let config = anonymous_client_config(pki.authority.root(), &later, Expect::role(Role::Trust));
    let refused = who(&server, config.unwrap()).await.unwrap_err();
    assert!(matches!(refused, ClientError::Tls { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("its certificate is expired"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_certificate_that_expires_on_an_open_connection_ends_it() {
    let pki = Pki::new();
    let server = Running::tls(&pki.party(Role::Trust, 1), ClientAuth::Required).await;
    let gateway = pki.party(Role::Gateway, 2);
    let config = client_config(&gateway, Expect::role(Role::Trust)).unwrap();
    let client = Client::new(&server.https(), config).unwrap();
    client.get("/who").send_bytes(1000).await.unwrap();
    pki.clock.advance(DAY + Duration::from_secs(60));
    let refused = client.get("/who").send().await.unwrap_err();
    assert_eq!(refused.code(), Some("expired"));
}

#[tokio::test]
async fn another_authoritys_parties_are_refused_on_both_sides() {
    let (pki, stranger) = (Pki::new(), Pki::new());
    let server = Running::tls(&pki.party(Role::Trust, 1), ClientAuth::Optional).await;
    // Its certificate is another authority's; the root it trusts is the server's.
    let intruder = stranger.party(Role::Gateway, 2);
    let config = client_config(&intruder, Expect::role(Role::Trust)).unwrap();
    let refused = who(&server, config).await.unwrap_err();
    assert!(
        refused.to_string().contains("not issued by the authority"),
        "{refused}"
    );

    let mut config =
        anonymous_client_config(pki.authority.root(), &pki.clock, Expect::role(Role::Trust))
            .unwrap();
    config.client_auth_cert_resolver = Arc::new(intruder);
    let refused = who(&server, config).await.unwrap_err();
    assert!(matches!(refused, ClientError::Tls { .. }), "{refused:?}");
    assert!(
        refused.to_string().contains("it refused this party"),
        "{refused}"
    );
}

#[tokio::test]
async fn a_gateway_that_poses_as_trust_is_refused() {
    let pki = Pki::new();
    let gateway = pki.party(Role::Gateway, 2);
    let server = Running::tls(&gateway, ClientAuth::Optional).await;
    let config = client_config(&gateway, Expect::role(Role::Trust)).unwrap();
    let refused = who(&server, config).await.unwrap_err();
    assert!(
        refused.to_string().contains("for gateway, not for trust"),
        "{refused}"
    );
}

/// docs/protocol.md 13 lists every code.
#[test]
fn every_status_has_a_code_of_the_protocol() {
    let protocol = include_str!("../../../../docs/protocol.md");
    let (_, section) = protocol.split_once("## 13. Error codes").unwrap();
    let codes: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once('`'))
        .map(|(code, _)| code)
        .collect();
    assert!(codes.contains(&"malformed"), "{codes:?}");
    for status in (400..600).filter_map(|code| StatusCode::from_u16(code).ok()) {
        let code = ApiError::code_of(status);
        assert!(codes.contains(&code), "{status}: {code}");
    }
}

#[tokio::test]
async fn refusals_have_one_shape_and_the_client_reads_it() {
    let server = Running::start(Limits::default(), routes()).await;
    let client = server.client();
    let missing = client.get("/no/such").send().await.unwrap_err();
    assert_eq!(missing.code(), Some("not_found"));
    let method = client.post("/who").send().await.unwrap_err();
    assert_eq!(method.code(), Some("not_found"));
    assert!(method.to_string().contains("405"), "{method}");
    let malformed = client
        .post("/json")
        .header(header::CONTENT_TYPE, "application/json".parse().unwrap())
        .bytes("{\"word\":1}");
    let malformed = malformed.send().await.unwrap_err();
    assert_eq!(malformed.code(), Some("malformed"));
    assert!(malformed.to_string().contains("words"), "{malformed}");
    let kind = client.post("/json").bytes("{}").send().await.unwrap_err();
    assert_eq!(kind.code(), Some("malformed"));
    assert!(kind.to_string().contains("application/json"), "{kind}");
    let panicked = client.get("/panic").send().await.unwrap_err();
    assert_eq!(panicked.code(), Some("internal"));
    assert!(!panicked.to_string().contains("on purpose"));
    let later = client.get("/later").send().await.unwrap_err();
    assert_eq!(later.retry_after(), Some(Duration::from_secs(2)));
    assert!(later.is_transient() && !missing.is_transient());
    // Nobody is put to sleep for good.
    let never = client.get("/much-later").send().await.unwrap_err();
    assert_eq!(never.retry_after(), Some(Duration::from_secs(600)));
    // And the server still works.
    let hello = Greeting {
        words: "hello".into(),
    };
    let echoed: Greeting = client
        .post("/json")
        .json(&hello)
        .send_json(1000)
        .await
        .unwrap();
    assert_eq!(echoed, hello);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_by_name() {
    let server = Running::start(Limits::default(), routes()).await;
    let client = server.client();
    let allowed = client.post("/raw").bytes(vec![7; 1 << 20]);
    assert_eq!(text(allowed.send_bytes(100).await.unwrap()), "1048576");
    for _ in 0..5 {
        // Says its length: refused before the handler runs. Large enough not to fit any buffer.
        let announced = client.post("/raw").bytes(vec![7; 20 << 20]);
        // Does not: breaks off at the limit.
        let chunks =
            stream::iter((0..200).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![7; 9999]))));
        let streamed = client.post("/raw").stream(chunks);
        for request in [announced, streamed] {
            let refused = request.send().await.unwrap_err();
            assert_eq!(refused.code(), Some("too_large"), "{refused:?}");
        }
    }
}

#[tokio::test]
async fn bodies_stream_both_ways_and_answers_have_limits() {
    let server = Running::start(Limits::default(), routes()).await;
    let client = server.client();
    let chunks = (0..64u8).map(|n| Ok::<_, std::io::Error>(Bytes::from(vec![n; 100_000])));
    let response = client
        .post("/echo")
        .stream(stream::iter(chunks))
        .send()
        .await
        .unwrap();
    let mut stream = response.stream();
    let mut sum = 0;
    while let Some(chunk) = stream.next().await {
        sum += chunk
            .unwrap()
            .iter()
            .map(|&byte| u64::from(byte))
            .sum::<u64>();
    }
    assert_eq!(sum, (0..64).sum::<u64>() * 100_000);
    let echo = || client.post("/echo").bytes(vec![1; 5000]);
    assert_eq!(echo().send_bytes(5000).await.unwrap().len(), 5000);
    let too_long = echo().send_bytes(4999).await.unwrap_err();
    assert!(matches!(too_long, ClientError::Malformed { .. }));
    let unannounced = stream::iter([Ok::<_, std::io::Error>(Bytes::from(vec![1; 5000]))]);
    let too_long = client
        .post("/echo")
        .stream(unannounced)
        .send_bytes(4999)
        .await;
    assert!(matches!(too_long, Err(ClientError::Malformed { .. })));
    let no_json = echo().send_json::<Greeting>(9999).await.unwrap_err();
    assert!(matches!(no_json, ClientError::Malformed { .. }));
}

#[tokio::test]
async fn nobody_there_is_told_apart_and_addresses_are_checked() {
    let server = Running::start(Limits::default(), routes()).await;
    let client = server.client();
    server.stop.cancel();
    let addr = server.addr;
    while TcpStream::connect(addr).await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let error = client.get("/who?patient=17").send().await.unwrap_err();
    assert!(
        matches!(error, ClientError::Unreachable { .. }),
        "{error:?}"
    );
    assert!(error.is_transient());
    assert!(
        !format!("{error} {error:?}").contains("patient"),
        "{error:?}"
    );
    assert!(Client::plain("https://localhost").is_err());
    assert!(Client::plain("localhost:80").is_err());
    let pki = Pki::new();
    let root = pki.authority.root();
    let config = anonymous_client_config(root, &pki.clock, Expect::role(Role::Trust)).unwrap();
    assert!(Client::new("http://localhost", config).is_err());
}

#[tokio::test]
async fn a_fresh_client_has_connections_of_its_own() {
    let port = get(async |peer: Peer| peer.addr().port().to_string());
    let server = Running::start(Limits::default(), Router::new().route("/port", port)).await;
    let client = server.client();
    let seen = async |client: &Client| client.get("/port").send_bytes(10).await.unwrap();
    let first = seen(&client).await;
    assert_eq!(seen(&client.clone()).await, first);
    assert_ne!(seen(&client.fresh().unwrap()).await, first);
}
