use harpo_protocol::access::{Purpose, Requester};
use harpo_protocol::id::{Nonce, PartyId};
use harpo_protocol::time::Timestamp;
use image::ImageFormat;
use zeroize::Zeroizing;

use super::*;
use crate::content::export::Tracing;
use crate::content::export::tests::slice;
use crate::content::overlay::shown;

const BUNDLE: BundleId = BundleId([3; 16]);
const KEY: [u8; 32] = [7; 32];

fn export(user: u8) -> (Digest, Export) {
    let export = Export {
        consumer: PartyId([1; 16]),
        consumer_name: "Mercy Hospital".into(),
        requester: Requester {
            user: format!("user-{user}"),
            role: "physician".into(),
            purpose: Purpose::Hoperat,
        },
        at: Timestamp(1_800_000_000_000),
        bundle: BUNDLE,
        study_instance_uid: "1.2".into(),
        traced: true,
        nonce: Nonce([user; 16]),
    };
    (Digest([user; 32]), export)
}

fn candidates(exports: Vec<(Digest, Export)>) -> BTreeMap<BundleId, Candidates> {
    let key = Zeroizing::new(KEY);
    BTreeMap::from([(BUNDLE, Candidates { key, exports })])
}

/// What user 4 took, as a screen shows it.
fn taken() -> image::RgbImage {
    let mut file = slice(512);
    Tracing::new(&KEY, export(4).1.taker())
        .mark(&mut file)
        .unwrap();
    let picture = Picture::find(&file).unwrap();
    shown(&picture, &picture.planes(&file, 0).unwrap())
}

fn encoded(image: &image::RgbImage, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    image.write_to(&mut file, format).unwrap();
    file.into_inner()
}

fn originals() -> Originals {
    let mut originals = Originals::default();
    assert!(originals.add(BUNDLE, &slice(512)));
    originals
}

#[test]
fn a_jpeg_of_an_exported_slice_names_who_took_it() {
    let leaked = Leaked::read("leak.jpg", &encoded(&taken(), ImageFormat::Jpeg)).unwrap();
    let exports: Vec<_> = (0..20).map(export).collect();
    let report = trace(&leaked, &originals(), &candidates(exports), 0, 1e-6);
    assert_eq!(report.accused.len(), 1, "{report:?}");
    assert_eq!(report.accused[0].user, "user-4");
    assert!(report.accused[0].log10_p < -7.5, "{report:?}");
    assert!(report.accused[0].confidence > 0.999_999);
    assert_eq!(report.candidates, 20);
    let innocent = report.next.unwrap();
    assert_ne!(innocent.user, "user-4");
    assert!(innocent.log10_p > -6.0);
}

#[test]
fn nobody_is_accused_of_what_none_of_the_listed_took() {
    let leaked = Leaked::read("leak.png", &encoded(&taken(), ImageFormat::Png)).unwrap();
    let others: Vec<_> = (0..20).filter(|user| *user != 4).map(export).collect();
    let report = trace(&leaked, &originals(), &candidates(others), 0, 1e-6);
    assert!(report.accused.is_empty(), "{report:?}");
    assert!(report.next.is_some());
    // What was exported exactly tells nothing.
    let leaked = Leaked::read("leak.dcm", &slice(512)).unwrap();
    let exports: Vec<_> = (0..20).map(export).collect();
    let report = trace(&leaked, &originals(), &candidates(exports), 0, 1e-6);
    assert!(report.accused.is_empty(), "{report:?}");
    assert!(report.seen[0].sop_instance_uid.is_some());
    // Nothing to compare with.
    let report = trace(&leaked, &Originals::default(), &BTreeMap::new(), 0, 1e-6);
    assert!(report.seen[0].problem.is_some());
    assert!(report.next.is_none());
}

#[test]
fn twenty_exports_of_one_user_averaged_name_the_user_and_all_their_times() {
    let again = |number: u8| {
        let (_, mut export) = export(4);
        export.at = Timestamp(1_800_000_000_000 + u64::from(number));
        export.nonce = Nonce([number; 16]);
        (Digest([100 + number; 32]), export)
    };
    let copies: Vec<Vec<u8>> = (0..20)
        .map(|number| {
            let mut file = slice(512);
            Tracing::new(&KEY, again(number).1.taker())
                .mark(&mut file)
                .unwrap();
            file
        })
        .collect();
    let picture = Picture::find(&copies[0]).unwrap();
    let mut planes = picture.planes(&copies[0], 0).unwrap();
    let mut sums = vec![0u32; planes[0].samples().len()];
    for copy in &copies {
        let copy = picture.planes(copy, 0).unwrap();
        for (sum, sample) in sums.iter_mut().zip(copy[0].samples()) {
            *sum += u32::from(*sample);
        }
    }
    let mean = sums.iter().map(|sum| ((sum + 10) / 20) as u16).collect();
    let [plane] = &mut planes[..] else {
        panic!("colour")
    };
    *plane = Plane::new(plane.width(), plane.height(), plane.depth(), mean).unwrap();
    let file = encoded(&shown(&picture, &planes), ImageFormat::Jpeg);
    let leaked = Leaked::read("mean.jpg", &file).unwrap();
    let mut exports: Vec<_> = (0..20).filter(|user| *user != 4).map(export).collect();
    exports.extend((0..20).map(again));
    let report = trace(&leaked, &originals(), &candidates(exports), 0, 1e-6);
    assert_eq!(
        (report.accused.len(), report.candidates),
        (1, 20),
        "{report:?}"
    );
    assert_eq!(report.accused[0].user, "user-4");
    assert_eq!(report.accused[0].hospital, "Mercy Hospital");
    let times = report.accused[0]
        .exports
        .iter()
        .map(|o| o.export.at.0 - 1_800_000_000_000);
    assert!(times.eq(0..20));
}

