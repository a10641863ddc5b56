use std::collections::BTreeSet;

use harpo_protocol::access::{Obligation, Purpose, Requester};
use harpo_protocol::cell::open_cell;
use harpo_protocol::domain::sha256;
use harpo_protocol::fragment;
use harpo_protocol::id::{BundleId, GenerationId, Nonce};
use harpo_protocol::release::{Access, Notice, Release, Secrets, Source};
use harpo_protocol::search::{LocateRequest, LocateResponse};
use harpo_protocol::stack::StackDescriptor;
use harpo_service::http::ClientError;

use super::network::*;
use crate::policy::Consent;

fn secrets(gateway: &Gateway, release: &Release) -> Secrets {
    let access = release.access.as_ref().unwrap();
    Secrets::unwrap(
        &access.secrets,
        release.bundle,
        access.grant,
        &gateway.opening,
    )
    .unwrap()
}

async fn cached(
    gateway: &Gateway,
    bundle: BundleId,
    index: u32,
    grant: Nonce,
) -> Result<Vec<u8>, ClientError> {
    let path = format!("/v1/bundles/{bundle}/fragments/{index}?grant={grant}");
    let bytes = gateway.client.get(&path).send_bytes(1 << 20).await?;
    Ok(bytes.to_vec())
}

#[tokio::test]
async fn a_consumer_opens_a_cached_bundle_and_nobody_else_does() {
    let network = Network::new().await;
    let (a, b, c) = (
        network.gateway("A").await,
        network.gateway("B").await,
        network.gateway("C").await,
    );
    let bundle = a.deposit(&Spec::new("1.1", 3)).await;
    let other = a.deposit(&Spec::new("1.2", 1)).await;
    let release = b.release(bundle.id, &treating(), false).await.unwrap();
    assert!(release.obligations.is_empty());
    let origin = release.origin.verify(&b.trust_key).unwrap();
    assert_eq!(origin.party, a.party);
    release.manifest.verify(&origin.keys.signing).unwrap();

    let access = release.access.as_ref().unwrap();
    assert!(matches!(access.source, Source::Cache));
    let secrets = secrets(&b, &release);
    assert!(secrets.placements.is_empty());
    let mut pack = Vec::new();
    for index in 0..3 {
        let bytes = cached(&b, bundle.id, index, access.grant).await.unwrap();
        let last = index == 2;
        pack.extend(fragment::open(&secrets.content_key, bundle.id, index, last, bytes).unwrap());
    }
    assert_eq!(pack, bundle.pack);

    // The permit is for this party and this bundle, and the secrets for this key.
    assert_eq!(
        code(cached(&c, bundle.id, 0, access.grant).await),
        "rejected"
    );
    assert_eq!(
        code(cached(&b, other.id, 0, access.grant).await),
        "rejected"
    );
    assert_eq!(
        code(cached(&b, bundle.id, 0, Nonce([0; 16])).await),
        "rejected"
    );
    assert_eq!(
        code(cached(&b, bundle.id, 3, access.grant).await),
        "not_found"
    );
    assert!(Secrets::unwrap(&access.secrets, bundle.id, access.grant, &c.opening).is_err());
    network.clock.advance(2 * HOUR);
    assert_eq!(
        code(cached(&b, bundle.id, 0, access.grant).await),
        "expired"
    );
}

