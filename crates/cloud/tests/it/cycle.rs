//! What a cloud is for.

use std::collections::BTreeSet;

use harpo_cloud::events::Event;
use harpo_protocol::domain::sha256;
use harpo_protocol::stack::GenerationStatus;
use http::{HeaderValue, StatusCode, header};

use crate::world::{Consumer, Generation, SLOTS, World, assert_refused, retrieve};

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_is_retrieved_exactly_from_two_generations() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let (first, second) = (Generation::new(3), Generation::with(4, 10, 16 << 10));
    first.write_and_seal(&trust).await;
    second.write_and_seal(&trust).await;

    let alone = Consumer::new(&[&first], &world.pass(&cloud, 10)).await;
    let asked = alone.ask(&world.ticket(&[&first], 1, 1), &[Some((0, 7))]);
    let answers = retrieve(&world.pass(&cloud, 11), &asked.body)
        .await
        .unwrap();
    assert_eq!(alone.open(asked, &answers), [first.slots[7].clone()]);

    // More than one pass holds, with dummies between, over the whole stack.
    let both = Consumer::new(&[&first, &second], &world.pass(&cloud, 12)).await;
    let mut choices: Vec<Option<(usize, u32)>> = (0..SLOTS).map(|slot| Some((0, slot))).collect();
    choices.extend([None, Some((1, 9)), None]);
    choices.extend((0..10).map(|slot| Some((1, slot))));
    choices.resize(32, None);
    let asked = both.ask(&world.ticket(&[&first, &second], 32, 2), &choices);
    let answers = retrieve(&world.pass(&cloud, 13), &asked.body)
        .await
        .unwrap();
    for (slot, choice) in both.open(asked, &answers).iter().zip(&choices) {
        match choice {
            Some((0, index)) => assert_eq!(slot, &first.slots[*index as usize]),
            Some((_, index)) => assert_eq!(slot, &second.slots[*index as usize]),
            None => assert!(!first.slots.contains(slot) && !second.slots.contains(slot)),
        }
    }
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn consumers_at_the_same_time_get_their_own_slots() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let mut waiting = Vec::new();
    for number in 0..8_u8 {
        let pass = world.pass(&cloud, 50 + number);
        let consumer = Consumer::new(&[&generation], &pass).await;
        let slot = u32::from(number);
        let choices = [Some((0, slot)), None, Some((0, 15 - slot)), None];
        let asked = consumer.ask(&world.ticket(&[&generation], 4, number), &choices);
        waiting.push(tokio::spawn(async move {
            let answers = retrieve(&pass, &asked.body).await.unwrap();
            consumer.open(asked, &answers)
        }));
    }
    for (number, retrieved) in waiting.into_iter().enumerate() {
        let slots = retrieved.await.unwrap();
        assert_eq!(slots[0], generation.slots[number]);
        assert_eq!(slots[2], generation.slots[15 - number]);
    }
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_written_once_and_never_after_sealing() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let generation = Generation::new(3);
    assert_refused(generation.status(&trust).await, 404, "not_found");
    assert_refused(generation.ask_to_seal(&trust).await, 404, "not_found");
    generation.put(&trust, 0).await.unwrap();
    generation.put(&trust, 0).await.unwrap();
    let other = vec![1; generation.slots[0].len()];
    let put = |slot: &str, bytes: Vec<u8>| {
        trust
            .put(&generation.path(&format!("/slots/{slot}")))
            .bytes(bytes)
            .send()
    };
    assert_refused(put("0", other.clone()).await, 409, "conflict");
    assert_refused(put("1", vec![1; 100]).await, 400, "malformed");
    assert_refused(put("1", Vec::new()).await, 400, "malformed");
    assert_refused(put("x", other.clone()).await, 400, "malformed");
    assert_refused(put("+1", other.clone()).await, 400, "malformed");
    assert_refused(put("99999999", other).await, 400, "malformed");
    assert_eq!(
        generation.status(&trust).await.unwrap(),
        GenerationStatus::Open { slots: 1 }
    );
    assert_refused(generation.ask_to_seal(&trust).await, 409, "incomplete");

    let hint = generation.write_and_seal(&trust).await;
    assert_eq!(generation.sealed(&trust).await, hint);
    generation.ask_to_seal(&trust).await.unwrap();
    assert_refused(generation.put(&trust, 0).await, 409, "conflict");

    for _ in 0..2 {
        trust.delete(&generation.path("")).send().await.unwrap();
        assert_refused(generation.status(&trust).await, 404, "not_found");
    }
    assert_refused(generation.put(&trust, 0).await, 409, "conflict");
    assert!(!world.objects_of(&generation).exists());
    assert_refused(
        generation.hint(&world.pass(&cloud, 9)).await,
        404,
        "not_found",
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_come_whole_or_in_ranges_and_are_immutable() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::new(3);
    let digest = generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 9);
    let whole = pass.get(&generation.path("/hint")).send().await.unwrap();
    assert_eq!(whole.status(), StatusCode::OK);
    assert_eq!(whole.headers()[header::ETAG], format!("\"{digest}\""));
    assert!(
        whole.headers()[header::CACHE_CONTROL]
            .to_str()
            .unwrap()
            .contains("immutable")
    );
    let whole = whole.bytes(1 << 24).await.unwrap();
    assert_eq!(sha256(&whole), digest);
    assert_eq!(whole.len() as u64, generation.info().hint_bytes().unwrap());

    let range = HeaderValue::from_static("bytes=1000-");
    let part = pass
        .get(&generation.path("/hint"))
        .header(header::RANGE, range)
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
    let expected = format!("bytes 1000-{}/{}", whole.len() - 1, whole.len());
    assert_eq!(part.headers()[header::CONTENT_RANGE], expected);
    assert_eq!(part.bytes(1 << 24).await.unwrap(), whole.slice(1000..));
    cloud.stop().await;
}

