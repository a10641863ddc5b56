//! Strangers and single hospitals that take more than is theirs.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use harpo_protocol::identity::{EnrolCode, Role};
use harpo_protocol::time::Timestamp;
use harpo_service::http::{Client, ClientError};
use harpo_service::random;
use harpo_service::tls::{Expect, Fingerprint, pinned_client_config};

use super::network::*;
use crate::store::parties;
use crate::{deposit, refusals, serve};

const MINUTES: Duration = Duration::from_secs(60);

fn stranger(network: &Network) -> Client {
    let authority = network.folder().authority().unwrap();
    let guess = EnrolCode::generate(authority.root().der(), &mut random::system());
    let authority = Fingerprint::from_bytes(guess.authority.0);
    let tls = pinned_client_config(authority, &network.clock, Expect::role(Role::Trust)).unwrap();
    Client::new(&network.url(), tls).unwrap()
}

const WITH_BODIES: [(&str, &str); 7] = [
    ("POST", "/v1/deposits"),
    (
        "PUT",
        "/v1/deposits/00000000000000000000000000000000/fragments/0",
    ),
    ("POST", "/v1/renew"),
    ("POST", "/v1/passes"),
    ("POST", "/v1/search"),
    ("POST", "/v1/locate"),
    ("POST", "/v1/releases"),
];

/// Bytes that begin and never end.
fn endless() -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> + Send + 'static {
    stream::iter([Ok(Bytes::from_static(b"{"))]).chain(stream::pending())
}

async fn answer_to_endless(client: &Client, method: &str, path: &str) -> String {
    let request = client
        .request(method.parse().unwrap(), path)
        .stream(endless());
    let answer = tokio::time::timeout(Duration::from_secs(10), request.send()).await;
    code(answer.unwrap_or_else(|_| panic!("{path} waits for the body of somebody it refuses")))
}

#[tokio::test]
async fn nobody_is_listened_to_before_it_is_known_who_it_is() {
    let network = Network::new().await;
    let (stranger, gateway) = (stranger(&network), network.gateway("A").await);
    for (method, path) in WITH_BODIES {
        assert_eq!(answer_to_endless(&stranger, method, path).await, "rejected");
    }
    let operator = network.operator().await;
    operator.revoke(gateway.party).await.unwrap();
    for (method, path) in WITH_BODIES {
        let answer = answer_to_endless(&gateway.client, method, path).await;
        assert_eq!(answer, "rejected", "{path}, revoked");
    }
}

#[tokio::test]
async fn a_stranger_can_send_little() {
    let network = Network::new().await;
    let stranger = stranger(&network);
    let enrol = stranger.post("/v1/enrol").bytes(vec![b' '; 17 << 10]);
    assert_eq!(code(enrol.send().await), "too_large");
    let chunks =
        stream::iter((0..40).map(|_| Ok::<_, std::io::Error>(Bytes::from(vec![b' '; 999]))));
    let enrol = stranger.post("/v1/enrol").stream(chunks);
    assert_eq!(code(enrol.send().await), "too_large");
}

