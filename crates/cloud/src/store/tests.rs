use harpo_protocol::id::Nonce;
use harpo_protocol::stack::Figures;
use harpo_protocol::time::Timestamp;
use harpo_service::db::open_sqlite;

use super::*;

const G: GenerationId = GenerationId([1; 16]);
const H: GenerationId = GenerationId([2; 16]);

async fn store(dir: &tempfile::TempDir) -> Store {
    Store::new(
        open_sqlite(&dir.path().join("cloud.sqlite"), &MIGRATOR)
            .await
            .unwrap(),
    )
}

fn digest(byte: u8) -> Digest {
    Digest([byte; 32])
}

fn request(slots: u32, seed: u8) -> SealRequest {
    SealRequest {
        figures: Figures {
            slots,
            slot_bytes: 64,
            parameter_set: 1,
            interleave: 1,
            seed: digest(seed),
        },
        slots: slots_digest((0..slots).map(|slot| digest(slot as u8))),
    }
}

async fn fill(store: &Store, id: GenerationId, slots: u32) {
    for slot in 0..slots {
        store
            .put_slot(id, slot, 64, digest(slot as u8))
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn a_slot_keeps_its_first_bytes_and_the_first_slot_fixes_the_size() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    store.put_slot(G, 0, 64, digest(1)).await.unwrap();
    store.put_slot(G, 0, 64, digest(1)).await.unwrap();
    assert!(store.has_slot(G, 0, digest(1)).await.unwrap());
    assert!(!store.has_slot(G, 1, digest(1)).await.unwrap());
    let other = store.put_slot(G, 0, 64, digest(2)).await;
    assert!(matches!(other, Err(Error::Conflict(_))), "{other:?}");
    let size = store.put_slot(G, 1, 65, digest(1)).await;
    assert!(matches!(size, Err(Error::Malformed(_))), "{size:?}");
    assert_eq!(store.slot_count(G).await.unwrap(), 1);
}

#[tokio::test]
async fn sealing_wants_exactly_the_slots_of_the_request() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    assert!(matches!(
        store.begin_seal(G, &request(4, 9)).await,
        Err(Error::NotFound(_))
    ));
    for slot in [0, 1, 3] {
        store
            .put_slot(G, slot, 64, digest(slot as u8))
            .await
            .unwrap();
    }
    let refused = store.begin_seal(G, &request(4, 9)).await.unwrap_err();
    assert!(
        matches!(
            refused,
            Error::Incomplete {
                missing: 1,
                expected: 4,
                first: 2
            }
        ),
        "{refused:?}"
    );
    assert!(matches!(
        store.begin_seal(G, &request(2, 9)).await,
        Err(Error::Conflict(_))
    ));
    store.put_slot(G, 2, 64, digest(2)).await.unwrap();
    let mut wrong = request(4, 9);
    wrong.slots = digest(0);
    assert!(matches!(
        store.begin_seal(G, &wrong).await,
        Err(Error::Conflict(_))
    ));

    assert_eq!(
        store.begin_seal(G, &request(4, 9)).await.unwrap(),
        Begin::Started
    );
    assert_eq!(
        store.begin_seal(G, &request(4, 9)).await.unwrap(),
        Begin::Repeated
    );
    assert!(matches!(
        store.begin_seal(G, &request(4, 8)).await,
        Err(Error::Conflict(_))
    ));
    let late = store.put_slot(G, 0, 64, digest(0)).await;
    assert!(matches!(late, Err(Error::Conflict(_))), "{late:?}");
}

#[tokio::test]
async fn no_two_generations_share_a_seed_even_when_one_is_retired() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    fill(&store, G, 2).await;
    fill(&store, H, 2).await;
    store.begin_seal(G, &request(2, 9)).await.unwrap();
    assert!(store.retire(G).await.unwrap());
    assert!(!store.retire(G).await.unwrap());
    assert!(matches!(
        store.begin_seal(H, &request(2, 9)).await,
        Err(Error::Conflict(_))
    ));
    assert_eq!(
        store.begin_seal(H, &request(2, 8)).await.unwrap(),
        Begin::Started
    );
    // What comes late does not bring it back.
    assert!(matches!(
        store.put_slot(G, 0, 64, digest(0)).await,
        Err(Error::Conflict(_))
    ));
}

