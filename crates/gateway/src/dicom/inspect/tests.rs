use std::io::Write as _;

use dicom_core::VR;
use serde_json::json;

use super::*;
use crate::dicom::testing::{Sample, element, head, implicit};
use crate::dicom::{part10, walk};

fn check(bytes: &[u8]) -> Result<Header, InspectError> {
    inspect(bytes, &Limits::default())
}

#[test]
fn reads_a_regular_file() {
    let sample = Sample::default();
    let header = check(&sample.file()).unwrap();
    assert_eq!(header.meta, MetaForm::Regular);
    assert_eq!(header.dataset_offset, sample.meta().len() as u64);
    assert_eq!(header.transfer_syntax_uid, uid::EXPLICIT_LE);
    assert_eq!(header.sop_instance_uid, "1.2.3.3");
    assert_eq!(header.study_instance_uid, "1.2.3.1");
    assert_eq!(header.series_instance_uid, "1.2.3.2");
    assert_eq!(header.patient.id, "P1");
    assert_eq!(header.patient.name, "Müller^Eva");
    let study = &header.attributes.study;
    assert_eq!(
        study["00100010"],
        json!({"vr": "PN", "Value": [{"Alphabetic": "Müller^Eva"}]})
    );
    assert_eq!(
        study["00080005"],
        json!({"vr": "CS", "Value": ["ISO_IR 192"]})
    );
    assert_eq!(
        header.attributes.series["00080060"],
        json!({"vr": "CS", "Value": ["CT"]})
    );
    assert_eq!(
        header.attributes.instance["00280010"],
        json!({"vr": "US", "Value": [4]})
    );
    assert_eq!(
        header.attributes.instance["00200013"],
        json!({"vr": "IS", "Value": [1]})
    );
}

#[test]
fn reads_what_hospitals_call_a_file() {
    let sample = Sample::default();
    let (dataset, meta) = (sample.dataset(), sample.meta());
    let stated = |meta: Vec<u8>| [meta, dataset.clone()].concat();
    let mut long = meta.clone();
    long[140] = 0xFF;
    let mut short = meta.clone();
    short[140] = 2;
    let no_syntax = [
        vec![0; 128],
        b"DICM".to_vec(),
        element(0x0002, 0x0012, VR::UI, b"1.2.3"),
    ]
    .concat();
    let cases = [
        (
            "no preamble",
            stated(meta[128..].to_vec()),
            MetaForm::Irregular,
        ),
        ("no mark", stated(meta[132..].to_vec()), MetaForm::Irregular),
        (
            "mark only",
            stated([vec![0; 128], b"DICM".to_vec()].concat()),
            MetaForm::Irregular,
        ),
        ("bare data set", dataset.clone(), MetaForm::Missing),
        (
            "meta header claims to be longer",
            stated(long),
            MetaForm::Irregular,
        ),
        (
            "meta header claims to be shorter",
            stated(short),
            MetaForm::Irregular,
        ),
        ("no transfer syntax", stated(no_syntax), MetaForm::Irregular),
    ];
    for (name, bytes, form) in cases {
        let header = check(&bytes).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(header.meta, form, "{name}");
        assert_eq!(header.transfer_syntax_uid, uid::EXPLICIT_LE, "{name}");
        assert_eq!(&bytes[header.dataset_offset as usize..], dataset, "{name}");
    }
}

#[test]
fn tells_syntaxes_apart() {
    let ui = |g, e, v: &str| {
        implicit(
            g,
            e,
            &[v.as_bytes(), if v.len() % 2 == 1 { b"\0" } else { b"" }].concat(),
        )
    };
    let bare = [
        ui(0x0008, 0x0016, "1.2.840.10008.5.1.4.1.1.2"),
        ui(0x0008, 0x0018, "1.2.3.3"),
        ui(0x0020, 0x000D, "1.2.3.1"),
        ui(0x0020, 0x000E, "1.2.3.2"),
    ]
    .concat();
    assert_eq!(check(&bare).unwrap().transfer_syntax_uid, uid::IMPLICIT_LE);
    let big: Vec<u8> = [
        (8u16, 0x16u16, "1.2.8"),
        (8, 0x18, "1.2.3"),
        (0x20, 0xD, "1.2.1"),
        (0x20, 0xE, "1.2.2"),
    ]
    .iter()
    .flat_map(|(g, e, v)| {
        let mut out = [g.to_be_bytes(), e.to_be_bytes()].concat();
        out.extend_from_slice(b"UI");
        out.extend_from_slice(&6u16.to_be_bytes());
        out.extend_from_slice(v.as_bytes());
        out.push(0);
        out
    })
    .collect();
    assert_eq!(check(&big).unwrap().transfer_syntax_uid, uid::EXPLICIT_BE);
}

