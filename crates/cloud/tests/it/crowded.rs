//! Peers that take up room: no pass alone, and no ticket twice, keeps others from retrieving.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use harpo_protocol::id::Nonce;
use harpo_protocol::retrieval::{self, Ticket};
use harpo_protocol::sign::{Signed, SigningKey};
use harpo_service::http::{Client, ClientError};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::world::{Consumer, Generation, World, assert_refused, refusal, retrieve, until};

/// A request that has sent the beginning of its body and goes on doing nothing.
struct Held {
    sending: JoinHandle<Result<(), ClientError>>,
    go: CancellationToken,
}

impl Held {
    /// Comes again while it is told to: a probe may be in its way for a moment.
    fn begin(pass: Client, body: &[u8]) -> Self {
        let body = Bytes::copy_from_slice(body);
        let go = CancellationToken::new();
        let gone = go.clone();
        let sending = tokio::spawn(async move {
            loop {
                let (body, gone) = (body.clone(), gone.clone());
                let first = stream::once(async move { Ok::<_, std::io::Error>(body) });
                let rest = stream::once(async move {
                    gone.cancelled().await;
                    Err(std::io::Error::other("gone"))
                });
                let sent = pass.post("/v1/retrievals").stream(first.chain(rest));
                match sent.send().await {
                    Err(error) if error.code() == Some("busy") => {
                        tokio::time::sleep(Duration::from_millis(5)).await;
                    }
                    other => return other.map(drop),
                }
            }
        });
        Self { sending, go }
    }

    async fn leave(self) {
        self.go.cancel();
        self.sending.await.unwrap().unwrap_err();
    }
}

/// Sends a ticket and no query, without saying how much will come. Spends nothing. Status and message.
async fn probe(pass: &Client, ticket: &Signed<Ticket>) -> (u16, String) {
    let head = retrieval::head(ticket);
    let body = stream::once(async move { Ok::<_, std::io::Error>(head.into()) });
    match pass.post("/v1/retrievals").stream(body).send().await {
        Err(ClientError::Refused {
            status, message, ..
        }) => (status.as_u16(), message),
        other => panic!("not refused: {other:?}"),
    }
}

async fn until_probed(pass: &Client, ticket: &Signed<Ticket>, status: u16) {
    until(async || probe(pass, ticket).await.0 == status).await;
}

async fn until_busy(pass: &Client, ticket: &Signed<Ticket>, with: &str) {
    until(async || {
        let (status, message) = probe(pass, ticket).await;
        status == 503 && message.contains(with)
    })
    .await;
}

