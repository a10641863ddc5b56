//! What comes through the relay (docs/protocol.md 9.8): the same bytes as with a pass, and no pass.

use bytes::Bytes;
use futures_util::stream;
use harpo_cloud::events::Event;
use harpo_protocol::retrieval;
use harpo_service::http::{Client, ClientError, Response};
use harpo_service::ohttp::{ObliviousClient, PublicKey, REQUEST_TYPE, RequestHead, ServerKeys};
use harpo_service::random;
use harpo_service::tls::Role;
use http::{HeaderMap, HeaderValue, Method, header};

use crate::world::{Consumer, Generation, SLOT_BYTES, SLOTS, World, assert_refused, retrieve};

const LIMIT: usize = 128 << 20;

/// The cloud's present key, as trust hears it.
async fn key(trust: &Client) -> PublicKey {
    let list = trust.get("/v1/ohttp-keys").send_bytes(1 << 14).await;
    PublicKey::from_list(&list.unwrap()).unwrap()
}

async fn ask(
    way: &ObliviousClient,
    (method, path): (Method, &str),
    range: Option<&'static str>,
    body: &[u8],
) -> Result<Response, ClientError> {
    let range = range.map(|range| (header::RANGE, HeaderValue::from_static(range)));
    let head = RequestHead {
        method,
        path: path.to_owned(),
        fields: HeaderMap::from_iter(range),
        length: body.len() as u64,
    };
    let pieces: Vec<_> = body
        .chunks(100_000)
        .map(Bytes::copy_from_slice)
        .map(Ok)
        .collect();
    way.send(&head, stream::iter(pieces)).await
}

async fn whole(answer: Result<Response, ClientError>) -> Result<Bytes, ClientError> {
    answer?.bytes(LIMIT).await
}

const POST: Method = Method::POST;

