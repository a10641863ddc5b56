//! What comes back after it was read, and how (docs/protocol.md 5.7).

use std::collections::BTreeSet;

use harpo_protocol::cell::open_cell;
use harpo_protocol::domain::sha256;
use harpo_protocol::id::{BundleId, GenerationId, Nonce};
use harpo_protocol::release::{Access, Placement, Secrets, Source};
use harpo_service::http::ClientError;

use super::network::*;

pub(super) async fn access(gateway: &Gateway, bundle: BundleId) -> Access {
    let release = gateway.release(bundle, &treating(), false).await.unwrap();
    release.access.unwrap()
}

pub(super) async fn give(
    gateway: &Gateway,
    bundle: BundleId,
    index: u32,
    grant: Nonce,
    bytes: &[u8],
) -> Result<(), ClientError> {
    let path = format!("/v1/replacements/{bundle}/fragments/{index}?grant={grant}");
    let request = gateway.client.put(&path).bytes(bytes.to_vec());
    request.send().await.map(drop)
}

pub(super) async fn give_all(gateway: &Gateway, sealed: &Sealed, grant: Nonce) {
    for (index, bytes) in sealed.fragments.iter().enumerate() {
        give(gateway, sealed.id, index as u32, grant, bytes)
            .await
            .unwrap();
    }
}

pub(super) async fn complete(
    gateway: &Gateway,
    bundle: BundleId,
    grant: Nonce,
) -> Result<(), ClientError> {
    let path = format!("/v1/replacements/{bundle}?grant={grant}");
    gateway.client.post(&path).send().await.map(drop)
}

pub(super) fn placements(gateway: &Gateway, bundle: BundleId, access: &Access) -> Vec<Placement> {
    let secrets = Secrets::unwrap(&access.secrets, bundle, access.grant, &gateway.opening);
    secrets.unwrap().placements
}

/// The sealed fragments at these places of the cloud.
pub(super) fn read(network: &Network, placements: &[Placement]) -> Vec<Vec<u8>> {
    placements
        .iter()
        .map(|placement| {
            let at = placement.at;
            let stored = network.cloud.stored(at.generation);
            let from = usize::from(at.cell) * SMALL.cell_bytes as usize;
            let cell = &stored.slots[&at.slot][from..][..SMALL.cell_bytes as usize];
            open_cell(&placement.key, at, cell).unwrap()
        })
        .collect()
}

pub(super) fn generations(placements: &[Placement]) -> BTreeSet<GenerationId> {
    placements.iter().map(|p| p.at.generation).collect()
}

#[tokio::test]
async fn what_was_read_is_given_back_once() {
    let mut network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 5)).await;
    assert!(!access(&b, bundle.id).await.give_back, "from the cache");
    network.seal().await;
    let first = access(&b, bundle.id).await;
    assert!(first.give_back);
    let second = access(&a, bundle.id).await;
    assert!(second.give_back, "nobody is told that another has read it");

    give_all(&b, &bundle, first.grant).await;
    complete(&b, bundle.id, first.grant).await.unwrap();
    // An answer that was lost.
    complete(&b, bundle.id, first.grant).await.unwrap();
    assert_eq!(network.events_named("replaced").await.len(), 1);
    assert_eq!(network.events_named("replaced").await[0]["errand"], false);
    // The other one sees what the first saw, and changes nothing.
    give_all(&a, &bundle, second.grant).await;
    complete(&a, bundle.id, second.grant).await.unwrap();
    assert_eq!(network.events_named("replaced").await.len(), 1);
    let wrong = give(&a, bundle.id, 0, second.grant, &bundle.fragments[1]).await;
    assert_eq!(code(wrong), "rejected");
    assert!(matches!(access(&a, bundle.id).await.source, Source::Cache));

    // The next copy is another matter.
    network.seal().await;
    let third = access(&a, bundle.id).await;
    assert!(third.give_back);
    assert!(network.trust.cache.bundles().unwrap().is_empty());
    give_all(&b, &bundle, first.grant).await;
    complete(&b, bundle.id, first.grant).await.unwrap();
    assert!(
        network.trust.cache.bundles().unwrap().is_empty(),
        "what comes late is dropped"
    );
    assert_eq!(network.events_named("replaced").await.len(), 1);
}

