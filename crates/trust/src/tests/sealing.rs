//! When generations are sealed, what the cloud must prove, and how long the cache goes on serving.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use harpo_protocol::id::{BundleId, Nonce};
use harpo_protocol::release::Source;

use super::network::*;
use crate::store::generations::State;

/// Where a release says that the bytes are, and the permit.
async fn source(gateway: &Gateway, bundle: BundleId) -> (Source, Nonce) {
    let release = gateway.release(bundle, &treating(), false).await.unwrap();
    let access = release.access.unwrap();
    (access.source, access.grant)
}

async fn fragment(
    gateway: &Gateway,
    bundle: BundleId,
    index: u32,
    grant: Nonce,
) -> Result<Vec<u8>, harpo_service::http::ClientError> {
    let path = format!("/v1/bundles/{bundle}/fragments/{index}?grant={grant}");
    let answer = gateway.client.get(&path).send_bytes(1 << 20).await?;
    Ok(answer.to_vec())
}

#[tokio::test]
async fn a_sealed_generation_is_read_from_the_cache_for_a_while() {
    let mut network = Network::with("[mixing]\ncache_grace_seconds = 120").await;
    let (a, mut b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 5)).await;
    let generation = network.seal().await;
    // Everybody may fetch its hint from now on.
    let [stack] = b.stacks().await.try_into().unwrap();
    assert_eq!(stack.generations[0].generation, generation);

    let (kept, grant) = source(&b, bundle.id).await;
    assert!(matches!(kept, Source::Cache));
    network.clock.advance(Duration::from_millis(119_999));
    network.mix().await;
    network.kill_and_restart().await;
    b.reconnect(&network);
    network.mix().await;
    assert!(matches!(source(&b, bundle.id).await.0, Source::Cache));
    for (index, sealed) in bundle.fragments.iter().enumerate() {
        let read = fragment(&b, bundle.id, index as u32, grant).await.unwrap();
        assert_eq!(&read, sealed);
    }

    network.clock.advance(Duration::from_millis(1));
    network.mix().await;
    assert!(matches!(
        source(&b, bundle.id).await.0,
        Source::Stack { .. }
    ));
    assert_eq!(code(fragment(&b, bundle.id, 0, grant).await), "gone");
    assert!(network.trust.cache.bundles().unwrap().is_empty());
}

#[tokio::test]
async fn what_is_erased_while_the_cache_still_serves_leaves_it_at_once() {
    let mut network = Network::with("[mixing]\ncache_grace_seconds = 120").await;
    let a = network.gateway("A").await;
    let bundle = a.deposit(&Spec::new("1.1", 5)).await;
    network.seal().await;
    let operator = network.operator().await;
    assert!(operator.erase(bundle.id, "r", true).await.unwrap().in_cloud);
    assert!(network.trust.cache.bundles().unwrap().is_empty());
}

#[tokio::test]
async fn a_cloud_that_kept_digests_alone_is_found_out() {
    let mut network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 5)).await;
    network.cloud.hollow.store(true, SeqCst);
    let generation = network.seal().await;
    // Its digest is the one that trust sent.
    assert_eq!(network.events_named("seal-mismatch").await.len(), 0);
    let alarms = network.events_named("slots-unproven").await;
    assert_eq!(alarms.len(), 1);
    assert_eq!(alarms[0]["generation"], generation.to_string());
    assert_eq!(alarms[0]["slots"].as_array().unwrap().len(), 8);
    assert_eq!(network.states().await, [State::Encoding, State::Open]);
    assert_eq!(b.stacks().await, []);
    assert!(matches!(source(&b, bundle.id).await.0, Source::Cache));
    let missing = network.trust.cache.missing(bundle.id, 5).await.unwrap();
    assert!(missing.is_empty(), "the cache was cleared");

    // It is left alone for a while, then asked again, under another nonce.
    network.mix().await;
    assert_eq!(network.events_named("slots-unproven").await.len(), 1);
    network.clock.advance(HOUR);
    network.mix().await;
    assert_eq!(network.events_named("slots-unproven").await.len(), 2);
    network.cloud.hollow.store(false, SeqCst);
    network.cloud.damaged.store(true, SeqCst);
    network.clock.advance(HOUR);
    network.mix().await;
    assert_eq!(network.events_named("slots-unproven").await.len(), 3);

    // Mended.
    network.cloud.damaged.store(false, SeqCst);
    network.clock.advance(HOUR);
    network.mix().await;
    assert_eq!(network.states().await, [State::Open]);
    assert!(matches!(
        source(&b, bundle.id).await.0,
        Source::Stack { .. }
    ));
    let asked = network.cloud.asked_to_prove.lock().unwrap().clone();
    let nonces: BTreeSet<_> = asked.iter().map(|request| request.nonce.0).collect();
    assert_eq!((asked.len(), nonces.len()), (4, 4), "a nonce came twice");
}

