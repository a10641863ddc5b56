use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

/// Contents that planes have.
#[derive(Clone, Copy, Debug)]
enum Content {
    Flat,
    Noise,
    Gradient,
    Sparse,
    Saturated,
    Mixed,
}

fn plane(content: Content, shape: Shape, seed: u64) -> Vec<u16> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let max = u64::from(shape.max());
    let level = random.next_u64() % (max + 1);
    (0..shape.samples() as u64)
        .map(|i| {
            let (x, y) = (i % shape.width() as u64, i / shape.width() as u64);
            let noise = random.next_u64();
            let sample = match content {
                Content::Flat => level,
                Content::Noise => noise % (max + 1),
                Content::Gradient => (x * 3 + y * 5 + noise % 4) % (max + 1),
                Content::Sparse => (noise % 5) * (max / 5),
                Content::Saturated => {
                    if noise % 16 == 0 {
                        0
                    } else {
                        max
                    }
                }
                Content::Mixed if x / 16 % 2 == y / 16 % 2 => level,
                Content::Mixed => (level + noise % (1 + max / 64)).min(max),
            };
            sample as u16
        })
        .collect()
}

fn contents() -> impl Strategy<Value = Content> {
    prop_oneof![
        Just(Content::Flat),
        Just(Content::Noise),
        Just(Content::Gradient),
        Just(Content::Sparse),
        Just(Content::Saturated),
        Just(Content::Mixed),
    ]
}

fn coding(samples: &[u16], shape: Shape) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(samples, shape, &mut bytes).unwrap();
    bytes
}

