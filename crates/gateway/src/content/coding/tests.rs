use dicom_core::VR;
use harpo_protocol::pack::Entry;
use harpo_protocol::secret::ContentKey;
use proptest::prelude::*;

use super::*;
use crate::content::testing::{Form, scene};
use crate::dicom::testing::{element, head};
use crate::dicom::{part10, uid};

const UID: &str = "1.2.3.4";

fn marker(seed: u8) -> Marker {
    let key = ContentKey::from_slice(&[seed; 32]).unwrap();
    let bundle = BundleId([7; 16]);
    let mark = MarkKey::derive(&key, bundle);
    Marker::new(&mark, PartyId([8; 16]), bundle, Digest([9; 32]))
}

fn encoded(file: &[u8]) -> Coded {
    encode(file.to_vec(), UID, &marker(1), &[])
}

fn decoded(coded: &Coded, body: &[u8], marker: &Marker) -> Result<Decoded, DecodeError> {
    let entry = Entry {
        coding: coded.coding(),
        head: coded.head().len() as u64,
        tail: coded.tail().len() as u64,
        body: body.len() as u64,
    };
    let length = coded.file().len() as u64;
    decode(
        (coded.head(), coded.tail()),
        &entry,
        body,
        length,
        UID,
        marker,
    )
}

/// Codes and decodes; how it was kept, and why not marked.
fn round_trip(file: &[u8]) -> (u8, Option<&'static str>) {
    let coded = encoded(file);
    let back = decoded(&coded, coded.body(), &marker(1)).unwrap();
    assert!(back.file == file, "other bytes came back");
    assert_eq!(back.marked, coded.unmarked().is_none());
    assert!(coded.body().len() <= file.len() - coded.head().len() - coded.tail().len());
    (coded.coding(), coded.unmarked())
}

/// A CT image of 16 bits.
fn image() -> Form {
    let (rows, columns) = (96, 112);
    Form {
        rows,
        columns,
        value: scene(columns.into(), rows.into(), 12, 5)
            .into_iter()
            .flat_map(u16::to_le_bytes)
            .collect(),
        ..Form::small()
    }
}

fn noise(bytes: usize) -> Vec<u8> {
    let mut state = 1u32;
    let byte = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..bytes).map(byte).collect()
}

#[test]
fn images_are_marked_and_smaller() {
    let file = image().file();
    assert_eq!(round_trip(&file), (PLANES, None));
    let coded = encoded(&file);
    assert!(
        2 * coded.body().len() < file.len(),
        "{} of {}",
        coded.body().len(),
        file.len()
    );
}

#[test]
fn rare_files_come_back_exactly() {
    let private = [
        element(0x0009, 0x0010, VR::LO, b"ACME 1.1"),
        element(0x0009, 0x1001, VR::UN, &noise(3001)),
        head(0x0009, 0x1002, 0)[..4].to_vec(),
        vec![b'O', b'B', 0, 0, 3, 0, 0, 0, 1, 2, 3],
    ]
    .concat();
    let signed = |form: Form| Form {
        signed: true,
        stored: 16,
        ..form
    };
    let padded = |by: &[u8]| {
        let mut form = image();
        form.value.extend_from_slice(by);
        form.file()
    };
    let after = |bytes: &[u8]| {
        Form {
            after: bytes.to_vec(),
            ..image()
        }
        .file()
    };
    let cases: [(&str, Vec<u8>); 10] = [
        (
            "private elements",
            Form {
                before: private.clone(),
                ..image()
            }
            .file(),
        ),
        ("an element of odd length behind", after(&private)),
        ("padding of an odd number of bytes", padded(&[7])),
        ("padding of a page", padded(&noise(4096))),
        (
            "trailing padding",
            after(&element(0xFFFC, 0xFFFC, VR::OB, &noise(99))),
        ),
        ("bytes that are no element", after(&noise(33))),
        (
            "a second pixel data element",
            after(&element(0x7FE0, 0x0010, VR::OW, &noise(64))),
        ),
        ("signed", signed(image()).file()),
        ("no preamble", image().file()[128..].to_vec()),
        (
            "bits stored only, no mark possible",
            Form {
                stored: 8,
                ..image()
            }
            .file(),
        ),
    ];
    for (name, file) in cases {
        let (coding, unmarked) = round_trip(&file);
        assert_eq!(coding, PLANES, "{name}");
        let wanted = (name == "bits stored only, no mark possible").then_some("high_bits");
        assert_eq!(unmarked, wanted, "{name}");
    }
}

