//! The moments at which slots leave, as the cloud sees them.

use std::collections::BTreeSet;
use std::time::Duration;

use harpo_protocol::id::GenerationId;

use super::network::*;
use crate::mixer::Progress;

/// Slots that hold a fragment.
async fn occupied(network: &Network) -> BTreeSet<(GenerationId, u32)> {
    let rows: Vec<(Vec<u8>, u32)> = sqlx::query_as(
        "SELECT DISTINCT generation.id, cell.slot FROM cell \
         JOIN generation ON generation.number = cell.generation",
    )
    .fetch_all(network.trust.store.db.read())
    .await
    .unwrap();
    rows.into_iter()
        .map(|(id, slot)| (GenerationId::from_slice(&id).unwrap(), slot))
        .collect()
}

fn median(mut of: Vec<Duration>) -> Duration {
    of.sort_unstable();
    of[of.len() / 2]
}

#[tokio::test]
async fn the_cloud_sees_one_slot_a_tick_whether_real_or_cover() {
    let interval = Duration::from_millis(50);
    let mut network = Network::with("[mixing]\nslot_interval_milliseconds = 50").await;
    let a = network.gateway("A").await;
    for study in ["1.1", "1.2", "1.3", "1.4"] {
        // Four slots of eight.
        a.deposit(&Spec::new(study, 16)).await;
        network.seal().await;
    }
    let real = occupied(&network).await;
    let arrivals = network.cloud.arrivals();
    let times = network.cloud.times();
    assert_eq!((arrivals.len(), real.len()), (32, 16));
    let (mut before_real, mut before_cover) = (Vec::new(), Vec::new());
    for i in 1..arrivals.len() {
        let gap = times[i] - times[i - 1];
        match (
            arrivals[i].0 == arrivals[i - 1].0,
            real.contains(&arrivals[i]),
        ) {
            (false, _) => {}
            (true, true) => before_real.push(gap),
            (true, false) => before_cover.push(gap),
        }
    }
    // Medians of a dozen: a machine that halts now and then does not move them.
    for gaps in [before_real, before_cover] {
        let gap = median(gaps.clone());
        assert!(gap.abs_diff(interval) < interval / 4, "{gap:?} of {gaps:?}");
    }
}

#[tokio::test]
async fn a_slot_with_a_time_of_its_own_is_ready_before_it() {
    let mut network =
        Network::with("[mixing]\nmode = \"exponential\"\nmean_delay_seconds = 36000\nseal_after_seconds = 31536000").await;
    let a = network.gateway("A").await;
    a.deposit(&Spec::new("1.1", 4)).await;
    let leaves: i64 = sqlx::query_scalar("SELECT leaves FROM slot")
        .fetch_one(network.trust.store.db.read())
        .await
        .unwrap();
    let now = network.clock.now().as_millis();
    let ahead = (leaves as u64 - now).saturating_sub(2000);
    network.clock.advance(Duration::from_millis(ahead));
    assert_eq!(network.mixer.step().await.unwrap(), Progress::Idle);
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    while network.mixer.waiting() == 0 {
        assert!(
            tokio::time::Instant::now() < deadline,
            "nothing was put together"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(network.cloud.arrivals().is_empty(), "left early");
    // It is the same slot that leaves at its time.
    network.clock.advance(Duration::from_millis(2000));
    network.mix().await;
    assert_eq!(network.cloud.arrivals().len(), 1);
    assert_eq!(network.mixer.waiting(), 0);
}