proptest! {
    #[test]
    fn every_plane_comes_back(
        content in contents(),
        width in 1usize..70,
        height in 1usize..40,
        depth in 1u32..=16,
        seed: u64,
    ) {
        let shape = Shape::new(width, height, depth).unwrap();
        let samples = plane(content, shape, seed);
        let mut bytes = vec![7];
        encode(&samples, shape, &mut bytes).unwrap();
        let plain = samples.len() * if depth <= 8 { 1 } else { 2 };
        prop_assert!(bytes.len() - 1 <= plain + OVERHEAD);
        prop_assert_eq!(decode(&bytes[1..], shape), Ok(samples));
    }

    #[test]
    fn damage_is_refused_or_gives_a_plane(
        content in contents(),
        width in 1usize..70,
        height in 1usize..40,
        depth in 1u32..=16,
        seed: u64,
        places in proptest::collection::vec((any::<prop::sample::Index>(), 1u8..), 1..8),
    ) {
        let shape = Shape::new(width, height, depth).unwrap();
        let mut bytes = coding(&plane(content, shape, seed), shape);
        for (place, difference) in places {
            let place = place.index(bytes.len());
            bytes[place] ^= difference;
        }
        if let Ok(samples) = decode(&bytes, shape) {
            prop_assert_eq!(samples.len(), shape.samples());
            prop_assert!(samples.iter().all(|&sample| sample <= shape.max()));
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused_or_give_a_plane(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..400),
        mode in 0u8..4,
        width in 1usize..40,
        height in 1usize..20,
        depth in 1u32..=16,
    ) {
        let shape = Shape::new(width, height, depth).unwrap();
        if let Some(head) = bytes.first_chunk_mut() {
            *head = [VERSION, mode, 8 + mode, 0, mode];
        }
        if let Ok(samples) = decode(&bytes, shape) {
            prop_assert_eq!(samples.len(), shape.samples());
        }
    }

    #[test]
    fn colours_come_back(
        contents in [contents(), contents(), contents()],
        width in 1usize..40,
        height in 1usize..20,
        depth in 1u32..=16,
        seed: u64,
        alike: bool,
    ) {
        let shape = Shape::new(width, height, depth).unwrap();
        let mut planes = contents.map(|content| plane(content, shape, seed));
        if alike {
            planes[1] = planes[0].clone();
        }
        let [a, b, c] = &planes;
        let mut bytes = Vec::new();
        encode_colour([a, b, c], shape, &mut bytes).unwrap();
        prop_assert_eq!(decode_colour(&bytes, shape), Ok(planes));
        bytes.push(0);
        prop_assert!(decode_colour(&bytes, shape).is_err());
    }
}

/// A plane whose coding uses every part: noise on a curved surface, an edge, a flat corner.
fn picture(width: usize, height: usize, depth: u32) -> (Vec<u16>, Shape) {
    let shape = Shape::new(width, height, depth).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(5);
    let max = u32::from(shape.max());
    let samples = (0..shape.samples())
        .map(|i| {
            let (x, y) = ((i % width) as u32, (i / width) as u32);
            let noise = random.next_u32();
            let curve = (x * x + 2 * y * y) / 64;
            match (x + y < 30, x > y) {
                (true, _) => 0,
                (_, true) => (curve + noise % 9 + noise / 16 % 9).min(max) as u16,
                (_, false) => (curve / 2 + 100 + noise % 3).min(max) as u16,
            }
        })
        .collect();
    (samples, shape)
}

#[test]
fn every_truncation_and_extension_is_refused() {
    for depth in [8, 12] {
        let (samples, shape) = picture(61, 43, depth);
        let mut bytes = coding(&samples, shape);
        assert_eq!(bytes[1], Mode::Coded as u8);
        for length in 0..bytes.len() {
            assert!(decode(&bytes[..length], shape).is_err(), "{length}");
        }
        bytes.push(0);
        assert!(decode(&bytes, shape).is_err());
    }
}

#[test]
fn another_shape_is_refused() {
    let (samples, shape) = picture(64, 48, 12);
    let bytes = coding(&samples, shape);
    for (width, height, depth) in [
        (64, 47, 12),
        (63, 48, 12),
        (48, 64, 12),
        (65, 48, 12),
        (64, 48, 7),
    ] {
        let other = Shape::new(width, height, depth).unwrap();
        assert_eq!(
            decode(&bytes, other),
            Err(DecodeError::Damaged),
            "{width} {height} {depth}"
        );
    }
}

#[test]
fn what_is_no_plane_is_refused() {
    let shape = Shape::new(4, 4, 12).unwrap();
    let given = 15;
    let expected = 16;
    let mut out = Vec::new();
    assert_eq!(
        encode(&[0; 15], shape, &mut out),
        Err(EncodeError::Length { expected, given })
    );
    assert_eq!(
        encode(&[4096; 16], shape, &mut out),
        Err(EncodeError::Sample(12))
    );
    assert!(out.is_empty());
    assert_eq!(decode(&[], shape), Err(DecodeError::Short));
    assert_eq!(decode(&[2, 0, 0, 0], shape), Err(DecodeError::Version(2)));
    assert_eq!(
        decode(&[1, 9, 0, 0], shape),
        Err(DecodeError::Parameter("mode"))
    );
    assert_eq!(decode(&[1, 0, 0, 16], shape), Err(DecodeError::Damaged));
    assert_eq!(
        Shape::new(0, 1, 8),
        Err(ShapeError::Side {
            width: 0,
            height: 1
        })
    );
    assert_eq!(Shape::new(1, 1, 17), Err(ShapeError::Depth(17)));
}

#[test]
fn codings_do_not_change() {
    let digests = [8, 12].map(|depth| {
        let (samples, shape) = picture(96, 75, depth);
        let bytes = coding(&samples, shape);
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        (bytes.len(), hex::encode(digest))
    });
    let digests = digests
        .each_ref()
        .map(|(length, digest)| (*length, digest.as_str()));
    let expected = [
        (
            3299,
            "cf57cbfefb03167af6bcbe3da5f11524433f00d8018ce406a850f9f983b119f2",
        ),
        (
            3387,
            "a1d97622ab433584218179b23607db169a0a5ee042d784de80a2aed555fee798",
        ),
    ];
    assert_eq!(digests, expected);
}
