use std::sync::atomic::Ordering;

use harpo_protocol::access::Purpose;

use super::*;
use crate::testing::World;

/// Tickets must not age while other retrievals go first.
#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_asked_for_when_its_turn_at_the_cloud_has_come() {
    let world = World::new().await;
    let (party, trust) = world.gateway().await;
    let store = Store::open(&world.data().join("gateway.db")).await.unwrap();
    let hints = Arc::new(Hints::open(world.data().join("hints")).unwrap());
    let settings = Settings {
        cache: world.data().join("cache"),
        cache_max: 1 << 20,
        decision_lasts: Duration::from_secs(60),
        failure_holdoff: Duration::from_secs(60),
        retrievals_at_once: 1,
        bounds: crate::testing::BOUNDS,
    };
    let shutdown = Shutdown::new();
    let consult = Consult::new(party, trust, store, hints, settings, shutdown)
        .await
        .unwrap();
    let requester = Requester {
        user: "anna".into(),
        role: "physician".into(),
        purpose: Purpose::Treat,
    };
    let asked = || world.desk.releases.load(Ordering::Relaxed);
    let other = consult.0.retrievals.acquire().await.unwrap();
    let at_once = CancellationToken::new();
    let bundle = BundleId([1; 16]);
    let fetch = consult
        .0
        .fetch(&requester, bundle, Urgency::Reader, &at_once);
    let mut fetch = std::pin::pin!(fetch);
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut fetch).await;
    assert!(waited.is_err());
    assert_eq!(asked(), 0);
    drop(other);
    let refused = fetch.await.unwrap_err();
    assert!(matches!(refused, ConsultError::Trust(_)), "{refused}");
    assert_eq!(asked(), 1);
    // And the turn is over.
    assert_eq!(consult.0.retrievals.available_permits(), 1);
}
