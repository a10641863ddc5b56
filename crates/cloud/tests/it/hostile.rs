//! Peers that do not follow the protocol.

use std::time::Duration;

use harpo_protocol::id::{GenerationId, Nonce};
use harpo_protocol::retrieval::{self, Ticket};
use harpo_protocol::sign::SigningKey;
use harpo_service::http::ClientError;
use harpo_service::tls::Role;
use http::Method;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

use crate::world::{Consumer, Generation, World, assert_refused, refusal, retrieve};

#[tokio::test(flavor = "multi_thread")]
async fn tickets_are_good_once_in_time_and_from_trust() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let send = async |ticket, queries: usize| {
        retrieve(&pass, &consumer.ask(&ticket, &vec![None; queries]).body).await
    };
    send(world.ticket(&[&generation], 1, 1), 1).await.unwrap();
    assert_refused(
        send(world.ticket(&[&generation], 1, 1), 1).await,
        409,
        "spent",
    );
    // The same nonce in another ticket is the same permission.
    assert_refused(
        send(world.ticket(&[&generation], 2, 1), 2).await,
        409,
        "spent",
    );

    let ticket = |generations, queries, seconds| Ticket {
        nonce: Nonce([5; 16]),
        generations,
        queries,
        expires: world.clock.now().after(Duration::from_secs(seconds)),
    };
    let good = || ticket(vec![generation.id], 1, 60);
    let forger = SigningKey::generate(&mut ChaCha20Rng::from_seed([66; 32])).0;
    assert_refused(send(forger.sign(&good()), 1).await, 403, "rejected");
    let sign = |ticket| world.signing.sign(&ticket);
    assert_refused(
        send(sign(ticket(vec![generation.id], 1, 0)), 1).await,
        403,
        "expired",
    );
    assert_refused(
        send(sign(ticket(vec![generation.id], 0, 60)), 0).await,
        400,
        "malformed",
    );
    assert_refused(
        send(sign(ticket(vec![generation.id], 65, 60)), 65).await,
        400,
        "malformed",
    );
    assert_refused(send(sign(ticket(vec![], 1, 60)), 1).await, 400, "malformed");
    assert_refused(
        send(sign(ticket(vec![GenerationId([9; 16])], 1, 60)), 1).await,
        404,
        "not_found",
    );
    assert_refused(
        send(sign(ticket(vec![generation.id; 2], 1, 60)), 1).await,
        400,
        "malformed",
    );
    // More and fewer queries than it says.
    assert_refused(send(sign(good()), 2).await, 400, "malformed");
    assert_refused(send(sign(good()), 0).await, 400, "malformed");
    // None of these spent it.
    send(sign(good()), 1).await.unwrap();
    world.clock.advance(Duration::from_secs(61));
    assert_refused(
        send(sign(ticket(vec![generation.id], 1, 0)), 1).await,
        403,
        "expired",
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_interface_wants_its_role() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::new(3);
    let client = |role| world.client(&cloud, role, 20);
    let of_trust = [
        (Method::PUT, "/slots/0"),
        (Method::POST, "/seal"),
        (Method::POST, "/proofs"),
        (Method::GET, ""),
        (Method::DELETE, ""),
    ];
    for role in [Role::Pass, Role::Gateway, Role::Cloud] {
        for (method, path) in &of_trust {
            let sent = client(role)
                .request(method.clone(), &generation.path(path))
                .bytes("x")
                .send()
                .await;
            assert_refused(sent, 403, "rejected");
        }
    }
    for role in [Role::Trust, Role::Gateway, Role::Cloud] {
        assert_refused(generation.hint(&client(role)).await, 403, "rejected");
        assert_refused(retrieve(&client(role), b"x").await, 403, "rejected");
    }
    let nowhere = ["/v1/nothing", "/v2/retrievals", "/", "/v1/generations/x/y"];
    for path in nowhere {
        assert_refused(client(Role::Pass).get(path).send().await, 404, "not_found");
    }
    assert_refused(
        client(Role::Pass).get("/v1/retrievals").send().await,
        404,
        "not_found",
    );
    assert_refused(
        client(Role::Trust).get("/v1/generations/xyz").send().await,
        400,
        "malformed",
    );
    // Another network's authority.
    let stranger = World::new();
    let sent = stranger
        .client(&cloud, Role::Trust, 1)
        .get("/v1/nothing")
        .send()
        .await;
    assert!(matches!(sent, Err(ClientError::Tls { .. })), "{sent:?}");
    assert!(world.events().is_empty());
    cloud.stop().await;
}

