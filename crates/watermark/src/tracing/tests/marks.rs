use super::*;

#[test]
fn one_slice_names_its_export_after_a_window_and_jpeg() {
    let (tracer, original) = (key(1), slice(512, 1));
    let display = Display::new(400.0).unwrap();
    let marked = marked(&tracer, &original, 0, &export(7), &display);
    for (width, quality) in [(400.0, 90), (400.0, 50), (400.0, 25), (1600.0, 50)] {
        let leaked = jpeg(512, 512, &windowed(&marked, 1060.0, width), quality);
        let evidence = evidence(&tracer, &original, 0, &display, &leaked);
        let verdict = tracer.accuse(&evidence, exports(100), &Limit::default());
        assert_eq!(
            accused(&verdict),
            [export(7)],
            "window {width}, quality {quality}: {verdict:?}"
        );
    }
}

#[test]
fn an_inverted_picture_through_a_curve_names_its_export() {
    let (tracer, original) = (key(2), slice(256, 2));
    let display = Display::new(400.0).unwrap();
    let marked = marked(&tracer, &original, 3, &export(1), &display);
    let curve = |level: u8| 255 - (f32::from(level) / 255.0).powf(0.6).mul_add(250.0, 0.5) as u8;
    let levels: Vec<u8> = windowed(&marked, 1060.0, 500.0)
        .into_iter()
        .map(curve)
        .collect();
    let leaked = Picture::from_bytes(256, 256, &levels).unwrap();
    let evidence = evidence(&tracer, &original, 3, &display, &leaked);
    assert_eq!(
        accused(&tracer.accuse(&evidence, exports(50), &Limit::default())),
        [export(1)]
    );
}

#[test]
fn the_mark_is_faint() {
    let (tracer, original) = (key(3), slice(512, 3));
    let display = Display::new(400.0).unwrap();
    let mut plane = original.clone();
    let codeword = Codeword::derive(&tracer, &export(0));
    let distortion = tracer
        .embed(&mut plane, &image(0), &codeword, &display)
        .unwrap();
    assert!(distortion.psnr_display >= 50.0, "{distortion:?}");
    assert!(distortion.psnr_depth > distortion.psnr_display);
    assert!(
        f32::from(distortion.largest) <= 2.0 * 400.0 / 256.0 + 1.0,
        "{distortion:?}"
    );
    let squares = |(a, b): (&u16, &u16)| f64::from(a.abs_diff(*b)).powi(2);
    let mse = original
        .samples()
        .iter()
        .zip(plane.samples())
        .map(squares)
        .sum::<f64>()
        / 512.0
        / 512.0;
    assert!((mse - distortion.mse).abs() < 1e-9);
    assert!(ssim(&original, &plane, 400.0).unwrap() >= 0.99);
    assert_eq!(ssim(&original, &original, 400.0), Some(1.0));
}

#[test]
fn flat_air_and_the_ends_of_the_range_stay_as_they_are() {
    let tracer = key(4);
    let mut flat = Plane::new(256, 256, 8, vec![0; 256 * 256]).unwrap();
    let codeword = Codeword::derive(&tracer, &export(0));
    let display = Display::new(256.0).unwrap();
    let distortion = tracer
        .embed(&mut flat, &image(0), &codeword, &display)
        .unwrap();
    assert_eq!((distortion.largest, distortion.chips), (0, 0));
    assert!(flat.samples().iter().all(|sample| *sample == 0));
    // Black and white dots: the mark may not wrap around.
    let dots = (0..256 * 256)
        .map(|at| if (at * 7) % 13 < 6 { 0 } else { 255 })
        .collect();
    let mut dots = Plane::new(256, 256, 8, dots).unwrap();
    let distortion = tracer
        .embed(&mut dots, &image(0), &codeword, &display)
        .unwrap();
    assert!(
        distortion.largest <= 3 && distortion.chips > 0,
        "{distortion:?}"
    );
}

#[test]
fn colours_change_alike_and_their_luminance_names_the_export() {
    let (tracer, grey) = (key(5), slice(256, 5));
    let shift = |by: u16| {
        grey.samples()
            .iter()
            .map(|s| (s / 8 + by).min(255))
            .collect::<Vec<u16>>()
    };
    let plane = |samples| Plane::new(256, 256, 8, samples).unwrap();
    let [mut red, mut green, mut blue] = [plane(shift(10)), plane(shift(0)), plane(shift(20))];
    let luminance = plane(shift(10));
    let display = Display::new(256.0).unwrap();
    let codeword = Codeword::derive(&tracer, &export(4));
    let planes = [&mut red, &mut green, &mut blue];
    let done = tracer
        .embed_rgb(planes, &luminance, &image(0), &codeword, &display)
        .unwrap();
    assert!(done.iter().all(|one| one.psnr_display >= 49.0), "{done:?}");
    let mean = |((r, g), b): ((&u16, &u16), &u16)| f32::from(r + g + b) / 3.0;
    let levels = red
        .samples()
        .iter()
        .zip(green.samples())
        .zip(blue.samples())
        .map(mean)
        .collect();
    let leaked = Picture::new(256, 256, levels).unwrap();
    let evidence = evidence(&tracer, &luminance, 0, &display, &leaked);
    assert_eq!(
        accused(&tracer.accuse(&evidence, exports(50), &Limit::default())),
        [export(4)]
    );
}