#[tokio::test]
async fn the_first_of_two_givers_to_complete_wins() {
    let mut network = Network::new().await;
    let (mut a, mut b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 2)).await;
    network.seal().await;
    let first = access(&a, bundle.id).await;
    network.clock.advance(HOUR);
    let second = access(&b, bundle.id).await;
    assert!(first.give_back && second.give_back);
    // Both are at it, and a kill comes in between.
    give(&a, bundle.id, 0, first.grant, &bundle.fragments[0])
        .await
        .unwrap();
    give_all(&b, &bundle, second.grant).await;
    network.kill_and_restart().await;
    a.reconnect(&network);
    b.reconnect(&network);
    complete(&b, bundle.id, second.grant).await.unwrap();
    give(&a, bundle.id, 1, first.grant, &bundle.fragments[1])
        .await
        .unwrap();
    complete(&a, bundle.id, first.grant).await.unwrap();
    assert_eq!(network.events_named("replaced").await.len(), 1);
    let missing = network.trust.cache.missing(bundle.id, 2).await.unwrap();
    assert!(missing.is_empty());
    // Nor does its grant's end tell the slower one anything.
    network.clock.advance(5 * HOUR + HOUR / 3600);
    let late = give(&a, bundle.id, 0, first.grant, &bundle.fragments[0]).await;
    assert_eq!(code(late), "expired");
    assert_eq!(code(complete(&a, bundle.id, first.grant).await), "expired");
    complete(&b, bundle.id, second.grant).await.unwrap();
}

#[tokio::test]
async fn what_a_party_may_give_back_has_the_limit_of_its_deposits() {
    // One MiB: 1040 fragments of 1008 bytes.
    let mut network = Network::with("[limits]\nmax_cached_mib_per_party = 1").await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let mut bundles = Vec::new();
    for study in 0..34 {
        bundles.push(a.deposit(&Spec::new(format!("1.{study}").leak(), 32)).await);
        network.seal().await;
    }
    for bundle in &bundles[..32] {
        assert!(access(&b, bundle.id).await.give_back);
    }
    let grant = access(&b, bundles[0].id).await;
    assert!(grant.give_back, "it is counted once");
    assert!(!access(&b, bundles[32].id).await.give_back);
    assert!(access(&a, bundles[32].id).await.give_back, "another party");
    give_all(&b, &bundles[0], grant.grant).await;
    complete(&b, bundles[0].id, grant.grant).await.unwrap();
    assert!(access(&b, bundles[33].id).await.give_back, "room again");
}

#[tokio::test]
async fn only_the_grantee_gives_back_and_only_what_the_manifest_lists() {
    let mut network = Network::new().await;
    let (a, b, c) = (
        network.gateway("A").await,
        network.gateway("B").await,
        network.gateway("C").await,
    );
    let bundle = a.deposit(&Spec::new("1.1", 2)).await;
    let other = a.deposit(&Spec::new("1.2", 2)).await;
    network.seal().await;
    let grant = access(&b, bundle.id).await.grant;
    let good = &bundle.fragments[0];
    let refused = [
        give(&c, bundle.id, 0, grant, good).await,
        give(&b, bundle.id, 0, Nonce([7; 16]), good).await,
        give(&b, other.id, 0, grant, &other.fragments[0]).await,
        give(&b, bundle.id, 0, grant, &bundle.fragments[1]).await,
        give(&b, bundle.id, 1, grant, good).await,
        complete(&c, bundle.id, grant).await,
        complete(&b, other.id, grant).await,
    ];
    for outcome in refused {
        assert_eq!(code(outcome), "rejected");
    }
    let mut flipped = good.clone();
    flipped[500] ^= 1;
    assert_eq!(
        code(give(&b, bundle.id, 0, grant, &flipped).await),
        "rejected"
    );
    assert_eq!(
        code(give(&b, bundle.id, 0, grant, &good[1..]).await),
        "malformed"
    );
    assert_eq!(code(give(&b, bundle.id, 2, grant, good).await), "not_found");
    assert!(network.trust.cache.bundles().unwrap().is_empty());
    // Nor does a permit for the cache.
    let cached = c.deposit(&Spec::new("1.3", 1)).await;
    let grant = access(&b, cached.id).await.grant;
    assert_eq!(
        code(give(&b, cached.id, 0, grant, &cached.fragments[0]).await),
        "rejected"
    );
}

