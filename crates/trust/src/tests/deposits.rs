use harpo_protocol::deposit::DepositStatus;
use harpo_protocol::domain::sha256;
use harpo_protocol::id::{BundleId, Digest, PartyId};
use harpo_protocol::manifest::Manifest;
use serde_json::json;

use super::network::*;
use crate::store::generations::State;

#[tokio::test]
async fn every_step_can_be_repeated() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    let bundle = a.seal(&Spec::new("1.1", 3));
    for _ in 0..2 {
        assert_eq!(a.begin(&bundle).await.unwrap().missing, [0, 1, 2]);
    }
    a.put(bundle.id, 1, &bundle.fragments[1]).await.unwrap();
    a.put(bundle.id, 1, &bundle.fragments[1]).await.unwrap();
    assert_eq!(a.begin(&bundle).await.unwrap().missing, [0, 2]);
    assert_eq!(code(a.complete(bundle.id).await), "incomplete");
    a.put(bundle.id, 0, &bundle.fragments[0]).await.unwrap();
    a.put(bundle.id, 2, &bundle.fragments[2]).await.unwrap();
    let first = a.complete(bundle.id).await.unwrap();
    let again = a.complete(bundle.id).await.unwrap();
    assert_eq!(first.to_json(), again.to_json());
    let receipt = first.verify(&a.trust_key).unwrap();
    assert_eq!(receipt.manifest, bundle.request.manifest.digest());
    assert_eq!(receipt.depositor, a.party);
    assert_eq!(
        a.begin(&bundle).await.unwrap(),
        DepositStatus { missing: vec![] }
    );
    a.put(bundle.id, 2, &bundle.fragments[2]).await.unwrap();
    assert_eq!(network.events_named("deposited").await.len(), 1);
    // The receipt names the entry that records it.
    let operator = network.operator().await;
    operator.verify_audit(Some(receipt.audit)).await.unwrap();
}

#[tokio::test]
async fn the_same_bundle_with_other_content_is_a_conflict() {
    let network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 1)).await;
    let mut other = a.manifest(&Spec::new("1.2", 1));
    other.bundle = bundle.id;
    let other = a.seal_manifest(other, 1);
    assert_eq!(code(a.begin(&other).await), "conflict");
    // Another hospital under the same identifier, and into the other's deposit.
    let mut theirs = b.manifest(&Spec::new("1.3", 1));
    theirs.bundle = bundle.id;
    let theirs = b.seal_manifest(theirs, 1);
    assert_eq!(code(b.begin(&theirs).await), "conflict");
    assert_eq!(
        code(b.put(bundle.id, 0, &bundle.fragments[0]).await),
        "not_found"
    );
    assert_eq!(code(b.complete(bundle.id).await), "not_found");
}

#[tokio::test]
async fn operation_errors_are_refused() {
    let network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    a.deposit(&Spec::new("1.1", 1)).await;

    let mut changed = Spec::new("1.1", 1);
    changed.series[0].1[0].1 = 99;
    let outcome = a.begin(&a.seal(&changed)).await;
    let message = format!("{outcome:?}");
    assert_eq!(code(outcome), "conflict");
    assert!(message.contains("1.1.1.1"), "{message}");

    let mut other_patient = Spec::new("1.1", 1);
    other_patient.patient = "P2";
    assert_eq!(code(a.begin(&a.seal(&other_patient)).await), "conflict");
    // Identifiers of patients are each hospital's own.
    b.deposit(&other_patient).await;
    // The same content again is no contradiction.
    a.deposit(&Spec::new("1.1", 1)).await;
    assert_eq!(network.events_named("deposit-refused").await.len(), 2);
}

