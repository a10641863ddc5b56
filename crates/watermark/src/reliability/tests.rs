//! The mark as a whole: exact, and every alteration found where it is.

mod attacks;

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

fn key() -> MarkKey {
    MarkKey::new([7; 32])
}

fn message(number: u8) -> Message {
    Message {
        identity: Identity {
            origin: [1; 16],
            bundle: [2; 16],
            instance: [number; 16],
            frame: 3,
        },
        statement: [number.wrapping_mul(91); 32],
    }
}

/// A disk with structure and noise on an even background.
fn phantom(width: usize, height: usize, depth: u32, noise: u32, seed: u64) -> Plane {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let max = u16::MAX >> (16 - depth);
    let mut samples = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let (dx, dy) = (2 * x as i64 - width as i64, 2 * y as i64 - height as i64);
            let radius = (dx * dx + dy * dy) * 1000 / (width * width).max(height * height) as i64;
            if radius > 800 {
                samples.push(0);
                continue;
            }
            let spread = |rng: &mut ChaCha20Rng| i64::from(rng.next_u32() % (noise + 1));
            let level = i64::from(max) / 3 + (dx * i64::from(max)) / (8 * width as i64);
            let value = level + spread(&mut rng) - spread(&mut rng);
            samples.push(value.clamp(0, i64::from(max)) as u16);
        }
    }
    Plane::new(width, height, depth, samples).unwrap()
}

fn marked(original: &[Plane], number: u8) -> Vec<Plane> {
    let mut image = original.to_vec();
    embed(&mut image, &key(), &message(number)).unwrap();
    assert_ne!(image, original);
    image
}

fn assert_comes_back(original: &[Plane], number: u8) {
    let mut image = marked(original, number);
    assert_eq!(read(&image), Some(message(number).identity));
    let verdict = verify(&mut image, &key());
    let Message {
        identity,
        statement,
    } = message(number);
    assert_eq!(
        verdict,
        Verdict::Authentic(Authentic {
            identity,
            statement
        })
    );
    assert_eq!(image, original);
}

#[test]
fn grey_planes_of_all_depths_come_back() {
    for depth in 8..=16 {
        assert_comes_back(&[phantom(160, 131, depth, 1 << (depth - 6), 1)], 1);
    }
}

#[test]
fn colours_come_back_and_only_green_changes() {
    let planes = [1, 2, 3].map(|seed| phantom(200, 150, 8, 3, seed));
    assert_comes_back(&planes, 2);
    let image = marked(&planes, 2);
    assert_eq!(image[0], planes[0]);
    assert_eq!(image[2], planes[2]);
}

#[test]
fn flat_and_saturated_planes_come_back() {
    for value in [0, 1, 128, 254, 255] {
        assert_comes_back(
            &[Plane::new(256, 128, 8, vec![value; 256 * 128]).unwrap()],
            3,
        );
    }
    for depth in [8, 12, 16] {
        let max = u16::MAX >> (16 - depth);
        let halves = (0..256 * 256).map(|i| if i % 256 < 128 { 0 } else { max });
        let plane = Plane::new(256, 256, depth, halves.collect()).unwrap();
        assert_comes_back(&[plane], 4);
    }
}

#[test]
fn small_planes_come_back_and_tiny_ones_say_so() {
    assert_comes_back(&[phantom(64, 64, 12, 2, 5)], 5);
    assert_comes_back(&[phantom(96, 80, 12, 2, 5)], 5);
    for (width, height) in [(1, 1), (16, 16), (48, 48), (2, 3000), (3000, 2)] {
        let mut image = [phantom(width, height, 12, 2, 5)];
        let before = image.clone();
        assert!(matches!(
            embed(&mut image, &key(), &message(5)),
            Err(Unmarkable::TooSmall { .. })
        ));
        assert_eq!(image, before);
        assert_eq!(verify(&mut image, &key()), Verdict::Unmarked);
    }
}

#[test]
fn planes_that_do_not_belong_together_are_refused() {
    let a = phantom(128, 128, 8, 3, 1);
    let b = phantom(128, 127, 8, 3, 1);
    for mut image in [
        vec![],
        vec![a.clone(), a.clone()],
        vec![a.clone(), a.clone(), b],
    ] {
        let result = embed(&mut image, &key(), &message(1));
        assert!(matches!(result, Err(Unmarkable::Planes(_))));
        assert_eq!(read(&image), None);
        assert_eq!(verify(&mut image, &key()), Verdict::Unmarked);
    }
}