#[tokio::test]
async fn a_release_from_the_stack_opens_only_what_was_granted() {
    let mut network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    // 4 cells a slot: two whole slots and a remainder that shares a slot with the other bundle.
    let bundle = a.deposit(&Spec::new("1.1", 10)).await;
    let other = a.deposit(&Spec::new("1.2", 2)).await;
    let before = b.release(bundle.id, &treating(), false).await.unwrap();
    let generation = network.seal().await;
    let grant = before.access.unwrap().grant;
    assert_eq!(code(cached(&b, bundle.id, 0, grant).await), "gone");

    let release = b.release(bundle.id, &treating(), false).await.unwrap();
    let Some(Source::Stack { stack, tickets }) = release.access.as_ref().map(|a| &a.source) else {
        panic!("not from the stack: {release:?}");
    };
    let stack = stack.verify(&b.trust_key).unwrap();
    assert_eq!(stack.generations.len(), 1);
    assert_eq!(stack.generations[0].generation, generation);
    let queries: Vec<u32> = tickets
        .iter()
        .map(|ticket| {
            let ticket = ticket.verify(&b.trust_key).unwrap();
            assert_eq!(ticket.generations, [generation]);
            assert!(ticket.expires > network.clock.now());
            ticket.queries
        })
        .collect();
    assert_eq!(queries, [4], "three slots are padded to four queries");

    let secrets = secrets(&b, &release);
    let slots: BTreeSet<u32> = secrets.placements.iter().map(|p| p.at.slot).collect();
    assert_eq!((secrets.placements.len(), slots.len()), (10, 3));
    let stored = network.cloud.stored(generation);
    for (index, placement) in secrets.placements.iter().enumerate() {
        let at = placement.at;
        let slot = &stored.slots[&at.slot];
        let from = usize::from(at.cell) * SMALL.cell_bytes as usize;
        let cell = &slot[from..from + SMALL.cell_bytes as usize];
        let bytes = open_cell(&placement.key, at, cell).unwrap();
        assert_eq!(sha256(&bytes), bundle.manifest.fragments[index]);
        fragment::open(
            &secrets.content_key,
            bundle.id,
            index as u32,
            index == 9,
            bytes,
        )
        .unwrap();
    }

    // Whatever else is in the slots that were fetched stays closed.
    let granted: BTreeSet<_> = secrets
        .placements
        .iter()
        .map(|p| (p.at.slot, p.at.cell))
        .collect();
    let mut closed = 0;
    for slot in slots {
        for cell in 0..SMALL.cells_per_slot {
            if granted.contains(&(slot, cell)) {
                continue;
            }
            let from = usize::from(cell) * SMALL.cell_bytes as usize;
            let bytes = &stored.slots[&slot][from..from + SMALL.cell_bytes as usize];
            for placement in &secrets.placements {
                let at = harpo_protocol::cell::CellAddress {
                    generation,
                    slot,
                    cell,
                };
                assert!(open_cell(&placement.key, at, bytes).is_err());
            }
            closed += 1;
        }
    }
    assert_eq!(closed, 2);
    let theirs = b.release(other.id, &treating(), false).await.unwrap();
    assert_eq!(
        code(cached(&b, other.id, 0, theirs.access.unwrap().grant).await),
        "rejected"
    );
}

#[tokio::test]
async fn denials_are_recorded_and_name_the_purpose() {
    let network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 1)).await;
    let nurse = who("nurse", Purpose::Treat);
    let denied = b.release(bundle.id, &nurse, false).await;
    let message = format!("{denied:?}");
    assert_eq!(code(denied), "denied");
    assert!(message.contains("TREAT"), "{message}");
    assert_eq!(network.events_named("denied").await.len(), 1);
    assert_eq!(network.events_named("released").await.len(), 0);
    // At home, the same nurse may.
    a.release(bundle.id, &nurse, true).await.unwrap();
    assert_eq!(
        code(b.release(BundleId([0; 16]), &treating(), false).await),
        "not_found"
    );
    let nameless = Requester {
        user: String::new(),
        ..treating()
    };
    assert_eq!(
        code(b.release(bundle.id, &nameless, false).await),
        "malformed"
    );
}

#[tokio::test]
async fn consent_is_obeyed_at_once_and_broken_glass_is_told() {
    let network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 1)).await;
    let operator = network.operator().await;
    let research = who("researcher", Purpose::Hresch);
    assert_eq!(code(b.release(bundle.id, &research, false).await), "denied");
    operator
        .set_consent("P1", None, Consent::Permit)
        .await
        .unwrap();
    b.release(bundle.id, &research, false).await.unwrap();
    // The hospital's own word goes before the general one.
    operator
        .set_consent("P1", Some(a.party), Consent::Deny)
        .await
        .unwrap();
    assert_eq!(
        code(b.release(bundle.id, &treating(), false).await),
        "denied"
    );
    a.release(bundle.id, &treating(), false).await.unwrap();

    let emergency = who("physician", Purpose::Btg);
    let release = b.release(bundle.id, &emergency, false).await.unwrap();
    assert_eq!(
        release.obligations,
        [Obligation::NotifyOrigin, Obligation::SecondReview]
    );
    let notices: Vec<Notice> = a.get("/v1/notices?after=0").await.unwrap();
    assert_eq!(notices.len(), 1);
    assert_eq!((notices[0].number, notices[0].bundle), (1, bundle.id));
    assert_eq!(
        (notices[0].consumer.as_str(), &notices[0].requester),
        ("B", &emergency)
    );
    let later: Vec<Notice> = a.get("/v1/notices?after=1").await.unwrap();
    let theirs: Vec<Notice> = b.get("/v1/notices").await.unwrap();
    assert!(later.is_empty() && theirs.is_empty());
    operator
        .set_consent("P1", Some(a.party), Consent::Unknown)
        .await
        .unwrap();
    b.release(bundle.id, &treating(), false).await.unwrap();
}

