//! Old bundles that gateways bring back for trust (docs/protocol.md 5.7).

use std::collections::BTreeSet;

use harpo_protocol::release::{Placement, Source};
use harpo_protocol::replacement::{Errand, ErrandSecrets};
use harpo_protocol::rounds::Round;
use serde_json::json;

use super::network::*;
use super::replacement::{access, complete, generations, give, give_all, placements, read};

const ROUNDS: &str = "[retrieval]\nschedule = \"rounds\"\n";

async fn round(gateway: &Gateway) -> Round {
    gateway.post("/v1/rounds", &json!({})).await.unwrap()
}

/// A bundle in the stack, and another that was deposited after it was sealed.
async fn sealed_and_open(
    network: &mut Network,
    gateway: &Gateway,
    fragments: u32,
) -> (Sealed, Sealed) {
    let old = gateway.deposit(&Spec::new("1.1", fragments)).await;
    network.seal().await;
    let new = gateway.deposit(&Spec::new("1.2", 3)).await;
    (old, new)
}

async fn errand(network: &Network, gateway: &Gateway) -> (Errand, Vec<Placement>) {
    let errand = round(gateway).await.errand.unwrap();
    let secrets = ErrandSecrets::unwrap(
        &errand.secrets,
        errand.bundle,
        errand.grant,
        &gateway.opening,
    );
    let placements = secrets.unwrap().placements;
    assert!(!read(network, &placements).is_empty());
    (errand, placements)
}

#[tokio::test]
async fn an_errand_brings_a_bundle_back_under_new_keys() {
    let mut network = Network::with(ROUNDS).await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let (old, _) = sealed_and_open(&mut network, &b, 10).await;
    assert!(round(&a).await.errand.is_none(), "it is not its own");
    let (errand, before) = errand(&network, &b).await;
    assert_eq!(errand.bundle, old.id);
    let fragments = read(&network, &before);
    assert_eq!(fragments, old.fragments);

    // It stays readable at its old place until it is complete.
    assert_eq!(code(complete(&b, old.id, errand.grant).await), "incomplete");
    for (index, bytes) in fragments.iter().enumerate().skip(1) {
        give(&b, old.id, index as u32, errand.grant, bytes)
            .await
            .unwrap();
    }
    assert_eq!(code(complete(&b, old.id, errand.grant).await), "incomplete");
    let reader = access(&a, old.id).await;
    assert!(matches!(reader.source, Source::Stack { .. }));
    assert!(reader.give_back, "nobody is told that another is at it");
    give(&b, old.id, 0, errand.grant, &fragments[0])
        .await
        .unwrap();
    complete(&b, old.id, errand.grant).await.unwrap();

    // Then from the cache; and who was reading at the old place goes on.
    let cached = access(&a, old.id).await;
    assert!(matches!(cached.source, Source::Cache));
    for (index, sealed) in old.fragments.iter().enumerate() {
        let path = format!(
            "/v1/bundles/{}/fragments/{index}?grant={}",
            old.id, cached.grant
        );
        let bytes = a.client.get(&path).send_bytes(1 << 20).await.unwrap();
        assert_eq!(&bytes[..], sealed);
    }
    assert_eq!(read(&network, &placements(&a, old.id, &reader)), fragments);

    // Then from its new stack, with nothing of the old place.
    network.seal().await;
    let again = access(&a, old.id).await;
    let after = placements(&a, old.id, &again);
    assert_eq!(read(&network, &after), fragments);
    assert!(generations(&after).is_disjoint(&generations(&before)));
    let keys: BTreeSet<_> = before.iter().map(|p| p.key.expose()).collect();
    assert!(after.iter().all(|p| !keys.contains(p.key.expose())));

    let events = network.events_named("replaced").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["bundle"], old.id.to_string());
    assert_eq!(events[0]["party"], b.party.to_string());
    assert_eq!(events[0]["errand"], true);
    network.operator().await.verify_audit(None).await.unwrap();
}