/// Changes some bytes, cuts, or appends.
fn mutate(body: &[u8], head: usize, rng: &mut ChaCha20Rng) -> Vec<u8> {
    let mut body = body.to_vec();
    let mut below = |limit: usize| (rng.next_u64() % limit as u64) as usize;
    match below(5) {
        0 => body.truncate(below(body.len())),
        1 => body.extend(std::iter::repeat_n(7, 1 + below(100))),
        // Within the ticket.
        2 => body[below(head)] ^= 1 << below(8),
        // Within the header of the query.
        3 => body[head + below(40)] ^= 1 << below(8),
        _ => {
            let at = below(body.len() - 8);
            // A residue of 27 one-bits is not below its prime.
            body[at..at + 8].fill(0xff);
        }
    }
    body
}

#[tokio::test(flavor = "multi_thread")]
async fn malformed_bodies_are_refused_and_spend_nothing() {
    let world = World::new();
    let cloud = world.start().await;
    let generation = Generation::new(3);
    generation.write_and_seal(&world.trust(&cloud)).await;
    let pass = world.pass(&cloud, 10);
    let consumer = Consumer::new(&[&generation], &pass).await;
    let ticket = world.ticket(&[&generation], 1, 1);
    let head = retrieval::head(&ticket).len();
    let asked = consumer.ask(&ticket, &[Some((0, 5))]);
    let mut rng = ChaCha20Rng::from_seed([4; 32]);
    for round in 0..1000 {
        let body = mutate(&asked.body, head, &mut rng);
        let (status, code) = refusal(retrieve(&pass, &body).await);
        let known = [(400, "malformed"), (403, "rejected")];
        assert!(
            known.contains(&(status, code.as_str())),
            "round {round}: {status} {code}"
        );
    }
    let answers = retrieve(&pass, &asked.body).await.unwrap();
    assert_eq!(
        consumer.open(asked, &answers),
        [generation.slots[5].clone()]
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sealing_is_refused_for_wrong_figures_digests_and_too_little_memory() {
    let mut world = World::new();
    world.config.limits.memory_limit_mib = 4;
    world.config.limits.max_slot_bytes = 1 << 20;
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let mut generation = Generation::new(3);
    generation.write(&trust).await;
    let good = generation.request.clone();
    generation.request.figures.interleave = 3;
    assert_refused(generation.ask_to_seal(&trust).await, 400, "malformed");
    generation.request = good.clone();
    generation.request.slots.0[0] ^= 1;
    assert_refused(generation.ask_to_seal(&trust).await, 409, "conflict");
    generation.request = good.clone();
    let unknown = generation.path("/seal");
    let sent = trust
        .post(&unknown)
        .bytes(r#"{"figures":{},"surprise":1}"#)
        .send()
        .await;
    assert_refused(sent, 400, "malformed");
    let sent = trust
        .post(&unknown)
        .bytes(vec![b' '; 100 << 10])
        .send()
        .await;
    assert_refused(sent, 413, "too_large");
    generation.ask_to_seal(&trust).await.unwrap();
    generation.sealed(&trust).await;

    let large = Generation::with(4, 16, 256 << 10);
    large.write(&trust).await;
    assert_refused(large.ask_to_seal(&trust).await, 507, "memory_full");
    let sent = trust
        .put(&large.path("/slots/16"))
        .bytes(vec![0; (1 << 20) + 1])
        .send()
        .await;
    assert_refused(sent, 413, "too_large");
    let mut same_seed = Generation::new(5);
    same_seed.request.figures.seed = good.figures.seed;
    same_seed.write(&trust).await;
    assert_refused(same_seed.ask_to_seal(&trust).await, 409, "conflict");
    cloud.stop().await;
}