#[tokio::test]
async fn a_kill_between_fragments_and_completion_loses_nothing() {
    let mut network = Network::new().await;
    let (a, mut b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 6)).await;
    network.seal().await;
    let grant = access(&b, bundle.id).await.grant;
    give_all(&b, &bundle, grant).await;
    network.kill_and_restart().await;
    b.reconnect(&network);
    network.mix().await;
    crate::serve::tidy_once(&network.trust, &network.identity)
        .await
        .unwrap();
    complete(&b, bundle.id, grant).await.unwrap();
    network.kill_and_restart().await;
    b.reconnect(&network);
    complete(&b, bundle.id, grant).await.unwrap();
    let missing = network.trust.cache.missing(bundle.id, 6).await.unwrap();
    assert!(missing.is_empty());
    network.seal().await;
    let again = access(&b, bundle.id).await;
    let read = read(&network, &placements(&b, bundle.id, &again));
    assert_eq!(read, bundle.fragments);
}

#[tokio::test]
async fn what_is_not_completed_in_time_is_removed() {
    let mut network = Network::new().await;
    let a = network.gateway("A").await;
    let bundle = a.deposit(&Spec::new("1.1", 2)).await;
    network.seal().await;
    let grant = access(&a, bundle.id).await.grant;
    give(&a, bundle.id, 0, grant, &bundle.fragments[0])
        .await
        .unwrap();
    for (later, kept) in [(5, true), (2, false)] {
        network.clock.advance(later * HOUR);
        crate::serve::tidy_once(&network.trust, &network.identity)
            .await
            .unwrap();
        assert_eq!(
            network.trust.cache.bundles().unwrap().len(),
            usize::from(kept)
        );
    }
    assert_eq!(code(complete(&a, bundle.id, grant).await), "rejected");
    assert!(access(&a, bundle.id).await.give_back, "asked anew");
}

#[tokio::test]
async fn what_is_erased_on_its_way_back_is_gone() {
    let mut network = Network::new().await;
    let a = network.gateway("A").await;
    let [one, two] = [("1.1", 2), ("1.2", 3)].map(|(study, n)| Spec::new(study, n));
    let (one, two) = (a.deposit(&one).await, a.deposit(&two).await);
    network.seal().await;
    let grants = [
        access(&a, one.id).await.grant,
        access(&a, two.id).await.grant,
    ];
    give_all(&a, &one, grants[0]).await;
    give_all(&a, &two, grants[1]).await;
    complete(&a, two.id, grants[1]).await.unwrap();
    let operator = network.operator().await;
    for bundle in [&one, &two] {
        let erasure = operator.erase(bundle.id, "r", true).await.unwrap();
        assert!(erasure.in_cloud, "the old copy's bytes are there");
    }
    for (bundle, grant) in [(&one, grants[0]), (&two, grants[1])] {
        assert_eq!(code(complete(&a, bundle.id, grant).await), "not_found");
        let late = give(&a, bundle.id, 0, grant, &bundle.fragments[0]).await;
        assert_eq!(code(late), "not_found");
    }
    network.mix().await;
    assert!(network.trust.cache.bundles().unwrap().is_empty());
    let cells: i64 = sqlx::query_scalar("SELECT count(*) FROM cell")
        .fetch_one(network.trust.store.db.read())
        .await
        .unwrap();
    assert_eq!(cells, 0, "keys are left");
}

#[tokio::test]
async fn fragments_that_are_coming_back_outlive_the_clearing_of_the_cache() {
    // The generation leaves the cache while its bundle is being given back.
    let mut network = Network::with("[mixing]\ncache_grace_seconds = 120").await;
    let a = network.gateway("A").await;
    let bundle = a.deposit(&Spec::new("1.1", 2)).await;
    network.seal().await;
    let mut tx = network.trust.store.db.begin("test").await.unwrap();
    let number: i64 = sqlx::query_scalar("SELECT generation FROM bundle")
        .fetch_one(&mut *tx)
        .await
        .unwrap();
    // As after a crash between the two steps of clearing.
    crate::store::generations::no_longer_cached(&mut tx, number)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let grant = access(&a, bundle.id).await.grant;
    network.mix().await;
    assert!(
        !crate::replacement::remove_unwanted(&network.trust, bundle.id)
            .await
            .unwrap()
    );
    complete(&a, bundle.id, grant).await.unwrap();
    assert!(matches!(access(&a, bundle.id).await.source, Source::Cache));
    assert!(
        !crate::replacement::remove_unwanted(&network.trust, bundle.id)
            .await
            .unwrap()
    );
    let stored = network.trust.cache.get(bundle.id, 1).await.unwrap();
    assert_eq!(sha256(&stored), bundle.manifest.fragments[1]);
}

