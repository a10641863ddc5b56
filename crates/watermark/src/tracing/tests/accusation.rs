use super::*;

fn study(count: u8) -> Vec<Plane> {
    (0..count)
        .map(|number| slice(256, 100 + u64::from(number)))
        .collect()
}

/// What colluders make of their samples of one pixel.
fn collude(copies: &[Plane], each: impl Fn(&mut [u16]) -> u16) -> Plane {
    let mut values = vec![0; copies.len()];
    let samples = (0..copies[0].samples().len())
        .map(|at| {
            values
                .iter_mut()
                .zip(copies)
                .for_each(|(value, copy)| *value = copy.samples()[at]);
            each(&mut values)
        })
        .collect();
    Plane::new(
        copies[0].width(),
        copies[0].height(),
        copies[0].depth(),
        samples,
    )
    .unwrap()
}

fn traced(colluders: u64, each: impl Fn(&mut [u16]) -> u16 + Copy) -> Vec<ExportId> {
    let tracer = key(11);
    let display = Display::new(400.0).unwrap();
    let mut sum = Evidence::default();
    for (number, original) in study(8).iter().enumerate() {
        let number = number as u8;
        let copies: Vec<Plane> = exports(colluders)
            .map(|one| marked(&tracer, original, number, &one, &display))
            .collect();
        let leaked = jpeg(
            256,
            256,
            &windowed(&collude(&copies, each), 1060.0, 400.0),
            90,
        );
        sum.add(&evidence(&tracer, original, number, &display, &leaked));
    }
    accused(&tracer.accuse(&sum, exports(100), &Limit::default()))
}

#[test]
fn colluders_are_accused_and_nobody_else() {
    let mean = |values: &mut [u16]| {
        (values.iter().map(|value| u32::from(*value)).sum::<u32>() / values.len() as u32) as u16
    };
    let least = |values: &mut [u16]| *values.iter().min().unwrap();
    let middle = |values: &mut [u16]| {
        values.sort_unstable();
        values[values.len() / 2]
    };
    for (colluders, found) in [
        (2, traced(2, mean)),
        (3, traced(3, mean)),
        (3, traced(3, middle)),
        (3, traced(3, least)),
    ] {
        assert!(!found.is_empty(), "{colluders} colluders");
        for one in found {
            assert!(
                exports(colluders).any(|colluder| colluder == one),
                "an innocent was accused"
            );
        }
    }
}

#[test]
fn a_picture_without_a_mark_or_of_another_key_accuses_nobody() {
    let original = slice(256, 12);
    let display = Display::new(400.0).unwrap();
    let other = marked(&key(13), &original, 0, &export(3), &display);
    for plane in [&original, &other] {
        let leaked = Picture::from_bytes(256, 256, &windowed(plane, 1060.0, 400.0)).unwrap();
        let tracer = key(12);
        let evidence = evidence(&tracer, &original, 0, &display, &leaked);
        let verdict = tracer.accuse(&evidence, exports(2000), &Limit::default());
        assert!(
            matches!(verdict, Verdict::Nobody { best: Some(_) }),
            "{verdict:?}"
        );
    }
}

#[test]
fn innocents_look_guilty_no_more_often_than_the_bound_allows() {
    let (tracer, original) = (key(14), slice(256, 14));
    let display = Display::new(400.0).unwrap();
    let plane = marked(&tracer, &original, 0, &export(0), &display);
    let leaked = jpeg(256, 256, &windowed(&plane, 1060.0, 400.0), 50);
    let evidence = evidence(&tracer, &original, 0, &display, &leaked);
    let innocents = 20_000;
    let bounds = tracer.log10_p(&evidence, exports(innocents + 1).skip(1));
    for exponent in 1..=3 {
        let seen = bounds
            .iter()
            .filter(|log10_p| **log10_p <= -f64::from(exponent))
            .count();
        let allowed = innocents as f64 * 10_f64.powi(-exponent);
        assert!(
            (seen as f64) <= allowed,
            "{seen} of {innocents} at 10^-{exponent}"
        );
    }
    assert!(tracer.log10_p(&evidence, [export(0)])[0] < -9.0);
}

#[test]
fn nobody_is_accused_without_candidates_or_evidence() {
    let tracer = key(15);
    let nothing = Evidence::default();
    assert_eq!(
        tracer.accuse(&nothing, [], &Limit::default()),
        Verdict::Nobody { best: None }
    );
    assert!(accused(&tracer.accuse(&nothing, exports(10), &Limit::default())).is_empty());
}

#[test]
fn a_longer_list_of_candidates_asks_for_more() {
    let (tracer, original) = (key(16), slice(256, 16));
    let display = Display::new(400.0).unwrap();
    let plane = marked(&tracer, &original, 0, &export(0), &display);
    let leaked = Picture::from_bytes(256, 256, &windowed(&plane, 1060.0, 400.0)).unwrap();
    let evidence = evidence(&tracer, &original, 0, &display, &leaked);
    let sure = tracer.log10_p(&evidence, [export(0)])[0];
    let limit = |false_accusation| Limit {
        false_accusation,
        candidates: 1,
    };
    let one = tracer.accuse(&evidence, [export(0)], &limit(10_f64.powf(sure + 0.5)));
    assert_eq!(accused(&one), [export(0)]);
    let many = tracer.accuse(&evidence, exports(100), &limit(10_f64.powf(sure + 0.5)));
    assert!(accused(&many).is_empty());
}
