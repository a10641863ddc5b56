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

#[tokio::test]
async fn large_objects_come_in_pieces_and_of_the_expected_length_or_not_at_all() {
    let (directory, blobs) = store();
    let bytes: Vec<u8> = (0..1_000_003_u32).map(|i| (i % 251) as u8).collect();
    blobs.put("a/b", bytes.clone().into()).await.unwrap();
    for range in [0..bytes.len(), 300_000..900_001, 7..8, 5..5] {
        let asked = range.start as u64..range.end as u64;
        let stream = blobs.get_stream("a/b", asked).await.unwrap();
        let pieces: Vec<Bytes> = stream.try_collect().await.unwrap();
        assert!(pieces.iter().all(|piece| piece.len() <= 256 << 10));
        assert_eq!(pieces.concat(), bytes[range]);
    }
    let beyond = blobs.get_stream("a/b", 5..1_000_004).await.err();
    assert!(
        matches!(beyond, Some(BlobError::Range { .. })),
        "{beyond:?}"
    );
    let absent = blobs.get_stream("a/c", 0..1).await.err();
    assert!(
        matches!(absent, Some(BlobError::NotFound { .. })),
        "{absent:?}"
    );

    assert_eq!(blobs.get_exact("a/b", 1_000_003).await.unwrap(), bytes);
    fs::write(directory.path().join("blobs/a/b"), &bytes[1..]).unwrap();
    let cut = blobs.get_exact("a/b", 1_000_003).await;
    assert!(
        matches!(
            cut,
            Err(BlobError::Length {
                expected: 1_000_003,
                found: 1_000_002,
                ..
            })
        ),
        "{cut:?}"
    );
}

#[tokio::test]
async fn what_is_below_a_prefix_is_named_and_removed_at_once() {
    let (_directory, blobs) = store();
    for key in ["a/x/1", "a/x/2", "a/y", "ab/z", "top"] {
        blobs.put(key, Bytes::from_static(b"1")).await.unwrap();
    }
    assert_eq!(blobs.children("").await.unwrap(), ["a", "ab", "top"]);
    assert_eq!(blobs.children("a").await.unwrap(), ["x", "y"]);
    assert!(blobs.children("nothing").await.unwrap().is_empty());
    // An object itself has nothing below it.
    blobs.delete_below("top").await.unwrap();
    blobs.delete_below("a").await.unwrap();
    blobs.delete_below("a").await.unwrap();
    assert_eq!(blobs.children("").await.unwrap(), ["ab", "top"]);
    assert!(!blobs.exists("a/x/1").await.unwrap());
    for wrong in ["", "..", "a/../ab", "/"] {
        let refused = blobs.delete_below(wrong).await;
        assert!(
            matches!(refused, Err(BlobError::Key { .. })),
            "{wrong}: {refused:?}"
        );
    }
    assert!(blobs.exists("ab/z").await.unwrap());
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