#[tokio::test]
async fn what_comes_back_is_not_counted_as_its_hospitals() {
    // One MiB: 1040 fragments of 1008 bytes. The bundle has 32.
    let mut network = Network::with("[limits]\nmax_cached_mib_per_party = 1").await;
    let a = network.gateway("A").await;
    let bundle = a.deposit(&Spec::new("1.1", 32)).await;
    network.seal().await;
    let held = |network: &Network| {
        let db = network.trust.store.db.clone();
        async move {
            let mut tx = db.begin("test").await.unwrap();
            crate::store::bundles::held(&mut tx, a.party).await.unwrap()
        }
    };
    assert_eq!(held(&network).await.fragments, 0);
    let grant = access(&a, bundle.id).await.grant;
    give_all(&a, &bundle, grant).await;
    complete(&a, bundle.id, grant).await.unwrap();
    assert_eq!(held(&network).await.fragments, 0);
}

#[tokio::test]
async fn a_closed_stack_without_bundles_is_retired() {
    let mut network = Network::with("[ring]\nmax_generations_per_stack = 1").await;
    let mut a = network.gateway("A").await;
    let bundles = [
        a.deposit(&Spec::new("1.1", 2)).await,
        a.deposit(&Spec::new("1.2", 3)).await,
    ];
    let first = network.seal().await;
    a.deposit(&Spec::new("1.3", 2)).await;
    let second = network.seal().await;
    let grants = [
        access(&a, bundles[0].id).await.grant,
        access(&a, bundles[1].id).await.grant,
    ];
    give_all(&a, &bundles[0], grants[0]).await;
    complete(&a, bundles[0].id, grants[0]).await.unwrap();
    network.clock.advance(25 * HOUR);
    network.mix().await;
    a.reconnect(&network);
    // One bundle is there still, and what was given back has a stack of its own by now.
    assert_eq!(a.stacks().await.len(), 3);
    network.clock.advance(25 * HOUR);
    network.mix().await;
    a.reconnect(&network);
    assert_eq!(a.stacks().await.len(), 3);

    let operator = network.operator().await;
    operator.erase(bundles[1].id, "r", true).await.unwrap();
    operator.close().await;
    network.mix().await;
    network.clock.advance(24 * HOUR);
    network.mix().await;
    a.reconnect(&network);
    assert_eq!(a.stacks().await.len(), 3, "somebody may be reading");
    network
        .cloud
        .down
        .store(true, std::sync::atomic::Ordering::SeqCst);
    network.clock.advance(48 * HOUR);
    network.mix().await;
    a.reconnect(&network);
    let left = a.stacks().await;
    assert_eq!(left.len(), 2);
    assert_eq!(left[0].generations[0].generation, second);
    assert!(!network.cloud.stored(first).slots.is_empty());

    // The cloud deletes it when it can, also if trust was killed meanwhile.
    network.kill_and_restart().await;
    network
        .cloud
        .down
        .store(false, std::sync::atomic::Ordering::SeqCst);
    network.mix().await;
    assert!(network.cloud.stored(first).slots.is_empty());
    assert!(!network.cloud.stored(second).slots.is_empty());
    let events = network.events_named("retired").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0]["generation"], first.to_string());
    let asked = network
        .cloud
        .asked
        .load(std::sync::atomic::Ordering::SeqCst);
    network.mix().await;
    assert_eq!(
        network
            .cloud
            .asked
            .load(std::sync::atomic::Ordering::SeqCst),
        asked
    );

    a.reconnect(&network);
    let read = access(&a, bundles[0].id).await;
    assert!(matches!(read.source, Source::Stack { .. }));
}
