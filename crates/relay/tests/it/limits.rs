//! What the relay puts up with, and that it holds nothing.

use std::sync::atomic::Ordering;
use std::time::Duration;

use harpo_service::http::ClientError;
use harpo_service::ohttp::REQUEST_TYPE;
use harpo_service::tls::Role;
use http::{HeaderValue, header};

use crate::world::{World, ask, noise};

async fn until(mut holds: impl FnMut() -> bool) {
    for _ in 0..1000 {
        if holds() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("waited for ten seconds");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_gateway_has_its_share_and_others_theirs() {
    let mut world = World::new().await;
    world.config.limits.requests_per_gateway = 1;
    world.config.limits.requests_at_once = 2;
    let relay = world.start().await;
    let ways = [20, 21, 22].map(|party| world.gateway(&relay, party));
    let waits = |at: usize| {
        let way = ways[at].clone();
        tokio::spawn(async move {
            ask(&way, "/wait", 10)
                .await
                .unwrap()
                .bytes(5)
                .await
                .unwrap()
        })
    };
    let busy = async |at: usize| match ask(&ways[at], "/give/5", 10).await {
        Err(ClientError::Refused {
            code,
            message,
            retry_after,
            ..
        }) => {
            assert_eq!(code, "busy");
            assert!(retry_after.is_some());
            message
        }
        other => panic!("{other:?}"),
    };
    let first = waits(0);
    until(|| world.far.seen.lock().unwrap().len() == 1).await;
    assert!(busy(0).await.contains("this gateway"));
    let second = waits(1);
    until(|| world.far.seen.lock().unwrap().len() == 2).await;
    assert!(busy(2).await.contains("the relay"));
    world.far.gate.add_permits(2);
    first.await.unwrap();
    second.await.unwrap();
    for way in &ways {
        let answer = ask(way, "/give/5", 10).await.unwrap();
        assert_eq!(answer.bytes(5).await.unwrap().len(), 5);
    }
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_is_cut_both_ways() {
    let mut world = World::new().await;
    world.config.limits.max_request_mib = 1;
    world.config.limits.max_answer_mib = 2;
    let relay = world.start().await;
    let way = world.gateway(&relay, 20);
    ask(&way, "/give/5", 1_000_000).await.unwrap();
    let kind = || HeaderValue::from_static(REQUEST_TYPE);
    let gateway = world.client(&relay, Role::Gateway, 20);
    // One that says its length, and one that does not.
    let said = gateway
        .post("/v1/relay")
        .header(header::CONTENT_TYPE, kind());
    let said = said.bytes(vec![0; 1_100_000]).send().await;
    let unsaid = gateway
        .post("/v1/relay")
        .header(header::CONTENT_TYPE, kind());
    let unsaid = unsaid.stream(noise(3_000_000)).send().await;
    for refused in [said, unsaid] {
        let code = refused
            .as_ref()
            .err()
            .and_then(ClientError::code)
            .map(str::to_owned);
        // The far side may have refused what it was before it was found too large.
        assert!(
            matches!(code.as_deref(), Some("too_large" | "rejected")),
            "{refused:?}"
        );
    }
    let answer = ask(&way, "/give/1900000", 5).await.unwrap();
    assert_eq!(answer.bytes(1_900_000).await.unwrap().len(), 1_900_000);
    let answer = ask(&way, "/give/2500000", 5).await.unwrap();
    let cut = answer.bytes(2_500_000).await.unwrap_err();
    assert!(matches!(cut, ClientError::Unreachable { .. }), "{cut}");
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gateway_that_does_not_read_fills_no_memory() {
    let world = World::new().await;
    let relay = world.start().await;
    let way = world.gateway(&relay, 20);
    let answer = ask(&way, "/give/1000000000", 5).await.unwrap();
    let mut last = 0;
    // Until the buffers of the system are full.
    loop {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let given = world.far.given.load(Ordering::Relaxed);
        if given == last {
            break;
        }
        last = given;
    }
    assert!(last < 64 << 20, "{last} bytes on the way");
    drop(answer);
    relay.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_relay_that_stops_finishes_what_it_carries() {
    let world = World::new().await;
    let relay = world.start().await;
    let way = world.gateway(&relay, 20);
    let waiting = tokio::spawn({
        let way = way.clone();
        async move {
            ask(&way, "/wait", 10)
                .await
                .unwrap()
                .bytes(5)
                .await
                .unwrap()
        }
    });
    until(|| world.far.seen.lock().unwrap().len() == 1).await;
    let stopping = tokio::spawn(relay.stop());
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!stopping.is_finished());
    world.far.gate.add_permits(1);
    assert_eq!(waiting.await.unwrap().len(), 5);
    stopping.await.unwrap();
    assert!(ask(&way, "/give/5", 10).await.is_err());
}
