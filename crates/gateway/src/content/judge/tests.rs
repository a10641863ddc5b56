use harpo_protocol::id::Digest;
use harpo_protocol::sign::SigningKey;

use super::*;
use crate::content::export::tests::slice;
use crate::content::testing::{Form, scene};
use crate::dicom::testing::element;
use dicom_core::VR;

fn uid(file: &[u8]) -> String {
    Picture::find(file).unwrap().sop_instance_uid
}

fn data_set(file: &[u8]) -> Digest {
    let (opening, _) = open_bytes(file).unwrap();
    sha256(&file[opening.dataset_offset as usize..])
}

/// Records of a bundle of these files.
fn records(bundle: u8, files: &[&[u8]]) -> BundleKeys {
    let producer = SigningKey::from_seed(&[4; 32]);
    let attestation = Attestation {
        bundle: BundleId([bundle; 16]),
        origin: PartyId([2; 16]),
        created: Timestamp(1_800_000_000_000),
        instances: files.iter().map(|f| (uid(f), data_set(f))).collect(),
    };
    BundleKeys {
        bundle: attestation.bundle,
        study: "1.2".into(),
        origin: attestation.origin,
        origin_name: "St. Luke's".into(),
        origin_key: producer.verifying_key(),
        mark_key: Zeroizing::new([bundle; 32]),
        trace_key: Zeroizing::new([0x77; 32]),
        attestation: producer.sign(&attestation).to_json(),
    }
}

fn marked(original: &[u8], key: &VerifyKey) -> Vec<u8> {
    let mut copy = original.to_vec();
    apply(&mut copy, key).unwrap();
    assert_eq!(copy.len(), original.len());
    assert_ne!(copy, original);
    copy
}

#[test]
fn a_marked_copy_is_authentic_and_names_its_origin() {
    let original = slice(128);
    let key = VerifyKey::new(&records(1, &[&original])).unwrap();
    let copy = marked(&original, &key);
    assert_eq!(named(&copy).unwrap().bundles, [BundleId([1; 16])]);
    let said = judge(&copy, Some(&key)).unwrap();
    assert_eq!(said.verdict, Verdict::Authentic);
    assert_eq!(said.origin_name.as_deref(), Some("St. Luke's"));
    assert_eq!(said.data_set_unchanged, Some(true));
    assert_eq!(said.attested, Some(Timestamp(1_800_000_000_000)));
    // Without the key, whose it claims to be.
    let said = judge(&copy, None).unwrap();
    assert_eq!(said.verdict, Verdict::UnknownKey);
    assert_eq!((said.bundle, said.attested), (Some(key.bundle()), None));
    // The original itself has no mark, and is what was attested.
    let said = judge(&original, Some(&key)).unwrap();
    assert_eq!(
        (said.verdict, said.data_set_unchanged, said.unmarked),
        (Verdict::Unmarked, Some(true), vec![1])
    );
    assert_eq!(
        named(&original).unwrap(),
        Named {
            sop_instance_uid: uid(&original),
            bundles: Vec::new()
        }
    );
}

/// Five frames that can carry a mark.
fn frames() -> Form {
    let value = (0..5).flat_map(|frame| scene(64, 64, 12, 77 + frame));
    Form {
        rows: 64,
        columns: 64,
        frames: 5,
        value: value.flat_map(u16::to_le_bytes).collect(),
        ..Form::small()
    }
}

