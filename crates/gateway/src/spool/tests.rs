use std::fs;
use std::sync::Barrier;

use super::*;
use crate::dicom::testing::Sample;
use crate::dicom::uid;

const NOW: u64 = 1_750_000_000_000;

fn pacs() -> Source {
    Source::AeTitle("PACS".into())
}

fn dataset_kind(sample: &Sample) -> Kind {
    Kind::Dataset {
        transfer_syntax_uid: uid::EXPLICIT_LE.into(),
        sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
        sop_instance_uid: sample.instance.clone(),
    }
}

fn put_at(spool: &Spool, sample: &Sample, now_ms: u64) -> Result<Stored, StoreError> {
    let mut incoming = spool.begin(dataset_kind(sample), 1 << 30);
    incoming.push(&sample.dataset())?;
    spool.store(incoming, &pacs(), now_ms)
}

fn put(spool: &Spool, sample: &Sample) -> Result<Stored, StoreError> {
    put_at(spool, sample, NOW)
}

fn sample(instance: u32) -> Sample {
    Sample {
        instance: format!("1.2.3.{instance}"),
        number: instance,
        ..Sample::default()
    }
}

/// Closes a study and reads its bundle.
fn close(spool: &Spool, study: &str, bundle: &str) -> ClosedBundle {
    let closed = spool.close(study, bundle).unwrap();
    let read = spool.bundle(bundle).unwrap();
    assert_eq!(closed.instances, read.instances.len());
    read
}

/// Ends the process's hold on the spool as a kill would: nothing is tidied up.
fn reopen(spool: Arc<Spool>, dir: &Path) -> Arc<Spool> {
    drop(spool);
    Spool::open(dir).unwrap()
}

#[test]
fn stores_closes_and_removes() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    for (i, at) in [(1, 10), (2, 30), (3, 20)] {
        assert_eq!(
            put_at(&spool, &sample(i), NOW + at).unwrap().outcome,
            Outcome::Stored
        );
    }
    let study = "1.2.3.1";
    assert_eq!(spool.quiet_since(study), Some(NOW + 30));
    assert_eq!(spool.open_studies()[0].instances, 3);
    let bundle = close(&spool, study, "b-1");
    assert_eq!(bundle.study_instance_uid, study);
    let order: Vec<_> = bundle
        .instances
        .iter()
        .map(|i| i.header.sop_instance_uid.as_str())
        .collect();
    assert_eq!(order, ["1.2.3.1", "1.2.3.3", "1.2.3.2"]);
    let first = &bundle.instances[0];
    assert_eq!(first.source, pacs());
    let bytes = fs::read(&first.path).unwrap();
    assert_eq!(
        &bytes[first.header.dataset_offset as usize..],
        sample(1).dataset(),
        "kept byte for byte"
    );
    assert_eq!(first.bytes, bytes.len() as u64);
    assert_eq!(first.dataset_sha256, name::sha256(&sample(1).dataset()));
    assert_eq!(spool.quiet_since(study), None);
    // What comes later opens a new bundle.
    put(&spool, &sample(4)).unwrap();
    assert_eq!(spool.close(study, "b-2").unwrap().instances, 1);
    assert_eq!(spool.closed().len(), 2);
    assert_eq!(spool.waiting_instances(), 4);
    spool.remove("b-1").unwrap();
    assert!(!bundle.dir.exists());
    assert!(matches!(spool.remove("b-1"), Err(SpoolError::NotFound(_))));
    assert_eq!(spool.closed()[0].id, "b-2");
    assert_eq!(spool.waiting_instances(), 1);
}

#[test]
fn duplicates_are_told_from_changes() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    put(&spool, &sample(1)).unwrap();
    assert_eq!(
        put(&spool, &sample(1)).unwrap().outcome,
        Outcome::AlreadyHad
    );
    let changed = Sample {
        pixels: vec![8; 32],
        ..sample(1)
    };
    assert!(matches!(
        put(&spool, &changed),
        Err(StoreError::DuplicateDiffers)
    ));
    let moved = Sample {
        study: "9.9".into(),
        ..sample(1)
    };
    assert!(matches!(
        put(&spool, &moved),
        Err(StoreError::DuplicateDiffers)
    ));
    spool.close("1.2.3.1", "b").unwrap();
    assert_eq!(
        put(&spool, &sample(1)).unwrap().outcome,
        Outcome::AlreadyHad
    );
    assert!(matches!(
        put(&spool, &changed),
        Err(StoreError::DuplicateDiffers)
    ));
    assert_eq!(spool.open_studies(), []);
}

