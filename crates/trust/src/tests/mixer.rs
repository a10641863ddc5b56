use std::collections::BTreeSet;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

use harpo_protocol::domain::sha256;
use harpo_protocol::stack::slots_digest;

use super::cloud::HINT;
use super::network::*;
use crate::mixer::Progress;
use crate::store::generations::State;

const ALL: std::ops::Range<u32> = 0..SMALL.slots;

#[tokio::test]
async fn epoch_shuffle_sends_nothing_before_sealing_and_then_every_index_once() {
    let mut network = Network::new().await;
    let a = network.gateway("A").await;
    let bundle = a.deposit(&Spec::new("1.1", 5)).await;
    network.mix().await;
    network.clock.advance(23 * HOUR);
    network.mix().await;
    assert!(network.cloud.arrivals().is_empty());
    assert_eq!(network.states().await, [State::Open]);

    // The first deposit is a day old.
    network.clock.advance(HOUR);
    network.mix().await;
    let arrivals = network.cloud.arrivals();
    let indexes: Vec<u32> = arrivals.iter().map(|(_, index)| *index).collect();
    assert_eq!(indexes.len(), ALL.len(), "an index came twice: {indexes:?}");
    assert_eq!(
        indexes.iter().copied().collect::<BTreeSet<_>>(),
        ALL.collect()
    );
    assert_eq!(network.states().await, [State::Open]);

    let generation = arrivals[0].0;
    let stored = network.cloud.stored(generation);
    assert!(
        stored
            .slots
            .values()
            .all(|bytes| bytes.len() as u32 == SMALL.slot_bytes())
    );
    let cells: BTreeSet<&[u8]> = stored
        .slots
        .values()
        .flat_map(|slot| slot.chunks(1024))
        .collect();
    assert_eq!(cells.len(), 32, "cells repeat");
    let request = stored.request.unwrap();
    assert_eq!(
        request.slots,
        slots_digest(stored.slots.values().map(|b| sha256(b)))
    );
    assert_eq!(
        (request.figures.slots, request.figures.slot_bytes),
        (8, 4096)
    );

    let [stack] = a.stacks().await.try_into().unwrap();
    assert_eq!(stack.generations.len(), 1);
    assert_eq!(stack.generations[0].hint, HINT);
    assert_eq!(stack.generations[0].figures, request.figures);
    assert!(
        network
            .trust
            .cache
            .missing(bundle.id, 5)
            .await
            .unwrap()
            .len()
            == 5,
        "still cached"
    );
    let covers: i64 = sqlx::query_scalar("SELECT count(*) FROM slot WHERE cover IS NOT NULL")
        .fetch_one(network.trust.store.db.read())
        .await
        .unwrap();
    assert_eq!(covers, 0, "cover keys are left");
    assert_eq!(network.events_named("sealing").await.len(), 1);
    assert_eq!(network.events_named("sealed").await.len(), 1);
}

#[tokio::test]
async fn a_full_share_seals_and_an_empty_generation_never_does() {
    let mut network = Network::with("[mixing]\nseal_when_full_share = 0.5").await;
    let a = network.gateway("A").await;
    network.clock.advance(600 * HOUR);
    network.mix().await;
    assert!(network.cloud.arrivals().is_empty());
    assert!(
        network.operator().await.seal().await.is_err(),
        "nothing to seal"
    );
    a.deposit(&Spec::new("1.1", 12)).await;
    network.mix().await;
    assert!(network.cloud.arrivals().is_empty());
    // The fourth slot of eight.
    a.deposit(&Spec::new("1.2", 4)).await;
    network.mix().await;
    assert_eq!(network.cloud.arrivals().len(), ALL.len());
}

#[tokio::test]
async fn orders_differ_between_generations() {
    let mut network = Network::new().await;
    let a = network.gateway("A").await;
    let mut orders = BTreeSet::new();
    for study in ["1.1", "1.2", "1.3", "1.4"] {
        a.deposit(&Spec::new(study, 1)).await;
        let generation = network.seal().await;
        let order: Vec<u32> = network
            .cloud
            .arrivals()
            .into_iter()
            .filter(|(g, _)| *g == generation)
            .map(|(_, index)| index)
            .collect();
        orders.insert(order);
    }
    // Four orders of eight are the same with probability 8!^-3.
    assert!(orders.len() > 1, "{orders:?}");
    let [stack] = a.stacks().await.try_into().unwrap();
    assert_eq!(stack.generations.len(), 4);
}

