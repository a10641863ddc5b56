//! The service is killed at random moments, within requests and within steps of the mixer; whatever it has
//! acknowledged is there afterwards.

use std::time::Duration;

use harpo_protocol::domain::sha256;
use harpo_protocol::id::Nonce;
use harpo_protocol::release::{Access, Secrets, Source};
use harpo_protocol::sign::Signed;
use harpo_service::random;
use rand_core::Rng as _;

use super::network::*;

const KILLS: usize = 40;

fn moment() -> Duration {
    Duration::from_micros(u64::from(random::system().next_u32() % 12_000))
}

/// All steps of a deposit, from the first: what was stored before is not sent again.
async fn try_deposit(
    gateway: &Gateway,
    bundle: &Sealed,
) -> Result<Signed<harpo_protocol::deposit::Receipt>, harpo_service::http::ClientError> {
    for index in gateway.begin(bundle).await?.missing {
        gateway
            .put(bundle.id, index, &bundle.fragments[index as usize])
            .await?;
    }
    gateway.complete(bundle.id).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_deposits_survive_kills_at_random_moments() {
    let studies: Vec<&'static str> = (0..12)
        .map(|i| &*Box::leak(format!("1.{i}").into_boxed_str()))
        .collect();
    let mut network = Network::new().await;
    let mut a = network.gateway("A").await;
    let bundles: Vec<Sealed> = studies.iter().map(|s| a.seal(&Spec::new(s, 3))).collect();
    let mut receipts = Vec::new();
    let (mut kills, mut next) = (0, 0);
    while next < bundles.len() {
        let kill_after = (kills < KILLS).then(moment);
        let depositing = async {
            loop {
                let receipt = try_deposit(&a, &bundles[next]).await?;
                receipts.push(receipt);
                next += 1;
                if next == bundles.len() {
                    return Ok::<_, harpo_service::http::ClientError>(());
                }
            }
        };
        match kill_after {
            Some(after) => {
                let _ = tokio::time::timeout(after, depositing).await;
                network.kill_and_restart().await;
                a.reconnect(&network);
                kills += 1;
            }
            None => depositing.await.unwrap(),
        }
    }
    assert!(kills > 0);
    for (bundle, receipt) in bundles.iter().zip(&receipts) {
        let again = a.complete(bundle.id).await.unwrap();
        assert_eq!(again.to_json(), receipt.to_json());
        let receipt = receipt.verify(&a.trust_key).unwrap();
        let operator = network.operator().await;
        operator.verify_audit(Some(receipt.audit)).await.unwrap();
        operator.close().await;
        for (index, digest) in bundle.manifest.fragments.iter().enumerate() {
            let stored = network.trust.cache.get(bundle.id, index as u32).await;
            assert_eq!(sha256(&stored.unwrap()), *digest);
        }
    }
    assert_eq!(network.events_named("deposited").await.len(), bundles.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealing_survives_kills_at_random_moments() {
    let mut network = Network::with("[mixing]\nslot_interval_milliseconds = 1").await;
    let mut a = network.gateway("A").await;
    let bundle = a.deposit(&Spec::new("1.1", 13)).await;
    let operator = network.operator().await;
    let generation = operator.seal().await.unwrap();
    operator.close().await;
    for _ in 0..KILLS {
        // The future is dropped in the middle of what it does.
        let _ = tokio::time::timeout(moment(), network.mixer.step()).await;
        network.kill_and_restart().await;
        network.clock.advance(HOUR / 60);
    }
    network.mix().await;
    a.reconnect(&network);
    assert_eq!(network.events_named("sealed").await.len(), 1);
    assert_eq!(network.events_named("seal-mismatch").await.len(), 0);

    let release = a.release(bundle.id, &treating(), false).await.unwrap();
    let access = release.access.unwrap();
    assert!(matches!(access.source, Source::Stack { .. }));
    assert!(!network.cloud.stored(generation).slots.is_empty());
    for (index, digest) in bundle.manifest.fragments.iter().enumerate() {
        let opened = from_cloud(&network, &a, &bundle, &access, index);
        assert_eq!(sha256(&opened), *digest);
    }
    network.operator().await.verify_audit(None).await.unwrap();
}

/// Gives a bundle back under a grant, from the first fragment.
async fn try_give_back(
    gateway: &Gateway,
    bundle: &Sealed,
    grant: Nonce,
) -> Result<(), harpo_service::http::ClientError> {
    let path = format!("/v1/replacements/{}", bundle.id);
    for (index, bytes) in bundle.fragments.iter().enumerate() {
        let path = format!("{path}/fragments/{index}?grant={grant}");
        gateway
            .client
            .put(&path)
            .bytes(bytes.clone())
            .send()
            .await?;
    }
    let path = format!("{path}?grant={grant}");
    gateway.client.post(&path).send().await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_placed_anew_is_readable_after_every_kill() {
    let mut network = Network::with("[mixing]\nslot_interval_milliseconds = 1").await;
    let mut a = network.gateway("A").await;
    let bundle = a.deposit(&Spec::new("1.1", 9)).await;
    network.seal().await;
    let mut placed_anew = 0;
    for kill in 0..KILLS {
        let access = a.release(bundle.id, &treating(), false).await;
        let access = access.unwrap().access.unwrap();
        // Whatever was killed in the middle of what: every fragment is where the release says.
        for (index, digest) in bundle.manifest.fragments.iter().enumerate() {
            let read = match &access.source {
                Source::Cache => network
                    .trust
                    .cache
                    .get(bundle.id, index as u32)
                    .await
                    .unwrap(),
                Source::Stack { .. } => from_cloud(&network, &a, &bundle, &access, index).into(),
            };
            assert_eq!(sha256(&read), *digest, "fragment {index} after kill {kill}");
        }
        if matches!(access.source, Source::Cache) {
            // Seals what holds it, now and then within a kill.
            let operator = network.operator().await;
            let _ = operator.seal().await;
            operator.close().await;
            if kill % 8 == 4 {
                network.mix().await;
            } else {
                let _ = tokio::time::timeout(4 * moment(), network.mixer.step()).await;
            }
        } else {
            let giving = try_give_back(&a, &bundle, access.grant);
            // Now and then it comes to its end, however slow the machine is.
            let most = if kill % 8 == 0 { HOUR } else { 4 * moment() };
            let given = tokio::time::timeout(most, giving).await;
            placed_anew += usize::from(matches!(given, Ok(Ok(()))));
        }
        network.kill_and_restart().await;
        // Grants that were cut off expire.
        network.clock.advance(7 * HOUR);
        let tidied = crate::serve::tidy_once(&network.trust, &network.identity);
        let _ = tokio::time::timeout(moment(), tidied).await;
        a.reconnect(&network);
    }
    assert!(placed_anew > 0, "nothing came back");
    assert!(network.events_named("replaced").await.len() >= placed_anew);
    network.operator().await.verify_audit(None).await.unwrap();
}

/// A fragment at the place that a release names.
fn from_cloud(
    network: &Network,
    gateway: &Gateway,
    bundle: &Sealed,
    access: &Access,
    index: usize,
) -> Vec<u8> {
    let secrets = Secrets::unwrap(&access.secrets, bundle.id, access.grant, &gateway.opening);
    let placement = &secrets.unwrap().placements[index];
    let stored = network.cloud.stored(placement.at.generation);
    let from = usize::from(placement.at.cell) * SMALL.cell_bytes as usize;
    let cell = &stored.slots[&placement.at.slot][from..][..SMALL.cell_bytes as usize];
    harpo_protocol::cell::open_cell(&placement.key, placement.at, cell).unwrap()
}