#[tokio::test]
async fn a_revocation_holds_for_what_is_still_being_sent() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    let bundle = a.seal(&Spec::new("1.1", 1));
    let body = serde_json::to_vec(&bundle.request).unwrap();
    let (half, rest) = (body[..100].to_vec(), body[100..].to_vec());
    let (revoked, wait) = tokio::sync::oneshot::channel::<()>();
    let parts = stream::iter([Ok::<_, std::io::Error>(Bytes::from(half))]).chain(stream::once(
        async move {
            wait.await.unwrap();
            Ok(Bytes::from(rest))
        },
    ));
    let request = a.client.post("/v1/deposits").stream(parts);
    let sending = tokio::spawn(async move { request.send().await.map(drop) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    network.operator().await.revoke(a.party).await.unwrap();
    revoked.send(()).unwrap();
    assert_eq!(code(sending.await.unwrap()), "rejected");
    let known: i64 = sqlx::query_scalar("SELECT count(*) FROM bundle")
        .fetch_one(network.trust.store.db.read())
        .await
        .unwrap();
    assert_eq!(known, 0);
}

#[tokio::test]
async fn a_hospital_has_few_manifests_in_memory() {
    let network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.seal(&Spec::new("1.1", 1));
    let held: Vec<_> = (0..4)
        .map(|_| {
            let request = a.client.post("/v1/deposits").stream(endless());
            tokio::spawn(async move { request.send().await.map(drop) })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let refused = a.begin(&bundle).await.unwrap_err();
    assert_eq!(refused.code(), Some("busy"));
    assert!(refused.is_transient(), "{refused}");
    b.deposit(&Spec::new("1.2", 1)).await;
    for request in held {
        request.abort();
    }
    let mut tries = 0;
    while a.begin(&bundle).await.is_err() {
        tries += 1;
        assert!(tries < 100, "places are not given back");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn total(events: &[serde_json::Value]) -> u64 {
    events
        .iter()
        .map(|event| event["count"].as_u64().unwrap())
        .sum()
}

#[tokio::test]
async fn strangers_do_not_fill_the_audit_log() {
    let network = Network::new().await;
    let stranger = stranger(&network);
    let before = network.events().await.len();
    let name = "x".repeat(15_000);
    for n in 0..25 {
        let body = format!("{{\"{name}{n}\":1}}");
        let refused = stranger.post("/v1/enrol").bytes(body).send().await;
        let Err(ClientError::Refused { code, message, .. }) = refused else {
            panic!("{refused:?}");
        };
        assert_eq!(code, "malformed");
        assert!(message.len() <= 200);
    }
    assert_eq!(network.events().await.len(), before + 1);
    refusals::write_due(&network.trust, false).await.unwrap();
    assert_eq!(
        network.events().await.len(),
        before + 1,
        "within the minute"
    );
    network.clock.advance(MINUTES);
    refusals::write_due(&network.trust, false).await.unwrap();
    let refused = network.events_named("enrolment-refused").await;
    assert_eq!((refused.len(), total(&refused)), (2, 25));
    let text = serde_json::to_string(&refused).unwrap();
    assert!(text.len() < 1000, "{text}");
    network.operator().await.verify_audit(None).await.unwrap();
}

#[tokio::test]
async fn a_hospital_does_not_fill_the_audit_log() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    let tag = "y".repeat(50_000);
    for _ in 0..50 {
        let body = format!("{{\"{tag}\":1}}");
        let refused = a.client.post("/v1/deposits").bytes(body).send().await;
        assert_eq!(code(refused), "malformed");
    }
    // A long text that is valid JSON of the right shape.
    let mut manifest = a.manifest(&Spec::new("1.1", 1));
    let attribute = serde_json::json!({"vr": "LO"});
    manifest.study.attributes.insert(tag, attribute);
    let long = a.seal_manifest(manifest, 1);
    let refused = a.begin(&long).await.unwrap_err();
    assert!(refused.to_string().len() < 300, "{refused}");
    refusals::write_due(&network.trust, true).await.unwrap();
    let refused = network.events_named("deposit-refused").await;
    assert_eq!((refused.len(), total(&refused)), (21, 51));
    assert!(serde_json::to_string(&refused).unwrap().len() < 21 * 500);
}

#[tokio::test]
async fn manifests_of_wrong_clocks_are_refused_by_name() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    let now = network.clock.now();
    for (created, accepted) in [
        (now + MINUTES * 11, false),
        (now + MINUTES * 9, true),
        (now, true),
        (now - MINUTES * 9, true),
        (now - MINUTES * 11, false),
        (Timestamp(0), false),
        (Timestamp(u64::MAX), false),
    ] {
        let mut manifest = a.manifest(&Spec::new("1.1", 1));
        manifest.created = created;
        let outcome = a.begin(&a.seal_manifest(manifest, 1)).await;
        if accepted {
            outcome.unwrap();
            continue;
        }
        let refused = outcome.unwrap_err();
        assert_eq!(refused.code(), Some("wrong_clock"), "{created}");
        assert!(refused.to_string().contains("clock"), "{refused}");
    }
    // Enrolment lies long back: old manifests wait in the spool for a while.
    network.clock.advance(HOUR * 24 * 20);
    a.begin(&a.seal(&Spec::new("1.1", 1))).await.unwrap();
}

#[tokio::test]
async fn a_hospital_has_so_many_open_deposits() {
    let network = Network::with("[limits]\nmax_open_deposits_per_party = 2").await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundles: Vec<_> = (0..3).map(|_| a.seal(&Spec::new("1.1", 1))).collect();
    a.begin(&bundles[0]).await.unwrap();
    a.begin(&bundles[1]).await.unwrap();
    let refused = a.begin(&bundles[2]).await.unwrap_err();
    assert_eq!(refused.code(), Some("busy"));
    assert!(
        refused.to_string().contains("max_open_deposits_per_party") && refused.is_transient(),
        "{refused}"
    );
    // Repeats and other hospitals are not concerned.
    a.begin(&bundles[0]).await.unwrap();
    b.deposit(&Spec::new("1.2", 1)).await;
    a.put(bundles[0].id, 0, &bundles[0].fragments[0])
        .await
        .unwrap();
    a.complete(bundles[0].id).await.unwrap();
    a.begin(&bundles[2]).await.unwrap();
    assert_eq!(network.events_named("deposit-refused").await.len(), 0);
}

#[tokio::test]
async fn a_hospital_has_so_much_in_the_cache() {
    let mut network = Network::with("[limits]\nmax_cached_mib_per_party = 1").await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    // 1008 bytes each: 1040 fragments fit.
    for _ in 0..32 {
        a.begin(&a.seal(&Spec::new("1.1", 31))).await.unwrap();
    }
    let waiting = a.deposit(&Spec::new("1.1", 31)).await;
    let refused = a.begin(&a.seal(&Spec::new("1.1", 31))).await.unwrap_err();
    assert_eq!(refused.code(), Some("storage_full"));
    assert!(
        refused.to_string().contains("max_cached_mib_per_party") && refused.is_transient(),
        "{refused}"
    );
    b.deposit(&Spec::new("1.2", 1)).await;
    // What is in the cloud and nowhere else counts no more.
    network.seal().await;
    network.clock.advance(HOUR);
    network.mix().await;
    assert_eq!(
        network
            .trust
            .cache
            .missing(waiting.id, 31)
            .await
            .unwrap()
            .len(),
        31
    );
    a.begin(&a.seal(&Spec::new("1.1", 31))).await.unwrap();
}

/// Fragments arrive while their deposit is removed as abandoned: nothing may be left that no deposit wants, and
/// nothing that was acknowledged for a deposit that still stands may be missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn fragments_that_race_with_a_removal_leave_nothing() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    let party = parties::find(network.trust.store.db.read(), a.party).await;
    let party = party.unwrap().unwrap();
    let (mut stored, mut refused) = (0, 0);
    for round in 0..40u64 {
        let bundle = a.seal(&Spec::new("1.1", 4));
        deposit::begin(&network.trust, &party, &bundle.request)
            .await
            .unwrap();
        let puts: Vec<_> = (0..4u32)
            .map(|index| {
                let (trust, party) = (network.trust.clone(), party.clone());
                let bytes = Bytes::from(bundle.fragments[index as usize].clone());
                let id = bundle.id;
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_micros(u64::from(index) * 900)).await;
                    deposit::put_fragment(&trust, &party, id, index, bytes).await
                })
            })
            .collect();
        tokio::time::sleep(Duration::from_micros(round * 100)).await;
        serve::abandon(&network.trust, bundle.id).await.unwrap();
        for put in puts {
            match put.await.unwrap() {
                Ok(()) => stored += 1,
                Err(_) => refused += 1,
            }
        }
        assert_eq!(network.trust.cache.bundles().unwrap(), [], "round {round}");
    }
    assert!(
        stored > 0 && refused > 0,
        "no race: {stored} stored, {refused} refused"
    );
}