#[test]
fn another_patient_in_the_study_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    put(&spool, &sample(1)).unwrap();
    let other = Sample {
        patient: "P2".into(),
        ..sample(2)
    };
    assert!(matches!(
        put(&spool, &other),
        Err(StoreError::PatientMismatch)
    ));
    let spool = reopen(spool, dir.path());
    assert!(matches!(
        put(&spool, &other),
        Err(StoreError::PatientMismatch)
    ));
    spool.close("1.2.3.1", "b").unwrap();
    assert!(matches!(
        put(&spool, &other),
        Err(StoreError::PatientMismatch)
    ));
    spool.remove("b").unwrap();
    assert!(put(&spool, &other).is_ok());
}

#[test]
fn contradictions_and_sizes_are_refused_and_leave_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let mut incoming = spool.begin(dataset_kind(&sample(2)), 1 << 20);
    incoming.push(&sample(1).dataset()).unwrap();
    let refused = spool.store(incoming, &pacs(), NOW);
    assert!(matches!(
        refused,
        Err(StoreError::Contradicts {
            name: "SOPInstanceUID",
            ..
        })
    ));
    let mut file = spool.begin(
        Kind::File {
            study_instance_uid: Some("9.9".into()),
        },
        1 << 20,
    );
    file.push(&sample(1).file()).unwrap();
    assert!(matches!(
        spool.store(file, &pacs(), NOW),
        Err(StoreError::Contradicts { .. })
    ));
    let mut large = spool.begin(dataset_kind(&sample(1)), 10 << 20);
    let mut pushed = Ok(());
    while pushed.is_ok() {
        pushed = large.push(&[0; 1 << 20]);
    }
    assert!(matches!(pushed, Err(StoreError::TooLarge { .. })));
    drop(large);
    for part in ["tmp", "open"] {
        assert_eq!(
            fs::read_dir(dir.path().join(part)).unwrap().count(),
            0,
            "{part}"
        );
    }
}

#[test]
fn large_objects_go_through_the_disk_unchanged() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let large = Sample {
        pixels: (0..9 << 20).map(|i: u32| ((i * 31) >> 3) as u8).collect(),
        ..sample(1)
    };
    let mut incoming = spool.begin(dataset_kind(&large), 1 << 30);
    for chunk in large.dataset().chunks(100_000) {
        incoming.push(chunk).unwrap();
    }
    spool.store(incoming, &pacs(), NOW).unwrap();
    // The same as a file without a mark: its meta header is rebuilt, its data set is the same.
    let mut bare = spool.begin(
        Kind::File {
            study_instance_uid: None,
        },
        1 << 30,
    );
    bare.push(&large.dataset()).unwrap();
    assert_eq!(
        spool.store(bare, &pacs(), NOW).unwrap().outcome,
        Outcome::AlreadyHad
    );
    let other = Sample {
        instance: "1.2.3.2".into(),
        ..large.clone()
    };
    let mut bare = spool.begin(
        Kind::File {
            study_instance_uid: None,
        },
        1 << 30,
    );
    bare.push(&other.dataset()).unwrap();
    spool.store(bare, &Source::User("eva".into()), NOW).unwrap();
    for (instance, sample) in close(&spool, "1.2.3.1", "b")
        .instances
        .iter()
        .zip([large, other])
    {
        let bytes = fs::read(&instance.path).unwrap();
        assert!(bytes[128..132] == *b"DICM");
        assert!(bytes[instance.header.dataset_offset as usize..] == sample.dataset());
    }
}

