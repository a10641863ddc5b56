use dicom_core::VR;
use proptest::prelude::*;

use super::*;
use crate::content::testing::Form;
use crate::dicom::testing::{element, head};
use crate::dicom::{part10, uid};

fn form() -> impl Strategy<Value = Form> {
    (
        1u16..9,
        1u16..9,
        prop_oneof![Just(1u16), Just(3)],
        0u16..2,
        1u16..4,
        any::<bool>(),
    )
        .prop_flat_map(|(rows, columns, samples, planar, frames, wide)| {
            let allocated = if wide { 16 } else { 8 };
            let bytes = rows * columns * samples * frames * allocated / 8;
            (
                (1..=allocated, any::<bool>()),
                prop::collection::vec(any::<u8>(), usize::from(bytes)),
                prop::collection::vec(any::<u8>(), 0..5),
                prop::collection::vec(any::<u8>(), 0..40),
            )
                .prop_map(move |((stored, signed), mut value, padding, after)| {
                    value.extend(padding);
                    let after = element(0xFFFC, 0xFFFC, VR::OB, &after);
                    Form {
                        rows,
                        columns,
                        samples,
                        planar,
                        frames,
                        allocated,
                        stored,
                        signed,
                        value,
                        after,
                        ..Form::small()
                    }
                })
        })
}

/// Bits above Bits Stored become those of the sign, or zeros.
fn extended(form: &mut Form) {
    let spare = u32::from(form.allocated - form.stored);
    if form.allocated == 8 {
        for b in &mut form.value {
            *b = match form.signed {
                true => ((*b << spare) as i8 >> spare) as u8,
                false => *b << spare >> spare,
            };
        }
        return;
    }
    for word in form.value.as_chunks_mut::<2>().0 {
        let v = u16::from_le_bytes(*word);
        let v = match form.signed {
            true => ((v << spare) as i16 >> spare) as u16,
            false => v << spare >> spare,
        };
        *word = v.to_le_bytes();
    }
}

fn spoilt(picture: &Picture, file: &[u8]) -> Vec<u8> {
    let mut blank = file.to_vec();
    blank[picture.range()].fill(0xA5);
    blank
}