#[tokio::test]
async fn errands_stay_within_their_share_and_need_something_new() {
    // Half of eight slots; each bundle takes three.
    let mut network = Network::with(ROUNDS).await;
    let (a, b, c) = (
        network.gateway("A").await,
        network.gateway("B").await,
        network.gateway("C").await,
    );
    let old = b.deposit(&Spec::new("1.2", 12)).await;
    a.deposit(&Spec::new("1.1", 12)).await;
    assert!(round(&a).await.stack.is_none());
    network.seal().await;
    assert!(round(&a).await.errand.is_none(), "nothing new is there");
    network.clock.advance(HOUR);
    a.deposit(&Spec::new("1.3", 1)).await;
    let (errand, _) = errand(&network, &a).await;
    assert!(round(&b).await.errand.is_none(), "three more are too many");
    network.clock.advance(HOUR);
    assert!(round(&a).await.errand.is_none(), "it has one");

    // It is not done: after its time somebody else gets one.
    network.clock.advance(6 * HOUR);
    let again = round(&b).await.errand.unwrap();
    assert_eq!(again.bundle, old.id);
    give_all(&b, &old, again.grant).await;
    complete(&b, old.id, again.grant).await.unwrap();
    network.clock.advance(HOUR);
    assert!(round(&a).await.errand.is_none(), "three were brought");
    assert_ne!(again.grant, errand.grant);
    // The next generation has room again.
    network.seal().await;
    a.deposit(&Spec::new("1.4", 1)).await;
    network.clock.advance(2 * HOUR);
    assert!(round(&a).await.errand.is_some());
    assert!(round(&c).await.errand.is_none(), "it deposited nothing");
}

#[tokio::test]
async fn one_that_finishes_no_errand_leaves_room_for_others() {
    // Errands may bring four slots of eight; a quarter of them is one.
    let extra = format!("{ROUNDS}[ring]\nmax_generations_per_stack = 1");
    let mut network = Network::with(&extra).await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    for study in 0..3 {
        a.deposit(&Spec::new(format!("1.{study}").leak(), 4)).await;
        b.deposit(&Spec::new(format!("2.{study}").leak(), 4)).await;
        network.seal().await;
    }
    a.deposit(&Spec::new("1.9", 1)).await;
    let (mut of_a, mut of_b) = (0, 0);
    for _ in 0..6 {
        network.clock.advance(HOUR / 60);
        of_a += u32::from(round(&a).await.errand.is_some());
    }
    for _ in 0..6 {
        network.clock.advance(HOUR / 60);
        of_b += u32::from(round(&b).await.errand.is_some());
    }
    assert_eq!((of_a, of_b), (1, 1));
}

#[tokio::test]
async fn an_errand_does_not_begin_a_generation() {
    let mut network = Network::with(ROUNDS).await;
    let (mut a, mut b) = (network.gateway("A").await, network.gateway("B").await);
    let (old, new) = sealed_and_open(&mut network, &b, 2).await;
    let (errand, _) = errand(&network, &b).await;
    give_all(&b, &old, errand.grant).await;
    network.seal().await;
    assert_eq!(code(complete(&b, old.id, errand.grant).await), "gone");
    assert_eq!(code(complete(&b, old.id, errand.grant).await), "rejected");
    assert!(network.trust.cache.bundles().unwrap().is_empty());
    let reader = access(&a, old.id).await;
    assert!(matches!(reader.source, Source::Stack { .. }));

    // Idle, it writes nothing more.
    let written = network.cloud.arrivals().len();
    for _ in 0..3 {
        network.clock.advance(25 * HOUR);
        a.reconnect(&network);
        b.reconnect(&network);
        assert!(round(&b).await.errand.is_none());
        network.mix().await;
    }
    assert_eq!(network.cloud.arrivals().len(), written);
    // What was read begins one.
    let grant = access(&a, new.id).await.grant;
    give_all(&a, &new, grant).await;
    complete(&a, new.id, grant).await.unwrap();
    network.clock.advance(HOUR);
    b.reconnect(&network);
    assert!(round(&b).await.errand.is_some());
}

#[tokio::test]
async fn a_network_without_errands_gives_none_and_what_was_read_may_stay() {
    let extra = format!("{ROUNDS}[replacement]\nafter_read = false\nold_share = 0.0");
    let mut network = Network::with(&extra).await;
    let a = network.gateway("A").await;
    let (old, _) = sealed_and_open(&mut network, &a, 2).await;
    assert!(round(&a).await.errand.is_none());
    let access = access(&a, old.id).await;
    assert!(!access.give_back);
    assert_eq!(code(complete(&a, old.id, access.grant).await), "rejected");
}
