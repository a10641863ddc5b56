use std::fs::OpenOptions;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use axum::body::Body;
use harpo_oblivious::{ParamSetId, Seed, Shape};
use harpo_service::blobs::Blobs;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::config::Limits;
use crate::slots::Slots;

const G: GenerationId = GenerationId([1; 16]);
const SLOT_BYTES: u32 = 300_000;
const SLOTS: u32 = 5;

/// A folder with the slots of a generation, and one for what is kept of it.
struct World {
    folder: tempfile::TempDir,
    kept: Kept,
    info: GenerationInfo,
    reader: Arc<Reader>,
}

fn slot(index: u32) -> Vec<u8> {
    (0..SLOT_BYTES)
        .map(|i| (i.wrapping_mul(2_654_435_761).wrapping_add(index * 97) >> 11) as u8)
        .collect()
}

impl World {
    async fn new() -> Self {
        Self::of(slot).await
    }

    async fn of(slot: impl Fn(u32) -> Vec<u8>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(&folder.path().join("objects")).unwrap();
        let slots = Slots::new(blobs, &Limits::default());
        let mut digests = Vec::new();
        for index in 0..SLOTS {
            let received = slots.receive(Body::from(slot(index)), None).await.unwrap();
            digests.push(received.digest);
            slots.keep(received, G, index).await.unwrap();
        }
        let mut kept = Kept::open(&folder.path().join("encoded")).unwrap();
        // Several stripes.
        kept.stripe_bytes = 400_000;
        let info = GenerationInfo {
            params: ParamSetId(2),
            shape: Shape::new(SLOTS, SLOT_BYTES, 64).unwrap(),
            seed: Seed([3; 32]),
        };
        let reader = Arc::new(Reader {
            slots,
            id: G,
            digests,
            runtime: Handle::current(),
            stop: CancellationToken::new(),
        });
        Self {
            folder,
            kept,
            info,
            reader,
        }
    }

    /// As if the process had died before the slots were read to their end.
    fn uncheck(&self) {
        let mut lines = self.lines();
        assert_eq!(lines.pop().unwrap(), "checked\n");
        fs::write(self.kept.stripes(G), lines.concat()).unwrap();
    }

    /// What is kept, as [`Kept::encode`] begins with it.
    fn work(&self) -> (Work, Sealer) {
        let sealer = Sealer::new(&self.info).unwrap();
        let sealer = sealer.with_stripe_bytes(self.kept.stripe_bytes);
        let bytes = self.info.encoded_bytes().unwrap();
        let work = Work {
            rows: Rows::open(&self.kept.rows(G), bytes).unwrap(),
            list: List::open(&self.kept.stripes(G), &self.info, sealer.stripes().len()).unwrap(),
        };
        (work, sealer)
    }

    async fn encode(&self, sealed: bool) -> Result<Done, Failure> {
        let (kept, reader, info) = (self.kept.clone(), Arc::clone(&self.reader), self.info);
        tokio::task::spawn_blocking(move || kept.encode(&reader, &info, sealed))
            .await
            .unwrap()
    }

    /// What is encoded in memory, from the same slots.
    fn expected(&self) -> Encoded {
        let slots: Vec<_> = (0..SLOTS).map(slot).collect();
        Encoded::of_slots(&self.info, &slots).unwrap()
    }

    fn remove_slots(&self) {
        fs::remove_dir_all(self.folder.path().join("objects")).unwrap();
    }

    fn lines(&self) -> Vec<String> {
        let text = fs::read_to_string(self.kept.stripes(G)).unwrap();
        text.split_inclusive('\n').map(str::to_owned).collect()
    }
}

fn ok(outcome: Result<Done, Failure>) -> Done {
    match outcome {
        Ok(done) => done,
        Err(Failure::Damaged(slots)) => panic!("damaged: {slots:?}"),
        Err(Failure::Other(error)) => panic!("{error}"),
    }
}

#[tokio::test]
async fn what_is_kept_is_used_without_the_slots() {
    let world = World::new().await;
    let first = ok(world.encode(false).await);
    let expected = world.expected();
    assert!(first.resident.0.bytes() == expected.bytes());
    let fresh = first.fresh.unwrap();
    assert!(fresh.hint == expected.hint().to_bytes());
    assert_eq!(fresh.read_back, slots_digest(world.reader.digests.clone()));
    assert!(world.lines().len() > 3, "several stripes");

    world.remove_slots();
    let again = ok(world.encode(true).await);
    assert!(again.fresh.is_none());
    assert!(again.resident.0.bytes() == expected.bytes());
}

#[tokio::test]
async fn an_interrupted_sealing_goes_on() {
    let world = World::new().await;
    let expected = world.expected();
    ok(world.encode(false).await);
    let lines = world.lines();
    // As if the process had died at any stripe, in the middle of a line.
    for cut in 1..lines.len() {
        let mut text = lines[..cut].concat();
        text.push_str(&lines[cut][..lines[cut].len() / 2]);
        fs::write(world.kept.stripes(G), text).unwrap();
        let file = OpenOptions::new()
            .write(true)
            .open(world.kept.rows(G))
            .unwrap();
        let kept = expected.bytes().len() as u64 * (cut as u64 - 1) / (lines.len() as u64 - 2);
        file.write_all_at(
            &[0x55; 64],
            kept.next_multiple_of(64)
                .min(expected.bytes().len() as u64 - 64),
        )
        .unwrap();
        let done = ok(world.encode(false).await);
        assert!(done.resident.0.bytes() == expected.bytes(), "cut at {cut}");
        assert!(done.fresh.unwrap().hint == expected.hint().to_bytes());
        assert_eq!(world.lines(), lines);
    }
}

