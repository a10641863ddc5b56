use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::dicom::testing::{element, head, implicit, tag};

fn walk(bytes: &[u8], syntax: Syntax) -> Result<Vec<Token>, WalkError> {
    let mut walker = Walker::new(Cursor::new(bytes), 0, Some(bytes.len() as u64), syntax);
    let mut tokens = Vec::new();
    while let Some(token) = walker.next()? {
        tokens.push(token);
    }
    Ok(tokens)
}

fn explicit(bytes: &[u8]) -> Result<Vec<Token>, WalkError> {
    walk(bytes, Syntax::EXPLICIT_LE)
}

#[test]
fn nested_sequences_of_both_kinds() {
    let inner = element(0x0008, 0x0100, VR::SH, b"T-D3000");
    let defined = [head(0xFFFE, 0xE000, inner.len() as u32), inner.clone()].concat();
    let undefined = [
        head(0xFFFE, 0xE000, u32::MAX),
        inner,
        head(0xFFFE, 0xE00D, 0),
    ]
    .concat();
    let bytes = [
        element(
            0x0008,
            0x1111,
            VR::SQ,
            &[defined, undefined.clone()].concat(),
        ),
        [
            tag(0x0008, 0x1140),
            b"SQ\0\0".to_vec(),
            u32::MAX.to_le_bytes().to_vec(),
        ]
        .concat(),
        undefined,
        head(0xFFFE, 0xE0DD, 0),
        element(0x0010, 0x0020, VR::LO, b"X"),
    ]
    .concat();
    let tokens = explicit(&bytes).unwrap();
    assert_eq!(tokens.len(), 15 - 1);
    assert!(matches!(tokens.last(), Some(Token::Element(e)) if e.tag == Tag(0x0010, 0x0020)));
}

#[test]
fn unknown_sequences_are_implicit_inside() {
    let bytes = [
        [
            tag(0x0029, 0x1010),
            b"UN\0\0".to_vec(),
            u32::MAX.to_le_bytes().to_vec(),
        ]
        .concat(),
        head(0xFFFE, 0xE000, u32::MAX),
        implicit(0x0008, 0x0100, b"CODE"),
        head(0xFFFE, 0xE00D, 0),
        head(0xFFFE, 0xE0DD, 0),
        element(0x0010, 0x0020, VR::LO, b"X"),
    ]
    .concat();
    let tokens = explicit(&bytes).unwrap();
    assert!(matches!(tokens[2], Token::Element(e) if e.vr == VR::SH && e.length == Some(4)));
    assert!(matches!(tokens[5], Token::Element(e) if e.tag == Tag(0x0010, 0x0020)));
}

#[test]
fn strange_representations_are_read() {
    // An implicit element among explicit ones, one with a VR from the future, one private.
    let mut future = tag(0x0018, 0x9999);
    future.extend_from_slice(b"ZZ\0\0\x04\0\0\0abcd");
    let bytes = [
        implicit(0x0008, 0x0060, b"CT"),
        future,
        element(0x0019, 0x1001, VR::UN, b"secret"),
        element(0x0010, 0x0020, VR::LO, b"X"),
    ]
    .concat();
    let tokens = explicit(&bytes).unwrap();
    let vrs: Vec<VR> = tokens
        .iter()
        .map(|t| {
            if let Token::Element(e) = t {
                e.vr
            } else {
                VR::SQ
            }
        })
        .collect();
    assert_eq!(vrs, [VR::CS, VR::UN, VR::UN, VR::LO]);
}

#[test]
fn encapsulated_pixels_are_skipped_and_trailing_elements_seen() {
    let bytes = [
        [
            tag(0x7FE0, 0x0010),
            b"OB\0\0".to_vec(),
            u32::MAX.to_le_bytes().to_vec(),
        ]
        .concat(),
        head(0xFFFE, 0xE000, 0),
        head(0xFFFE, 0xE000, 4),
        b"abcd".to_vec(),
        head(0xFFFE, 0xE0DD, 0),
        element(0xFFFC, 0xFFFC, VR::OB, b"pad!"),
    ]
    .concat();
    let tokens = explicit(&bytes).unwrap();
    assert_eq!(tokens.len(), 2);
    assert!(matches!(tokens[0], Token::Element(e) if e.length.is_none()));
}

#[test]
fn wrong_lengths_are_named() {
    let cut = &element(0x0010, 0x0020, VR::LO, b"ABCDEF")[..10];
    assert!(matches!(explicit(cut), Err(WalkError::Truncated { .. })));
    let long_item = [
        head(0xFFFE, 0xE000, 400),
        element(0x0008, 0x0100, VR::SH, b"x"),
    ]
    .concat();
    let bytes = [element(0x0008, 0x1111, VR::SQ, &long_item), vec![0; 1000]].concat();
    assert!(matches!(
        explicit(&bytes),
        Err(WalkError::LengthOverrun { .. })
    ));
    let stray = head(0xFFFE, 0xE0DD, 0);
    assert!(matches!(
        explicit(&stray),
        Err(WalkError::Unexpected { .. })
    ));
    let huge = [
        tag(0x0042, 0x0011),
        b"OB\0\0".to_vec(),
        0xFFFF_FFFEu32.to_le_bytes().to_vec(),
    ]
    .concat();
    assert!(matches!(explicit(&huge), Err(WalkError::Truncated { .. })));
}