#[test]
fn bits_above_those_stored_come_back() {
    let mut form = image();
    form.value[3] |= 0xF0;
    form.value[1001] |= 0x80;
    assert_eq!(round_trip(&form.file()), (PLANES, Some("high_bits")));
}

#[test]
fn colours_and_frames_come_back_marked() {
    let plane = |seed| scene(64, 80, 8, seed);
    let planes = [plane(1), plane(2), plane(3)];
    let interleaved: Vec<u8> = (0..64 * 80)
        .flat_map(|i| [0, 1, 2].map(|p| planes[p][i] as u8))
        .collect();
    let colour = Form {
        rows: 80,
        columns: 64,
        samples: 3,
        allocated: 8,
        stored: 8,
        value: interleaved.clone(),
        ..Form::small()
    };
    assert_eq!(round_trip(&colour.file()), (PLANES, None));
    let separate = planes.concat().iter().map(|v| *v as u8).collect();
    let planar = Form {
        planar: 1,
        value: separate,
        ..colour.clone()
    };
    assert_eq!(round_trip(&planar.file()), (PLANES, None));
    let frames = Form {
        frames: 3,
        value: interleaved.repeat(3),
        ..colour
    };
    assert_eq!(round_trip(&frames.file()), (PLANES, None));
}

#[test]
fn what_carries_no_mark_says_why() {
    let mut file = image().file();
    assert_eq!(round_trip(&Form::small().file()).1, Some("too_small"));
    let unmarked = encode(file.clone(), UID, &marker(1), &["MR".into()]);
    assert_eq!(
        (unmarked.coding(), unmarked.unmarked()),
        (PLANES, Some("policy"))
    );
    assert!(
        !decoded(&unmarked, unmarked.body(), &marker(1))
            .unwrap()
            .marked
    );
    let random = Form {
        stored: 16,
        value: noise(2 * 96 * 112),
        ..image()
    };
    let (_, unmarked) = round_trip(&random.file());
    assert!(unmarked.is_some());
    // What the gateway would refuse on arrival is kept all the same.
    file.truncate(file.len() - 1);
    assert_eq!(round_trip(&file).1, Some("unreadable"));
    assert_eq!(round_trip(b"hello").1, Some("unreadable"));
    assert_eq!(round_trip(b"").1, Some("unreadable"));
}

#[test]
fn other_kinds_are_kept_as_they_came() {
    let meta = |syntax| part10::meta("1.2.3", UID, syntax);
    let rows = element(0x0028, 0x0010, VR::US, &[96, 0]);
    let encapsulated = [
        meta("1.2.840.10008.1.2.4.50"),
        rows.clone(),
        vec![
            0xE0, 0x7F, 0x10, 0, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF,
        ],
        head(0xFFFE, 0xE000, 0),
        head(0xFFFE, 0xE000, 5000),
        noise(5000),
        head(0xFFFE, 0xE0DD, 0),
    ]
    .concat();
    assert_eq!(round_trip(&encapsulated), (STORED, Some("compressed")));
    // What describes it is not among its pixels.
    assert!(encoded(&encapsulated).head().len() > 150);

    let deflated = [meta(uid::DEFLATED_LE), noise(300)].concat();
    assert_eq!(round_trip(&deflated).1, Some("deflated"));
    let float = [
        meta(uid::EXPLICIT_LE),
        rows.clone(),
        element(0x7FE0, 0x0008, VR::OF, &[0; 400]),
    ];
    assert_eq!(round_trip(&float.concat()).1, Some("form"));
    let report = [
        meta(uid::EXPLICIT_LE),
        rows,
        element(0x0040, 0xA160, VR::UT, &[b'x'; 100_000]),
    ];
    assert_eq!(round_trip(&report.concat()), (ZSTD, Some("no_pixels")));
    let wide = Form {
        allocated: 32,
        stored: 32,
        value: vec![0; 24],
        ..Form::small()
    };
    assert_eq!(round_trip(&wide.file()), (ZSTD, Some("form")));
}

