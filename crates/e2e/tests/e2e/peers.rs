//! Images go in through foreign software at one hospital and come out through other foreign software at another,
//! with the same bytes.

use std::path::PathBuf;

use harpo_e2e::images::pydicom;
use harpo_e2e::peers::{Witness, storescu};
use harpo_e2e::system::System;

use crate::sent::Sent;

/// Sent by storescu, each with the options that propose its transfer syntax.
const BY_STORESCU: &[(&[&str], &[&str])] = &[
    (
        &[],
        &[
            "CT_small.dcm",
            "MR_small.dcm",
            "rtplan.dcm",
            "test-SR.dcm",
            "waveform_ecg.dcm",
        ],
    ),
    (&["--propose-j2k-lossy"], &["JPEG2000.dcm"]),
    (&["--propose-big"], &["ExplVR_BigEnd.dcm"]),
    (&["--propose-deflated"], &["image_dfl.dcm"]),
];
const BY_PYNETDICOM: &[&str] = &[
    "SC_rgb_rle_16bit.dcm",
    "JPEG-lossy.dcm",
    "GDCMJ2K_TextGBR.dcm",
];
const BY_STOW: &[&str] = &[
    "examples_palette.dcm",
    "693_J2KI.dcm",
    "reportsi.dcm",
    "liver_1frame.dcm",
];

fn files(names: &[&str]) -> Vec<PathBuf> {
    names.iter().map(|name| pydicom(name).unwrap()).collect()
}

#[test]
fn images_come_back_bit_for_bit() {
    let mut system = System::start(&["St Anne", "Mercy Vale", "Holm Clinic"]).unwrap();
    let out = tempfile::tempdir().unwrap();
    let mut sent = Sent::default();

    // What storescu transfers is not always what is in the file: the witness keeps what came over the wire.
    let witness = Witness::start(out.path().join("witness")).unwrap();
    let [anne, mercy, holm] = system.hospitals.as_slice() else {
        unreachable!()
    };
    for (options, names) in BY_STORESCU {
        storescu(witness.port(), "ANY", options, &files(names)).unwrap();
        anne.storescu(options, &files(names)).unwrap();
    }
    sent.by_store(&witness.received().unwrap()).unwrap();

    let by_pynetdicom = files(BY_PYNETDICOM);
    for (file, status) in anne.send(&by_pynetdicom).unwrap().as_object().unwrap() {
        assert_eq!(status, 0, "{file}");
    }
    sent.by_store(&by_pynetdicom).unwrap();

    let by_stow = files(BY_STOW);
    let answer = anne.stow(&by_stow).unwrap();
    assert_eq!(answer["status"], 200, "{answer}");
    sent.by_stow(&by_stow).unwrap();

    // Fresh images come from trust's cache, and the cloud sees nothing of it.
    sent.found_by(mercy).unwrap();
    sent.comes_back_readable_at(mercy, &out.path().join("mercy"))
        .unwrap();
    assert_eq!(
        system.events("retrieval").unwrap(),
        Vec::<serde_json::Value>::new()
    );
    assert_eq!(
        system.events("write").unwrap(),
        Vec::<serde_json::Value>::new()
    );

    // Once sealed they come from the cloud, obliviously.
    sent.found_by(holm).unwrap();
    system.seal().unwrap();
    let holm = &system.hospitals[2];
    sent.comes_back_at(holm, &out.path().join("holm")).unwrap();
    let retrievals = system.events("retrieval").unwrap().len();
    assert!(
        retrievals >= sent.studies().count(),
        "{retrievals} retrievals"
    );

    // What was opened once is kept, and asked of nobody again.
    sent.comes_back_at(holm, &out.path().join("again")).unwrap();
    assert_eq!(system.events("retrieval").unwrap().len(), retrievals);
    // The producer has its own.
    let anne = &system.hospitals[0];
    sent.comes_back_at(anne, &out.path().join("anne")).unwrap();
}
