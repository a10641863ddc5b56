//! Retrievals that broke off and go on (docs/protocol.md 9.5): with the same ticket, for exactly the same queries.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use harpo_cloud::events::Event;
use harpo_protocol::retrieval::{self, Ticket};
use harpo_protocol::sign::Signed;
use harpo_service::http::{Client, ClientError};

use crate::world::{Consumer, Generation, World, assert_refused, refusal, retrieve, until};

const LIMIT: usize = 64 << 20;

async fn retrieve_from(pass: &Client, from: &str, body: &[u8]) -> Result<Bytes, ClientError> {
    pass.post(&format!("/v1/retrievals?from={from}"))
        .bytes(body.to_vec())
        .send_bytes(LIMIT)
        .await
}

/// As a gateway does: comes again while the cloud has not noticed that the connection broke.
async fn resume(pass: &Client, from: u32, body: &[u8]) -> Bytes {
    let mut answers = None;
    until(
        async || match retrieve_from(pass, &from.to_string(), body).await {
            Ok(all) => {
                answers = Some(all);
                true
            }
            Err(error) if error.code() == Some("busy") => false,
            Err(error) => panic!("{error}"),
        },
    )
    .await;
    answers.unwrap()
}

/// The body that asks for the queries from `from` on.
fn rest(consumer: &Consumer, ticket: &Signed<Ticket>, body: &[u8], from: usize) -> Vec<u8> {
    let mut head = retrieval::head(ticket);
    let queries = &body[head.len()..];
    head.extend_from_slice(&queries[from * consumer.stack.query_bytes() as usize..]);
    head
}

/// A large answer, of which only the beginning is read.
async fn begin(pass: &Client, body: &[u8], bytes: usize) -> BytesMut {
    let answer = pass
        .post("/v1/retrievals")
        .bytes(body.to_vec())
        .send()
        .await
        .unwrap();
    let mut stream = answer.stream();
    let mut read = BytesMut::new();
    while read.len() < bytes {
        read.extend_from_slice(&stream.next().await.unwrap().unwrap());
    }
    read
}