#[tokio::test]
async fn a_cloud_that_reopens_a_generation_gets_its_slots_again() {
    let mut network = Network::new().await;
    let a = network.gateway("A").await;
    a.deposit(&Spec::new("1.1", 5)).await;
    network.cloud.damaged.store(true, SeqCst);
    let generation = network.seal().await;
    let before = network.cloud.stored(generation).slots;
    {
        let mut generations = network.cloud.generations.lock().unwrap();
        let stored = generations.get_mut(&generation).unwrap();
        stored.request = None;
        stored.slots.retain(|index, _| *index != 3);
    }
    network.cloud.damaged.store(false, SeqCst);
    for _ in 0..3 {
        network.clock.advance(HOUR);
        network.mix().await;
    }
    assert_eq!(network.states().await, [State::Open]);
    assert_eq!(network.cloud.stored(generation).slots, before);
}

#[tokio::test]
async fn a_generation_that_the_cloud_has_no_memory_for_waits_in_the_cache() {
    let mut network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 5)).await;
    network.cloud.full.store(true, SeqCst);
    network.seal().await;
    network.clock.advance(HOUR);
    network.mix().await;
    assert_eq!(network.states().await, [State::Encoding, State::Open]);
    assert!(matches!(source(&b, bundle.id).await.0, Source::Cache));
    network.cloud.full.store(false, SeqCst);
    network.clock.advance(HOUR);
    network.mix().await;
    assert_eq!(network.states().await, [State::Open]);
}

const SECOND: Duration = Duration::from_secs(1);

/// The clock begins at a multiple of five minutes.
#[tokio::test]
async fn what_fills_a_generation_does_not_show_when_it_came() {
    // By a share that is reached, and by a bundle that does not fit.
    for (share, fragments) in [(0.5, [12, 4]), (1.0, [28, 8])] {
        let extra = format!("[mixing]\nseal_grid_seconds = 300\nseal_when_full_share = {share:.1}");
        let mut network = Network::with(&extra).await;
        let a = network.gateway("A").await;
        network.clock.advance(10 * SECOND);
        a.deposit(&Spec::new("1.1", fragments[0])).await;
        network.mix().await;
        network.clock.advance(10 * SECOND);
        a.deposit(&Spec::new("1.2", fragments[1])).await;
        network.mix().await;
        assert_eq!(network.states().await, [State::Sealing, State::Open]);
        network.clock.advance(279 * SECOND);
        network.kill_and_restart().await;
        network.mix().await;
        assert!(network.cloud.arrivals().is_empty(), "at a deposit's time");
        network.clock.advance(SECOND);
        network.mix().await;
        assert_eq!(network.cloud.arrivals().len(), 8);
        assert!(!network.states().await.contains(&State::Sealing));
    }
}

#[tokio::test]
async fn age_seals_on_the_grid_and_the_operator_at_once() {
    let mut network = Network::with("[mixing]\nseal_grid_seconds = 300").await;
    let mut a = network.gateway("A").await;
    network.clock.advance(10 * SECOND);
    a.deposit(&Spec::new("1.1", 5)).await;
    network.clock.advance(24 * HOUR);
    network.mix().await;
    assert!(network.cloud.arrivals().is_empty());
    network.clock.advance(290 * SECOND);
    network.mix().await;
    assert_eq!(network.cloud.arrivals().len(), 8);

    network.clock.advance(7 * SECOND);
    a.reconnect(&network);
    a.deposit(&Spec::new("1.2", 5)).await;
    network.seal().await;
    assert_eq!(network.cloud.arrivals().len(), 16);
}

#[tokio::test]
async fn drawn_times_hold_while_a_closed_generation_waits() {
    let mut network = Network::with(
        "[mixing]\nmode = \"exponential\"\nmean_delay_seconds = 1\nseal_grid_seconds = 86400\n\
         seal_when_full_share = 0.5",
    )
    .await;
    let a = network.gateway("A").await;
    network.clock.advance(SECOND);
    a.deposit(&Spec::new("1.1", 16)).await;
    network.mix().await;
    assert_eq!(network.states().await, [State::Sealing, State::Open]);
    // 200 means later.
    network.clock.advance(200 * SECOND);
    network.mix().await;
    let arrived = network.cloud.arrivals();
    assert_eq!(arrived.len(), 4, "cover left too, or a slot waits");
    network.clock.advance(24 * HOUR);
    network.mix().await;
    assert_eq!(network.cloud.arrivals().len(), 8);
    assert_eq!(network.states().await, [State::Open]);
}
