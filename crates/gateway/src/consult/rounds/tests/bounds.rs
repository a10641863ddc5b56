//! What a round may take: of time, and of the disk.

use super::*;

/// The cloud may not say when the gateway comes again.
#[tokio::test(flavor = "multi_thread")]
async fn a_busy_cloud_is_not_waited_for_and_the_next_round_comes() {
    let scene = Scene::with_rounds().await;
    assert!(!scene.asked(&requester(Purpose::Treat), 0).await);
    *lock(&scene.stacks.busy) = true;
    for _ in 0..2 {
        scene.round().await;
    }
    assert_eq!(scene.counts().failed, 2);
    assert_eq!(scene.stacks.seen().len(), 2);
    *lock(&scene.stacks.busy) = false;
    // What was picked is wanted again.
    scene.read(&requester(Purpose::Treat), 0).await;
    assert_eq!((scene.counts().failed, scene.counts().skipped), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retrieval_that_never_ends_is_given_up() {
    let scene = Scene::with_rounds().await;
    let gate = scene.stacks.gate.lock().await;
    let next = scene.next().await;
    scene
        .world
        .clock
        .advance(next.since(scene.world.clock.now()));
    until(|| (scene.stacks.seen().len() == 1).then_some(())).await;
    scene.world.clock.advance(Duration::from_secs(1800));
    until(|| (scene.counts().failed == 1).then_some(())).await;
    drop(gate);
    scene.round().await;
    assert_eq!(scene.counts().rounds, 1);
}

/// A round finds its place on the disk whatever is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn a_want_leaves_room_for_the_largest_round() {
    let scene = Scene::new(Some(STREAMED)).await;
    let slot_bytes = scene.consult.0.party.layout().slot_bytes();
    let stack = u64::from(crate::testing::stacks::SLOTS) * u64::from(slot_bytes);
    let rounds = scene.consult.rounds();
    assert_eq!(rounds.room(), stack);
    lock(&rounds.state).room = u64::MAX;
    let (_, stored) = scene.stacks.bundle(0);
    let who = requester(Purpose::Treat);
    let study = scene.consult.study(&who, &stored.study);
    let error = study.await.unwrap_err();
    assert!(matches!(*error, ConsultError::NoRoom { .. }), "{error}");
    assert_eq!(lock(&rounds.state).queue.slots(), 0);
}