#[test]
fn the_dicom_file_itself_names_who_took_it() {
    let mut file = slice(512);
    Tracing::new(&KEY, export(9).1.taker())
        .mark(&mut file)
        .unwrap();
    let leaked = Leaked::read("leak.dcm", &file).unwrap();
    let exports: Vec<_> = (0..20).map(export).collect();
    let report = trace(&leaked, &originals(), &candidates(exports), 1000, 1e-6);
    assert_eq!(report.accused[0].user, "user-9");
}

/// The UIDs of two slices exchanged: the pixels say which is which.
#[test]
fn exchanged_uids_do_not_mislead() {
    let first = slice(512);
    let uid = Picture::find(&first).unwrap().sop_instance_uid;
    // Another image of the same size: the slice upside down, under a UID of its own of the same length.
    let mut second = first.clone();
    let mut other = uid.clone().into_bytes();
    let last = other.last_mut().unwrap();
    *last = if *last == b'1' { b'2' } else { b'1' };
    let other = String::from_utf8(other).unwrap();
    rename(&mut second, &uid, &other);
    let range = Picture::find(&second).unwrap().range();
    let rows: Vec<u8> = second[range.clone()]
        .chunks(1024)
        .rev()
        .flatten()
        .copied()
        .collect();
    second[range].copy_from_slice(&rows);
    let mut originals = Originals::default();
    assert!(originals.add(BUNDLE, &first) && originals.add(BUNDLE, &second));
    let exports: Vec<_> = (0..20).map(export).collect();
    for (file, from, to) in [(&first, &uid, &other), (&second, &other, &uid)] {
        let mut file = file.clone();
        Tracing::new(&KEY, export(4).1.taker())
            .mark(&mut file)
            .unwrap();
        rename(&mut file, from, to);
        let leaked = Leaked::read("leak.dcm", &file).unwrap();
        assert_eq!(leaked[0].sop_instance_uid.as_ref(), Some(to));
        let report = trace(&leaked, &originals, &candidates(exports.clone()), 0, 1e-6);
        assert_eq!(report.seen[0].sop_instance_uid.as_ref(), Some(from));
        assert_eq!(report.accused[0].user, "user-4", "{report:?}");
    }
}

fn rename(file: &mut [u8], from: &str, to: &str) {
    let places: Vec<usize> = (0..=file.len() - from.len())
        .filter(|at| file[*at..].starts_with(from.as_bytes()))
        .collect();
    for at in places {
        file[at..at + to.len()].copy_from_slice(to.as_bytes());
    }
}

#[test]
fn a_picture_of_too_many_pixels_is_refused_before_it_is_decoded() {
    let mut huge = encoded(&image::RgbImage::new(20, 20), ImageFormat::Png);
    huge[16..24].copy_from_slice(&[0, 0, 0x40, 0, 0, 0, 0x40, 0]);
    // The checksum of the head, which decoders compare first.
    let sum = crc(&huge[12..29]);
    huge[29..33].copy_from_slice(&sum.to_be_bytes());
    let refused = Leaked::read("huge.png", &huge);
    assert!(matches!(refused, Err(LeakError::TooLarge)), "{refused:?}");
}

/// CRC-32 as PNG has it.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, _| (crc >> 1) ^ if crc & 1 == 1 { 0xEDB8_8320 } else { 0 };
    !bytes
        .iter()
        .fold(!0, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[test]
fn files_that_are_no_pictures_are_refused() {
    assert!(matches!(Leaked::read("a", b""), Err(LeakError::Image(_))));
    assert!(Leaked::read("a", &[0xFF; 4000]).is_err());
    let whole = encoded(&image::RgbImage::new(20, 20), ImageFormat::Png);
    assert!(Leaked::read("a", &whole[..whole.len() / 2]).is_err());
    // A head that promises more than is allowed.
    let mut huge = whole.clone();
    huge[16..24].copy_from_slice(&[0, 0, 0xFF, 0xFF, 0, 0, 0xFF, 0xFF]);
    assert!(Leaked::read("a", &huge).is_err());
    let mut dicom = slice(64);
    dicom.truncate(dicom.len() - 7);
    assert!(matches!(
        Leaked::read("a", &dicom),
        Err(LeakError::Dicom(_))
    ));
}
