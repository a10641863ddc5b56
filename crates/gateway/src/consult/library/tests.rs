use harpo_protocol::id::{Digest, PartyId};
use harpo_protocol::manifest::{Attributes, Instance, Series, Study};

use super::*;

const NOW: Timestamp = Timestamp(1_750_000_000_000);

fn manifest(number: u8, contents: &[&[u8]]) -> Manifest {
    let instances = contents.iter().enumerate().map(|(index, bytes)| Instance {
        sop_instance_uid: format!("1.2.{number}.{index}"),
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
        attributes: Attributes::new(),
        bytes: bytes.len() as u64,
        sha256: sha256(bytes),
        dataset_sha256: sha256(bytes),
    });
    Manifest {
        bundle: BundleId([number; 16]),
        origin: PartyId([1; 16]),
        creator: String::new(),
        created: NOW,
        study: Study {
            study_instance_uid: format!("1.2.{number}"),
            patient_id: String::new(),
            attributes: Attributes::new(),
            series: vec![Series {
                series_instance_uid: "1.2.3".into(),
                attributes: Attributes::new(),
                instances: instances.collect(),
            }],
        },
        fragments: vec![Digest([0; 32])],
    }
}

struct Fixture {
    dir: tempfile::TempDir,
    store: Store,
}

impl Fixture {
    async fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("gateway.db")).await.unwrap();
        Self { dir, store }
    }

    /// As after a start.
    async fn library(&self, limit: u64) -> Library {
        Library::open(self.dir.path().join("cache"), limit, self.store.clone())
            .await
            .unwrap()
    }

    async fn put(&self, library: &Library, number: u8, contents: &[&[u8]], now: Timestamp) {
        let manifest = manifest(number, contents);
        let dir = self.file(number, 0).parent().unwrap().to_owned();
        fs::create_dir_all(&dir).unwrap();
        for (index, bytes) in contents.iter().enumerate() {
            fs::write(self.file(number, index), bytes).unwrap();
        }
        let bytes = contents.iter().map(|c| c.len() as u64).sum();
        library.enter(&manifest, bytes, now).await.unwrap();
    }

    fn file(&self, number: u8, index: usize) -> PathBuf {
        let bundle = BundleId([number; 16]).to_string();
        self.dir
            .path()
            .join("cache")
            .join(bundle)
            .join(CachedInstance::file_name(index))
    }
}

#[tokio::test]
async fn what_was_entered_is_found_also_after_a_restart() {
    let fixture = Fixture::new().await;
    let library = fixture.library(1000).await;
    assert!(library.get(BundleId([1; 16]), NOW).await.unwrap().is_none());
    fixture.put(&library, 1, &[b"a", b"bb"], NOW).await;
    let after_restart = fixture.library(1000).await;
    for library in [library, after_restart] {
        let found = library.get(BundleId([1; 16]), NOW).await.unwrap().unwrap();
        let bytes: Vec<Vec<u8>> = found.iter().map(|i| fs::read(&i.path).unwrap()).collect();
        assert_eq!(bytes, [b"a".to_vec(), b"bb".to_vec()]);
    }
}

#[tokio::test]
async fn copies_that_a_power_loss_damaged_are_not_shown_after_the_restart() {
    for damage in ["truncated", "zeroed", "gone"] {
        let fixture = Fixture::new().await;
        fixture
            .put(&fixture.library(1000).await, 1, &[b"image", b"other"], NOW)
            .await;
        let file = fixture.file(1, 1);
        match damage {
            "truncated" => fs::write(&file, b"oth").unwrap(),
            "zeroed" => fs::write(&file, [0; 5]).unwrap(),
            _ => fs::remove_file(&file).unwrap(),
        }
        let library = fixture.library(1000).await;
        assert!(
            library.get(BundleId([1; 16]), NOW).await.unwrap().is_none(),
            "{damage}"
        );
        assert!(!file.exists(), "{damage}: the damaged copy stays");
    }
}

#[tokio::test]
async fn leftovers_of_a_crash_are_removed_at_the_start() {
    let fixture = Fixture::new().await;
    fixture
        .put(&fixture.library(1000).await, 1, &[b"a"], NOW)
        .await;
    let leftover = fixture
        .dir
        .path()
        .join("cache")
        .join(format!("{}.part", BundleId([2; 16])));
    fs::create_dir(&leftover).unwrap();
    fixture.library(1000).await;
    assert!(!leftover.exists());
    assert!(fixture.file(1, 0).exists());
}

#[tokio::test]
async fn the_least_recently_used_make_room_but_not_what_may_still_be_read() {
    let fixture = Fixture::new().await;
    let library = fixture.library(10).await;
    let later = NOW.after(IN_USE * 3);
    fixture.put(&library, 1, &[b"12345678"], NOW).await;
    fixture
        .put(&library, 2, &[b"12345678"], NOW.after(IN_USE))
        .await;
    assert!(fixture.file(1, 0).exists(), "it was in use a moment ago");
    library
        .get(BundleId([1; 16]), later)
        .await
        .unwrap()
        .unwrap();
    fixture.put(&library, 3, &[b"1"], later).await;
    assert!(fixture.file(1, 0).exists(), "used just now");
    assert!(!fixture.file(2, 0).exists(), "idle, and beyond the limit");
    assert!(fixture.file(3, 0).exists());
}