#[tokio::test]
async fn a_held_bundle_needs_a_decision_and_no_secrets() {
    let network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 1)).await;
    assert!(
        b.release(bundle.id, &treating(), true)
            .await
            .unwrap()
            .access
            .is_none()
    );
    let nurse = who("nurse", Purpose::Treat);
    assert_eq!(code(b.release(bundle.id, &nurse, true).await), "denied");
}

#[tokio::test]
async fn locating_shows_what_may_be_searched() {
    let network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let first = a.deposit(&Spec::new("1.1", 1)).await;
    let mut more = Spec::new("1.1", 1);
    more.series[0].1.push(("1.1.1.3".into(), 1));
    let second = b.deposit(&more).await;
    let ask = |requester: Requester| LocateRequest {
        requester,
        study_instance_uid: "1.1".into(),
    };
    let found: LocateResponse = b.post("/v1/locate", &ask(treating())).await.unwrap();
    let ids: Vec<_> = found
        .bundles
        .iter()
        .map(|l| (l.bundle, l.instances))
        .collect();
    assert_eq!(ids, [(first.id, 2), (second.id, 3)]);
    // A nurse sees what is the hospital's own.
    let nurse = ask(who("nurse", Purpose::Treat));
    let found: LocateResponse = b.post("/v1/locate", &nurse).await.unwrap();
    let ids: Vec<_> = found.bundles.iter().map(|l| (l.bundle, l.origin)).collect();
    assert_eq!(ids, [(second.id, b.party)]);
}

/// Somebody reads the log while a bundle is erased: the keys in it must not outlive that.
#[tokio::test]
async fn erasure_waits_for_readers_of_the_databases_log() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    let bundle = a.deposit(&Spec::new("1.1", 1)).await;
    let mut reader = network.trust.store.db.read().begin().await.unwrap();
    let seen: i64 = sqlx::query_scalar("SELECT count(*) FROM bundle")
        .fetch_one(&mut *reader)
        .await
        .unwrap();
    assert_eq!(seen, 1);
    let slow = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        drop(reader);
    });
    let operator = network.operator().await;
    let done = operator.erase(bundle.id, "r", true).await.unwrap();
    assert!(done.log_emptied && slow.is_finished());
    let key = serde_json::to_string(&bundle.request.content_key).unwrap();
    let part = &key.as_bytes()[key.len() - 60..key.len() - 20];
    for name in ["trust.db", "trust.db-wal"] {
        let bytes = std::fs::read(network.folder().path().join(name)).unwrap();
        assert!(!bytes.windows(part.len()).any(|w| w == part), "{name}");
    }
}

/// Tickets of one release must not be told by their time from those of others.
#[tokio::test]
async fn tickets_expire_with_the_minute() {
    let mut network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let first = a.deposit(&Spec::new("1.1", 1)).await;
    let second = a.deposit(&Spec::new("1.2", 1)).await;
    network.seal().await;
    let mut seen = Vec::new();
    for (bundle, after) in [(&first, 17), (&second, 20_021)] {
        network
            .clock
            .advance(std::time::Duration::from_millis(after));
        let release = b.release(bundle.id, &treating(), false).await.unwrap();
        let Some(Access {
            source: Source::Stack { tickets, .. },
            ..
        }) = release.access
        else {
            panic!("not in the stack");
        };
        for ticket in tickets {
            let expires = ticket.verify(&b.trust_key).unwrap().expires;
            assert!(expires >= network.clock.now() + std::time::Duration::from_secs(300));
            assert_eq!(expires, expires.minute_before());
            seen.push(expires);
        }
    }
    assert_eq!(seen[0], seen[1]);
}