#[test]
fn altered_pixels_are_shown_and_altered_words_are_noticed() {
    let original = slice(128);
    let key = VerifyKey::new(&records(1, &[&original])).unwrap();
    let copy = marked(&original, &key);
    let picture = Picture::find(&copy).unwrap();
    let mut altered = copy.clone();
    let at = picture.offset + 2 * (50 * 128 + 70);
    altered[at] ^= 1;
    let said = judge(&altered, Some(&key)).unwrap();
    assert_eq!(said.verdict, Verdict::Altered);
    let [frame] = said.altered.as_slice() else {
        panic!("{said:?}")
    };
    assert_eq!(
        (frame.frame, frame.of_blocks, frame.blocks.len()),
        (1, 64, 1)
    );
    let block = frame.blocks[0];
    assert!((block.x..block.x + block.width).contains(&70), "{block:?}");
    assert!((block.y..block.y + block.height).contains(&50), "{block:?}");
    let red = |x, y| frame.shown.get_pixel(x, y).0;
    assert_ne!(red(70, 50)[0], red(70, 50)[1]);
    assert_eq!(red(5, 5)[0], red(5, 5)[1]);

    let mut renamed = copy.clone();
    let at = renamed.windows(7).position(|w| w == b"PHANTOM").unwrap();
    renamed[at] = b'H';
    let said = judge(&renamed, Some(&key)).unwrap();
    assert_eq!(said.verdict, Verdict::DescriptionChanged);
    assert_eq!(said.data_set_unchanged, Some(false));
}

#[test]
fn frames_that_were_cut_off_are_noticed() {
    let original = frames().file();
    let key = VerifyKey::new(&records(1, &[&original])).unwrap();
    let copy = marked(&original, &key);
    let said = judge(&copy, Some(&key)).unwrap();
    assert_eq!((said.verdict, said.frames), (Verdict::Authentic, 5));
    // Only the number is changed, and the frame is not shown any more.
    let count = |n: &[u8; 2]| element(0x0028, 0x0008, VR::IS, n);
    let mut fewer = copy.clone();
    let at = fewer.windows(10).position(|w| w == count(b"5 ")).unwrap();
    fewer[at..at + 10].copy_from_slice(&count(b"4 "));
    let said = judge(&fewer, Some(&key)).unwrap();
    assert_eq!(
        (said.verdict, said.frames),
        (Verdict::DescriptionChanged, 4)
    );
    // And its bytes are gone, too.
    let shorter = Form {
        frames: 4,
        value: copy[Picture::find(&copy).unwrap().range()][..4 * 64 * 64 * 2].to_vec(),
        ..frames()
    };
    let said = judge(&shorter.file(), Some(&key)).unwrap();
    assert_eq!(
        (said.verdict, said.frames),
        (Verdict::DescriptionChanged, 4)
    );
}

/// Overwrites a frame so that no mark can be read in it.
fn wipe(file: &mut [u8], frame: usize) {
    let picture = Picture::find(file).unwrap();
    let at = picture.offset + frame * picture.frame_bytes();
    file[at..at + picture.frame_bytes()].fill(0);
}

#[test]
fn wiped_frames_do_not_hide_behind_an_unknown_key() {
    let original = frames().file();
    let key = VerifyKey::new(&records(1, &[&original])).unwrap();
    let mut copy = marked(&original, &key);
    for frame in 0..4 {
        wipe(&mut copy, frame);
    }
    // The last frame still names the bundle.
    assert_eq!(named(&copy).unwrap().bundles, [key.bundle()]);
    let said = judge(&copy, Some(&key)).unwrap();
    assert_eq!(
        (said.verdict, said.unmarked.as_slice()),
        (Verdict::MarkMissing, &[1, 2, 3, 4][..])
    );
    // No frame does, and the attestation lists the file.
    wipe(&mut copy, 4);
    let names = named(&copy).unwrap();
    assert!(names.bundles.is_empty() && key.lists(&names.sop_instance_uid));
    let said = judge(&copy, Some(&key)).unwrap();
    assert_eq!(said.verdict, Verdict::MarkMissing);
    assert_eq!(said.bundle, Some(key.bundle()));
    // A key that has nothing to do with it says nothing.
    let other = VerifyKey::new(&records(9, &[&slice(128)])).unwrap();
    assert!(!other.lists(&names.sop_instance_uid));
    let said = judge(&copy, Some(&other)).unwrap();
    assert_eq!((said.verdict, said.bundle), (Verdict::Unmarked, None));
}