#[test]
fn marks_of_others_are_refused() {
    let coded = encoded(&image().file());
    let wrong = |marker: &Marker| {
        decoded(&coded, coded.body(), marker)
            .unwrap_err()
            .to_string()
    };
    assert!(wrong(&marker(2)).contains("altered"), "another key");
    let statement = Marker {
        statement: Digest([0; 32]),
        ..marker(1)
    };
    assert!(wrong(&statement).contains("attestation"));
    let bundle = Marker {
        bundle: BundleId([0; 16]),
        ..marker(1)
    };
    assert!(wrong(&bundle).contains("another image"));
}

#[test]
fn altered_planes_under_a_mark_are_refused() {
    let file = image().file();
    let coded = encoded(&file);
    let shape = Shape::new(112, 96, 12).unwrap();
    let planes = uncode(&coded.body()[5..], shape, 1).unwrap();
    let mut samples = planes[0].samples().to_vec();
    samples[5000] ^= 1;
    let altered = [Plane::new(112, 96, 12, samples).unwrap()];
    let mut body = coded.body()[..5].to_vec();
    assert!(code(&altered, &mut body));
    let length = (body.len() as u32 - 5).to_be_bytes();
    body[1..5].copy_from_slice(&length);
    let refused = decoded(&coded, &body, &marker(1)).unwrap_err();
    assert!(
        matches!(refused, DecodeError::Mark { frame: 1, .. }),
        "{refused}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_bodies_are_refused_or_give_the_right_length(
        at in any::<prop::sample::Index>(), by in 1u8.., cut in any::<prop::sample::Index>()
    ) {
        let file = image().file();
        let coded = encode(file.clone(), UID, &marker(1), &["MR".into()]);
        let mut body = coded.body().to_vec();
        let i = at.index(body.len().min(400));
        body[i] ^= by;
        if let Ok(back) = decoded(&coded, &body, &marker(1)) {
            prop_assert_eq!(back.file.len(), file.len());
        }
        let short = &coded.body()[..cut.index(coded.body().len())];
        prop_assert!(decoded(&coded, short, &marker(1)).is_err());
    }

    #[test]
    fn any_coding_and_bytes_are_refused_without_panic(
        coding in 0u8..4, body in prop::collection::vec(any::<u8>(), 0..100), length in 0u64..100_000
    ) {
        let coded = encoded(&image().file());
        let entry = Entry { coding, head: 0, tail: 0, body: body.len() as u64 };
        let _ = decode((coded.head(), coded.tail()), &entry, &body, length, UID, &marker(1));
    }
}

#[test]
fn a_decompression_bomb_is_refused_at_the_length_that_was_stated() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], LEVEL).unwrap();
    assert_eq!(decode::inflate(&bomb, 100), None);
    let two = [&bomb[..], &bomb[..]].concat();
    assert_eq!(decode::inflate(&two, 64 << 20), None);
}

#[test]
fn frames_that_are_too_large_are_kept_as_they_are_and_refused_as_planes() {
    let (rows, columns) = (8193, 8192);
    let value = vec![0; usize::from(rows) * usize::from(columns)];
    let file = Form {
        rows,
        columns,
        allocated: 8,
        stored: 8,
        value,
        ..image()
    }
    .file();
    let coded = encoded(&file);
    assert_eq!(
        (coded.coding(), coded.unmarked()),
        (ZSTD, Some("too_large"))
    );
    // Flat planes of any size take a few bytes: nothing of them is decoded.
    let flat = [super::Form::Plain as u8, 0, 0, 0, 1, 0];
    let entry = Entry {
        coding: PLANES,
        head: coded.head().len() as u64,
        tail: coded.tail().len() as u64,
        body: flat.len() as u64,
    };
    let parts = (coded.head(), coded.tail());
    let refused = decode(parts, &entry, &flat, file.len() as u64, UID, &marker(1));
    assert!(
        matches!(refused, Err(DecodeError::Body(why)) if why.contains("too large")),
        "{refused:?}"
    );
}