#[tokio::test(flavor = "multi_thread")]
async fn what_broke_off_goes_on_with_the_first_answer_that_is_missing() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::with(3, 16, 256 << 10);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let consumer = Consumer::new(&[&generation], &world.pass(&cloud, 9)).await;
    let ticket = world.ticket(&[&generation], 64, 1);
    let choices: Vec<_> = (0..64).map(|n| Some((0, n % 16))).collect();
    let asked = consumer.ask(&ticket, &choices);
    let size = consumer.stack.answer_bytes() as usize;

    // Breaks within the third answer, and again within the sixth.
    let mut answers = begin(&world.pass(&cloud, 10), &asked.body, 2 * size + 100).await;
    answers.truncate(2 * size);
    let body = rest(&consumer, &ticket, &asked.body, 2);
    let pass = world.pass(&cloud, 11);
    let mut begun = None;
    until(async || {
        let sent = pass.post("/v1/retrievals?from=2").bytes(body.clone());
        begun = sent.send().await.ok();
        begun.is_some()
    })
    .await;
    let mut stream = begun.unwrap().stream();
    while answers.len() < 5 * size + 100 {
        answers.extend_from_slice(&stream.next().await.unwrap().unwrap());
    }
    let whole = answers.len() / size;
    answers.truncate(whole * size);
    drop((stream, pass));
    let body = rest(&consumer, &ticket, &asked.body, whole);
    let last = resume(&world.pass(&cloud, 12), whole as u32, &body).await;
    answers.extend_from_slice(&last);

    let slots = consumer.open(asked, &answers);
    for (slot, choice) in slots.iter().zip(&choices) {
        assert_eq!(*slot, generation.slots[choice.unwrap().1 as usize]);
    }
    cloud.stop().await;
    let seen: Vec<(u32, u32, u64)> = world
        .events()
        .into_iter()
        .filter_map(|event| match event {
            Event::Resumption {
                nonce,
                stack,
                from,
                queries,
                bytes_down,
                ..
            } => {
                assert_eq!((nonce.0, stack), ([1; 16], vec![generation.id]));
                Some((from, queries, bytes_down))
            }
            _ => None,
        })
        .collect();
    let expected =
        [2, whole as u32].map(|from| (from, 64 - from, u64::from(64 - from) * size as u64));
    assert_eq!(seen, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_does_not_know_whether_the_ticket_was_spent_begins_at_0() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let ticket = world.ticket(&[&generation], 2, 1);
    let asked = consumer.ask(&ticket, &[Some((0, 5)), None]);
    // Nothing to resume yet.
    let second = rest(&consumer, &ticket, &asked.body, 1);
    assert_refused(retrieve_from(&pass, "1", &second).await, 400, "malformed");
    let first = retrieve_from(&pass, "0", &asked.body).await.unwrap();
    let again = retrieve_from(&pass, "0", &asked.body).await.unwrap();
    assert_eq!(first, again);
    let half = retrieve_from(&pass, "1", &second).await.unwrap();
    assert_eq!(half, first[first.len() / 2..]);
    // Not without saying so.
    assert_refused(retrieve(&pass, &asked.body).await, 409, "spent");
    assert_eq!(consumer.open(asked, &first)[0], generation.slots[5]);
    cloud.stop().await;
    let kinds = |wanted: fn(&Event) -> bool| world.events().iter().filter(|e| wanted(e)).count();
    assert_eq!(kinds(|event| matches!(event, Event::Retrieval { .. })), 1);
    assert_eq!(kinds(|event| matches!(event, Event::Resumption { .. })), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_buys_one_list_of_queries_however_it_is_resumed() {
    let world = World::new();
    let cloud = world.start().await;
    let (generation, other) = (Generation::new(3), Generation::new(4));
    generation.write_and_seal(&world.trust(&cloud)).await;
    other.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let ticket = world.ticket(&[&generation], 4, 1);
    let choices = [Some((0, 1)), Some((0, 2)), None, Some((0, 3))];
    let body = consumer.ask(&ticket, &choices).body;
    let answers = retrieve(&pass, &body).await.unwrap();
    let size = consumer.stack.query_bytes() as usize;
    let head = body.len() - 4 * size;

    let mut others: Vec<(u32, Vec<u8>)> = Vec::new();
    // The same secrets and noise for another choice: what must never be answered.
    for n in 0..4 {
        let mut choices = choices;
        choices[n] = Some((0, 9));
        others.push((0, consumer.ask(&ticket, &choices).body));
    }
    // Its own queries at other places.
    let mut exchanged = body[..head].to_vec();
    for n in [1, 0, 2, 3] {
        exchanged.extend_from_slice(&body[head + n * size..][..size]);
    }
    others.push((0, exchanged));
    let query = |n: usize| [&body[..head], &body[head + n * size..][..size]].concat();
    others.extend((0..3).map(|n| (3, query(n))));
    // One bit, in each; and bytes that are no query.
    for n in 0..4 {
        let mut body = body.clone();
        body[head + n * size + size - 1] ^= 1;
        others.push((0, body.clone()));
        body[head + n * size..][..size].fill(0xff);
        others.push((0, body));
    }
    // The same permission in another ticket.
    let more = world.ticket(&[&generation], 8, 1);
    others.push((0, consumer.ask(&more, &[None; 8]).body));
    let elsewhere = Consumer::new(&[&other], &pass).await;
    let ticket_elsewhere = world.ticket(&[&other], 4, 1);
    others.push((0, elsewhere.ask(&ticket_elsewhere, &choices).body));
    for (number, (from, body)) in others.iter().enumerate() {
        let refused = refusal(retrieve_from(&pass, &from.to_string(), body).await);
        assert_eq!(refused, (409, "spent".into()), "{number}");
    }
    // The refusals cost nothing, and the right ones are counted.
    for n in 0..8_u32 {
        let from = n % 4;
        let body = rest(&consumer, &ticket, &body, from as usize);
        let got = retrieve_from(&pass, &from.to_string(), &body).await;
        assert_eq!(got.unwrap(), answers[answers.len() / 4 * from as usize..]);
    }
    assert_refused(retrieve_from(&pass, "0", &body).await, 409, "spent");
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn resumptions_have_one_form_and_end_when_the_ticket_is_forgotten() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let ticket = world.ticket(&[&generation], 2, 1);
    let body = consumer.ask(&ticket, &[None; 2]).body;
    retrieve(&pass, &body).await.unwrap();
    let second = rest(&consumer, &ticket, &body, 1);
    for wrong in [
        "",
        "01",
        "+1",
        "-1",
        "1.0",
        "1&from=1",
        "1&to=2",
        "4294967296",
        "2",
        "99",
    ] {
        let refused = refusal(retrieve_from(&pass, wrong, &second).await);
        assert_eq!(refused, (400, "malformed".into()), "{wrong}");
    }
    for wrong in ["?", "?From=1", "?to=1"] {
        let sent = pass
            .post(&format!("/v1/retrievals{wrong}"))
            .bytes(second.clone());
        assert_refused(sent.send().await, 400, "malformed");
    }
    // Too many queries, too few, cut ones.
    assert_refused(retrieve_from(&pass, "1", &body).await, 400, "malformed");
    assert_refused(retrieve_from(&pass, "0", &second).await, 400, "malformed");
    let cut = &second[..second.len() - 1];
    assert_refused(retrieve_from(&pass, "1", cut).await, 400, "malformed");
    retrieve_from(&pass, "1", &second).await.unwrap();

    // A line may be slower than a ticket is good for: what was spent is resumed while it is remembered.
    let late = world.ticket(&[&generation], 2, 2);
    let late = consumer.ask(&late, &[None; 2]).body;
    world.clock.advance(Duration::from_secs(60));
    let pass = world.pass(&cloud, 11);
    retrieve_from(&pass, "1", &second).await.unwrap();
    world.clock.advance(Duration::from_secs(3599));
    let pass = world.pass(&cloud, 12);
    let whole = retrieve_from(&pass, "0", &body).await.unwrap();
    let half = retrieve_from(&pass, "1", &second).await.unwrap();
    assert_eq!(half, whole[whole.len() / 2..]);
    // Not without saying so, not for other queries, and not if it was not spent in time.
    assert_refused(retrieve(&pass, &body).await, 403, "expired");
    let others = consumer.ask(&ticket, &[Some((0, 1)), None]).body;
    assert_refused(retrieve_from(&pass, "0", &others).await, 409, "spent");
    assert_refused(retrieve(&pass, &late).await, 403, "expired");
    assert_refused(retrieve_from(&pass, "0", &late).await, 403, "expired");
    world.clock.advance(Duration::from_secs(1));
    let pass = world.pass(&cloud, 13);
    assert_refused(retrieve_from(&pass, "1", &second).await, 403, "expired");
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_keeps_what_was_bought_and_how_often_it_was_resumed() {
    let mut world = World::new();
    world.config.limits.retrieval_resumptions = 2;
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let bodies: Vec<(Vec<u8>, Bytes)> = {
        let mut bodies = Vec::new();
        for nonce in 1..=2 {
            let ticket = world.ticket(&[&generation], 1, nonce);
            let body = consumer.ask(&ticket, &[Some((0, 3))]).body;
            let answers = retrieve(&pass, &body).await.unwrap();
            bodies.push((body, answers));
        }
        bodies
    };
    let (body, answers) = &bodies[0];
    retrieve_from(&pass, "0", body).await.unwrap();
    cloud.stop().await;

    let cloud = world.start().await;
    let pass = world.pass(&cloud, 11);
    assert_eq!(retrieve_from(&pass, "0", body).await.unwrap(), answers);
    assert_refused(retrieve_from(&pass, "0", body).await, 409, "spent");
    cloud.stop().await;

    // A ticket that was spent for a whole stack buys no answers.
    let url = format!("sqlite://{}", world.config.database_file().display());
    let pool = sqlx::SqlitePool::connect(&url).await.unwrap();
    let done = sqlx::query("UPDATE tickets SET bought = 'stack', queries = NULL WHERE nonce = ?")
        .bind([2_u8; 16].as_slice())
        .execute(&pool)
        .await
        .unwrap();
    assert_eq!(done.rows_affected(), 1);
    pool.close().await;
    let cloud = world.start().await;
    let pass = world.pass(&cloud, 12);
    assert_refused(retrieve_from(&pass, "0", &bodies[1].0).await, 409, "spent");
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retrieval_that_is_under_way_is_not_resumed_until_it_has_ended() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::with(3, 16, 256 << 10);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let consumer = Consumer::new(&[&generation], &world.pass(&cloud, 9)).await;
    let ticket = world.ticket(&[&generation], 64, 1);
    let body = consumer.ask(&ticket, &[None; 64]).body;
    let first = world
        .pass(&cloud, 10)
        .post("/v1/retrievals")
        .bytes(body.clone())
        .send()
        .await
        .unwrap();
    let pass = world.pass(&cloud, 11);
    for _ in 0..3 {
        assert_refused(retrieve_from(&pass, "0", &body).await, 503, "busy");
    }
    drop(first);
    let answers = resume(&pass, 0, &body).await;
    assert_eq!(answers.len() as u64, 64 * consumer.stack.answer_bytes());
    cloud.stop().await;
}