#[tokio::test]
async fn erasure_asks_first_and_leaves_no_key() {
    let mut network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let waiting = a.seal(&Spec::new("1.3", 1));
    a.begin(&waiting).await.unwrap();
    let in_stack = a.deposit(&Spec::new("1.1", 5)).await;
    network.seal().await;
    let in_cache = a.deposit(&Spec::new("1.2", 5)).await;
    let operator = network.operator().await;
    assert!(
        operator.erase(waiting.id, "r", true).await.is_err(),
        "not deposited"
    );
    for (bundle, in_cloud) in [(&in_stack, true), (&in_cache, false)] {
        let preview = operator
            .erase(bundle.id, "request of the patient", false)
            .await
            .unwrap();
        assert!(!preview.done && preview.in_cloud == in_cloud && preview.instances == 2);
        b.release(bundle.id, &treating(), false).await.unwrap();
        let done = operator
            .erase(bundle.id, "request of the patient", true)
            .await
            .unwrap();
        assert!(done.done);
        assert_eq!(
            code(b.release(bundle.id, &treating(), false).await),
            "not_found"
        );
        assert_eq!(code(a.begin(bundle).await), "conflict");
        assert!(operator.erase(bundle.id, "again", true).await.is_err());
        let cells: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM cell JOIN bundle ON bundle.number = cell.bundle WHERE bundle.id = ?",
        )
        .bind(bundle.id.0.as_slice())
        .fetch_one(network.trust.store.db.read())
        .await
        .unwrap();
        assert_eq!(cells, 0);
    }
    assert!(
        network
            .trust
            .cache
            .missing(in_cache.id, 5)
            .await
            .unwrap()
            .len()
            == 5
    );
    assert_eq!(network.events_named("erased").await.len(), 2);
    operator.verify_audit(None).await.unwrap();

    // The wrapped content keys are nowhere in the files any more, and the patient's name is not either.
    let folder = network.folder();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let path = entry.unwrap().path();
        if !path.is_file() {
            continue;
        }
        let bytes = std::fs::read(&path).unwrap();
        for bundle in [&in_stack, &in_cache] {
            let key = serde_json::to_string(&bundle.request.content_key).unwrap();
            let part = &key.as_bytes()[key.len() - 60..key.len() - 20];
            assert!(
                !bytes.windows(part.len()).any(|w| w == part),
                "a content key is left in {}",
                path.display()
            );
        }
    }
    // The generation with the erased bundle's cells is sealed like any other.
    a.deposit(&Spec::new("1.4", 1)).await;
    network.seal().await;
}

#[tokio::test]
async fn erasing_while_slots_leave_does_not_change_their_bytes() {
    let mut network = Network::new().await;
    let a = network.gateway("A").await;
    let bundle = a.deposit(&Spec::new("1.1", 5)).await;
    let operator = network.operator().await;
    let generation = operator.seal().await.unwrap();
    // Slots arrive, the answers are lost: each is sent again after the erasure.
    network
        .cloud
        .lose_answers
        .store(100, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..3 {
        let _ = network.mixer.step().await;
        network.clock.advance(HOUR);
    }
    operator.erase(bundle.id, "r", true).await.unwrap();
    network
        .cloud
        .lose_answers
        .store(0, std::sync::atomic::Ordering::SeqCst);
    for _ in 0..10 {
        network.clock.advance(HOUR);
        network.mix().await;
    }
    assert!(
        network.cloud.stored(generation).request.is_some(),
        "not sealed"
    );
    let left: i64 = sqlx::query_scalar("SELECT count(*) FROM cell")
        .fetch_one(network.trust.store.db.read())
        .await
        .unwrap();
    assert_eq!(left, 0);
    assert!(network.trust.cache.bundles().unwrap().is_empty());
}

#[tokio::test]
async fn a_release_of_an_old_bundle_names_the_old_stack() {
    let mut network = Network::with("[ring]\nmax_generations_per_stack = 2").await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let mut sealed = Vec::new();
    let mut early = None;
    for study in ["1.1", "1.2", "1.3"] {
        let bundle = a.deposit(&Spec::new(study, 1)).await.id;
        sealed.push((bundle, network.seal().await));
        if sealed.len() == 2 {
            early = a.stacks().await.into_iter().next();
        }
    }
    let generations: Vec<_> = sealed.iter().map(|(_, generation)| *generation).collect();
    let expected = [&generations[..2], &generations[2..]];
    let stacks = a.stacks().await;
    let named = |stack: &StackDescriptor| -> Vec<GenerationId> {
        stack.generations.iter().map(|g| g.generation).collect()
    };
    assert_eq!(stacks.iter().map(named).collect::<Vec<_>>(), expected);
    assert_eq!(stacks.first(), early.as_ref(), "a closed stack changed");

    for (index, (bundle, _)) in sealed.iter().enumerate() {
        let release = b.release(*bundle, &treating(), false).await.unwrap();
        let Some(Source::Stack { stack, tickets }) = release.access.as_ref().map(|a| &a.source)
        else {
            panic!("not from a stack: {release:?}");
        };
        let stack = stack.verify(&b.trust_key).unwrap();
        assert_eq!(*stack, stacks[index / 2]);
        let placement = &secrets(&b, &release).placements[0];
        assert_eq!(placement.at.generation, generations[index]);
        for ticket in tickets {
            let ticket = ticket.verify(&b.trust_key).unwrap();
            assert_eq!(ticket.generations, expected[index / 2]);
        }
    }

    // What was sealed before there were stacks is put into them at the start.
    for statement in [
        "UPDATE generation SET stack = NULL, place = NULL",
        "DELETE FROM stack",
    ] {
        let mut tx = network.trust.store.db.begin("test").await.unwrap();
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
    }
    network.kill_and_restart().await;
    let mut a = a;
    a.reconnect(&network);
    assert_eq!(
        a.stacks().await.iter().map(named).collect::<Vec<_>>(),
        expected
    );
}