/// Reads the log as text, not through the types that wrote it.
#[tokio::test(flavor = "multi_thread")]
async fn the_event_log_holds_what_the_cloud_could_know_and_nothing_more() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let generation = Generation::new(3);
    generation.write_and_seal(&trust).await;
    let consumer = Consumer::new(&[&generation], &world.pass(&cloud, 10)).await;
    let asked = consumer.ask(&world.ticket(&[&generation], 2, 7), &[Some((0, 3)), None]);
    let answers = retrieve(&world.pass(&cloud, 11), &asked.body)
        .await
        .unwrap();
    trust.delete(&generation.path("")).send().await.unwrap();
    cloud.stop().await;

    let allowed = |event: &str| -> &[&str] {
        match event {
            "write" => &["event", "time", "generation", "slot", "bytes"],
            "seal" => &[
                "event",
                "time",
                "generation",
                "slots",
                "slot_bytes",
                "hint_bytes",
            ],
            "retire" => &["event", "time", "generation"],
            "hint" => &["event", "time", "generation", "bytes", "peer", "pass"],
            "retrieval" => &[
                "event",
                "time",
                "nonce",
                "stack",
                "queries",
                "bytes_up",
                "bytes_down",
                "peer",
                "pass",
            ],
            other => panic!("{other} must not be recorded"),
        }
    };
    let text = std::fs::read_to_string(world.config.event_log()).unwrap();
    let mut kinds = Vec::new();
    for line in text.lines() {
        let value: serde_json::Value = serde_json::from_str(line).unwrap();
        let kind = value["event"].as_str().unwrap();
        let fields: BTreeSet<&str> = value
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(fields, allowed(kind).iter().copied().collect(), "{line}");
        kinds.push(kind.to_owned());
    }
    let mut expected = vec!["write"; SLOTS as usize];
    expected.extend(["seal", "hint", "retrieval", "retire"]);
    assert_eq!(kinds, expected);

    let retrieval = world
        .events()
        .into_iter()
        .find(|event| matches!(event, Event::Retrieval { .. }));
    let Some(Event::Retrieval {
        queries,
        bytes_up,
        bytes_down,
        stack,
        ..
    }) = retrieval
    else {
        panic!("no retrieval");
    };
    assert_eq!((queries, stack), (2, vec![generation.id]));
    assert_eq!(
        (bytes_up, bytes_down),
        (asked.body.len() as u64, answers.len() as u64)
    );
}
