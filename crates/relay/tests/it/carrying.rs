//! What goes through, and what does not.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures_util::StreamExt as _;
use harpo_service::http::ClientError;
use harpo_service::ohttp::REQUEST_TYPE;
use harpo_service::tls::Role;
use http::{HeaderName, HeaderValue, header};

use crate::world::{World, ask, noise};

async fn bytes(length: usize) -> Vec<u8> {
    let pieces: Vec<_> = noise(length).map(Result::unwrap).collect().await;
    pieces.concat()
}

fn code<T: std::fmt::Debug>(result: Result<T, ClientError>) -> String {
    match result {
        Err(ClientError::Refused { code, .. }) => code,
        other => panic!("not refused: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cloud_hears_what_and_not_who() {
    let world = World::new().await;
    let relay = world.start().await;
    // Two gateways, of which one says more than it should, and one keeps its connection.
    for party in [20, 21, 20] {
        let way = world.gateway(&relay, party);
        for length in [5_usize, 300_000] {
            let answer = ask(&way, &format!("/give/{length}"), 200_000)
                .await
                .unwrap();
            assert!(!answer.headers().contains_key("x-cloud"));
            assert_eq!(answer.bytes(length).await.unwrap(), bytes(length).await);
        }
    }
    let talkative = world.client(&relay, Role::Gateway, 22);
    let refused = talkative
        .post("/v1/relay?hospital=St-Anne")
        .header(header::CONTENT_TYPE, HeaderValue::from_static(REQUEST_TYPE))
        .header(header::USER_AGENT, HeaderValue::from_static("St Anne"))
        .header(header::FORWARDED, HeaderValue::from_static("for=10.1.2.3"))
        .header(
            HeaderName::from_static("x-hospital"),
            HeaderValue::from_static("St Anne"),
        )
        .bytes(Bytes::from_static(b"no capsule"))
        .send()
        .await;
    assert_eq!(code(refused), "rejected", "by the far side");

    let seen = world.far.seen.lock().unwrap().clone();
    assert_eq!(seen.len(), 6);
    let allowed = ["accept", "content-type", "host", "transfer-encoding"];
    let mut ports = BTreeSet::new();
    for request in &seen {
        assert!(request.path.starts_with("/give/"));
        assert_eq!(request.party.0, [3; 16], "the relay's certificate");
        for name in request.headers.keys() {
            assert!(allowed.contains(&name.as_str()), "{name}");
        }
        assert_eq!(request.headers, seen[0].headers, "nothing tells them apart");
        ports.insert(request.peer.port());
    }
    assert_eq!(ports.len(), 6, "a connection for each");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_and_other_requests_are_refused() {
    let world = World::new().await;
    let relay = world.start().await;
    for role in [Role::Pass, Role::Cloud, Role::Trust, Role::Relay] {
        let stranger = world.client(&relay, role, 30);
        let kind = HeaderValue::from_static(REQUEST_TYPE);
        let asked = stranger
            .post("/v1/relay")
            .header(header::CONTENT_TYPE, kind);
        assert_eq!(code(asked.bytes("x").send().await), "rejected", "{role}");
    }
    // Of another authority: not even a handshake.
    let elsewhere = World::new().await;
    let other = elsewhere.client(&relay, Role::Gateway, 31);
    let error = other.post("/v1/relay").send().await.unwrap_err();
    assert!(
        matches!(
            error,
            ClientError::Tls { .. } | ClientError::Unreachable { .. }
        ),
        "{error}"
    );
    let gateway = world.client(&relay, Role::Gateway, 20);
    for path in [
        "/v1/ohttp",
        "/v1/retrievals",
        "/v1/relay/x",
        "//v1/relay",
        "/",
        "/v1/generations/x",
    ] {
        assert_eq!(code(gateway.post(path).send().await), "not_found", "{path}");
    }
    assert_eq!(code(gateway.get("/v1/relay").send().await), "not_found");
    let other_type = gateway.post("/v1/relay").bytes("x").send().await;
    assert_eq!(code(other_type), "malformed");
    assert!(world.far.seen.lock().unwrap().is_empty());
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_inside_come_through_and_a_cloud_that_is_away_is_a_broken_way() {
    let world = World::new().await;
    let relay = world.start().await;
    let way = world.gateway(&relay, 20);
    let busy = ask(&way, "/busy", 10).await.unwrap_err();
    assert_eq!(busy.retry_after().unwrap().as_secs(), 9);
    world.far_stop.cancel();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let away = ask(&way, "/give/5", 10).await.unwrap_err();
    assert!(matches!(away, ClientError::Unreachable { .. }), "{away}");
    // In so many words to who asks without opening anything.
    let gateway = world.client(&relay, Role::Gateway, 20);
    let kind = HeaderValue::from_static(REQUEST_TYPE);
    let asked = gateway.post("/v1/relay").header(header::CONTENT_TYPE, kind);
    assert_eq!(code(asked.bytes("x").send().await), "unavailable");
    relay.stop().await;
}
