use proptest::prelude::*;

use super::*;

#[test]
fn pictures_and_placements_out_of_range_are_refused() {
    assert!(Picture::new(0, 0, vec![]).is_err());
    assert!(Picture::new(usize::MAX, 2, vec![0.0; 2]).is_err());
    assert!(Picture::new(2, 2, vec![0.0; 3]).is_err());
    assert_eq!(
        Picture::new(1, 1, vec![f32::NAN]),
        Err(TraceError::NotFinite)
    );
    assert_eq!(
        Picture::new(1, 1, vec![f32::INFINITY]),
        Err(TraceError::NotFinite)
    );
    assert_eq!(Display::new(f32::NAN), Err(TraceError::Display));
    let (tracer, original) = (key(21), slice(64, 21));
    let display = Display::new(400.0).unwrap();
    let leaked = Picture::from_bytes(4, 4, &[0; 16]).unwrap();
    for (scale, offset) in [
        (1e9, 0.0),
        (0.0, 0.0),
        (f64::NAN, 0.0),
        (1.0, f64::NAN),
        (1.0, 1e12),
    ] {
        let placement = Placement {
            scale_x: scale,
            scale_y: 1.0,
            left: offset,
            top: 0.0,
        };
        let mut evidence = Evidence::default();
        let done = tracer.examine(
            &original,
            &image(0),
            &display,
            &leaked,
            &placement,
            &mut evidence,
        );
        assert_eq!(done, Err(TraceError::Placement));
    }
    let mut tiny = Plane::new(31, 400, 8, vec![0; 31 * 400]).unwrap();
    let codeword = Codeword::derive(&tracer, &export(0));
    let refused = tracer.embed(&mut tiny, &image(0), &codeword, &display);
    assert_eq!(
        refused,
        Err(TraceError::TooSmall {
            width: 31,
            height: 400,
            min: 32
        })
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_picture_at_any_placement_is_examined_and_accuses_nobody(
        width in 1_usize..90,
        height in 1_usize..90,
        scales in (0.125_f64..16.0, 0.125_f64..16.0),
        offset in (-64.0_f64..64.0, -64.0_f64..64.0),
        seed: u64,
        flat: bool,
    ) {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        let samples = (0..width * height)
            .map(|_| if flat { 1e9 } else { f32::from_bits(stream.next_u32()).clamp(-1e9, 1e9) })
            .map(|sample| if sample.is_nan() { 0.0 } else { sample })
            .collect();
        let leaked = Picture::new(width, height, samples).unwrap();
        let (tracer, original) = (key(seed), slice(96, 22));
        let display = Display::new(400.0).unwrap();
        let placement = Placement {
            scale_x: scales.0,
            scale_y: scales.1,
            left: offset.0,
            top: offset.1,
        };
        let mut evidence = Evidence::default();
        tracer.examine(&original, &image(0), &display, &leaked, &placement, &mut evidence).unwrap();
        let verdict = tracer.accuse(&evidence, exports(20), &Limit::default());
        prop_assert!(accused(&verdict).is_empty());
    }

    #[test]
    fn planes_of_any_depth_and_shape_are_marked_within_their_range(
        width in 32_usize..120,
        height in 32_usize..120,
        depth in 8_u32..=16,
        range in 1.0_f32..70_000.0,
        seed: u64,
    ) {
        let mut stream = ChaCha8Rng::seed_from_u64(seed);
        let samples = (0..width * height)
            .map(|_| ((stream.next_u32() & 0xFFFF) as u16) >> (16 - depth))
            .collect();
        let original = Plane::new(width, height, depth, samples).unwrap();
        let display = Display::new(range).unwrap();
        let plane = marked(&key(seed), &original, 0, &export(seed >> 1), &display);
        prop_assert!(plane.samples().iter().all(|sample| *sample <= plane.max()));
    }
}