/// The file that overflows the stack of recursive parsers: 3.6 MB of sequences in sequences.
#[test]
fn a_nesting_bomb_is_refused_before_it_costs_anything() {
    let mut level = [
        tag(0x0008, 0x1140),
        b"SQ\0\0".to_vec(),
        u32::MAX.to_le_bytes().to_vec(),
    ]
    .concat();
    level.extend(head(0xFFFE, 0xE000, u32::MAX));
    let bomb = level.repeat(3_600_000 / level.len());
    assert!(matches!(explicit(&bomb), Err(WalkError::TooDeep { .. })));
    // The same after pixel data, where a reader that stops there would not look.
    let hidden = [element(0x7FE0, 0x0010, VR::OW, &[0; 8]), bomb].concat();
    assert!(matches!(explicit(&hidden), Err(WalkError::TooDeep { .. })));
}

#[test]
fn the_deepest_allowed_nesting_is_walked() {
    let level = [
        [
            tag(0x0008, 0x1140),
            b"SQ\0\0".to_vec(),
            u32::MAX.to_le_bytes().to_vec(),
        ]
        .concat(),
        head(0xFFFE, 0xE000, u32::MAX),
    ]
    .concat();
    // Missing delimiters at the very end are tolerated.
    assert!(explicit(&level.repeat(MAX_DEPTH)).is_ok());
    assert!(explicit(&level.repeat(MAX_DEPTH + 1)).is_err());
}

#[test]
fn a_deflate_bomb_stops_at_its_limit() {
    use std::io::Write as _;
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::best());
    encoder
        .write_all(
            &[
                tag(0x7FE0, 0x0010),
                b"OB\0\0".to_vec(),
                (64u32 << 20).to_le_bytes().to_vec(),
            ]
            .concat(),
        )
        .unwrap();
    encoder.write_all(&vec![0; 64 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    assert!(bomb.len() < 100_000);
    let inflating = Inflating::new(&bomb[..], 1 << 20);
    let mut walker = Walker::new(inflating, 0, None, Syntax::EXPLICIT_LE);
    assert!(matches!(walker.next(), Ok(Some(Token::Element(_)))));
    assert!(matches!(
        walker.next(),
        Err(WalkError::InflatesTooLarge { limit: 1_048_576 })
    ));
}

proptest! {
    #[test]
    fn any_bytes_end(bytes in proptest::collection::vec(any::<u8>(), 0..400), kind in 0..3) {
        let syntax = [Syntax::IMPLICIT_LE, Syntax::EXPLICIT_LE, Syntax::EXPLICIT_BE][kind as usize];
        let mut walker = Walker::new(Cursor::new(&bytes), 0, Some(bytes.len() as u64), syntax);
        while let Ok(Some(_)) = walker.next() {
            let _ = walker.value(64);
        }
        prop_assert!(walker.offset() <= bytes.len() as u64);
    }

    /// Bytes that look like a data set, so that the walk gets somewhere.
    #[test]
    fn likely_bytes_end(parts in proptest::collection::vec(prop_oneof![
        Just(head(0xFFFE, 0xE000, u32::MAX)), Just(head(0xFFFE, 0xE00D, 0)), Just(head(0xFFFE, 0xE0DD, 0)),
        (0u32..64).prop_map(|n| head(0xFFFE, 0xE000, n)),
        (0u32..64).prop_map(|n| [tag(0x0008, 0x1140), b"SQ\0\0".to_vec(), n.to_le_bytes().to_vec()].concat()),
        Just([tag(0x0008, 0x1140), b"SQ\0\0".to_vec(), u32::MAX.to_le_bytes().to_vec()].concat()),
        Just([tag(0x7FE0, 0x0010), b"OB\0\0".to_vec(), u32::MAX.to_le_bytes().to_vec()].concat()),
        Just([tag(0x0009, 0x1001), b"UN\0\0".to_vec(), u32::MAX.to_le_bytes().to_vec()].concat()),
        Just(element(0x0010, 0x0020, VR::LO, b"ID")),
    ], 0..40)) {
        let bytes = parts.concat();
        let mut walker = Walker::new(Cursor::new(&bytes), 0, Some(bytes.len() as u64), Syntax::EXPLICIT_LE);
        let _ = crate::dicom::json::dataset(&mut walker);
    }
}
