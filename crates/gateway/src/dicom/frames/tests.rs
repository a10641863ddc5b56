use dicom_core::VR;

use super::*;
use crate::dicom::part10;
use crate::dicom::testing::{element, head, tag};

struct Image {
    rows: u16,
    columns: u16,
    bits: u16,
    frames: u32,
}

fn write(image: &Image, syntax: &str, pixels: &[u8]) -> tempfile::NamedTempFile {
    let dataset = [
        element(0x0008, 0x0016, VR::UI, b"1.2.840.10008.5.1.4.1.1.7"),
        element(0x0008, 0x0018, VR::UI, b"1.2.3"),
        element(0x0028, 0x0002, VR::US, &1u16.to_le_bytes()),
        element(0x0028, 0x0008, VR::IS, image.frames.to_string().as_bytes()),
        element(0x0028, 0x0010, VR::US, &image.rows.to_le_bytes()),
        element(0x0028, 0x0011, VR::US, &image.columns.to_le_bytes()),
        element(0x0028, 0x0100, VR::US, &image.bits.to_le_bytes()),
        pixels.to_vec(),
    ]
    .concat();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(
        file.path(),
        [part10::meta("1.2", "1.2.3", syntax), dataset].concat(),
    )
    .unwrap();
    file
}

fn native(pixels: &[u8]) -> Vec<u8> {
    element(0x7FE0, 0x0010, VR::OW, pixels)
}

fn fragments(table: &[u32], parts: &[&[u8]]) -> Vec<u8> {
    let table: Vec<u8> = table.iter().flat_map(|o| o.to_le_bytes()).collect();
    let mut out = [
        tag(0x7FE0, 0x0010),
        b"OB\0\0".to_vec(),
        u32::MAX.to_le_bytes().to_vec(),
    ]
    .concat();
    for part in std::iter::once(&table[..]).chain(parts.iter().copied()) {
        out.extend(head(0xFFFE, 0xE000, part.len() as u32));
        out.extend_from_slice(part);
    }
    out.extend(head(0xFFFE, 0xE0DD, 0));
    out
}

fn open(file: &tempfile::NamedTempFile) -> Result<Frames, FrameError> {
    Frames::open(file.path(), &Limits::default())
}

#[test]
fn native_frames_are_cut() {
    let image = Image {
        rows: 2,
        columns: 2,
        bits: 16,
        frames: 3,
    };
    let file = write(
        &image,
        uid::EXPLICIT_LE,
        &native(&(0..24).collect::<Vec<u8>>()),
    );
    let mut frames = open(&file).unwrap();
    assert_eq!(frames.count, 3);
    assert_eq!(frames.read(2).unwrap(), (8..16).collect::<Vec<u8>>());
    assert!(matches!(
        frames.read(0),
        Err(FrameError::NoSuchFrame { .. })
    ));
    assert!(matches!(
        frames.read(4),
        Err(FrameError::NoSuchFrame {
            asked: 4,
            frames: 3
        })
    ));
}

#[test]
fn single_bits_are_moved_to_the_start_of_a_byte() {
    // 3 x 3 bits: the second frame starts at bit 9.
    let image = Image {
        rows: 3,
        columns: 3,
        bits: 1,
        frames: 2,
    };
    let file = write(
        &image,
        uid::EXPLICIT_LE,
        &native(&[0b1111_1111, 0b0101_0101, 0b0000_0011, 0]),
    );
    let mut frames = open(&file).unwrap();
    assert_eq!(frames.read(1).unwrap(), [0b1111_1111, 0b1]);
    // Bits 9..18 of the stream, lowest first: 0,1,0,1,0,1,0 then 1,1.
    assert_eq!(frames.read(2).unwrap(), [0b1010_1010, 0b1]);
}

#[test]
fn compressed_frames_are_gathered() {
    let image = |frames| Image {
        rows: 9,
        columns: 9,
        bits: 8,
        frames,
    };
    let ts = "1.2.840.10008.1.2.4.50";
    let one = write(&image(1), ts, &fragments(&[], &[b"\xFF\xD8ab", b"cdef"]));
    assert_eq!(open(&one).unwrap().read(1).unwrap(), b"\xFF\xD8abcdef");
    let each = write(
        &image(2),
        ts,
        &fragments(&[], &[b"\xFF\xD8ab", b"\xFF\xD8cd"]),
    );
    assert_eq!(open(&each).unwrap().read(2).unwrap(), b"\xFF\xD8cd");
    let parts: [&[u8]; 3] = [b"\xFF\xD8ab", b"cdef", b"\xFF\xD8zz"];
    let table = write(&image(2), ts, &fragments(&[0, 24], &parts));
    assert_eq!(open(&table).unwrap().read(1).unwrap(), b"\xFF\xD8abcdef");
    assert_eq!(open(&table).unwrap().read(2).unwrap(), b"\xFF\xD8zz");
    let marks = write(&image(2), ts, &fragments(&[], &parts));
    assert_eq!(open(&marks).unwrap().read(1).unwrap(), b"\xFF\xD8abcdef");
    let unknown = write(
        &image(2),
        "1.2.840.10008.1.2.5",
        &fragments(&[], &[b"ab", b"cd", b"ef"]),
    );
    assert!(matches!(open(&unknown), Err(FrameError::UnknownBoundaries)));
}

#[test]
fn lies_about_the_image_are_refused() {
    let huge = Image {
        rows: u16::MAX,
        columns: u16::MAX,
        bits: u16::MAX,
        frames: u32::MAX,
    };
    assert!(matches!(
        open(&write(&huge, uid::EXPLICIT_LE, &native(&[0; 8]))),
        Err(FrameError::Inconsistent(_))
    ));
    let none = Image {
        rows: 0,
        columns: 4,
        bits: 8,
        frames: 1,
    };
    assert!(matches!(
        open(&write(&none, uid::EXPLICIT_LE, &native(&[0; 8]))),
        Err(FrameError::Inconsistent(_))
    ));
    assert!(matches!(
        open(&write(&none, uid::EXPLICIT_LE, &[])),
        Err(FrameError::NoPixels)
    ));
    // Offsets that point nowhere.
    let image = Image {
        rows: 9,
        columns: 9,
        bits: 8,
        frames: 2,
    };
    for table in [[0, u32::MAX], [8, 4], [4, 4]] {
        let file = write(
            &image,
            "1.2.840.10008.1.2.4.50",
            &fragments(&table, &[b"ab", b"cd", b"ef"]),
        );
        assert!(open(&file).is_err(), "{table:?}");
    }
}

#[test]
fn truncation_anywhere_is_survived() {
    let image = Image {
        rows: 2,
        columns: 2,
        bits: 16,
        frames: 2,
    };
    for pixels in [
        native(&[1; 16]),
        fragments(&[0, 12], &[b"\xFF\xD8ab", b"\xFF\xD8cd"]),
    ] {
        let bytes = std::fs::read(write(&image, "1.2.840.10008.1.2.4.50", &pixels).path()).unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        for end in 0..bytes.len() {
            std::fs::write(file.path(), &bytes[..end]).unwrap();
            if let Ok(mut frames) = open(&file) {
                let _ = (frames.read(1), frames.read(2));
            }
        }
    }
}
