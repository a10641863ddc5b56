use dicom_core::VR;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::*;
use crate::dicom::testing::{Sample, element};
use crate::dicom::{part10, uid};
use crate::phantom::{self, Identity, Plan};

/// One slice of a chest.
pub(crate) fn slice(size: u16) -> Vec<u8> {
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    let plan = Plan {
        slices: 4,
        size,
        ..Plan::default()
    };
    let identity = Identity::random(4, &mut rng);
    phantom::file(&plan, &identity, 2, &mut rng)
}

fn mark() -> Tracing {
    Tracing::new(&[7; 32], Digest([1; 32]))
}

fn stored(path: &Path, uid: &str) -> StoredInstance {
    StoredInstance {
        sop_instance_uid: uid.into(),
        series_instance_uid: "1.2".into(),
        sop_class_uid: "1.3".into(),
        path: path.to_owned(),
    }
}

#[test]
fn only_pixels_and_image_type_change_and_little() {
    let original = slice(256);
    let mut marked = original.clone();
    assert!(mark().mark(&mut marked).unwrap());
    let picture = Picture::find(&original).unwrap();
    let range = picture.range();
    assert_eq!(original.len(), marked.len());
    assert_eq!(original[range.end..], marked[range.end..]);
    let head = String::from_utf8_lossy(&original[..range.start]).into_owned();
    assert!(head.contains("ORIGINAL\\PRIMARY\\AXIAL"));
    let changed = head.replace("ORIGINAL\\", "DERIVED \\");
    assert_eq!(changed, String::from_utf8_lossy(&marked[..range.start]));
    let before = picture.planes(&original, 0).unwrap();
    let after = picture.planes(&marked, 0).unwrap();
    let pairs = before[0].samples().iter().zip(after[0].samples());
    let largest = pairs.map(|(a, b)| a.abs_diff(*b)).max().unwrap();
    assert!((1..40).contains(&largest), "{largest}");
}

#[test]
fn takers_differ_and_the_same_taker_is_the_same() {
    let with = |taker| {
        let mut file = slice(128);
        Tracing::new(&[7; 32], Digest(taker))
            .mark(&mut file)
            .unwrap();
        file
    };
    assert_eq!(with([1; 32]), with([1; 32]));
    assert_ne!(with([1; 32]), with([2; 32]));
}

/// A colour image whose red, green and blue are alike nowhere.
fn colour() -> Vec<u8> {
    let us = |e, v: u16| element(0x0028, e, VR::US, &v.to_le_bytes());
    let pixels: Vec<u8> = (0..128u32 * 128)
        .flat_map(|i| [(i * 7 % 200) as u8, (i % 128) as u8, (i / 128) as u8])
        .collect();
    [
        part10::meta("1.2.840.10008.5.1.4.1.1.7", "1.2.3.4", uid::EXPLICIT_LE),
        element(0x0008, 0x0018, VR::UI, b"1.2.3.4"),
        element(0x0008, 0x0060, VR::CS, b"XC"),
        us(0x0002, 3),
        element(0x0028, 0x0004, VR::CS, b"RGB"),
        us(0x0006, 0),
        us(0x0010, 128),
        us(0x0011, 128),
        us(0x0100, 8),
        us(0x0101, 8),
        us(0x0102, 7),
        us(0x0103, 0),
        element(0x7FE0, 0x0010, VR::OW, &pixels),
    ]
    .concat()
}

#[test]
fn colours_are_marked_in_their_luminance() {
    let original = colour();
    let mut marked = original.clone();
    assert!(mark().mark(&mut marked).unwrap());
    let picture = Picture::find(&original).unwrap();
    let before = picture.planes(&original, 0).unwrap();
    let after = picture.planes(&marked, 0).unwrap();
    for (before, after) in before.iter().zip(&after) {
        assert_ne!(before, after);
    }
}

#[test]
fn what_cannot_be_marked_says_why_and_what_has_no_pixels_leaves_as_it_is() {
    let mark = mark();
    let why = |mut file: Vec<u8>| mark.mark(&mut file).unwrap_err().to_string();
    assert!(why(slice(8)).contains("too small"));
    let mut palette = colour();
    let at = palette.windows(3).position(|w| w == b"RGB").unwrap();
    // A value of thirteen characters where there were three, and a pad.
    palette.splice(at - 2..at + 4, [&[14, 0], &b"PALETTE COLOR "[..]].concat());
    assert!(why(palette).contains("palette"));
    let mut labels = colour();
    let at = labels.windows(2).position(|w| w == b"XC").unwrap();
    labels.splice(at - 2..at + 2, [&[4, 0], &b"SEG "[..]].concat());
    assert!(why(labels).contains("measurements"));
    let mut bits = slice(64);
    let picture = Picture::find(&bits).unwrap();
    if picture.bits_stored < 16 {
        bits[picture.offset + 1] ^= 0x40;
        assert!(why(bits).contains("bits above"));
    }
    let mut report = [
        part10::meta("1.2.840.10008.5.1.4.1.1.88.11", "1.2", uid::EXPLICIT_LE),
        element(0x0008, 0x0008, VR::CS, b"ORIGINAL\\PRIMARY"),
        element(0x0008, 0x0018, VR::UI, b"1.2"),
    ]
    .concat();
    let before = report.clone();
    assert!(!mark.mark(&mut report).unwrap());
    assert_eq!(before, report);
    let mut nonsense = b"nonsense".to_vec();
    assert!(mark.mark(&mut nonsense).is_err());
}

#[test]
fn an_export_is_refused_as_a_whole_before_it_leaves_and_names_what_is_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    let good = dir.path().join("good.dcm");
    fs::write(&good, slice(128)).unwrap();
    let tiny = dir.path().join("tiny.dcm");
    fs::write(&tiny, Sample::default().file()).unwrap();
    let mark = Some(Arc::new(mark()));
    let exported = |path: &Path, uid: &str| Exported::new(stored(path, uid), mark.clone());
    assert!(untraceable(&[exported(&good, "1.1")]).is_ok());
    assert!(untraceable(&[Exported::exact(stored(&tiny, "1.2"))]).is_ok());
    let mut many = vec![exported(&good, "1.1")];
    many.extend((0..12).map(|n| exported(&tiny, &format!("1.2.{n}"))));
    let refused = untraceable(&many).unwrap_err();
    assert_eq!((refused.count, refused.first.len()), (12, 10));
    let text = refused.to_string();
    assert!(
        text.contains("1.2.9") && text.contains("and 2 more"),
        "{text}"
    );
    assert!(!text.contains("1.1:"), "{text}");

    let mut out = Vec::new();
    exported(&good, "1.1").write(&mut out).unwrap();
    assert_eq!(out.len(), slice(128).len());
    assert_ne!(out, slice(128));
    let mut out = Vec::new();
    Exported::exact(stored(&good, "1.1"))
        .write(&mut out)
        .unwrap();
    assert_eq!(out, slice(128));
}
