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

    #[test]
    fn a_plane_alone_gives_back_what_it_carries(
        content in content(),
        sides in (20usize..90, 30usize..90),
        depth in 8u32..=16,
        length in 0usize..60,
        seed in any::<u64>(),
    ) {
        let original = plane(content, sides, depth, seed);
        let mut marked = original.clone();
        let payload = payload(length, seed);
        match embed_alone(&mut marked, &payload) {
            Ok(()) => {
                let mut restored = marked.clone();
                prop_assert_eq!(extract_alone(&mut restored), Ok(payload));
                prop_assert!(restored == original);
            }
            Err(_) => prop_assert!(marked == original),
        }
    }

    #[test]
    fn damaged_planes_and_hostile_parameters_are_refused_or_read(
        content in content(),
        sides in (4usize..60, 4usize..60),
        depth in 8u32..=16,
        damage in proptest::collection::vec((any::<u16>(), any::<u16>()), 0..20),
        flips in proptest::collection::vec(0usize..8 * Parameters::MAX_BYTES, 0..6),
        seed in any::<u64>(),
    ) {
        let mut marked = plane(content, sides, depth, seed);
        let frozen = Frozen::none(&marked);
        let Ok(parameters) = embed(&mut marked, &frozen, &payload(20, seed)) else {
            return Ok(());
        };
        let mut bytes = parameters.to_bytes();
        for flip in &flips {
            if let Some(byte) = bytes.get_mut(flip / 8) {
                *byte ^= 1 << (flip % 8);
            }
        }
        let count = sides.0 * sides.1;
        let max = marked.max();
        for (position, sample) in damage {
            marked.samples_mut()[usize::from(position) % count] = sample & max;
        }
        let before = marked.clone();
        if let Ok(parameters) = Parameters::from_bytes(&bytes)
            && extract(&mut marked, &frozen, &parameters).is_err()
        {
            prop_assert!(marked == before);
        }
        Plane::new(sides.0, sides.1, depth, marked.into_samples()).unwrap();
    }

    #[test]
    fn any_plane_is_asked_in_vain_or_answers(seed in any::<u64>(), depth in 8u32..=16) {
        let mut plane = plane(Content::Anything, (40, 40), depth, seed);
        // The version, so that more than the first byte is looked at.
        for (i, sample) in plane.samples_mut()[..8].iter_mut().enumerate() {
            *sample = *sample & !1 | u16::from(i == 7);
        }
        let before = plane.clone();
        if extract_alone(&mut plane).is_err() {
            prop_assert!(plane == before);
        }
    }
}

/// Mean square change of a plane of 256 x 256 that carries so many bits a sample.
fn distortion(original: &Plane, bits: f64) -> f64 {
    let count = original.samples().len();
    let mut marked = original.clone();
    let frozen = Frozen::none(original);
    let payload = payload((bits * count as f64 / 8.0) as usize, 1);
    let parameters = embed(&mut marked, &frozen, &payload).unwrap();
    let both = marked.samples().iter().zip(original.samples());
    let squares = both.map(|(a, b)| f64::from(i32::from(*a) - i32::from(*b)).powi(2));
    let mean = squares.sum::<f64>() / count as f64;
    assert_eq!(extract(&mut marked, &frozen, &parameters), Ok(payload));
    assert!(marked == *original);
    mean
}

#[test]
fn a_flat_plane_carries_almost_what_theory_allows() {
    let entropy = |q: f64| -q * q.log2() - (1.0 - q) * (1.0 - q).log2();
    for (value, both_ways) in [(0, 0.0), (100, 1.0), (255, 0.0)] {
        let original = Plane::new(256, 256, 8, vec![value; 65_536]).unwrap();
        for bits in [0.05, 0.1, 0.2, 0.3] {
            // A share q of samples moves by one, at the ends of the range in one direction only:
            // H(q) bits, and one more for each where the direction is free.
            let (mut low, mut high) = (0.0, 0.5);
            for _ in 0..50 {
                let q = (low + high) / 2.0;
                if entropy(q) + both_ways * q < bits {
                    low = q;
                } else {
                    high = q;
                }
            }
            let mean = distortion(&original, bits);
            assert!(mean > 0.98 * low, "better than possible: {mean} for {low}");
            assert!(
                mean < 1.12 * low,
                "{mean} where {low} is possible ({value}, {bits})"
            );
        }
    }
}

#[test]
fn noise_carries_more_than_histogram_shifting_gets_into_it() {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut uniform = || (f64::from(rng.next_u32()) + 0.5) / 2f64.powi(32);
    let samples = (0..65_536).map(|_| {
        let noise = (uniform() / uniform()).ln() * 3.0;
        (2000.0 + noise).round() as u16
    });
    let original = Plane::new(256, 256, 12, samples.collect()).unwrap();
    // Ni, Shi, Ansari and Su (2006) on errors of the rhombus, one colour: the peak carries a bit
    // a sample, all above it move by one.
    let (mut peak, mut above) = (0u32, 0u32);
    let at = |x: usize, y: usize| i32::from(original.samples()[y * 256 + x]);
    for y in 1..255 {
        for x in (1 + y % 2..255).step_by(2) {
            let near = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1);
            let error = at(x, y) - (near + 2) / 4;
            peak += u32::from(error == 0);
            above += u32::from(error > 0);
        }
    }
    let bits = f64::from(peak) / 65_536.0;
    let shifted = f64::from(peak) / 2.0 + f64::from(above);
    let mean = distortion(&original, bits);
    assert!(
        mean < 0.6 * shifted / 65_536.0,
        "{mean} against {}",
        shifted / 65_536.0
    );
}

#[test]
fn what_does_not_fit_is_refused_with_what_would() {
    let original = plane(Content::Noise(40), (64, 64), 12, 5);
    let mut marked = original.clone();
    let frozen = Frozen::none(&original);
    let refused = embed(&mut marked, &frozen, &payload(60_000, 1));
    let Err(EmbedError::Capacity { needed, available }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(needed, 60_000);
    assert!(available > 500 && marked == original);
    assert!(embed(&mut marked, &frozen, &payload(available / 2, 1)).is_ok());
}

#[test]
fn frozen_samples_do_not_change_and_their_low_bit_does_not_matter() {
    let original = plane(Content::Noise(9), (96, 96), 8, 8);
    let positions = || (0..9216).step_by(5);
    let frozen = Frozen::of(&original, positions());
    let mut marked = original.clone();
    let payload = payload(150, 2);
    let parameters = embed(&mut marked, &frozen, &payload).unwrap();
    for i in positions() {
        assert_eq!(marked.samples()[i], original.samples()[i]);
        marked.samples_mut()[i] ^= 1;
    }
    assert_eq!(extract(&mut marked, &frozen, &parameters), Ok(payload));
    for i in positions() {
        marked.samples_mut()[i] ^= 1;
    }
    assert!(marked == original);
}

#[test]
fn frozen_positions_of_another_plane_are_refused() {
    let mut one = plane(Content::Gradient, (20, 20), 8, 1);
    let other = Frozen::none(&plane(Content::Gradient, (20, 21), 8, 1));
    assert_eq!(embed(&mut one, &other, &[1]), Err(EmbedError::Frozen));
}