#[tokio::test]
async fn a_remover_waits_for_whoever_stores() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    let bundle = a.seal(&Spec::new("1.1", 1));
    a.begin(&bundle).await.unwrap();
    let storing = network.trust.cache.storing(bundle.id).await;
    let trust = network.trust.clone();
    let removing = tokio::spawn(async move { serve::abandon(&trust, bundle.id).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(!removing.is_finished());
    let fragment = Bytes::from(bundle.fragments[0].clone());
    // The request that stores is dropped, as when its connection breaks.
    drop(tokio::time::timeout(Duration::ZERO, storing.put(0, fragment)).await);
    removing.await.unwrap().unwrap();
    assert_eq!(network.trust.cache.bundles().unwrap(), []);
}

#[tokio::test]
async fn leftovers_are_found_while_the_service_runs() {
    let mut network = Network::new().await;
    let a = network.gateway("A").await;
    let in_cloud = a.deposit(&Spec::new("1.1", 1)).await;
    network.seal().await;
    network.clock.advance(HOUR);
    network.mix().await;
    let waiting = a.deposit(&Spec::new("1.2", 1)).await;
    let open = a.seal(&Spec::new("1.3", 1));
    a.begin(&open).await.unwrap();
    a.put(open.id, 0, &open.fragments[0]).await.unwrap();
    let unknown = a.seal(&Spec::new("1.4", 1));
    for bundle in [&in_cloud, &unknown] {
        let fragment = Bytes::from(bundle.fragments[0].clone());
        let storing = network.trust.cache.storing(bundle.id).await;
        storing.put(0, fragment).await.unwrap();
    }
    serve::tidy_once(&network.trust, &network.identity)
        .await
        .unwrap();
    let mut kept = network.trust.cache.bundles().unwrap();
    kept.sort();
    let mut wanted = vec![waiting.id, open.id];
    wanted.sort();
    assert_eq!(kept, wanted);
}