#[test]
fn pure_noise_says_that_it_has_no_room_and_stays() {
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let samples = (0..128 * 128)
        .map(|_| (rng.next_u32() & 255) as u16)
        .collect();
    let mut image = [Plane::new(128, 128, 8, samples).unwrap()];
    let before = image.clone();
    match embed(&mut image, &key(), &message(1)) {
        Err(Unmarkable::Capacity { needed_bits, .. }) => {
            assert!(needed_bits > 128 * 128 / 256 * 50);
            assert_eq!(image, before);
        }
        Err(other) => panic!("{other}"),
        Ok(_) => {
            verify(&mut image, &key());
            assert_eq!(image, before);
        }
    }
}

#[test]
fn distortion_is_what_changed() {
    let original = phantom(256, 256, 12, 20, 1);
    let mut image = [original.clone()];
    let distortion = embed(&mut image, &key(), &message(1)).unwrap();
    let errors: Vec<f64> = original
        .samples()
        .iter()
        .zip(image[0].samples())
        .map(|(&a, &b)| f64::from(a.abs_diff(b)))
        .collect();
    let mse = errors.iter().map(|e| e * e).sum::<f64>() / errors.len() as f64;
    assert!((distortion.mse - mse).abs() < 1e-9);
    assert!((distortion.psnr_db - 20.0 * (4095.0 / mse.sqrt()).log10()).abs() < 1e-6);
    assert_eq!(
        f64::from(distortion.largest_error),
        errors.iter().copied().fold(0.0, f64::max)
    );
    assert!(distortion.psnr_db > 65.0, "{distortion:?}");
}

/// What is written must stay readable: a whole image, and places, stash, tags, seal and the
/// header's check by themselves, may only change with a version, the mark's or the engine's.
#[test]
fn the_form_is_pinned() {
    use aws_lc_rs::digest;
    let gradient = |width: usize, height: usize, depth: u32| {
        let samples = (0..width * height)
            .map(|i| (i % width + 3 * (i / width) + (i * i) % 7) as u16)
            .map(|value| value & (u16::MAX >> (16 - depth)))
            .collect();
        Plane::new(width, height, depth, samples).unwrap()
    };
    let hash = |mut image: Vec<Plane>| {
        let shape = Shape::of(&image).unwrap();
        let layout = shape.layout().unwrap();
        let keys = Keys::derive(&key(), &message(1).identity, shape);
        let seal = keys.seal(&image, &message(1).statement);
        let stash = stash::take(&mut image[carrier(shape.planes)], &layout);
        keys.write(&mut image, &layout);
        let mut context = digest::Context::new(&digest::SHA256);
        context.update(&seal);
        context.update(&stash);
        for sample in image.iter().flat_map(|plane| plane.samples()) {
            context.update(&sample.to_le_bytes());
        }
        hex(&context.finish().as_ref()[..8])
    };
    let whole = {
        let mut context = digest::Context::new(&digest::SHA256);
        for sample in marked(&[gradient(192, 160, 12)], 1)[0].samples() {
            context.update(&sample.to_le_bytes());
        }
        hex(&context.finish().as_ref()[..8])
    };
    let forms = [
        whole,
        hash(vec![gradient(192, 160, 12)]),
        hash(vec![gradient(130, 97, 8); 3]),
        hex(&header::encode(&message(1).identity)[53..]),
    ];
    let pinned = [
        "5b632eb79e91b7dc",
        "0c6c268ae932a579",
        "66d8d3f8f649279f",
        "1513768adce9e0a8",
    ];
    assert_eq!(forms, pinned);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_image_comes_back_or_stays_as_it_was(
        width in 60_usize..260,
        height in 60_usize..260,
        depth in 8_u32..=16,
        noise_bits in 0_u32..9,
        seed in any::<u64>(),
        colour in any::<bool>(),
    ) {
        let noise = (1 << noise_bits) - 1;
        let planes: Vec<Plane> = (0..if colour { 3 } else { 1 })
            .map(|n| phantom(width, height, depth, noise, seed ^ n))
            .collect();
        let mut image = planes.clone();
        match embed(&mut image, &key(), &message(6)) {
            Ok(distortion) => {
                prop_assert!(distortion.psnr_db > 20.0);
                prop_assert_eq!(read(&image), Some(message(6).identity));
                prop_assert!(matches!(verify(&mut image, &key()), Verdict::Authentic(_)));
            }
            Err(_) => prop_assert_eq!(read(&image), None),
        }
        prop_assert_eq!(image, planes);
    }

    #[test]
    fn any_samples_are_verified_without_a_panic(
        width in 1_usize..140,
        height in 1_usize..140,
        depth in 8_u32..=16,
        seed in any::<u64>(),
    ) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let max = u16::MAX >> (16 - depth);
        let samples = (0..width * height).map(|_| rng.next_u32() as u16 & max).collect();
        let mut image = [Plane::new(width, height, depth, samples).unwrap()];
        prop_assert_eq!(verify(&mut image, &key()), Verdict::Unmarked);
    }
}