#[test]
fn a_crash_loses_nothing_acknowledged_and_keeps_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    put_at(&spool, &sample(1), NOW + 5).unwrap();
    put(
        &spool,
        &Sample {
            study: "5.5".into(),
            ..sample(2)
        },
    )
    .unwrap();
    spool.close("5.5", "b").unwrap();
    // What a kill can leave behind: half a file, an empty study, a bundle half removed, a stranger.
    fs::write(dir.path().join("tmp/half"), b"half").unwrap();
    fs::create_dir(dir.path().join("tmp/removed-x")).unwrap();
    fs::write(dir.path().join("tmp/removed-x/file"), b"x").unwrap();
    fs::create_dir(dir.path().join("open/0123")).unwrap();
    let study = dir.path().join("open").join(name::study_dir("1.2.3.1"));
    fs::write(study.join("stranger.dcm"), b"not ours").unwrap();
    let spool = reopen(spool, dir.path());
    assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);
    assert_eq!(fs::read_dir(dir.path().join("open")).unwrap().count(), 1);
    assert!(dir.path().join("refused/stranger.dcm").exists());
    assert_eq!(spool.quiet_since("1.2.3.1"), Some(NOW + 5));
    assert_eq!(
        spool.bundle("b").unwrap().instances[0]
            .header
            .sop_instance_uid,
        "1.2.3.2"
    );
    assert_eq!(
        put(&spool, &sample(1)).unwrap().outcome,
        Outcome::AlreadyHad
    );
    let changed = Sample {
        pixels: vec![8; 32],
        ..sample(1)
    };
    assert!(matches!(
        put(&spool, &changed),
        Err(StoreError::DuplicateDiffers)
    ));
    assert_eq!(close(&spool, "1.2.3.1", "c").instances[0].source, pacs());
}

#[test]
fn only_one_process_has_it() {
    let dir = tempfile::tempdir().unwrap();
    let _spool = Spool::open(dir.path()).unwrap();
    assert!(matches!(Spool::open(dir.path()), Err(SpoolError::InUse(_))));
}

#[test]
fn bundle_identifiers_cannot_leave_the_spool() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    put(&spool, &sample(1)).unwrap();
    for bad in ["", "..", "a/b", "a.b", &"x".repeat(65)] {
        assert!(
            matches!(spool.close("1.2.3.1", bad), Err(SpoolError::BadBundleId(_))),
            "{bad}"
        );
    }
    assert!(matches!(
        spool.close("1.2.3.4", "b"),
        Err(SpoolError::NotFound(_))
    ));
}

#[test]
fn sixteen_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let barrier = Barrier::new(16);
    let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16u32)
            .map(|thread| {
                let (spool, barrier) = (&spool, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    // Every instance is sent by two threads.
                    (0..8u32)
                        .map(|i| put(spool, &sample(thread / 2 * 8 + i)).unwrap().outcome)
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        threads
            .into_iter()
            .flat_map(|t| t.join().unwrap())
            .collect()
    });
    assert_eq!(
        outcomes.iter().filter(|o| **o == Outcome::Stored).count(),
        64
    );
    assert_eq!(outcomes.len(), 128);
    assert_eq!(spool.open_studies()[0].instances, 64);
    let spool = reopen(spool, dir.path());
    assert_eq!(spool.close("1.2.3.1", "b").unwrap().instances, 64);
}

#[test]
fn a_full_disk_is_named() {
    let full = StoreError::from(io::Error::from(io::ErrorKind::StorageFull));
    assert!(matches!(full, StoreError::DiskFull));
    assert!(matches!(
        StoreError::from(io::Error::from(io::ErrorKind::PermissionDenied)),
        StoreError::Io(_)
    ));
}

/// The files of a closed bundle.
fn files_of(dir: &Path, bundle: &str) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir.join("closed").join(bundle))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
}

#[test]
fn a_disk_that_fails_never_makes_an_instance_disappear() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    put(&spool, &sample(1)).unwrap();
    put(&spool, &sample(2)).unwrap();
    spool.close("1.2.3.1", "b").unwrap();
    let victim = files_of(dir.path(), "b").remove(0);
    let aside = dir.path().join("aside");
    fs::rename(&victim, &aside).unwrap();
    // A link to itself: the operating system refuses to open it (ELOOP), to root, too.
    std::os::unix::fs::symlink(&victim, &victim).unwrap();
    assert!(matches!(spool.bundle("b"), Err(SpoolError::Io { path, .. }) if path == victim));
    drop(spool);
    assert!(matches!(Spool::open(dir.path()), Err(SpoolError::Io { path, .. }) if path == victim));
    assert_eq!(fs::read_dir(dir.path().join("refused")).unwrap().count(), 0);
    fs::remove_file(&victim).unwrap();
    fs::rename(&aside, &victim).unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    assert_eq!(spool.bundle("b").unwrap().instances.len(), 2);
}