#[tokio::test]
async fn sealed_generations_come_back_in_order_and_reopened_ones_lack_what_was_damaged() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    fill(&store, G, 2).await;
    fill(&store, H, 2).await;
    let done = Sealed {
        read_back: digest(8),
        hint: HintRecord {
            digest: digest(7),
            bytes: 77,
        },
    };
    store.begin_seal(H, &request(2, 1)).await.unwrap();
    store.begin_seal(G, &request(2, 2)).await.unwrap();
    store.reopen(G, &[1]).await.unwrap();
    assert_eq!(store.slot_count(G).await.unwrap(), 1);
    store.put_slot(G, 1, 64, digest(1)).await.unwrap();
    store.begin_seal(G, &request(2, 2)).await.unwrap();
    assert!(store.finish_seal(H, done).await.unwrap());
    assert!(store.finish_seal(G, done).await.unwrap());
    assert!(!store.finish_seal(G, done).await.unwrap());
    let order: Vec<GenerationId> = store.closed().await.unwrap().iter().map(|g| g.id).collect();
    assert_eq!(order, [H, G]);
    let sealed = store.generation(H).await.unwrap().unwrap();
    assert_eq!(sealed.state, State::Sealed(request(2, 1), done));
}

#[tokio::test]
async fn tickets_are_spent_once_and_forgotten_ones_are_refused_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (Nonce([1; 16]), Nonce([2; 16]));
    let store = store(&dir).await;
    let bought = Bought::Queries(vec![digest(1), digest(2)]);
    let spend = |nonce, expires| store.spend(nonce, Timestamp(expires), &bought);
    spend(first, 100).await.unwrap();
    assert!(matches!(spend(first, 100).await, Err(Error::Spent)));
    assert_eq!(store.forget_tickets(Timestamp(99)).await.unwrap(), 0);
    assert!(store.spent(first).await.unwrap().is_some());
    assert_eq!(store.forget_tickets(Timestamp(100)).await.unwrap(), 1);
    // A clock that was set back cannot bring it back to life.
    assert_eq!(store.forget_tickets(Timestamp(5)).await.unwrap(), 0);
    for nonce in [first, second] {
        assert!(matches!(spend(nonce, 100).await, Err(Error::Expired)));
        assert!(matches!(store.resume(nonce, 8, 0).await, Err(Error::Spent)));
        spend(nonce, 101).await.unwrap();
    }
}

#[tokio::test]
async fn what_a_ticket_bought_is_kept_and_resumptions_are_counted() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let (list, whole) = (Nonce([1; 16]), Nonce([2; 16]));
    let queries = Bought::Queries((0..64).map(digest).collect());
    store.spend(list, Timestamp(100), &queries).await.unwrap();
    store
        .spend(whole, Timestamp(100), &Bought::Stack)
        .await
        .unwrap();
    // Bought once, whatever is asked later.
    assert!(matches!(
        store.spend(list, Timestamp(100), &Bought::Stack).await,
        Err(Error::Spent)
    ));
    for _ in 0..3 {
        store.resume(list, 3, 0).await.unwrap();
    }
    assert!(matches!(store.resume(list, 3, 0).await, Err(Error::Spent)));
    let spent = store.spent(list).await.unwrap().unwrap();
    assert_eq!((spent.bought, spent.resumptions), (Some(queries), 3));
    let spent = store.spent(whole).await.unwrap().unwrap();
    assert_eq!((spent.bought, spent.resumptions), (Some(Bought::Stack), 0));
    // A stream goes on, and not back.
    for from in [0, 0, 7, 7, 9] {
        store.resume(whole, 8, from).await.unwrap();
    }
    assert!(matches!(store.resume(whole, 8, 8).await, Err(Error::Spent)));
    let spent = store.spent(whole).await.unwrap().unwrap();
    assert_eq!((spent.resumptions, spent.stream_from), (5, 9));
    assert_eq!(store.spent(Nonce([3; 16])).await.unwrap(), None);
}

#[tokio::test]
async fn a_ticket_of_before_purchases_were_recorded_buys_nothing_more() {
    let dir = tempfile::tempdir().unwrap();
    let store = store(&dir).await;
    let old = Nonce([1; 16]);
    let mut tx = store.0.begin("test").await.unwrap();
    sqlx::query("INSERT INTO tickets (nonce, expires) VALUES (?, 100)")
        .bind(old.0.as_slice())
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();
    let spent = store.spent(old).await.unwrap().unwrap();
    assert_eq!((spent.bought, spent.resumptions), (None, 0));
    assert!(matches!(store.resume(old, 8, 0).await, Err(Error::Spent)));
    assert!(matches!(
        store.spend(old, Timestamp(100), &Bought::Stack).await,
        Err(Error::Spent)
    ));
}