#[tokio::test]
async fn a_damaged_stripe_is_encoded_anew() {
    let world = World::new().await;
    ok(world.encode(false).await);
    let expected = world.expected();
    let middle = expected.bytes().len() as u64 / 2;
    let file = OpenOptions::new()
        .write(true)
        .open(world.kept.rows(G))
        .unwrap();
    file.write_all_at(&[expected.bytes()[middle as usize] ^ 1], middle)
        .unwrap();
    let done = ok(world.encode(true).await);
    assert!(done.fresh.is_some(), "it was noticed");
    assert!(done.resident.0.bytes() == expected.bytes());
    // What is kept for another generation is not taken for this one's.
    let other = World {
        info: GenerationInfo {
            seed: Seed([4; 32]),
            ..world.info
        },
        ..world
    };
    let done = ok(other.encode(true).await);
    assert!(done.fresh.unwrap().hint == other.expected().hint().to_bytes());
}

#[tokio::test]
async fn nothing_that_came_from_damaged_slots_stays() {
    let world = World::new().await;
    let objects = world.folder.path().join("objects");
    let slots = objects.join(G.to_string()).join("slots");
    let mut files: Vec<_> = fs::read_dir(slots)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    files.sort();
    let mut bytes = fs::read(&files[1]).unwrap();
    bytes[200_000] ^= 1;
    fs::write(&files[1], bytes).unwrap();
    fs::remove_file(&files[3]).unwrap();
    match world.encode(false).await {
        Err(Failure::Damaged(slots)) => assert_eq!(slots, [1, 3]),
        _ => panic!("the damage was not noticed"),
    }
    assert!(!world.kept.rows(G).exists() && !world.kept.stripes(G).exists());
}

#[tokio::test]
async fn generations_are_found_and_removed() {
    let world = World::new().await;
    let done = ok(world.encode(false).await);
    assert_eq!(world.kept.generations().unwrap(), [G, G]);
    let bytes = done.resident.0.bytes().to_vec();
    world.kept.remove(G).unwrap();
    world.kept.remove(G).unwrap();
    assert_eq!(world.kept.generations().unwrap(), []);
    assert!(
        done.resident.0.bytes() == bytes,
        "a mapping in use stays good"
    );
}

#[tokio::test]
async fn what_was_made_from_wrong_bytes_is_found_by_the_next_reading() {
    // What the first reading was given: other bytes, and then the process died.
    let world = World::new().await;
    for sealed in [false, true] {
        let other = World {
            kept: world.kept.clone(),
            ..World::of(|index| slot(index + u32::from(index == 2))).await
        };
        ok(other.encode(false).await);
        world.uncheck();
        let done = ok(world.encode(sealed).await);
        let expected = world.expected();
        assert!(done.resident.0.bytes() == expected.bytes());
        let fresh = done.fresh.unwrap();
        assert!(fresh.hint == expected.hint().to_bytes());
        assert_eq!(fresh.read_back, slots_digest(world.reader.digests.clone()));
        // And it is kept.
        assert!(ok(world.encode(true).await).fresh.is_none());
    }
}

#[tokio::test]
async fn what_was_made_from_the_right_bytes_is_not_made_again() {
    let world = World::new().await;
    ok(world.encode(false).await);
    world.uncheck();
    let (mut work, sealer) = world.work();
    let reader = Arc::clone(&world.reader);
    let (others, listed) = tokio::task::spawn_blocking(move || {
        let stripes: Vec<_> = sealer.stripes().collect();
        // One that is not taken as it is would be among the others.
        let round = work.round(&sealer, &stripes, &reader);
        (
            round.ok().unwrap().others,
            work.list.count() == stripes.len(),
        )
    })
    .await
    .unwrap();
    assert_eq!((others, listed), (0, true));
    assert!(
        ok(world.encode(true).await).fresh.is_some(),
        "slots are read"
    );
    assert!(ok(world.encode(true).await).fresh.is_none());
}

#[tokio::test]
async fn what_the_disk_does_not_give_is_missing_and_encoded_anew() {
    let world = World::new().await;
    ok(world.encode(false).await);
    let (mut work, sealer) = world.work();
    let stripes: Vec<_> = sealer.stripes().collect();
    assert_eq!(work.verify(&stripes).unwrap(), 0);
    assert!(work.list.is_finished());
    // From here on a look through the mapping would end the process.
    let file = OpenOptions::new().write(true).open(world.kept.rows(G));
    file.unwrap().set_len(100).unwrap();
    assert_eq!(work.verify(&stripes).unwrap(), stripes.len());
    assert!(!work.list.is_finished());
    drop(work);
    let again = ok(world.encode(true).await);
    assert!(again.resident.0.bytes() == world.expected().bytes());
}

#[test]
fn the_place_on_the_disk_is_taken_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("rows");
    let bytes = 3_000_000;
    Rows::open(&path, bytes).unwrap();
    let file = fs::metadata(&path).unwrap();
    assert_eq!(file.len(), bytes);
    assert!(file.blocks() * 512 >= bytes, "{} blocks", file.blocks());
    // More than any disk has.
    let refused = Rows::open(&path, 1 << 55).map(drop);
    assert!(refused.is_err(), "{refused:?}");
    assert_eq!(fs::metadata(&path).unwrap().len(), bytes);
}
