//! Proofs that slots are still in storage, and statuses that tell what is there, not what was asked.

use harpo_protocol::domain::sha256;
use harpo_protocol::id::{Digest, Nonce};
use harpo_protocol::stack::{
    GenerationStatus, SlotProofRequest, SlotProofs, slot_proof, slots_digest,
};
use harpo_service::http::{Client, ClientError};

use crate::world::{Generation, World, assert_refused};

const NONCE: Nonce = Nonce([7; 16]);

async fn prove(
    trust: &Client,
    generation: &Generation,
    slots: &[u32],
) -> Result<Vec<Digest>, ClientError> {
    let request = SlotProofRequest {
        nonce: NONCE,
        slots: slots.to_vec(),
    };
    let sent = trust.post(&generation.path("/proofs")).json(&request);
    Ok(sent.send_json::<SlotProofs>(16 << 10).await?.proofs)
}

/// Refused as damaged, in words that name the slot.
fn assert_damaged(result: Result<Vec<Digest>, ClientError>, slot: u32) {
    let error = result.unwrap_err();
    assert_eq!(error.code(), Some("damaged"), "{error}");
    let words = format!("slot {slot} of generation");
    assert!(error.to_string().contains(&words), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_are_of_the_bytes_that_trust_wrote() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let generation = Generation::new(3);
    let expected = |slots: &[u32]| -> Vec<Digest> {
        let proof = |slot: &u32| {
            let bytes = &generation.slots[*slot as usize];
            slot_proof(NONCE, generation.id, *slot, bytes)
        };
        slots.iter().map(proof).collect()
    };
    generation.write(&trust).await;
    // Before it is sealed, and afterwards; in the order asked for.
    assert_eq!(
        prove(&trust, &generation, &[2]).await.unwrap(),
        expected(&[2])
    );
    generation.write_and_seal(&trust).await;
    for slots in [vec![15, 0, 3, 3], vec![4; 64]] {
        let proofs = prove(&trust, &generation, &slots).await.unwrap();
        assert_eq!(proofs, expected(&slots));
    }
    // Two hundred and fifty-six slots at once: they wait for each other.
    let many = (0..16).map(|_| {
        let trust = trust.clone();
        let expected = expected(&[1; 16]);
        let (path, slots) = (generation.path("/proofs"), vec![1; 16]);
        tokio::spawn(async move {
            let request = SlotProofRequest {
                nonce: NONCE,
                slots,
            };
            let proofs: SlotProofs = trust
                .post(&path)
                .json(&request)
                .send_json(16 << 10)
                .await
                .unwrap();
            assert_eq!(proofs.proofs, expected);
        })
    });
    for one in many.collect::<Vec<_>>() {
        one.await.unwrap();
    }
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_that_are_damaged_or_gone_are_named_and_not_proven() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let generation = Generation::new(3);
    generation.write_and_seal(&trust).await;
    let file = |slot| world.slot_file(&generation, slot);
    let good = std::fs::read(file(2)).unwrap();
    let mut flipped = good.clone();
    flipped[good.len() - 1] ^= 1;
    let longer = [good.as_slice(), b"x"].concat();
    for damage in [&flipped, &good[1..], b"", &longer] {
        std::fs::write(file(2), damage).unwrap();
        assert_damaged(prove(&trust, &generation, &[0, 2, 5]).await, 2);
    }
    // Another slot's bytes are not this one's.
    std::fs::copy(file(3), file(2)).unwrap();
    assert_damaged(prove(&trust, &generation, &[2]).await, 2);
    std::fs::remove_file(file(2)).unwrap();
    assert_damaged(prove(&trust, &generation, &[2]).await, 2);
    // Never written.
    assert_damaged(prove(&trust, &generation, &[0, 16]).await, 16);
    // The memory that answers retrievals still has the slot: proofs come from storage. The others are there.
    generation.sealed(&trust).await;
    prove(&trust, &generation, &[0, 1, 3, 15]).await.unwrap();
    std::fs::write(file(2), &good).unwrap();
    prove(&trust, &generation, &[2]).await.unwrap();
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn proof_requests_have_limits() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let generation = Generation::new(3);
    let unknown = prove(&trust, &generation, &[0]).await;
    assert_refused(unknown, 404, "not_found");
    generation.write_and_seal(&trust).await;
    for slots in [vec![], vec![0; 65]] {
        let refused = prove(&trust, &generation, &slots).await;
        assert_refused(refused, 400, "malformed");
    }
    let send = |text: String| trust.post(&generation.path("/proofs")).bytes(text).send();
    let nonce = NONCE.to_string();
    let extra = format!(r#"{{"nonce":"{nonce}","slots":[0],"more":1}}"#);
    assert_refused(send(extra).await, 400, "malformed");
    assert_refused(send(" ".repeat(100 << 10)).await, 413, "too_large");
    trust.delete(&generation.path("")).send().await.unwrap();
    let retired = prove(&trust, &generation, &[0]).await;
    assert_refused(retired, 404, "not_found");
    cloud.stop().await;
}

/// Changes the database of a cloud that does not run.
async fn tamper(world: &World, sql: &'static str, values: &[&[u8]]) {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(world.config.database_file());
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let query = values
        .iter()
        .fold(sqlx::query(sql), |query, value| query.bind(*value));
    assert_eq!(query.execute(&pool).await.unwrap().rows_affected(), 1);
    pool.close().await;
}

/// Puts other bytes in the place of slot 2, in storage and in the record of what was written.
async fn swap(world: &World, generation: &mut Generation) {
    let before = world.slot_file(generation, 2);
    generation.slots[2][0] ^= 1;
    let bytes = &generation.slots[2];
    std::fs::remove_file(before).unwrap();
    std::fs::write(world.slot_file(generation, 2), bytes).unwrap();
    let digest = sha256(bytes);
    let sql = "UPDATE slots SET digest = ? WHERE generation = ? AND slot = 2";
    tamper(world, sql, &[&digest.0, &generation.id.0]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_what_was_to_be_sealed_is_never_called_sealed() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let mut generation = Generation::new(3);
    generation.write(&trust).await;
    cloud.stop().await;
    // Sealing was accepted, and before it is done a slot becomes another.
    let sql = "UPDATE generations SET state = 'sealing', slots = 16, parameter_set = 1, interleave = 8, seed = ?, \
               slots_digest = ? WHERE id = ?";
    let request = generation.request.clone();
    let values = [
        &request.figures.seed.0,
        &request.slots.0,
        generation.id.0.as_slice(),
    ];
    tamper(&world, sql, &values).await;
    swap(&world, &mut generation).await;
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    assert_eq!(
        generation.status(&trust).await.unwrap(),
        GenerationStatus::Open { slots: 16 }
    );
    assert_refused(generation.ask_to_seal(&trust).await, 409, "conflict");
    assert_refused(
        generation.hint(&world.pass(&cloud, 9)).await,
        404,
        "not_found",
    );
    cloud.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_what_was_read_back_and_not_what_was_asked() {
    let world = World::new();
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let mut generation = Generation::new(3);
    generation.write_and_seal(&trust).await;
    cloud.stop().await;
    let sql = "UPDATE generations SET slots_digest = ? WHERE id = ?";
    tamper(&world, sql, &[&[0; 32], &generation.id.0]).await;
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let read = slots_digest(generation.slots.iter().map(|slot| sha256(slot)));
    match generation.status(&trust).await.unwrap() {
        GenerationStatus::Sealed { slots, .. } => assert_eq!(slots, read),
        other => panic!("{other:?}"),
    }

    // Storage and record changed together: the digest that was told once still gives it away.
    cloud.stop().await;
    swap(&world, &mut generation).await;
    let cloud = world.start().await;
    let trust = world.trust(&cloud);
    let error = generation.status(&trust).await.unwrap_err().to_string();
    assert!(error.contains("its slots are others"), "{error}");
    cloud.stop().await;
}
