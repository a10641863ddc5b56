//! Streams of a whole stack (docs/protocol.md 9.6).

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use harpo_cloud::events::Event;
use harpo_protocol::retrieval::{self, Ticket};
use harpo_protocol::sign::Signed;
use harpo_service::http::{Client, ClientError, Response};

use crate::world::{
    Consumer, Generation, SLOT_BYTES, SLOTS, World, assert_refused, refusal, retrieve, until,
};

const LIMIT: usize = 64 << 20;
const LARGE: usize = 256 << 10;

/// Begins a stream; `from` with what stands before it.
async fn ask(pass: &Client, ticket: &Signed<Ticket>, from: &str) -> Result<Response, ClientError> {
    pass.post(&format!("/v1/streams{from}"))
        .bytes(retrieval::head(ticket))
        .send()
        .await
}

async fn stream(pass: &Client, ticket: &Signed<Ticket>, from: &str) -> Result<Bytes, ClientError> {
    ask(pass, ticket, from).await?.bytes(LIMIT).await
}

/// As a gateway does: comes again while the cloud has not noticed that the connection broke.
async fn patiently(pass: &Client, ticket: &Signed<Ticket>, from: &str) -> Response {
    let mut answer = None;
    until(async || match ask(pass, ticket, from).await {
        Ok(begun) => {
            answer = Some(begun);
            true
        }
        Err(error) if error.code() == Some("busy") => false,
        Err(error) => panic!("{error}"),
    })
    .await;
    answer.unwrap()
}

/// The beginning of a stream that is then left.
async fn leave_after(answer: Response, bytes: usize) -> BytesMut {
    let mut pieces = answer.stream();
    let mut read = BytesMut::new();
    while read.len() < bytes {
        read.extend_from_slice(&pieces.next().await.unwrap().unwrap());
    }
    read
}