#[tokio::test(flavor = "multi_thread")]
async fn everything_comes_as_with_a_pass_and_the_log_has_none() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let generation = Generation::new(1);
    generation.write_and_seal(&trust).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let relay = world.client(&cloud, Role::Relay, 50);
    let way = ObliviousClient::new(relay, key(&trust).await).at("/v1/ohttp");

    // Hints, whole and in part.
    let hint = generation.hint(&pass).await.unwrap();
    let path = generation.path("/hint");
    let relayed = ask(&way, (Method::GET, &path), None, &[]).await;
    assert_eq!(whole(relayed).await.unwrap(), hint);
    let part = ask(&way, (Method::GET, &path), Some("bytes=1000-"), &[])
        .await
        .unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(
        part.headers()[header::CONTENT_RANGE],
        format!("bytes 1000-{}/{}", hint.len() - 1, hint.len()).as_str()
    );
    assert_eq!(part.bytes(LIMIT).await.unwrap(), hint[1000..]);
    let outside = ask(&way, (Method::GET, &path), Some("bytes=999999999-"), &[]).await;
    assert!(matches!(outside, Err(ClientError::Refused { status, .. }) if status == 416));

    // A retrieval, and the rest of it again.
    let ticket = world.ticket(&[&generation], 2, 1);
    let asked = consumer.ask(&ticket, &[Some((0, 3)), None]);
    let answers = whole(ask(&way, (POST, "/v1/retrievals"), None, &asked.body).await)
        .await
        .unwrap();
    let query = consumer.stack.query_bytes() as usize;
    let ticket_bytes = asked.body.len() - 2 * query;
    let rest = [
        &asked.body[..ticket_bytes],
        &asked.body[ticket_bytes + query..],
    ]
    .concat();
    let again = ask(&way, (POST, "/v1/retrievals?from=1"), None, &rest).await;
    assert_eq!(whole(again).await.unwrap(), answers[answers.len() / 2..]);
    let again = ask(&way, (POST, "/v1/retrievals"), None, &asked.body).await;
    assert_refused(again, 409, "spent");
    // The same ticket is spent for passes, too.
    assert_refused(retrieve(&pass, &asked.body).await, 409, "spent");
    assert_eq!(consumer.open(asked, &answers)[0], generation.slots[3]);

    // A stream.
    let ticket = world.ticket(&[&generation], 2, 2);
    let body = retrieval::head(&ticket);
    let slots = whole(ask(&way, (POST, "/v1/streams"), None, &body).await)
        .await
        .unwrap();
    assert_eq!(slots, generation.slots.concat());
    let slots = whole(ask(&way, (POST, "/v1/streams?from=15"), None, &body).await)
        .await
        .unwrap();
    assert_eq!(slots.len(), SLOT_BYTES * (SLOTS as usize - 15));

    let relayed = world.events().into_iter().filter(|event| match event {
        Event::Retrieval { pass, .. }
        | Event::Resumption { pass, .. }
        | Event::Stream { pass, .. } => {
            assert_eq!(*pass, None, "{event:?}");
            true
        }
        Event::Hint { pass, .. } => pass.is_none(),
        _ => false,
    });
    assert_eq!(relayed.count(), 3 + 4);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_else_is_reached_through_the_relay_or_by_it() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let generation = Generation::new(1);
    generation.write_and_seal(&trust).await;
    let relay = world.client(&cloud, Role::Relay, 50);
    let key = key(&trust).await;
    let way = ObliviousClient::new(relay.clone(), key.clone()).at("/v1/ohttp");

    // Inside: what is trust's alone, what is none, and the way in itself.
    let own = generation.path("");
    let slot = generation.path("/slots/0");
    for (method, path) in [
        (Method::PUT, slot.as_str()),
        (Method::DELETE, &own),
        (Method::GET, &own),
        (POST, &generation.path("/seal")),
        (POST, &generation.path("/proofs")),
        (POST, "/v1/ohttp"),
        (Method::GET, "/v1/ohttp-keys"),
        (POST, "/v1/elsewhere"),
        (Method::DELETE, "/v1/retrievals"),
        (POST, &generation.path("/hint")),
        (POST, "//v1/retrievals"),
    ] {
        let refused = ask(&way, (method.clone(), path), None, b"{}").await;
        assert_refused(refused, 404, "not_found");
    }
    let bad = ask(&way, (POST, "/v1/retrievals?to=1"), None, b"").await;
    assert_refused(bad, 400, "malformed");
    assert_refused(
        ask(&way, (POST, "/v1/retrievals"), None, b"12345").await,
        400,
        "malformed",
    );

    // With the relay's certificate alone.
    assert_refused(generation.hint(&relay).await, 403, "rejected");
    assert_refused(retrieve(&relay, b"").await, 403, "rejected");
    assert_refused(generation.put(&relay, 0).await, 403, "rejected");
    let keys = relay.get("/v1/ohttp-keys").send().await;
    assert_refused(keys, 403, "rejected");

    // By others than the relay.
    for role in [Role::Pass, Role::Gateway, Role::Trust, Role::Cloud] {
        let other = world.client(&cloud, role, 60);
        let way = ObliviousClient::new(other, key.clone()).at("/v1/ohttp");
        let refused = ask(&way, (POST, "/v1/retrievals"), None, b"").await;
        assert_refused(refused, 403, "rejected");
    }
    // What is no capsule.
    let raw = |kind: &'static str, body: Vec<u8>| {
        relay
            .post("/v1/ohttp")
            .header(header::CONTENT_TYPE, HeaderValue::from_static(kind))
            .bytes(body)
            .send()
    };
    assert_refused(
        raw("application/octet-stream", vec![0; 9]).await,
        400,
        "malformed",
    );
    for body in [
        vec![],
        vec![1],
        vec![1, 0x64, 0x7a, 0, 1, 0, 1],
        vec![7; 100_000],
    ] {
        assert_refused(raw(REQUEST_TYPE, body).await, 403, "rejected");
    }
    // The real one is as it was.
    assert_eq!(
        world
            .events()
            .iter()
            .filter(|e| matches!(e, Event::Retrieval { .. }))
            .count(),
        0
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_before_the_present_one_still_opens() {
    let world = World::new();
    let mut ways = Vec::new();
    for _ in 0..3 {
        let cloud = world.start().await;
        let relay = world.client(&cloud, Role::Relay, 50);
        ways.push(key(&world.trust(&cloud)).await);
        let mut outcomes = Vec::new();
        for key in &ways {
            let way = ObliviousClient::new(relay.clone(), key.clone()).at("/v1/ohttp");
            match ask(&way, (POST, "/v1/nothing"), None, b"").await {
                Err(ClientError::Refused { code, .. }) => outcomes.push(code),
                other => panic!("{other:?}"),
            }
        }
        let expected = ["rejected", "not_found", "not_found"];
        assert_eq!(outcomes, expected[3 - ways.len().min(3)..]);
        cloud.stop().await;
        ServerKeys::renew(&world.config.relay_keys_file(), &mut random::system()).unwrap();
    }
}