#[tokio::test]
async fn exponential_slots_leave_at_their_time_and_the_rest_at_sealing() {
    let mut network =
        Network::with("[mixing]\nmode = \"exponential\"\nmean_delay_seconds = 3600").await;
    let a = network.gateway("A").await;
    for study in ["1.1", "1.2", "1.3", "1.4"] {
        a.deposit(&Spec::new(study, 4)).await;
    }
    let leaving: Vec<i64> = sqlx::query_scalar("SELECT leaves FROM slot ORDER BY leaves")
        .fetch_all(network.trust.store.db.read())
        .await
        .unwrap();
    assert_eq!(leaving.len(), 4);
    network.mix().await;
    for (gone, at) in leaving.iter().enumerate() {
        let until = *at as u64 - network.clock.now().as_millis();
        if until > 0 {
            network.clock.advance(Duration::from_millis(until - 1));
            network.mix().await;
            assert_eq!(network.cloud.arrivals().len(), gone, "left early");
            network.clock.advance(Duration::from_millis(1));
        }
        network.mix().await;
        assert_eq!(network.cloud.arrivals().len(), gone + 1, "did not leave");
    }
    assert_eq!(network.states().await, [State::Open]);
    // What has left takes nothing more: a small bundle gets a new slot.
    a.deposit(&Spec::new("1.5", 1)).await;
    network.seal().await;
    let indexes: Vec<u32> = network.cloud.arrivals().iter().map(|(_, i)| *i).collect();
    assert_eq!(indexes.len(), ALL.len());
    assert_eq!(indexes.into_iter().collect::<BTreeSet<_>>(), ALL.collect());
}

#[tokio::test]
async fn an_open_generations_leaving_slots_are_still_read_from_the_cache() {
    let mut network =
        Network::with("[mixing]\nmode = \"exponential\"\nmean_delay_seconds = 1").await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 4)).await;
    network.clock.advance(HOUR);
    network.mix().await;
    assert_eq!(network.cloud.arrivals().len(), 1);
    let release = b.release(bundle.id, &treating(), false).await.unwrap();
    assert!(matches!(
        release.access.unwrap().source,
        harpo_protocol::release::Source::Cache
    ));
    assert!(
        network
            .trust
            .cache
            .missing(bundle.id, 4)
            .await
            .unwrap()
            .is_empty()
    );
}

#[tokio::test]
async fn a_cloud_that_is_away_is_waited_for() {
    let mut network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 5)).await;
    network.cloud.down.store(true, SeqCst);
    let generation = network.seal().await;
    assert_eq!(network.states().await, [State::Sealing, State::Open]);
    // Care goes on: deposits and reads.
    a.deposit(&Spec::new("1.2", 1)).await;
    b.release(bundle.id, &treating(), false).await.unwrap();
    for _ in 0..5 {
        network.clock.advance(HOUR / 60);
        network.mix().await;
    }
    // Put off: not asked again at once.
    let quiet = Duration::from_millis(100);
    tokio::time::sleep(quiet).await;
    let asked = network.cloud.asked.load(SeqCst);
    network.mix().await;
    tokio::time::sleep(quiet).await;
    assert_eq!(network.cloud.asked.load(SeqCst), asked);
    network.cloud.down.store(false, SeqCst);
    network.clock.advance(HOUR / 30);
    network.mix().await;
    assert!(network.cloud.stored(generation).request.is_some());
    assert_eq!(network.states().await, [State::Open]);
}