/// The beginnings of bodies that say nothing good: nothing at all, half a length, half a ticket, tickets that are
/// forged, too old, of an unknown stack, or spent.
fn beginnings(world: &World, generation: &Generation, spent: &Signed<Ticket>) -> Vec<Vec<u8>> {
    let good = world.ticket(&[generation], 1, 77);
    let head = retrieval::head(&good);
    let forger = SigningKey::generate(&mut ChaCha20Rng::from_seed([66; 32])).0;
    let ticket = Ticket {
        nonce: Nonce([78; 16]),
        generations: vec![generation.id],
        queries: 1,
        expires: world.clock.now().after(Duration::from_secs(60)),
    };
    let mut old = ticket.clone();
    old.expires = world.clock.now();
    let unknown = world.ticket(&[&Generation::new(9)], 1, 79);
    vec![
        Vec::new(),
        head[..2].to_vec(),
        head[..head.len() / 2].to_vec(),
        head[..head.len() - 1].to_vec(),
        retrieval::head(&forger.sign(&ticket)),
        retrieval::head(&world.signing.sign(&old)),
        retrieval::head(&unknown),
        retrieval::head(spent),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_without_a_good_ticket_stop_nobody_and_are_cut() {
    let mut world = World::new();
    world.config.limits.retrievals_at_once = 2;
    world.config.limits.retrieval_patience_seconds = 3;
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let spent = world.ticket(&[&generation], 1, 1);
    retrieve(&pass, &consumer.ask(&spent, &[None]).body)
        .await
        .unwrap();

    let mut held = Vec::new();
    for body in beginnings(&world, &generation, &spent) {
        for _ in 0..2 {
            let other = world.pass(&cloud, 20 + held.len() as u8);
            held.push(Held::begin(other, &body));
        }
    }
    // Eight times as many as there are places, while they are there and while they are being cut.
    for nonce in 2..12 {
        let asked = consumer.ask(&world.ticket(&[&generation], 1, nonce), &[Some((0, 5))]);
        let answers = retrieve(&pass, &asked.body).await.unwrap();
        assert_eq!(
            consumer.open(asked, &answers),
            [generation.slots[5].clone()]
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    for one in held {
        let (status, _) = refusal(one.sending.await.unwrap());
        assert!((400..500).contains(&status), "{status}");
    }
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tickets_that_are_being_read_are_bounded_apart_from_retrievals() {
    let mut world = World::new();
    world.config.limits.tickets_at_once = 2;
    world.config.limits.retrievals_at_once = 4;
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let ticket = world.ticket(&[&generation], 1, 1);
    let asked = consumer.ask(&ticket, &[None]);
    // Uploads do not count as tickets.
    let half = |nonce| {
        let body = consumer
            .ask(&world.ticket(&[&generation], 1, nonce), &[None])
            .body;
        body[..body.len() - 100].to_vec()
    };
    let mut held: Vec<Held> = (0..4)
        .map(|n| Held::begin(world.pass(&cloud, 20 + n), &half(20 + n)))
        .collect();
    until_busy(&pass, &ticket, "too many retrievals").await;
    held.extend((0..2).map(|n| Held::begin(world.pass(&cloud, 30 + n), &[0, 0])));
    until_busy(&pass, &ticket, "too many tickets").await;
    for one in held {
        one.leave().await;
    }
    until_probed(&pass, &ticket, 400).await;
    retrieve(&pass, &asked.body).await.unwrap();
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_has_one_place_however_often_it_is_sent() {
    let mut world = World::new();
    world.config.limits.retrievals_at_once = 2;
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let ticket = world.ticket(&[&generation], 1, 1);
    let asked = consumer.ask(&ticket, &[None]);
    let half = &asked.body[..asked.body.len() / 2];
    let first = Held::begin(world.pass(&cloud, 11), half);
    until_busy(&pass, &ticket, "this ticket").await;
    // Whoever sends it again, and even whole, is told to come back, and takes nothing.
    for n in 0..4 {
        let again = retrieve(&world.pass(&cloud, 20 + n), &asked.body).await;
        assert_refused(again, 503, "busy");
        assert!(!first.sending.is_finished());
    }
    let other = world.ticket(&[&generation], 1, 2);
    retrieve(&pass, &consumer.ask(&other, &[None]).body)
        .await
        .unwrap();
    // Nothing was spent by the one that broke off.
    first.leave().await;
    until_probed(&pass, &ticket, 400).await;
    retrieve(&pass, &asked.body).await.unwrap();
    assert_refused(retrieve(&pass, &asked.body).await, 409, "spent");
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_does_one_retrieval_at_a_time_and_then_the_next() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let ask = |nonce| consumer.ask(&world.ticket(&[&generation], 1, nonce), &[None]);
    let asked = ask(1);
    // The same certificate on a second connection, which sends nothing.
    let first = Held::begin(pass.fresh().unwrap(), b"");
    let ticket = world.ticket(&[&generation], 1, 2);
    until_busy(&pass, &ticket, "this pass").await;
    assert_refused(retrieve(&pass, &asked.body).await, 503, "busy");
    retrieve(&world.pass(&cloud, 11), &ask(3).body)
        .await
        .unwrap();
    first.leave().await;
    until_probed(&pass, &ticket, 400).await;
    // As a gateway does with the tickets of a large bundle: none of them is told to come back.
    for nonce in 10..60 {
        retrieve(&pass, &ask(nonce).body).await.unwrap();
    }
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_retrievals_at_once_are_told_to_come_back() {
    let mut world = World::new();
    world.config.limits.retrievals_at_once = 1;
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let asked = consumer.ask(&world.ticket(&[&generation], 1, 1), &[None]);
    let holding = consumer.ask(&world.ticket(&[&generation], 1, 2), &[None]);
    let half = &holding.body[..holding.body.len() / 2];
    let held = Held::begin(world.pass(&cloud, 11), half);
    let ticket = world.ticket(&[&generation], 1, 1);
    until_probed(&pass, &ticket, 503).await;
    match retrieve(&pass, &asked.body).await {
        Err(ClientError::Refused {
            retry_after: Some(_),
            ..
        }) => {}
        other => panic!("{other:?}"),
    }
    held.leave().await;
    until_probed(&pass, &ticket, 400).await;
    retrieve(&pass, &asked.body).await.unwrap();
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn queries_that_trickle_lose_their_place() {
    let mut world = World::new();
    world.config.limits.retrievals_at_once = 1;
    world.config.limits.retrieval_patience_seconds = 2;
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    // Sixty-four queries may take longer, but not the first of them.
    let ticket = world.ticket(&[&generation], 64, 1);
    let asked = consumer.ask(&ticket, &[None; 64]);
    let one = consumer.stack.query_bytes() as usize;
    let body = &asked.body[..asked.body.len() - 64 * one + 10];
    let begun = tokio::time::Instant::now();
    let held = Held::begin(world.pass(&cloud, 11), body);
    let other = world.ticket(&[&generation], 1, 2);
    until_probed(&pass, &other, 503).await;
    let refused = held.sending.await.unwrap();
    assert_refused(refused, 408, "timeout");
    let took = begun.elapsed();
    let slowest = Duration::from_millis(one as u64 * 1000 / (64 << 10));
    assert!(
        took >= Duration::from_secs(2) && took < slowest + Duration::from_secs(12),
        "{took:?}"
    );
    until_probed(&pass, &other, 400).await;
    // Nothing was spent.
    retrieve(&pass, &asked.body).await.unwrap();
    cloud.stop().await;
}

/// A consumer of large slots, whose answers are more than the connection holds.
async fn large(world: &World, cloud: &harpo_cloud::Running) -> (Generation, Consumer) {
    let generation = Generation::with(3, 16, 256 << 10);
    generation.write_and_seal(&world.trust(cloud)).await;
    let consumer = Consumer::new(&[&generation], &world.pass(cloud, 9)).await;
    (generation, consumer)
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_gives_the_place_back() {
    let mut world = World::new();
    world.config.limits.retrievals_at_once = 1;
    let cloud = world.start().await;
    let (generation, consumer) = large(&world, &cloud).await;
    let pass = world.pass(&cloud, 10);
    let asked = consumer.ask(&world.ticket(&[&generation], 64, 1), &[None; 64]);
    let answer = world
        .pass(&cloud, 11)
        .post("/v1/retrievals")
        .bytes(asked.body)
        .send()
        .await
        .unwrap();
    // The place is taken until the answers are read.
    let ticket = world.ticket(&[&generation], 1, 2);
    assert_eq!(probe(&pass, &ticket).await.0, 503);
    drop(answer);
    until_probed(&pass, &ticket, 400).await;
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_loses_the_place_without_going_away() {
    let mut world = World::new();
    world.config.limits.retrievals_at_once = 1;
    world.config.limits.retrieval_patience_seconds = 3;
    // What the connection swallowed is no excuse.
    world.config.limits.retrieval_min_kib_per_second = 1 << 20;
    let cloud = world.start().await;
    let (generation, consumer) = large(&world, &cloud).await;
    let pass = world.pass(&cloud, 10);
    let asked = consumer.ask(&world.ticket(&[&generation], 64, 1), &[None; 64]);
    let answer = world
        .pass(&cloud, 11)
        .post("/v1/retrievals")
        .bytes(asked.body)
        .send()
        .await
        .unwrap();
    let ticket = world.ticket(&[&generation], 1, 2);
    assert_eq!(probe(&pass, &ticket).await.0, 503);
    until_probed(&pass, &ticket, 400).await;
    // The connection was open all the time; it ends short of the answers.
    let read = answer.bytes(64 << 20).await;
    assert!(
        matches!(read, Err(ClientError::Unreachable { .. })),
        "{read:?}"
    );
    cloud.stop().await;
}