#[test]
fn a_damaged_file_is_set_aside_at_start_only() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    put(&spool, &sample(1)).unwrap();
    put(&spool, &sample(2)).unwrap();
    spool.close("1.2.3.1", "b").unwrap();
    let victim = files_of(dir.path(), "b").remove(0);
    fs::write(&victim, b"rot").unwrap();
    assert!(matches!(spool.bundle("b"), Err(SpoolError::Damaged { path, .. }) if path == victim));
    assert!(victim.exists(), "nothing is moved while it runs");
    // One of the same name was set aside before: both are kept.
    let name = victim.file_name().unwrap().to_str().unwrap();
    fs::write(dir.path().join("refused").join(name), b"older").unwrap();
    let spool = reopen(spool, dir.path());
    assert_eq!(spool.bundle("b").unwrap().instances.len(), 1);
    let refused = dir.path().join("refused");
    assert_eq!(fs::read(refused.join(name)).unwrap(), b"older");
    assert_eq!(fs::read(refused.join(format!("{name}.1"))).unwrap(), b"rot");
}

#[test]
fn a_bundle_takes_a_new_name() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    put(&spool, &sample(1)).unwrap();
    spool.close("1.2.3.1", "b").unwrap();
    put(&spool, &sample(2)).unwrap();
    spool.close("1.2.3.1", "taken").unwrap();
    for bad in ["taken", "../b", ""] {
        assert!(
            matches!(spool.rename("b", bad), Err(SpoolError::BadBundleId(_))),
            "{bad}"
        );
    }
    assert!(matches!(
        spool.rename("none", "c"),
        Err(SpoolError::NotFound(_))
    ));
    spool.rename("b", "c").unwrap();
    assert_eq!(spool.closed()[0].id, "c");
    assert_eq!(
        put(&spool, &sample(1)).unwrap().outcome,
        Outcome::AlreadyHad
    );
    let spool = reopen(spool, dir.path());
    assert_eq!(spool.bundle("c").unwrap().instances.len(), 1);
    spool.remove("c").unwrap();
    assert_eq!(put(&spool, &sample(1)).unwrap().outcome, Outcome::Stored);
}

#[test]
fn counting_does_not_look_at_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    put(&spool, &sample(1)).unwrap();
    put(&spool, &sample(2)).unwrap();
    spool.close("1.2.3.1", "b").unwrap();
    put(&spool, &sample(3)).unwrap();
    fs::remove_dir_all(dir.path().join("closed/b")).unwrap();
    assert_eq!(spool.waiting_instances(), 3);
    let expected = Waiting {
        id: "b".into(),
        study_instance_uid: "1.2.3.1".into(),
        instances: 2,
    };
    assert_eq!(spool.closed(), [expected]);
}

#[test]
fn a_disk_that_fails_on_arrival_is_not_the_senders_fault() {
    let dir = tempfile::tempdir().unwrap();
    let spool = Spool::open(dir.path()).unwrap();
    let large = Sample {
        pixels: vec![7; 5 << 20],
        ..sample(1)
    };
    let mut incoming = spool.begin(dataset_kind(&large), 1 << 30);
    for chunk in large.dataset().chunks(1 << 20) {
        incoming.push(chunk).unwrap();
    }
    let spilled = fs::read_dir(dir.path().join("tmp")).unwrap().next();
    let spilled = spilled.unwrap().unwrap().path();
    fs::remove_file(&spilled).unwrap();
    std::os::unix::fs::symlink(&spilled, &spilled).unwrap();
    let failed = spool.store(incoming, &pacs(), NOW);
    assert!(matches!(failed, Err(StoreError::Io(_))), "{failed:?}");
}

#[test]
fn it_can_be_counted_while_it_is_in_use() {
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(
        count::Counts::of(dir.path()).unwrap(),
        count::Counts::default()
    );
    let spool = Spool::open(dir.path()).unwrap();
    put(&spool, &sample(1)).unwrap();
    put(&spool, &sample(2)).unwrap();
    spool.close("1.2.3.1", "b").unwrap();
    put(&spool, &sample(3)).unwrap();
    fs::write(dir.path().join("refused/x"), b"x").unwrap();
    let expected = count::Counts {
        open_studies: 1,
        open_instances: 1,
        closed_bundles: 1,
        closed_instances: 2,
        set_aside: 1,
    };
    assert_eq!(count::Counts::of(dir.path()).unwrap(), expected);
    assert_eq!(count::instances_of(dir.path(), "b").unwrap(), 2);
    assert_eq!(count::instances_of(dir.path(), "c").unwrap(), 0);
}
