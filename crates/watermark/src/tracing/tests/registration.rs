use image::GrayImage;
use image::imageops::{self, FilterType};
use proptest::prelude::*;

use super::*;

/// A part of a picture, at another size, through JPEG.
fn part(
    levels: Vec<u8>,
    side: u32,
    part: [u32; 4],
    scale: f64,
    filter: FilterType,
    quality: u8,
) -> Picture {
    let picture = GrayImage::from_raw(side, side, levels).unwrap();
    let [left, top, width, height] = part;
    let cropped = imageops::crop_imm(&picture, left, top, width, height).to_image();
    let sides = [width, height].map(|side| (f64::from(side) * scale).round() as u32);
    let resized = imageops::resize(&cropped, sides[0], sides[1], filter);
    jpeg(
        sides[0] as usize,
        sides[1] as usize,
        resized.as_raw(),
        quality,
    )
}

#[test]
fn parts_at_other_sizes_are_found_and_name_their_export() {
    let tracer = key(31);
    let display = Display::new(400.0).unwrap();
    let study: Vec<Plane> = (0..3).map(|number| slice(512, 300 + number)).collect();
    let parts = [
        ([0, 0, 512, 512], 0.5, FilterType::Triangle, 90),
        ([0, 0, 512, 512], 2.0, FilterType::CatmullRom, 50),
        ([61, 90, 384, 384], 1.0, FilterType::Triangle, 50),
        ([100, 40, 384, 400], 0.8, FilterType::Lanczos3, 75),
    ];
    for (place, scale, filter, quality) in parts {
        let plane = marked(&tracer, &study[1], 1, &export(5), &display);
        let leaked = part(
            windowed(&plane, 1060.0, 400.0),
            512,
            place,
            scale,
            filter,
            quality,
        );
        let (which, found) = locate(&study, &leaked).unwrap();
        assert_eq!(which, 1);
        let placement = found.placement;
        assert!(
            (placement.left - f64::from(place[0])).abs() < 0.5,
            "{found:?}, not {place:?}"
        );
        assert!(
            (placement.top - f64::from(place[1])).abs() < 0.5,
            "{found:?}, not {place:?}"
        );
        assert!(
            (placement.scale_x * scale - 1.0).abs() < 0.003,
            "{found:?}, not {scale}"
        );
        let mut evidence = Evidence::default();
        tracer
            .examine(
                &study[1],
                &image(1),
                &display,
                &leaked,
                &placement,
                &mut evidence,
            )
            .unwrap();
        let verdict = tracer.accuse(&evidence, exports(100), &Limit::default());
        assert_eq!(
            accused(&verdict),
            [export(5)],
            "{place:?} at {scale}: {verdict:?}"
        );
    }
}

#[test]
fn noise_is_found_nowhere() {
    let mut stream = ChaCha8Rng::seed_from_u64(32);
    let noise = (0..200 * 200)
        .map(|_| (stream.next_u32() & 0xFF) as f32)
        .collect();
    assert_eq!(
        locate(&[slice(256, 32)], &Picture::new(200, 200, noise).unwrap()),
        None
    );
    assert_eq!(locate(&[], &Picture::new(1, 1, vec![0.0]).unwrap()), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_picture_is_searched_for_without_failing(
        width in prop_oneof![1_usize..40, 1_usize..400],
        height in prop_oneof![1_usize..40, 1_usize..400],
        kind in 0_u8..3,
        seed: u64,
    ) {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        let samples = (0..width * height)
            .map(|at| match kind {
                0 => 7.0,
                1 => (at % width) as f32,
                _ => if stream.next_u32() & 1 == 0 { 1e9 } else { -1e9 },
            })
            .collect();
        let leaked = Picture::new(width, height, samples).unwrap();
        let originals = [slice(64, 33), Plane::new(40, 9, 8, vec![3; 360]).unwrap()];
        if let Some((which, found)) = locate(&originals, &leaked) {
            prop_assert!(which < 2 && found.explained <= 1.0 + 1e-6);
        }
    }
}