/// A refusal would tell what another hospital has, and let whoever comes first keep the others out.
#[tokio::test]
async fn another_hospitals_instances_are_no_obstacle_and_are_noted() {
    let network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    // B knows the UIDs and comes first.
    let mut squatting = Spec::new("1.1", 1);
    squatting.series[0].1[0].1 = 99;
    let squatting = b.deposit(&squatting).await;
    assert_eq!(network.events_named("contradiction").await.len(), 0);
    let real = a.deposit(&Spec::new("1.1", 1)).await;
    let noted = network.events_named("contradiction").await;
    assert_eq!(noted.len(), 1);
    assert_eq!(noted[0]["bundle"], real.id.to_string());
    assert_eq!(noted[0]["other"], squatting.id.to_string());
    assert_eq!(noted[0]["what"], "SOP instance 1.1.1.1");
    // The same study for another patient.
    let mut other_patient = Spec::new("1.1", 1);
    other_patient.patient = "P2";
    let third = network.gateway("C").await;
    third.deposit(&other_patient).await;
    let noted = network.events_named("contradiction").await;
    assert_eq!(noted.len(), 2);
    assert_eq!(noted[1]["other"], squatting.id.to_string());
    assert_eq!(network.events_named("deposit-refused").await.len(), 0);
}

#[tokio::test]
async fn contradictions_between_open_deposits_are_found_at_completion() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    let mut changed = Spec::new("1.1", 1);
    changed.series[0].1[0].1 = 99;
    let (first, second) = (a.seal(&Spec::new("1.1", 1)), a.seal(&changed));
    for bundle in [&first, &second] {
        a.begin(bundle).await.unwrap();
        a.put(bundle.id, 0, &bundle.fragments[0]).await.unwrap();
    }
    a.complete(first.id).await.unwrap();
    assert_eq!(code(a.complete(second.id).await), "conflict");
}

#[tokio::test]
async fn hostile_manifests_are_refused() {
    let network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    type Spoil = Box<dyn Fn(&mut Manifest)>;
    let cases: Vec<(&str, &str, Spoil)> = vec![
        (
            "other origin",
            "rejected",
            Box::new(move |m| m.origin = PartyId([9; 16])),
        ),
        (
            "no instances",
            "malformed",
            Box::new(|m| m.study.series.clear()),
        ),
        (
            "path as a UID",
            "malformed",
            Box::new(|m| m.study.study_instance_uid = "../../x".into()),
        ),
        (
            "control characters",
            "malformed",
            Box::new(|m| m.study.patient_id = "a\u{0}b".into()),
        ),
        (
            "endless creator",
            "malformed",
            Box::new(|m| m.creator = "x".repeat(300)),
        ),
        (
            "attribute that is none",
            "malformed",
            Box::new(|m| {
                m.study
                    .attributes
                    .insert("<script>".into(), json!({"vr": "LO"}));
            }),
        ),
        (
            "attribute without VR",
            "malformed",
            Box::new(|m| {
                m.study.series[0].instances[0]
                    .attributes
                    .insert("00200013".into(), json!([1, 2, 3]));
            }),
        ),
    ];
    for (name, expected, spoil) in cases {
        let mut manifest = a.manifest(&Spec::new("1.1", 1));
        spoil(&mut manifest);
        let bundle = a.seal_manifest(manifest, 1);
        assert_eq!(code(a.begin(&bundle).await), expected, "{name}");
    }

    // Too many fragments for a generation.
    let mut manifest = a.manifest(&Spec::new("1.1", 1));
    manifest.fragments = vec![Digest([0; 32]); 33];
    let mut bundle = a.seal(&Spec::new("1.1", 1));
    bundle.request.manifest = a.signing.sign(&manifest);
    assert_eq!(code(a.begin(&bundle).await), "too_large");

    // Signed by another hospital; a key for another bundle.
    let theirs = b.seal(&Spec::new("1.2", 1));
    assert_eq!(code(a.begin(&theirs).await), "rejected");
    let mut mixed = a.seal(&Spec::new("1.1", 1));
    mixed.request.content_key = a.seal(&Spec::new("1.1", 1)).request.content_key;
    assert_eq!(code(a.begin(&mixed).await), "rejected");
    let garbage = a.client.post("/v1/deposits").bytes("{\"manifest\":1}");
    assert_eq!(code(garbage.send().await), "malformed");
    assert_eq!(network.events_named("deposit-refused").await.len(), 11);
    assert_eq!(network.states().await, []);
}

