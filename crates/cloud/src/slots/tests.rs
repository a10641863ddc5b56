use axum::body::Body;
use tokio::time::{Duration, Instant};

use super::*;

const G: GenerationId = GenerationId([1; 16]);

fn reader(bytes: &[u8]) -> BodyReader {
    BodyReader::new(
        Body::from(bytes.to_vec()),
        Instant::now() + Duration::from_secs(10),
    )
}

fn read(slots: &Slots, digest: Digest, length: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = vec![0; length];
    slots.read(G, 0, digest, &mut bytes).map(|()| bytes)
}

#[tokio::test]
async fn what_was_kept_is_read_back_and_damage_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    let slots = Slots::open(dir.path()).unwrap();
    let staged = slots
        .receive(&mut reader(b"some bytes"), 100)
        .await
        .unwrap();
    let digest = staged.digest;
    assert_eq!((staged.bytes, digest), (10, sha256(b"some bytes")));
    slots.keep(&staged, G, 0).await.unwrap();
    drop(staged);
    assert_eq!(read(&slots, digest, 10).unwrap(), b"some bytes");

    let path = slots.slot(G, 0, digest);
    for damage in [b"some bytez".as_slice(), b"some byte", b"some bytes!"] {
        fs::write(&path, damage).unwrap();
        assert!(
            matches!(read(&slots, digest, 10), Err(ReadError::Damaged)),
            "{damage:?}"
        );
    }
    fs::remove_file(&path).unwrap();
    assert!(matches!(read(&slots, digest, 10), Err(ReadError::Damaged)));
}

#[tokio::test]
async fn refused_and_interrupted_slots_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let slots = Slots::open(dir.path()).unwrap();
    let refused = slots.receive(&mut reader(&[0; 101]), 100).await;
    assert!(
        matches!(refused, Err(Error::TooLarge { .. })),
        "{refused:?}"
    );
    drop(slots.receive(&mut reader(&[0; 100]), 100).await.unwrap());
    let left = |dir: &Path| fs::read_dir(dir.join("incoming")).unwrap().count();
    assert_eq!(left(dir.path()), 0);
    // Killed while receiving.
    fs::write(dir.path().join("incoming/7"), b"half").unwrap();
    Slots::open(dir.path()).unwrap();
    assert_eq!(left(dir.path()), 0);
}

#[tokio::test]
async fn a_full_disk_is_told_apart() {
    let full = io::Error::from(io::ErrorKind::StorageFull);
    let error = Error::file("write", Path::new("x"))(full);
    let refusal = harpo_service::http::ApiError::from(error);
    assert_eq!(
        (refusal.status.as_u16(), refusal.code),
        (507, "storage_full")
    );
}
