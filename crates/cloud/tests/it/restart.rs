//! What survives: stops, kills, damaged files, changed limits.

use std::time::Duration;

use harpo_cloud::StartError;
use harpo_cloud::config::EncodedForm;
use harpo_cloud::events::Event;
use harpo_protocol::domain::sha256;
use harpo_protocol::stack::GenerationStatus;
use harpo_service::http::Client;

use crate::world::{Consumer, Generation, World, assert_refused, retrieve, until};

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_generations_hints_and_spent_tickets() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let (first, second) = (Generation::new(3), Generation::new(4));
    let hints = [
        first.write_and_seal(&trust).await,
        second.write_and_seal(&trust).await,
    ];
    let open = Generation::new(5);
    open.put(&trust, 0).await.unwrap();
    let consumer = Consumer::new(&[&first, &second], &world.pass(&cloud, 10)).await;
    let body = consumer
        .ask(&world.ticket(&[&first, &second], 1, 1), &[None])
        .body;
    retrieve(&world.pass(&cloud, 11), &body).await.unwrap();
    let in_use = world.try_start().await.unwrap_err();
    assert!(matches!(in_use, StartError::InUse(_)), "{in_use}");
    cloud.stop().await;

    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    assert_eq!(
        [first.sealed(&trust).await, second.sealed(&trust).await],
        hints
    );
    assert_eq!(
        open.status(&trust).await.unwrap(),
        GenerationStatus::Open { slots: 1 }
    );
    assert_refused(retrieve(&world.pass(&cloud, 12), &body).await, 409, "spent");
    let asked = consumer.ask(&world.ticket(&[&first, &second], 1, 2), &[Some((1, 5))]);
    let answers = retrieve(&world.pass(&cloud, 13), &asked.body)
        .await
        .unwrap();
    assert_eq!(consumer.open(asked, &answers), [second.slots[5].clone()]);
    cloud.stop().await;

    // Long after: the ticket is forgotten, and refused for its age even if the clock goes back.
    world.clock.advance(Duration::from_secs(7200));
    world.start().await.stop().await;
    let cloud = world.start().await;
    let admin = Client::plain(&format!("http://{}", cloud.admin_address())).unwrap();
    admin.get("/-/ready").send().await.unwrap();
    assert_refused(
        retrieve(&world.pass(&cloud, 14), &body).await,
        403,
        "expired",
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn mapped_generations_are_there_after_a_restart_and_go_with_the_setting() {
    let mut world = World::new();
    world.config.stack.encoded = EncodedForm::Mapped;
    // A mapped file is not counted.
    world.config.limits.memory_limit_mib = 1;
    let kept = world.config.encoded_dir();
    let generation = Generation::with(3, 64, 64 << 10);
    let cloud = world.start().await;
    let hint = generation.write_and_seal(&world.trust(&cloud)).await;
    let consumer = Consumer::new(&[&generation], &world.pass(&cloud, 10)).await;
    cloud.stop().await;

    let answer = async |cloud: &harpo_cloud::Running, pass: u8| {
        let trust = world.trust(cloud);
        assert_eq!(generation.sealed(&trust).await, hint);
        let ticket = world.ticket(&[&generation], 1, pass);
        let asked = consumer.ask(&ticket, &[Some((0, 63))]);
        let answers = retrieve(&world.pass(cloud, pass), &asked.body).await;
        assert_eq!(
            consumer.open(asked, &answers.unwrap()),
            [generation.slots[63].clone()]
        );
    };
    // Slots are not read again when everything is kept: one that is damaged is not noticed here.
    std::fs::write(world.slot_file(&generation, 5), b"damaged").unwrap();
    let cloud = world.start().await;
    answer(&cloud, 11).await;
    cloud.stop().await;
    std::fs::write(world.slot_file(&generation, 5), &generation.slots[5]).unwrap();

    // A damaged file is encoded anew from the slots.
    for entry in std::fs::read_dir(&kept).unwrap() {
        let path = entry.unwrap().path();
        if path
            .extension()
            .is_some_and(|extension| extension == "rows")
        {
            let mut bytes = std::fs::read(&path).unwrap();
            bytes[1000] ^= 1;
            std::fs::write(&path, bytes).unwrap();
        }
    }
    let cloud = world.start().await;
    answer(&cloud, 12).await;
    cloud.stop().await;

    let mut world = world;
    world.config.stack.encoded = EncodedForm::Memory;
    world.config.limits.memory_limit_mib = 100;
    let cloud = world.start().await;
    assert!(!kept.exists(), "nothing stays that is not used");
    assert_eq!(generation.sealed(&world.trust(&cloud)).await, hint);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn kept_rows_that_are_not_what_was_sealed_are_made_again() {
    let mut world = World::new();
    world.config.stack.encoded = EncodedForm::Mapped;
    let generation = Generation::new(3);
    let cloud = world.start().await;
    let hint = generation.write_and_seal(&world.trust(&cloud)).await;
    let consumer = Consumer::new(&[&generation], &world.pass(&cloud, 10)).await;
    cloud.stop().await;

    // Wrong rows that are listed as they are, and no hint that would show it.
    let dir = world.config.encoded_dir();
    let file = |kind: &str| dir.join(format!("{}.{kind}", generation.id));
    let good = std::fs::read(file("rows")).unwrap();
    let mut rows = good.clone();
    rows[1000] ^= 1;
    std::fs::write(file("rows"), &rows).unwrap();
    let list = std::fs::read_to_string(file("stripes")).unwrap();
    let of = |bytes: &[u8]| hex::encode(sha256(bytes).0);
    let changed = list.replace(&of(&good), &of(&rows));
    assert_ne!(changed, list, "one stripe");
    std::fs::write(file("stripes"), changed).unwrap();
    std::fs::remove_file(world.objects_of(&generation).join("hint")).unwrap();

    let cloud = world.start().await;
    assert_eq!(generation.sealed(&world.trust(&cloud)).await, hint);
    let pass = world.pass(&cloud, 11);
    assert_eq!(sha256(&generation.hint(&pass).await.unwrap()), hint);
    let asked = consumer.ask(&world.ticket(&[&generation], 1, 1), &[Some((0, 7))]);
    let answers = retrieve(&pass, &asked.body).await.unwrap();
    assert_eq!(
        consumer.open(asked, &answers),
        [generation.slots[7].clone()]
    );
    assert!(std::fs::read(file("rows")).unwrap() == good);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_kept_of_a_generation_that_is_open() {
    let mut world = World::new();
    world.config.stack.encoded = EncodedForm::Mapped;
    let (open, sealed) = (Generation::new(3), Generation::new(4));
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    open.put(&trust, 0).await.unwrap();
    sealed.write_and_seal(&trust).await;
    cloud.stop().await;
    let dir = world.config.encoded_dir();
    let left = ["rows", "stripes"].map(|kind| dir.join(format!("{}.{kind}", open.id)));
    for file in &left {
        std::fs::write(file, b"left by a crash while it was opened again").unwrap();
    }
    world.start().await.stop().await;
    assert!(!left.iter().any(|file| file.exists()));
    assert!(dir.join(format!("{}.rows", sealed.id)).exists());
}

/// Kills a cloud: its tasks end where they are.
fn kill(runtime: tokio::runtime::Runtime) {
    runtime.shutdown_background();
}

#[test]
fn sealing_that_was_cut_short_is_finished_after_the_restart() {
    let world = World::new();
    let generation = Generation::with(3, 64, 256 << 10);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let cloud = world.start().await;
        let trust = world.trust(&cloud);
        generation.write(&trust).await;
        assert_eq!(
            generation.ask_to_seal(&trust).await.unwrap(),
            GenerationStatus::Sealing
        );
        std::mem::forget(cloud);
    });
    kill(runtime);
    let sealed = |event: &Event| matches!(event, Event::Seal { .. });
    assert!(
        !world.events().iter().any(sealed),
        "killed too late: sealing was over"
    );

    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // The killed one's last blocking work may still hold the folder for a moment.
        let mut cloud = None;
        until(async || {
            cloud = world.try_start().await.ok();
            cloud.is_some()
        })
        .await;
        let cloud = cloud.unwrap();
        until(async || cloud.readiness().not_ready().is_empty()).await;
        let trust = world.trust(&cloud);
        generation.sealed(&trust).await;
        let consumer = Consumer::new(&[&generation], &world.pass(&cloud, 10)).await;
        let asked = consumer.ask(&world.ticket(&[&generation], 1, 1), &[Some((0, 63))]);
        let answers = retrieve(&world.pass(&cloud, 11), &asked.body)
            .await
            .unwrap();
        assert_eq!(
            consumer.open(asked, &answers),
            [generation.slots[63].clone()]
        );
        cloud.stop().await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_generation_is_named_and_the_others_work() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let (first, second) = (Generation::new(3), Generation::new(4));
    first.write_and_seal(&trust).await;
    let hint = second.write_and_seal(&trust).await;
    let both = Consumer::new(&[&first, &second], &world.pass(&cloud, 10)).await;
    let alone = Consumer::new(&[&second], &world.pass(&cloud, 10)).await;
    cloud.stop().await;

    let path = world.slot_file(&first, 2);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    // A lost hint is no loss: it is computed again.
    std::fs::remove_file(world.objects_of(&second).join("hint")).unwrap();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let failure = first.status(&trust).await.unwrap_err().to_string();
    assert!(
        failure.contains("the first is 2") && failure.contains(&first.id.to_string()),
        "{failure}"
    );
    let body = both
        .ask(&world.ticket(&[&first, &second], 1, 1), &[None])
        .body;
    assert_refused(
        retrieve(&world.pass(&cloud, 11), &body).await,
        500,
        "internal",
    );
    assert_eq!(second.sealed(&trust).await, hint);
    second.hint(&world.pass(&cloud, 11)).await.unwrap();
    let asked = alone.ask(&world.ticket(&[&second], 1, 1), &[Some((0, 1))]);
    let answers = retrieve(&world.pass(&cloud, 12), &asked.body)
        .await
        .unwrap();
    assert_eq!(alone.open(asked, &answers), [second.slots[1].clone()]);
    cloud.stop().await;

    bytes[100] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let cloud = world.start().await;
    first.sealed(&world.trust(&cloud)).await;
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_damaged_before_sealing_are_written_again() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let generation = Generation::new(3);
    generation.write(&trust).await;
    std::fs::write(world.slot_file(&generation, 4), b"short").unwrap();
    std::fs::remove_file(world.slot_file(&generation, 9)).unwrap();
    generation.ask_to_seal(&trust).await.unwrap();
    until(async || {
        generation.status(&trust).await.unwrap() == GenerationStatus::Open { slots: 14 }
    })
    .await;
    assert_refused(generation.ask_to_seal(&trust).await, 409, "incomplete");
    generation.write_and_seal(&trust).await;
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn less_memory_than_before_is_said_and_the_rest_is_served() {
    let mut world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let (first, second) = (Generation::new(3), Generation::with(4, 16, 256 << 10));
    first.write_and_seal(&trust).await;
    second.write_and_seal(&trust).await;
    cloud.stop().await;
    world.config.limits.memory_limit_mib = 4;
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    first.sealed(&trust).await;
    let failure = second.status(&trust).await.unwrap_err().to_string();
    assert!(failure.contains("memory_limit_mib"), "{failure}");
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_is_not_enrolled_says_what_to_do() {
    let world = World::new();
    std::fs::remove_file(world.config.enrolment_file()).unwrap();
    let error = world.try_start().await.unwrap_err().to_string();
    assert!(error.contains("harpo cloud init"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_are_sent_to_as_many_at_once_as_are_allowed() {
    let mut world = World::new();
    world.config.limits.hints_at_once = 1;
    let generation = Generation::new(3);
    let cloud = world.start().await;
    let digest = generation.write_and_seal(&world.trust(&cloud)).await;
    // One after the other there is always a place: who has read everything has none any more.
    let pass = world.pass(&cloud, 10);
    for _ in 0..20 {
        assert_eq!(sha256(&generation.hint(&pass).await.unwrap()), digest);
    }
    cloud.stop().await;

    world.config.limits.hints_at_once = 0;
    let cloud = world.start().await;
    let pass = world.pass(&cloud, 11);
    assert_refused(generation.hint(&pass).await, 503, "busy");
    cloud.stop().await;
}