#[test]
fn a_frame_without_room_is_authentic_by_the_digest_alone() {
    // As a producer leaves it: the frames that could carry a mark do.
    let original = frames().file();
    let key = VerifyKey::new(&records(1, &[&original])).unwrap();
    let mut partly = marked(&original, &key);
    let picture = Picture::find(&original).unwrap();
    let at = picture.offset + 3 * picture.frame_bytes();
    let range = at..at + picture.frame_bytes();
    partly[range.clone()].copy_from_slice(&original[range]);
    let said = judge(&partly, Some(&key)).unwrap();
    assert_eq!(
        (said.verdict, said.unmarked.as_slice()),
        (Verdict::Authentic, &[4][..])
    );
    partly[at] ^= 1;
    let said = judge(&partly, Some(&key)).unwrap();
    assert_eq!(said.verdict, Verdict::MarkMissing);
}

#[test]
fn frames_of_two_bundles_are_not_one_image() {
    let original = frames().file();
    let key = VerifyKey::new(&records(1, &[&original])).unwrap();
    let other = VerifyKey::new(&records(2, &[&original])).unwrap();
    let mut mixed = marked(&original, &key);
    let foreign = marked(&original, &other);
    let picture = Picture::find(&original).unwrap();
    let frame = picture.offset..picture.offset + picture.frame_bytes();
    mixed[frame.clone()].copy_from_slice(&foreign[frame]);
    assert_eq!(
        named(&mixed).unwrap().bundles,
        [other.bundle(), key.bundle()]
    );
    for keys in [&key, &other] {
        let said = judge(&mixed, Some(keys)).unwrap();
        assert_eq!(said.verdict, Verdict::OtherImage);
    }
}

#[test]
fn pixels_of_another_image_are_noticed() {
    let first = slice(128);
    let mut second = first.clone();
    let old = uid(&first);
    // The same file under another UID of the same length.
    let last = old.bytes().last().unwrap();
    let new = [
        &old.as_bytes()[..old.len() - 1],
        &[if last == b'1' { b'2' } else { b'1' }],
    ]
    .concat();
    while let Some(at) = second.windows(old.len()).position(|w| w == old.as_bytes()) {
        second[at..at + new.len()].copy_from_slice(&new);
    }
    let key = VerifyKey::new(&records(1, &[&first, &second])).unwrap();
    let mut swapped = marked(&first, &key);
    let other = marked(&second, &key);
    let range = Picture::find(&first).unwrap().range();
    swapped[range.clone()].copy_from_slice(&other[range]);
    let said = judge(&swapped, Some(&key)).unwrap();
    assert_eq!(said.verdict, Verdict::OtherImage);
}

#[test]
fn only_attested_originals_get_the_mark() {
    let original = slice(128);
    let key = VerifyKey::new(&records(1, &[&original])).unwrap();
    let mut other = original.clone();
    let end = other.len() - 1;
    other[end] ^= 1;
    assert!(matches!(
        apply(&mut other, &key),
        Err(NotMarked::NotOriginal)
    ));
    let mut twice = marked(&original, &key);
    assert!(matches!(
        apply(&mut twice, &key),
        Err(NotMarked::NotOriginal)
    ));
}

#[test]
fn a_key_that_is_handed_on_verifies_and_cannot_trace() {
    let original = slice(128);
    let key = VerifyKey::new(&records(1, &[&original])).unwrap();
    let copy = marked(&original, &key);
    let text = key.to_json().unwrap();
    assert!(!text.contains(&"77".repeat(32)));
    let given = VerifyKey::from_json(text.as_bytes()).unwrap();
    let said = judge(&copy, Some(&given)).unwrap();
    assert_eq!(said.verdict, Verdict::Authentic);
    assert!(!format!("{given:?}").contains("mark_key"));
    for (old, new) in [
        ("\"mark_key\": \"01", "\"mark_key\": \"zz"),
        ("\"origin\": \"02", "\"origin\": \"03"),
    ] {
        assert!(text.contains(old));
        assert!(VerifyKey::from_json(text.replace(old, new).as_bytes()).is_err());
    }
    // The key of another bundle does not judge.
    let other = VerifyKey::new(&records(9, &[&original])).unwrap();
    let said = judge(&copy, Some(&other)).unwrap();
    assert_eq!(said.verdict, Verdict::UnknownKey);
}
