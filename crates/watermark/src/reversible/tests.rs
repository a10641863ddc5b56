use proptest::prelude::*;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;

/// Kinds of content, from trivial to hostile.
#[derive(Clone, Copy, Debug)]
enum Content {
    Flat(u16),
    Gradient,
    Noise(u32),
    Board,
    Anything,
}

fn content() -> impl Strategy<Value = Content> {
    prop_oneof![
        any::<u16>().prop_map(Content::Flat),
        Just(Content::Flat(0)),
        Just(Content::Flat(u16::MAX)),
        Just(Content::Gradient),
        (1u32..2000).prop_map(Content::Noise),
        Just(Content::Board),
        Just(Content::Anything),
    ]
}

fn plane(content: Content, (width, height): (usize, usize), depth: u32, seed: u64) -> Plane {
    let max = u32::from(u16::MAX >> (16 - depth));
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let base = rng.next_u32() % (max + 1);
    let samples = (0..width * height).map(|i| {
        let (x, y) = ((i % width) as u32, (i / width) as u32);
        let sample = match content {
            Content::Flat(value) => u32::from(value).min(max),
            Content::Gradient => 3 * x + 2 * y,
            Content::Noise(size) => {
                let sum: u32 = (0..4).map(|_| rng.next_u32() % size).sum();
                (base + sum).saturating_sub(2 * size)
            }
            Content::Board => (x + y) % 2 * max,
            Content::Anything => rng.next_u32() % (max + 1),
        };
        sample.min(max) as u16
    });
    Plane::new(width, height, depth, samples.collect()).unwrap()
}

fn payload(length: usize, seed: u64) -> Vec<u8> {
    let mut payload = vec![0; length];
    ChaCha8Rng::seed_from_u64(seed ^ 0x5EED).fill_bytes(&mut payload);
    payload
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn payload_and_plane_come_back(
        content in content(),
        sides in (1usize..70, 1usize..70),
        depth in 8u32..=16,
        length in 0usize..120,
        seed in any::<u64>(),
    ) {
        let original = plane(content, sides, depth, seed);
        let mut marked = original.clone();
        let frozen = Frozen::of(&original, (0..seed as usize % 50).map(|i| i * 7));
        let payload = payload(length, seed);
        match embed(&mut marked, &frozen, &payload) {
            Ok(parameters) => {
                let bytes = parameters.to_bytes();
                prop_assert!(bytes.len() <= Parameters::MAX_BYTES);
                let parameters = Parameters::from_bytes(&bytes).unwrap();
                Plane::new(sides.0, sides.1, depth, marked.samples().to_vec()).unwrap();
                let mut restored = marked.clone();
                prop_assert_eq!(extract(&mut restored, &frozen, &parameters), Ok(payload));
                prop_assert!(restored == original);
            }
            Err(error) => {
                let capacity = matches!(error, EmbedError::Capacity { .. });
                prop_assert!(capacity);
                prop_assert!(marked == original);
            }
        }
    }
}
