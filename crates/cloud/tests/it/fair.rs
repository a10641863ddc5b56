//! Retrievals share the scanner: none that is large, slow or dead keeps others waiting. The figures are printed with
//! `--nocapture`.

use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use harpo_cloud::Running;
use harpo_protocol::id::Nonce;
use harpo_protocol::retrieval::Ticket;
use harpo_protocol::sign::Signed;
use harpo_service::http::{Client, ClientError, Response};
use tokio::time::Instant;

use crate::world::{Consumer, Generation, World, assert_refused, refusal, retrieve, until};

/// Large enough that the scan, and not the connection, is what takes time.
const SLOTS: u32 = 32;
const SLOT_BYTES: usize = 1 << 20;

/// A cloud with one large generation.
struct Busy {
    world: World,
    cloud: Running,
    generation: Generation,
    consumer: Consumer,
}

impl Busy {
    async fn start(change: impl FnOnce(&mut World)) -> Self {
        let mut world = World::new();
        world.config.limits.memory_limit_mib = 256;
        change(&mut world);
        let cloud = world.start().await;
        let generation = Generation::with(3, SLOTS, SLOT_BYTES);
        generation.write_and_seal(&world.trust(&cloud)).await;
        let consumer = Consumer::new(&[&generation], &world.pass(&cloud, 9)).await;
        Self {
            world,
            cloud,
            generation,
            consumer,
        }
    }

    fn ticket(&self, queries: u32, nonce: u32) -> Signed<Ticket> {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&nonce.to_be_bytes());
        self.world.signing.sign(&Ticket {
            nonce: Nonce(bytes),
            generations: vec![self.generation.id],
            queries,
            expires: self.world.clock.now().after(Duration::from_secs(3600)),
        })
    }

    fn body(&self, queries: u32, nonce: u32) -> Vec<u8> {
        let choices = vec![Some((0, nonce % SLOTS)); queries as usize];
        self.consumer
            .ask(&self.ticket(queries, nonce), &choices)
            .body
    }

    /// Begins a retrieval, and reads nothing of its answers.
    async fn begin(&self, pass: &Client, queries: u32, nonce: u32) -> Response {
        let sent = pass.post("/v1/retrievals").bytes(self.body(queries, nonce));
        sent.send().await.unwrap()
    }

    /// Latencies of retrievals of one query by three consumers at the same time, one after the other each.
    async fn latencies(&self, each: u32, nonces: u32) -> Latencies {
        let consumers = (0..3).map(async |n: u32| {
            let pass = self.world.pass(&self.cloud, 30 + n as u8);
            let mut took = Vec::new();
            // The first is for the connection.
            for round in 0..=each {
                let body = self.body(1, nonces + n * 1000 + round);
                let begun = Instant::now();
                retrieve(&pass, &body).await.unwrap();
                took.push(begun.elapsed());
            }
            took.split_off(1)
        });
        Latencies::of(join_all(consumers).await.concat())
    }
}

#[derive(Clone, Copy)]
struct Latencies {
    median: Duration,
    worst: Duration,
}

impl Latencies {
    fn of(mut all: Vec<Duration>) -> Self {
        all.sort_unstable();
        Self {
            median: all[all.len() / 2],
            worst: *all.last().unwrap(),
        }
    }
}

