use std::fs;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;

use super::*;

const G: GenerationId = GenerationId([1; 16]);

fn open(dir: &Path, at_once: u32) -> Slots {
    let limits = Limits {
        max_slot_bytes: 100,
        slot_uploads_at_once: at_once,
        ..Limits::default()
    };
    Slots::new(Blobs::open(dir).unwrap(), &limits)
}

async fn receive(slots: &Slots, bytes: &[u8]) -> Result<Received, Error> {
    slots.receive(Body::from(bytes.to_vec()), None).await
}

async fn read(slots: &Slots, digest: Digest, length: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0; length];
    slots.read(G, 0, digest, &mut bytes).await.map(|_| bytes)
}

fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn what_was_kept_is_read_back_and_damage_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path(), 1);
    let received = receive(&slots, b"some bytes").await.unwrap();
    let digest = received.digest;
    assert_eq!((received.length, digest), (10, sha256(b"some bytes")));
    slots.keep(received, G, 0).await.unwrap();
    assert_eq!(read(&slots, digest, 10).await.unwrap(), b"some bytes");

    let path = dir.path().join(slot_key(G, 0, digest));
    for damage in [b"some bytez".as_slice(), b"some byte", b"some bytes!"] {
        fs::write(&path, damage).unwrap();
        assert!(
            matches!(read(&slots, digest, 10).await, Err(ReadError::Damaged)),
            "{damage:?}"
        );
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(
        read(&slots, digest, 10).await,
        Err(ReadError::Damaged)
    ));
    // What is wrong with the store is no damage.
    let above = path.parent().unwrap();
    fs::remove_dir(above).unwrap();
    fs::write(above, b"in the way").unwrap();
    let error = read(&slots, digest, 10).await.unwrap_err();
    assert!(matches!(error, ReadError::Store(_)), "{error:?}");
}

#[tokio::test]
async fn uploads_of_one_index_do_not_touch_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path(), 2);
    let first = receive(&slots, b"first").await.unwrap();
    let second = receive(&slots, b"other").await.unwrap();
    let digests = [first.digest, second.digest];
    let (one, two) = tokio::join!(slots.keep(first, G, 0), slots.keep(second, G, 0));
    one.unwrap();
    two.unwrap();
    assert_eq!(read(&slots, digests[0], 5).await.unwrap(), b"first");
    assert_eq!(read(&slots, digests[1], 5).await.unwrap(), b"other");
}

#[tokio::test]
async fn refused_and_interrupted_slots_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path(), 1);
    let refused = receive(&slots, &[0; 101]).await;
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
    drop(receive(&slots, &[0; 100]).await.unwrap());
    assert!(files(dir.path()).is_empty());
    // Killed while writing: the store's own name for what is not whole.
    let half = dir.path().join(format!("{G}/slots/00000000-00#1"));
    fs::create_dir_all(half.parent().unwrap()).unwrap();
    fs::write(&half, b"half").unwrap();
    let slots = open(dir.path(), 1);
    assert!(files(dir.path()).is_empty());
    // The generation has a name, but nothing in it: the database tells whether to remove it.
    assert_eq!(slots.generations().await.unwrap(), [G]);
    slots.remove(G).await.unwrap();
    assert!(slots.generations().await.unwrap().is_empty());
}

#[tokio::test]
async fn no_more_slots_are_in_memory_than_allowed() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path(), 2);
    let first = receive(&slots, b"1").await.unwrap();
    let second = receive(&slots, b"2").await.unwrap();

    let mut third = std::pin::pin!(receive(&slots, b"3"));
    assert!(futures_util::poll!(&mut third).is_pending());
    // Whoever still holds the bytes holds the place.
    let bytes = first.bytes.clone();
    drop(first);
    assert!(futures_util::poll!(&mut third).is_pending());
    drop(bytes);
    let third = third.await.unwrap();
    assert_eq!(third.digest, sha256(b"3"));

    // Nothing is taken of a body that waits, and it does not wait for ever.
    let impatient = Slots {
        place_within: Duration::from_millis(10),
        ..slots.clone()
    };
    let body = futures_util::stream::once(async { panic!("taken") });
    let body = Body::from_stream(body.map(|()| Ok::<_, std::io::Error>(Bytes::new())));
    let busy = impatient.receive(body, None).await;
    assert!(matches!(busy, Err(Error::Busy(_))), "{busy:?}");
    drop((second, third));
    receive(&slots, b"4").await.unwrap();
}

#[tokio::test]
async fn hints_are_sent_in_ranges_and_their_damage_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path(), 1);
    let hint: Vec<u8> = (0..1_000_000_u32).map(|i| (i % 251) as u8).collect();
    let record = HintRecord {
        digest: sha256(&hint),
        bytes: 1_000_000,
    };
    assert!(!slots.has_hint(G, record).await.unwrap());
    slots.keep_hint(G, hint.clone()).await.unwrap();
    assert!(slots.has_hint(G, record).await.unwrap());
    let pieces = slots.hint(G, 400_000..999_999).await.unwrap();
    let pieces: Vec<Bytes> = pieces.try_collect().await.unwrap();
    assert_eq!(pieces.concat(), hint[400_000..999_999]);

    let path = dir.path().join(hint_key(G));
    let mut damaged = hint.clone();
    damaged[500_000] ^= 1;
    for damage in [damaged.as_slice(), &hint[1..], b""] {
        fs::write(&path, damage).unwrap();
        assert!(!slots.has_hint(G, record).await.unwrap());
    }
    slots.keep_hint(G, hint).await.unwrap();
    assert!(slots.has_hint(G, record).await.unwrap());
}

#[tokio::test]
async fn only_what_is_named_like_a_generation_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let slots = open(dir.path(), 1);
    let other = GenerationId([2; 16]);
    let received = receive(&slots, b"x").await.unwrap();
    slots.keep(received, other, 0).await.unwrap();
    slots.keep_hint(G, vec![1]).await.unwrap();
    fs::create_dir(dir.path().join("lost+found")).unwrap();
    fs::write(dir.path().join("notes"), b"mine").unwrap();
    assert_eq!(slots.generations().await.unwrap(), [G, other]);
}

#[test]
fn a_full_store_is_told_apart() {
    let full = BlobError::Full {
        source: object_store::Error::NotImplemented {
            operation: "any".into(),
            implementer: "any".into(),
        },
    };
    let refusal = harpo_service::http::ApiError::from(Error::from(full));
    assert_eq!(
        (refusal.status.as_u16(), refusal.code),
        (507, "storage_full")
    );
}
