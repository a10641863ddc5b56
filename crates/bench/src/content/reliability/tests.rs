use super::super::images::Modality;
use super::super::synthetic;
use super::*;

fn image(planes: Vec<Plane>) -> Image {
    Image {
        name: "made".to_owned(),
        modality: Modality::Mr,
        synthetic: true,
        planes,
        window: None,
        rescale: (1.0, 0.0),
        signed: false,
    }
}

fn flat(width: usize, height: usize, value: u16) -> Plane {
    Plane::new(width, height, 8, vec![value; width * height]).unwrap()
}

fn group<'a>(images: &[&'a Image]) -> Group<'a> {
    Group {
        modality: Modality::Mr,
        synthetic: true,
        images: images.to_vec(),
    }
}

#[test]
fn one_everywhere_is_48_db_at_8_bits() {
    let change = Change::between(&flat(16, 16, 7), &flat(16, 16, 8));
    assert_eq!((change.mse, change.largest), (1.0, 1));
    let psnr = Mean::of([change].into_iter()).psnr_db().unwrap();
    assert!((psnr - 48.13).abs() < 0.01, "{psnr}");
    let none = Change::between(&flat(16, 16, 7), &flat(16, 16, 7));
    // The mean is of squares, not of decibels.
    let half = Mean::of([change, none].into_iter()).psnr_db().unwrap();
    assert!((half - psnr - 3.01).abs() < 0.01, "{half}");
    assert_eq!(Mean::of([none].into_iter()).psnr_db(), None);
    assert_eq!(Mean::default().mse(), None);
}

#[test]
fn copies_and_thumbnails_are_left_out() {
    let [small, one, copy, other] = [
        flat(64, 64, 1),
        flat(128, 128, 1),
        flat(128, 128, 1),
        flat(128, 128, 2),
    ]
    .map(|plane| image(vec![plane]));
    let group = group(&[&small, &one, &copy, &other]);
    let chosen = choose(&group, 9);
    assert_eq!(chosen.len(), 2);
    assert!(chosen[0].planes == one.planes && chosen[1].planes == other.planes);
}

#[test]
fn every_scheme_gets_a_row_at_each_rate_and_what_was_carried_came_back() {
    let made = image(synthetic::image(Modality::Mr, 5, 0));
    let curves = rates::curves(&[&made], 1 << 14);
    let rows = rates::rates(&group(&[&made]), &curves);
    assert_eq!(rows.len(), 5 * rates::RATES.len());
    assert!(rows.iter().all(|row| row.exact && row.images == 1));
    let carried = |name: &str| {
        let rows = rows.iter().filter(|row| row.scheme.contains(name));
        rows.map(|row| row.carried).sum::<usize>()
    };
    for (name, least) in [("Harpo", 3), ("Sachnev", 3), ("Thodi", 3), ("Coatrieux", 3)] {
        assert!(carried(name) >= least, "{name}: {}", carried(name));
    }
    // More payload, more distortion.
    for pair in rows.windows(2) {
        if let (Some(less), Some(more)) = (pair[0].psnr_db, pair[1].psnr_db)
            && pair[0].scheme == pair[1].scheme
        {
            assert!(less > more, "{} {}", pair[0].scheme, pair[0].bpp);
        }
    }
    let gains = rates::gains(&group(&[&made]), &curves);
    let of = |scheme: &str, bpp: f64| {
        let row = rows
            .iter()
            .find(|row| row.scheme.contains(scheme) && row.bpp == bpp);
        row.and_then(|row| row.psnr_db).unwrap()
    };
    let gain = gains[1].gain_over_sachnev_db.unwrap();
    assert!((gain - (of("Harpo", 0.1) - of("Sachnev", 0.1))).abs() < 1e-9);
    assert_eq!((gains[1].least_gain_db, gains[1].compared), (Some(gain), 1));
}

#[test]
fn the_mark_comes_off_and_is_timed() {
    let made = [Modality::Us, Modality::Other].map(|kind| image(synthetic::image(kind, 5, 0)));
    let images: Vec<&Image> = made.iter().collect();
    let group = group(&images);
    let row = mark::measure(&group, &images).unwrap();
    assert_eq!((row.images, row.unmarkable), (2, 0));
    assert!(row.exact && row.largest_error > 0 && row.payload_bpp > 0.01);
    assert!(row.psnr_db.unwrap() > 48.0);
    let speed = speed::measure(&[(group, images)], 1).unwrap();
    assert!(speed.rate.mark.is_some_and(|rate| rate > 0.0));
    assert_eq!(speed.rows.len(), 1);
    // Small images do not say how fast whole ones are marked.
    assert_eq!(speed::whole(&[], 1).unwrap(), None);
}
