use std::fs;

use super::*;

fn store() -> (tempfile::TempDir, Blobs) {
    let directory = tempfile::tempdir().unwrap();
    let blobs = Blobs::open(&directory.path().join("blobs")).unwrap();
    (directory, blobs)
}

#[tokio::test]
async fn objects_are_stored_read_listed_replaced_and_removed() {
    let (_directory, blobs) = store();
    let key = "generations/7/slots/12";
    assert!(!blobs.exists(key).await.unwrap());
    assert!(matches!(
        blobs.get(key).await,
        Err(BlobError::NotFound { key: missing }) if missing == key
    ));
    blobs.put(key, Bytes::from_static(b"old")).await.unwrap();
    blobs
        .put(key, Bytes::from_static(b"0123456789"))
        .await
        .unwrap();
    assert_eq!(blobs.get(key).await.unwrap(), "0123456789");
    assert_eq!(blobs.get_range(key, 2..5).await.unwrap(), "234");
    assert_eq!(blobs.get_range(key, 3..3).await.unwrap(), "");
    assert_eq!(blobs.size(key).await.unwrap(), 10);
    #[expect(clippy::reversed_empty_ranges, reason = "what is to be refused")]
    for wrong in [8..11, 10..12, 5..3, 0..u64::MAX] {
        let refused = blobs.get_range(key, wrong).await;
        assert!(
            matches!(refused, Err(BlobError::Range { .. })),
            "{refused:?}"
        );
    }
    blobs.put("generations/70/x", Bytes::new()).await.unwrap();
    let entry = |key: &str, size| Entry {
        key: key.to_owned(),
        size,
    };
    assert_eq!(
        blobs.list("").await.unwrap(),
        [entry(key, 10), entry("generations/70/x", 0)]
    );
    for prefix in ["generations/7", "generations/7/"] {
        assert_eq!(blobs.list(prefix).await.unwrap(), [entry(key, 10)]);
    }
    assert!(blobs.list("nothing").await.unwrap().is_empty());
    blobs.delete(key).await.unwrap();
    blobs.delete(key).await.unwrap();
    assert!(!blobs.exists(key).await.unwrap());
}

#[tokio::test]
async fn keys_cannot_leave_the_store_or_collide_with_unfinished_writes() {
    let (directory, blobs) = store();
    fs::write(directory.path().join("outside"), "secret").unwrap();
    for key in [
        "../outside",
        "a/../../outside",
        "/outside",
        "",
        "a//b",
        "a/",
        ".hidden",
        "a#1",
        "a%2e",
        "a\0b",
        "é",
    ] {
        let put = blobs.put(key, Bytes::new()).await;
        assert!(matches!(put, Err(BlobError::Key { .. })), "{key}: {put:?}");
        assert!(matches!(blobs.get(key).await, Err(BlobError::Key { .. })));
        assert!(matches!(
            blobs.delete(key).await,
            Err(BlobError::Key { .. })
        ));
    }
}

#[tokio::test]
async fn a_write_cut_short_before_its_rename_leaves_the_old_object_and_is_cleaned_up() {
    let (directory, blobs) = store();
    blobs
        .put("a/b", Bytes::from_static(b"whole"))
        .await
        .unwrap();
    drop(blobs);
    // As the store leaves it when the process is killed while writing.
    let staged = directory.path().join("blobs/a/b#1");
    fs::write(&staged, "hal").unwrap();
    let never_renamed = directory.path().join("blobs/a/c#1");
    fs::write(&never_renamed, "hal").unwrap();

    let running = Blobs {
        store: Arc::new(LocalFileSystem::new_with_prefix(directory.path().join("blobs")).unwrap()),
    };
    let keys = |entries: Vec<Entry>| entries.into_iter().map(|e| e.key).collect::<Vec<_>>();
    assert_eq!(keys(running.list("").await.unwrap()), ["a/b"]);
    assert!(!running.exists("a/c").await.unwrap());

    let again = Blobs::open(&directory.path().join("blobs")).unwrap();
    assert_eq!(again.get("a/b").await.unwrap(), "whole");
    assert_eq!(keys(again.list("").await.unwrap()), ["a/b"]);
    assert!(!staged.exists() && !never_renamed.exists());
    again.put("a/c", Bytes::from_static(b"now")).await.unwrap();
    assert_eq!(again.get("a/c").await.unwrap(), "now");
}

#[test]
fn a_full_disk_is_recognised_through_the_stores_wrapping() {
    let wrapped = |code| object_store::Error::Generic {
        store: "LocalFileSystem",
        source: Box::new(io::Error::from_raw_os_error(code)),
    };
    // Linux: 28 is ENOSPC, 5 is EIO.
    let full = BlobError::from_store("k", wrapped(28));
    assert!(matches!(full, BlobError::Full { .. }), "{full:?}");
    let other = BlobError::from_store("k", wrapped(5));
    assert!(matches!(other, BlobError::Store { .. }), "{other:?}");
}