#[tokio::test]
async fn hostile_fragments_are_refused() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    let bundle = a.seal(&Spec::new("1.1", 2));
    a.begin(&bundle).await.unwrap();
    let mut flipped = bundle.fragments[0].clone();
    flipped[5] ^= 1;
    assert_eq!(code(a.put(bundle.id, 0, &flipped).await), "rejected");
    assert_eq!(
        code(a.put(bundle.id, 0, &bundle.fragments[1]).await),
        "rejected"
    );
    assert_eq!(code(a.put(bundle.id, 0, &flipped[1..]).await), "malformed");
    assert_eq!(code(a.put(bundle.id, 0, &[0; 4096]).await), "too_large");
    assert_eq!(
        code(a.put(bundle.id, 2, &bundle.fragments[0]).await),
        "not_found"
    );
    let nowhere = BundleId([0; 16]);
    assert_eq!(
        code(a.put(nowhere, 0, &bundle.fragments[0]).await),
        "not_found"
    );
    assert_eq!(a.begin(&bundle).await.unwrap().missing, [0, 1]);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill_after_every_step() {
    let mut network = Network::new().await;
    let mut a = network.gateway("A").await;
    let bundle = a.seal(&Spec::new("1.1", 2));

    a.begin(&bundle).await.unwrap();
    network.kill_and_restart().await;
    a.reconnect(&network);
    a.put(bundle.id, 0, &bundle.fragments[0]).await.unwrap();
    network.kill_and_restart().await;
    a.reconnect(&network);
    assert_eq!(a.begin(&bundle).await.unwrap().missing, [1]);
    a.put(bundle.id, 1, &bundle.fragments[1]).await.unwrap();
    network.kill_and_restart().await;
    a.reconnect(&network);
    let receipt = a.complete(bundle.id).await.unwrap();
    network.kill_and_restart().await;
    a.reconnect(&network);
    assert_eq!(
        a.complete(bundle.id).await.unwrap().to_json(),
        receipt.to_json()
    );

    let stored = network.trust.cache.get(bundle.id, 1).await.unwrap();
    assert_eq!(sha256(&stored), bundle.manifest.fragments[1]);
    assert_eq!(
        a.search(&treating(), harpo_protocol::search::Level::Study, &[])
            .await
            .rows
            .len(),
        1
    );
    network.operator().await.verify_audit(None).await.unwrap();
}

#[tokio::test]
async fn a_bundle_that_does_not_fit_closes_the_generation() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    a.deposit(&Spec::new("1.1", 6)).await;
    assert_eq!(network.states().await, [State::Open]);
    // The whole of a generation: 8 slots of 4 cells.
    a.deposit(&Spec::new("1.2", 32)).await;
    assert_eq!(network.states().await, [State::Sealing, State::Open]);
}

#[tokio::test]
async fn abandoned_deposits_are_removed_and_may_begin_again() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    let bundle = a.seal(&Spec::new("1.1", 2));
    a.begin(&bundle).await.unwrap();
    a.put(bundle.id, 0, &bundle.fragments[0]).await.unwrap();
    let kept = a.deposit(&Spec::new("1.2", 1)).await;
    network.clock.advance(169 * HOUR);
    crate::serve::tidy_once(&network.trust, &network.identity)
        .await
        .unwrap();
    assert_eq!(network.trust.cache.bundles().unwrap(), [kept.id]);
    assert_eq!(code(a.complete(bundle.id).await), "not_found");
    assert_eq!(a.begin(&bundle).await.unwrap().missing, [0, 1]);
    assert_eq!(network.events_named("deposit-expired").await.len(), 1);
}