proptest! {
    #[test]
    fn planes_and_words_give_back_the_bytes(mut form in form()) {
        extended(&mut form);
        let file = form.file();
        let picture = Picture::find(&file).unwrap();
        let mut from_planes = spoilt(&picture, &file);
        let mut from_words = from_planes.clone();
        for frame in 0..picture.frames {
            let planes = picture.planes(&file, frame).unwrap();
            prop_assert_eq!(planes.len(), usize::from(form.samples));
            prop_assert!(planes.iter().all(|p| p.depth() == u32::from(form.stored.max(8))));
            prop_assert!(picture.put(&mut from_planes, frame, &planes));
            let words = picture.words(&file, frame).unwrap();
            prop_assert!(picture.put(&mut from_words, frame, &words));
        }
        prop_assert_eq!(&from_planes, &file);
        prop_assert_eq!(&from_words, &file);
        prop_assert!(picture.planes(&file, picture.frames).is_none());
    }

    #[test]
    fn any_bits_at_all_come_back_as_words_or_planes(form in form()) {
        let file = form.file();
        let picture = Picture::find(&file).unwrap();
        let mut words = spoilt(&picture, &file);
        for frame in 0..picture.frames {
            prop_assert!(picture.put(&mut words, frame, &picture.words(&file, frame).unwrap()));
            if let Some(planes) = picture.planes(&file, frame) {
                let mut back = file.clone();
                back[picture.range()].fill(0);
                prop_assert!(picture.put(&mut back, frame, &planes));
                let bytes = picture.frame_bytes();
                let at = picture.offset + frame * bytes;
                prop_assert_eq!(&back[at..at + bytes], &file[at..at + bytes]);
            }
        }
        prop_assert_eq!(words, file);
    }

    #[test]
    fn damaged_files_are_refused_or_read_without_panic(
        form in form(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<prop::sample::Index>()
    ) {
        let mut file = form.file();
        let i = at.index(file.len());
        file[i] = byte;
        if cut.index(3) == 0 {
            file.truncate(cut.index(file.len()));
        }
        if let Ok(picture) = Picture::find(&file) {
            prop_assert!(picture.range().end <= picture.offset + picture.length);
            prop_assert!(picture.offset + picture.length <= file.len());
            let mut back = file.clone();
            let words = picture.words(&file, 0).unwrap();
            prop_assert!(picture.put(&mut back, 0, &words));
            prop_assert_eq!(back, file);
        }
    }
}

#[test]
fn the_description_is_read() {
    let file = Form::small().file();
    let picture = Picture::find(&file).unwrap();
    assert_eq!((picture.rows, picture.columns, picture.depth()), (2, 3, 12));
    assert_eq!(
        (picture.modality.as_str(), picture.sop_instance_uid.as_str()),
        ("MR", "1.2.3.4")
    );
    assert_eq!(picture.photometric, "MONOCHROME2");
    assert_eq!(picture.window, Some(Pair(40.0, 400.0)));
    assert_eq!(picture.rescale, None);
    assert_eq!(&file[picture.range()], &[1; 12]);
}

#[test]
fn signed_samples_keep_their_order() {
    let value = [-2048i16, -1, 0, 1, 2047, 5].map(i16::to_le_bytes).concat();
    let file = Form {
        signed: true,
        value,
        ..Form::small()
    }
    .file();
    let planes = Picture::find(&file).unwrap().planes(&file, 0).unwrap();
    assert_eq!(planes[0].samples(), [0, 2047, 2048, 2049, 4095, 2053]);
}

#[test]
fn samples_of_a_colour_image_are_gathered_by_plane() {
    let colour = Form {
        rows: 1,
        columns: 2,
        samples: 3,
        allocated: 8,
        stored: 8,
        value: vec![1, 2, 3, 4, 5, 6],
        ..Form::small()
    };
    for (planar, red) in [(0, [1, 4]), (1, [1, 2])] {
        let file = Form {
            planar,
            ..colour.clone()
        }
        .file();
        let planes = Picture::find(&file).unwrap().planes(&file, 0).unwrap();
        assert_eq!(planes[0].samples(), red);
    }
}

#[test]
fn bits_above_those_stored_are_for_words_alone() {
    let mut form = Form::small();
    form.value[1] = 0x10;
    let file = form.file();
    let picture = Picture::find(&file).unwrap();
    assert!(picture.planes(&file, 0).is_none());
    assert!(picture.words(&file, 0).is_some());
}

#[test]
fn what_is_not_read_says_why() {
    type Change = fn(&mut Form);
    let cases: [(&str, Change); 6] = [
        ("inconsistent", |f| f.rows = 0),
        ("inconsistent", |f| f.rows = 3),
        ("inconsistent", |f| f.stored = 17),
        ("inconsistent", |f| f.frames = u16::MAX),
        ("form", |f| f.allocated = 32),
        ("form", |f| f.samples = 4),
    ];
    for (code, change) in cases {
        let mut form = Form::small();
        change(&mut form);
        let why = Picture::find(&form.file()).unwrap_err();
        assert_eq!(why.code(), code, "{why}");
    }
    let meta = part10::meta("1.2.3", "1.2.3.4", uid::EXPLICIT_LE);
    let encapsulated = [
        meta.clone(),
        element(0x0028, 0x0010, VR::US, &[1, 0]),
        vec![
            0xE0, 0x7F, 0x10, 0x00, b'O', b'B', 0, 0, 0xFF, 0xFF, 0xFF, 0xFF,
        ],
        head(0xFFFE, 0xE000, 0),
        head(0xFFFE, 0xE0DD, 0),
    ]
    .concat();
    assert_eq!(
        Picture::find(&encapsulated).unwrap_err().code(),
        "compressed"
    );
    let bare = [meta, element(0x0008, 0x0018, VR::UI, b"1.2")].concat();
    assert_eq!(Picture::find(&bare).unwrap_err().code(), "no_pixels");
    assert_eq!(Picture::find(b"hello").unwrap_err().code(), "unreadable");
    let whole = Form::small().file();
    let cut = &whole[..whole.len() - 1];
    assert_eq!(Picture::find(cut).unwrap_err().code(), "unreadable");
}

#[test]
fn planes_of_another_shape_are_not_put() {
    let mut file = Form::small().file();
    let picture = Picture::find(&file).unwrap();
    let before = file.clone();
    let other = Plane::new(2, 3, 12, vec![0; 6]).unwrap();
    assert!(!picture.put(&mut file, 0, std::slice::from_ref(&other)));
    let fits = Plane::new(3, 2, 12, vec![9; 6]).unwrap();
    assert!(!picture.put(&mut file, 1, std::slice::from_ref(&fits)));
    assert!(!picture.put(&mut file, 0, &[fits.clone(), fits.clone()]));
    assert_eq!(file, before);
    assert!(picture.put(&mut file, 0, &[fits]));
}

#[test]
fn a_name_that_is_no_uid_is_refused() {
    let file = Form::small().file();
    let at = file.windows(7).rposition(|w| w == b"1.2.3.4").unwrap();
    assert_eq!(Picture::find(&file).unwrap().sop_instance_uid, "1.2.3.4");
    for name in [b"1.\x1b[31m", b"1.2.3.x", b"1..3.45"] {
        let mut bad = file.clone();
        bad[at..at + 7].copy_from_slice(name);
        let said = Picture::find(&bad);
        assert!(matches!(said, Err(NoPicture::Inconsistent(_))), "{said:?}");
    }
}