#[test]
fn inflates_deflated_data_sets_within_limits() {
    let sample = Sample {
        pixels: vec![0; 8 << 20],
        ..Sample::default()
    };
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(&sample.dataset()).unwrap();
    let meta = part10::meta("1.2.840.10008.5.1.4.1.1.2", "1.2.3.3", uid::DEFLATED_LE);
    let bytes = [meta, encoder.finish().unwrap()].concat();
    assert_eq!(check(&bytes).unwrap().patient.id, "P1");
    let limits = Limits {
        inflated_bytes: 1 << 20,
        ..Limits::default()
    };
    assert!(matches!(
        inspect(&bytes, &limits),
        Err(InspectError::Walk(WalkError::InflatesTooLarge { .. }))
    ));
}

#[test]
fn names_each_refusal() {
    let with = |change: fn(&mut Sample)| {
        let mut sample = Sample::default();
        change(&mut sample);
        check(&sample.file())
    };
    assert!(matches!(
        with(|s| s.study = String::new()),
        Err(InspectError::MissingUid {
            name: "StudyInstanceUID"
        })
    ));
    assert!(matches!(
        with(|s| s.series = "1.2/../3".into()),
        Err(InspectError::InvalidUid { .. })
    ));
    assert!(matches!(
        with(|s| s.instance = "1".repeat(66)),
        Err(InspectError::InvalidUid { .. })
    ));
    assert!(matches!(
        check(b"hello, world, this is no image"),
        Err(InspectError::NotDicom)
    ));
    assert!(matches!(check(b""), Err(InspectError::NotDicom)));
    let sample = Sample::default();
    let unknown = [part10::meta("1.2", "1.2.3.3", "1.2.3.99"), sample.dataset()].concat();
    assert!(matches!(
        check(&unknown),
        Err(InspectError::UnknownTransferSyntax { .. })
    ));
    let twice = [sample.file(), element(0x0010, 0x0020, VR::LO, b"P2")].concat();
    assert!(matches!(check(&twice), Err(InspectError::Repeated { .. })));
    let long = [
        sample.file(),
        element(0x0040, 0xA160, VR::UT, &vec![b'x'; 1 << 20]),
    ]
    .concat();
    assert!(
        check(&long).is_ok(),
        "long text that nobody reads is nobody's business"
    );
}

#[test]
fn refuses_the_nesting_bomb_in_a_file() {
    let level = [
        element(0x0008, 0x1140, VR::SQ, b""),
        head(0xFFFE, 0xE000, u32::MAX),
    ]
    .concat();
    let mut level = level;
    level[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
    let bytes = [Sample::default().file(), level.repeat(180_000)].concat();
    assert!(matches!(
        check(&bytes),
        Err(InspectError::Walk(walk::WalkError::TooDeep { .. }))
    ));
}

#[test]
fn truncation_anywhere_is_survived_and_never_taken_for_whole_pixels() {
    let file = Sample::default().file();
    let pixels = file.len() - 32;
    for end in 0..file.len() {
        let result = check(&file[..end]);
        if end > pixels {
            assert!(result.is_err(), "{end}");
        }
    }
}

#[test]
fn every_single_byte_change_is_survived() {
    let file = Sample::default().file();
    for at in 0..file.len() {
        for value in [0x00, 0x01, 0x7F, 0x80, 0xFE, 0xFF] {
            let mut bytes = file.clone();
            bytes[at] = value;
            let _ = check(&bytes);
        }
    }
}

#[test]
fn request_attributes_are_kept() {
    let item = [
        element(0x0040, 0x0009, VR::SH, b"SPS1"),
        element(0x0040, 0x1001, VR::SH, b"RP1"),
    ]
    .concat();
    let sequence = [head(0xFFFE, 0xE000, item.len() as u32), item].concat();
    let bytes = [
        Sample::default().file(),
        element(0x0040, 0x0275, VR::SQ, &sequence),
    ]
    .concat();
    let header = check(&bytes).unwrap();
    let kept = &header.attributes.series["00400275"]["Value"][0];
    assert_eq!(kept["00400009"], json!({"vr": "SH", "Value": ["SPS1"]}));
}

#[test]
fn items_have_their_own_character_set() {
    let item = [
        element(0x0008, 0x0005, VR::CS, b"ISO_IR 144"),
        element(0x0040, 0x1001, VR::SH, b"\xBF\xE0\xD8\xD2\xD5\xE2"),
    ]
    .concat();
    let plain = element(0x0040, 0x1001, VR::SH, b"\xC4");
    let sequence = [
        head(0xFFFE, 0xE000, item.len() as u32),
        item,
        head(0xFFFE, 0xE000, plain.len() as u32),
        plain,
    ]
    .concat();
    let bytes = [
        Sample::default().file(),
        element(0x0040, 0x0275, VR::SQ, &sequence),
    ]
    .concat();
    let header = check(&bytes).unwrap();
    let items = &header.attributes.series["00400275"]["Value"];
    assert_eq!(items[0]["00401001"]["Value"][0], "Привет");
    assert_eq!(items[1]["00401001"]["Value"][0], "Ä");
}