impl std::fmt::Display for Latencies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} (at most {:?})", self.median, self.worst)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_reads_nothing_and_one_that_dies_slow_nobody() {
    let busy = Busy::start(|_| {}).await;
    let mut best = f64::INFINITY;
    for round in 0..3 {
        let base = 100_000 * (round + 1);
        let alone = busy.latencies(15, base).await;
        let silent = busy
            .begin(&busy.world.pass(&busy.cloud, 50), 64, base + 90_000)
            .await;
        let dying = busy
            .begin(&busy.world.pass(&busy.cloud, 51), 64, base + 91_000)
            .await;
        let killed = tokio::spawn(async move {
            let mut stream = dying.stream();
            stream.next().await.unwrap().unwrap();
        });
        let crowded = busy.latencies(15, base + 10_000).await;
        killed.await.unwrap();
        // It was there all the time.
        let read = silent.bytes(1).await;
        assert!(
            matches!(read, Err(ClientError::Malformed { .. })),
            "{read:?}"
        );
        let factor = crowded.median.as_secs_f64() / alone.median.as_secs_f64();
        println!("alone {alone}, beside a silent and a dying one {crowded}: {factor:.2} times");
        best = best.min(factor);
        if best < 1.5 {
            break;
        }
    }
    assert!(best < 2.0, "others took {best} times as long");
    busy.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_small_retrievals_end_before_the_large_one_that_came_first() {
    let busy = Busy::start(|_| {}).await;
    let whole = 64 * busy.consumer.stack.answer_bytes();
    let begun = Instant::now();
    retrieve(&busy.world.pass(&busy.cloud, 21), &busy.body(64, 0))
        .await
        .unwrap();
    println!("64 queries alone {:?}", begun.elapsed());
    let begun = Instant::now();
    let mut large = busy
        .begin(&busy.world.pass(&busy.cloud, 20), 64, 1)
        .await
        .stream();
    let mut read = large.next().await.unwrap().unwrap().len() as u64;
    let small: Vec<(Client, Vec<u8>)> = (0..10)
        .map(|n| {
            (
                busy.world.pass(&busy.cloud, 30 + n),
                busy.body(1, 10 + u32::from(n)),
            )
        })
        .collect();
    let small = tokio::spawn(async move {
        let each = small.into_iter().map(async |(pass, body)| {
            let begun = Instant::now();
            retrieve(&pass, &body).await.unwrap();
            begun.elapsed()
        });
        join_all(each).await
    });
    let mut read_when_small_ended = None;
    while let Some(piece) = large.next().await {
        read += piece.unwrap().len() as u64;
        if small.is_finished() {
            read_when_small_ended.get_or_insert(read);
        }
    }
    let took = begun.elapsed();
    assert_eq!(read, whole);
    let small = Latencies::of(small.await.unwrap());
    let of_large = read_when_small_ended.map(|read| read as f64 / whole as f64);
    println!(
        "ten of one query {small} beside 64 queries in {took:?}; {of_large:?} of its answers had come then"
    );
    assert!(of_large.is_some(), "the small ones ended last");
    busy.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_that_come_at_once_share_passes() {
    let busy = Busy::start(|_| {}).await;
    let mut best = f64::INFINITY;
    for round in 0..3 {
        let passes: Vec<Client> = (0..16)
            .map(|n| busy.world.pass(&busy.cloud, 30 + n))
            .collect();
        let mut one_after_the_other = Duration::ZERO;
        for (n, pass) in passes.iter().enumerate() {
            let body = busy.body(1, round * 1000 + n as u32);
            let begun = Instant::now();
            retrieve(pass, &body).await.unwrap();
            one_after_the_other += begun.elapsed();
        }
        let bodies: Vec<Vec<u8>> = (0..16)
            .map(|n| busy.body(1, round * 1000 + 100 + n))
            .collect();
        let begun = Instant::now();
        let all = passes
            .iter()
            .zip(&bodies)
            .map(|(pass, body)| retrieve(pass, body));
        join_all(all)
            .await
            .into_iter()
            .for_each(|one| drop(one.unwrap()));
        let together = begun.elapsed();
        println!("sixteen one after the other {one_after_the_other:?}, together {together:?}");
        best = best.min(together.as_secs_f64() / one_after_the_other.as_secs_f64());
    }
    assert!(best < 0.8, "{best}");
    busy.cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_finds_the_queue_full_is_told_when_to_come_and_keeps_the_ticket() {
    let busy = Busy::start(|world| world.config.limits.queue_queries = 40).await;
    let pass = busy.world.pass(&busy.cloud, 20);
    // A measured pass, for the prediction.
    retrieve(&pass, &busy.body(1, 1)).await.unwrap();
    // Of its 64 queries 16 are answered ahead.
    let silent = busy.begin(&busy.world.pass(&busy.cloud, 21), 64, 2).await;
    let body = busy.body(1, 3);
    match retrieve(&pass, &body).await {
        Err(ClientError::Refused {
            status,
            code,
            message,
            retry_after,
        }) => {
            assert_eq!((status.as_u16(), code.as_str()), (503, "busy"));
            let seconds = retry_after.unwrap().as_secs();
            assert!((1..=60).contains(&seconds), "{seconds}");
            assert!(message.contains(&format!("{seconds} seconds")), "{message}");
        }
        other => panic!("{other:?}"),
    }
    // Others are refused for the same reason, whatever their size; its own repeat for another.
    let refused = refusal(retrieve(&pass, &busy.body(64, 4)).await);
    assert_eq!(refused, (503, "busy".into()));
    assert_refused(retrieve(&pass, &busy.body(64, 2)).await, 503, "busy");
    drop(silent);
    until(async || match retrieve(&pass, &body).await {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), Some("busy"), "{error}");
            false
        }
    })
    .await;
    busy.cloud.stop().await;
}