#[tokio::test]
async fn lost_answers_and_kills_resume_with_the_same_bytes() {
    let mut network = Network::new().await;
    let a = network.gateway("A").await;
    a.deposit(&Spec::new("1.1", 5)).await;
    a.deposit(&Spec::new("1.2", 3)).await;
    let operator = network.operator().await;
    let generation = operator.seal().await.unwrap();
    operator.close().await;
    network.cloud.slow.store(2, SeqCst);
    // A step, a lost answer, a kill, again and again. The fake cloud refuses other bytes at an index it has.
    for round in 0..40 {
        network
            .cloud
            .lose_answers
            .store(u32::from(round % 2 == 0), SeqCst);
        network.mixer.step().await.unwrap();
        network.kill_and_restart().await;
        network.clock.advance(HOUR / 60);
    }
    assert_eq!(network.states().await, [], "something is left to do");
    let stored = network.cloud.stored(generation);
    assert_eq!(stored.slots.len(), 8);
    assert!(network.cloud.arrivals().len() > 8, "no answer was lost");
    assert_eq!(network.events_named("sealed").await.len(), 1);
    assert_eq!(network.events_named("sealing").await.len(), 1);
    assert!(network.trust.cache.bundles().unwrap().is_empty());
    network.operator().await.verify_audit(None).await.unwrap();
}

#[tokio::test]
async fn a_cloud_with_other_bytes_raises_an_alarm_and_is_not_read_from() {
    let mut network = Network::new().await;
    let (a, b) = (network.gateway("A").await, network.gateway("B").await);
    let bundle = a.deposit(&Spec::new("1.1", 5)).await;
    network.cloud.lie.store(true, SeqCst);
    network.seal().await;
    assert_eq!(network.events_named("seal-mismatch").await.len(), 1);
    // What is sealed takes no writes: nothing is sent again.
    assert_eq!(network.states().await, [State::Encoding, State::Open]);
    let release = b.release(bundle.id, &treating(), false).await.unwrap();
    assert!(matches!(
        release.access.unwrap().source,
        harpo_protocol::release::Source::Cache
    ));
    assert_eq!(a.stacks().await, []);
    // It stays away from the alarm for a while, then tries again.
    network.mix().await;
    assert_eq!(network.events_named("seal-mismatch").await.len(), 1);
    network.clock.advance(HOUR);
    network.mix().await;
    assert_eq!(network.events_named("seal-mismatch").await.len(), 2);
    // Mended.
    network.cloud.lie.store(false, SeqCst);
    network.clock.advance(HOUR);
    network.mix().await;
    assert_eq!(network.states().await, [State::Open]);
}

#[tokio::test]
async fn slots_that_the_cloud_lost_are_sent_again() {
    let mut network = Network::new().await;
    let a = network.gateway("A").await;
    a.deposit(&Spec::new("1.1", 5)).await;
    let operator = network.operator().await;
    let generation = operator.seal().await.unwrap();
    // All slots arrive, then the cloud loses two.
    while network.cloud.stored(generation).slots.len() < 8 {
        assert_eq!(network.mixer.step().await.unwrap(), Progress::More);
    }
    let before = network.cloud.stored(generation).slots;
    network
        .cloud
        .generations
        .lock()
        .unwrap()
        .get_mut(&generation)
        .unwrap()
        .slots
        .retain(|index, _| *index > 1);
    for _ in 0..3 {
        network.mix().await;
        network.clock.advance(HOUR);
    }
    assert_eq!(network.states().await, [State::Open]);
    assert_eq!(network.cloud.stored(generation).slots, before);
}

#[tokio::test]
async fn sizes_stay_as_they_were_deposited() {
    let network = Network::new().await;
    let a = network.gateway("A").await;
    a.deposit(&Spec::new("1.1", 5)).await;
    let mut other = network.config.clone();
    other.layout.cells_per_slot = 8;
    let refused = crate::Service::start(&network.folder(), other, network.clock.clone()).await;
    let Err(error) = refused else {
        panic!("another layout was accepted");
    };
    assert!(error.to_string().contains("set it back"), "{error}");
}

#[tokio::test]
async fn a_cloud_that_refuses_to_seal_raises_the_same_alarm() {
    let mut network = Network::new().await;
    let a = network.gateway("A").await;
    a.deposit(&Spec::new("1.1", 5)).await;
    network.cloud.refuse.store(true, SeqCst);
    network.seal().await;
    let alarms = network.events_named("seal-mismatch").await;
    assert_eq!(alarms.len(), 1);
    assert!(alarms[0]["found"].is_null());
    network.cloud.refuse.store(false, SeqCst);
    network.clock.advance(HOUR);
    network.mix().await;
    assert_eq!(network.states().await, [State::Open]);
}