/// The streams in the event log: first slot, and bytes down.
fn seen(world: &World) -> Vec<(u32, u64)> {
    let events = world.events().into_iter();
    let streams = events.filter_map(|event| match event {
        Event::Stream {
            from, bytes_down, ..
        } => Some((from, bytes_down)),
        _ => None,
    });
    streams.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_buys_every_slot_in_order_and_nothing_more() {
    let world = World::new();
    let cloud = world.start().await;
    let (first, second) = (Generation::new(3), Generation::new(4));
    let trust = world.trust(&cloud);
    first.write_and_seal(&trust).await;
    second.write_and_seal(&trust).await;
    let pass = world.pass(&cloud, 10);
    // In the ticket's order, not in that of sealing.
    let stack = [&second, &first];
    let all = [second.slots.concat(), first.slots.concat()].concat();
    let ticket = world.ticket(&stack, 8, 1);
    assert_eq!(stream(&pass, &ticket, "").await.unwrap(), all);
    assert_refused(stream(&pass, &ticket, "").await, 409, "spent");

    // Nor are there answers for it, also not as if it had been for queries.
    let consumer = Consumer::new(&stack, &pass).await;
    let asked = consumer.ask(&ticket, &[None; 8]);
    assert_refused(retrieve(&pass, &asked.body).await, 409, "spent");
    let resumed = pass
        .post("/v1/retrievals?from=0")
        .bytes(asked.body)
        .send()
        .await;
    assert_refused(resumed, 409, "spent");

    // Nor a stream for what was spent for queries.
    let ticket = world.ticket(&stack, 1, 2);
    retrieve(&pass, &consumer.ask(&ticket, &[Some((1, 3))]).body)
        .await
        .unwrap();
    for from in ["", "?from=0", "?from=5"] {
        assert_refused(stream(&pass, &ticket, from).await, 409, "spent");
    }

    // Only passes are served.
    let ticket = world.ticket(&stack, 1, 3);
    assert_refused(stream(&trust, &ticket, "").await, 403, "rejected");
    cloud.stop().await;
    assert_eq!(seen(&world), [(0, all.len() as u64)]);
    let event = world.events().into_iter().find_map(|event| match event {
        Event::Stream {
            nonce,
            stack,
            queries,
            ..
        } => Some((nonce.0, stack, queries)),
        _ => None,
    });
    assert_eq!(event, Some(([1; 16], vec![second.id, first.id], 8)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_broke_off_goes_on_also_after_a_restart() {
    let world = World::new();
    let cloud = world.start().await;
    let (first, second) = (
        Generation::with(3, 5, LARGE),
        Generation::with(4, 30, LARGE),
    );
    let trust = world.trust(&cloud);
    first.write_and_seal(&trust).await;
    second.write_and_seal(&trust).await;
    let all = [first.slots.concat(), second.slots.concat()].concat();
    let ticket = world.ticket(&[&first, &second], 1, 1);

    let begun = ask(&world.pass(&cloud, 10), &ticket, "").await.unwrap();
    let mut read = leave_after(begun, 2 * LARGE + 1).await;
    let whole = read.len() / LARGE;
    read.truncate(whole * LARGE);
    // Within the second generation, under another pass.
    let begun = patiently(&world.pass(&cloud, 11), &ticket, &format!("?from={whole}")).await;
    read.extend_from_slice(&leave_after(begun, 6 * LARGE).await);
    let whole = read.len() / LARGE;
    assert!((8..35).contains(&whole), "{whole}");
    read.truncate(whole * LARGE);
    cloud.stop().await;

    let cloud = world.start().await;
    let pass = world.pass(&cloud, 12);
    let from = format!("?from={whole}");
    let rest = patiently(&pass, &ticket, &from).await.bytes(LIMIT).await;
    read.extend_from_slice(&rest.unwrap());
    assert!(read == all);
    // Without saying so it is not taken for a resumption.
    assert_refused(stream(&pass, &ticket, "").await, 409, "spent");
    cloud.stop().await;
    let seen = seen(&world);
    assert_eq!(seen.len(), 3, "{seen:?}");
    let last = (35 - whole) * LARGE;
    assert_eq!(seen[2], (whole as u32, last as u64));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_eight_times_and_until_its_ticket_is_forgotten() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let last = generation.slots[SLOTS as usize - 1].clone();
    let ticket = world.ticket(&[&generation], 1, 1);
    // To whom nothing came back, it cannot be known whether the ticket was spent.
    stream(&pass, &ticket, "?from=0").await.unwrap();
    for _ in 0..8 {
        let from = format!("?from={}", SLOTS - 1);
        assert_eq!(stream(&pass, &ticket, &from).await.unwrap(), last);
    }
    assert_refused(stream(&pass, &ticket, "?from=0").await, 409, "spent");

    let ticket = world.ticket(&[&generation], 1, 2);
    let unspent = world.ticket(&[&generation], 1, 3);
    stream(&pass, &ticket, "").await.unwrap();
    world.clock.advance(Duration::from_secs(60));
    let pass = world.pass(&cloud, 11);
    stream(&pass, &ticket, "?from=1").await.unwrap();
    assert_refused(stream(&pass, &ticket, "").await, 403, "expired");
    assert_refused(stream(&pass, &unspent, "?from=0").await, 403, "expired");
    world.clock.advance(Duration::from_secs(3600));
    let pass = world.pass(&cloud, 12);
    assert_refused(stream(&pass, &ticket, "?from=1").await, 403, "expired");
    cloud.stop().await;
    assert_eq!(seen(&world).len(), 11);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_goes_on_and_never_back() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let ticket = world.ticket(&[&generation], 1, 1);
    stream(&pass, &ticket, "").await.unwrap();
    for from in ["?from=0", "?from=4", "?from=4", "?from=9"] {
        stream(&pass, &ticket, from).await.unwrap();
    }
    for from in ["?from=0", "?from=4", "?from=8"] {
        assert_refused(stream(&pass, &ticket, from).await, 409, "spent");
    }
    // Which cost nothing.
    let rest = stream(&pass, &ticket, "?from=9").await.unwrap();
    assert!(rest == generation.slots[9..].concat());
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_request_spends_nothing() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::new(3);
    let trust = world.trust(&cloud);
    generation.write_and_seal(&trust).await;
    let pass = world.pass(&cloud, 10);
    let ticket = world.ticket(&[&generation], 1, 1);
    for from in [
        // Not there, nothing to resume, and not numbers.
        "?from=16",
        "?from=4294967295",
        "?from=4294967296",
        "?from=1",
        "?from=01",
        "?from=-1",
        "?from=",
        "?slot=1",
        "?from=0&from=0",
    ] {
        assert_refused(stream(&pass, &ticket, from).await, 400, "malformed");
    }
    let head = retrieval::head(&ticket);
    for body in [
        [head.as_slice(), &[0]].concat(),
        head[..head.len() - 1].to_vec(),
        Vec::new(),
    ] {
        let sent = pass.post("/v1/streams").bytes(body).send().await;
        assert_refused(sent, 400, "malformed");
    }
    // Of generations that are not sealed, or twice the same.
    let open = Generation::new(4);
    open.write(&trust).await;
    let unsealed = world.ticket(&[&generation, &open], 1, 2);
    assert_refused(stream(&pass, &unsealed, "").await, 404, "not_found");
    let twice = world.ticket(&[&generation, &generation], 1, 3);
    assert_refused(stream(&pass, &twice, "").await, 400, "malformed");
    let none = world.ticket(&[], 1, 4);
    assert_refused(stream(&pass, &none, "").await, 400, "malformed");

    let all = stream(&pass, &ticket, "").await.unwrap();
    assert_eq!(all.len(), SLOTS as usize * SLOT_BYTES);
    // Retired: gone for streams, too.
    let ticket = world.ticket(&[&generation], 1, 5);
    trust.delete(&generation.path("")).send().await.unwrap();
    assert_refused(stream(&pass, &ticket, "").await, 404, "not_found");
    cloud.stop().await;
    assert_eq!(seen(&world).len(), 1);
}

/// More than a connection holds.
async fn large(world: &World, cloud: &harpo_cloud::Running) -> Generation {
    let generation = Generation::with(3, 128, LARGE);
    generation.write_and_seal(&world.trust(cloud)).await;
    generation
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_have_places_of_their_own_and_a_ticket_and_a_pass_one() {
    let mut world = World::new();
    world.config.limits.streams_at_once = 2;
    world.config.limits.memory_limit_mib = 256;
    let cloud = world.start().await;
    let generation = large(&world, &cloud).await;
    let stack = [&generation];
    let busy = |result: Result<Response, ClientError>| {
        assert_eq!(refusal(result.map(drop)), (503, "busy".to_owned()));
    };
    let (pass, other) = (world.pass(&cloud, 10), world.pass(&cloud, 11));
    let ticket = world.ticket(&stack, 1, 1);
    let first = ask(&pass, &ticket, "").await.unwrap();
    // The same ticket, and the same pass.
    busy(ask(&other, &ticket, "?from=0").await);
    let again = pass.fresh().unwrap();
    busy(ask(&again, &world.ticket(&stack, 1, 2), "").await);
    let second = ask(&other, &world.ticket(&stack, 1, 2), "").await.unwrap();
    // No place for a third, which spends nothing; but for queries.
    let pass = world.pass(&cloud, 12);
    let ticket = world.ticket(&stack, 1, 3);
    let full = ask(&pass, &ticket, "").await.unwrap_err();
    let wait = full.retry_after().unwrap().as_secs();
    assert!((2..=600).contains(&wait), "{wait}");
    assert!(
        full.to_string().contains(&format!("in {wait} seconds")),
        "{full}"
    );
    busy(Err(full));
    let consumer = Consumer::new(&stack, &pass).await;
    let asked = consumer.ask(&world.ticket(&stack, 1, 4), &[Some((0, 100))]);
    let answers = retrieve(&pass, &asked.body).await.unwrap();
    assert!(consumer.open(asked, &answers)[0] == generation.slots[100]);

    // Who goes away gives the place back, and so does who has read all.
    drop(first);
    let third = patiently(&pass, &ticket, "").await;
    assert!(third.bytes(LIMIT).await.unwrap() == generation.slots.concat());
    let ticket = world.ticket(&stack, 1, 5);
    stream(&pass, &ticket, "").await.unwrap();
    drop(second);
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_loses_the_place_and_may_go_on() {
    let mut world = World::new();
    world.config.limits.streams_at_once = 1;
    world.config.limits.retrieval_patience_seconds = 3;
    world.config.limits.memory_limit_mib = 256;
    // What the connection swallowed is no excuse.
    world.config.limits.retrieval_min_kib_per_second = 1 << 20;
    let cloud = world.start().await;
    let generation = large(&world, &cloud).await;
    let ticket = world.ticket(&[&generation], 1, 1);
    let begun = tokio::time::Instant::now();
    let answer = ask(&world.pass(&cloud, 10), &ticket, "").await.unwrap();
    let pass = world.pass(&cloud, 11);
    let resumed = patiently(&pass, &ticket, "?from=0").await;
    assert!(begun.elapsed() >= Duration::from_secs(3));
    assert!(resumed.bytes(LIMIT).await.unwrap() == generation.slots.concat());
    // The connection was open all the time; it ends short of the slots.
    let read = answer.bytes(LIMIT).await;
    assert!(
        matches!(read, Err(ClientError::Unreachable { .. })),
        "{:?}",
        read.map(|bytes| bytes.len())
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_slot_ends_the_stream_and_is_never_sent() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::with(3, 8, LARGE);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let file = world.slot_file(&generation, 5);
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[LARGE / 2] ^= 1;
    std::fs::write(&file, &bytes).unwrap();
    let pass = world.pass(&cloud, 10);
    let ticket = world.ticket(&[&generation], 1, 1);
    for from in ["", "?from=3"] {
        let mut pieces = patiently(&pass, &ticket, from).await.stream();
        let mut read = BytesMut::new();
        let ended = loop {
            match pieces.next().await {
                Some(Ok(piece)) => read.extend_from_slice(&piece),
                end => break end,
            }
        };
        assert!(matches!(ended, Some(Err(_))), "{ended:?}");
        let begin = if from.is_empty() { 0 } else { 3 };
        let sound = generation.slots[begin..5].concat();
        assert!(sound.starts_with(&read), "{} bytes", read.len());
    }
    // Behind it, it goes on.
    let rest = patiently(&pass, &ticket, "?from=6").await;
    assert!(rest.bytes(LIMIT).await.unwrap() == generation.slots[6..].concat());
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_memory_is_streamed_all_the_same() {
    let mut world = World::new();
    let cloud = world.start().await;
    let generation = Generation::with(3, 16, LARGE);
    generation.write_and_seal(&world.trust(&cloud)).await;
    cloud.stop().await;
    world.config.limits.memory_limit_mib = 1;
    let cloud = world.try_start().await.unwrap();
    let pass = world.pass(&cloud, 10);
    let ticket = world.ticket(&[&generation], 1, 1);
    let all = stream(&pass, &ticket, "").await.unwrap();
    assert!(all == generation.slots.concat());
    cloud.stop().await;
}
