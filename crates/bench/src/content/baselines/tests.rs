use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;

fn bits(count: usize, seed: u64) -> Vec<bool> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    (0..count).map(|_| random.next_u32() & 1 == 1).collect()
}

/// A gradient with noise of `spread` values, kept in range.
fn noisy(width: usize, height: usize, depth: u32, centre: i32, spread: u32, seed: u64) -> Plane {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    let max = i32::from(u16::MAX >> (16 - depth));
    let samples = (0..width * height).map(|index| {
        let slope = (index % width / 8 + index / width / 4) as i32;
        let dice = (0..3)
            .map(|_| (random.next_u32() % spread) as i32)
            .sum::<i32>();
        (centre + slope + dice - 3 * (spread as i32 - 1) / 2).clamp(0, max) as u16
    });
    Plane::new(width, height, depth, samples.collect()).unwrap()
}

fn flat(width: usize, height: usize, depth: u32, value: u16) -> Plane {
    Plane::new(width, height, depth, vec![value; width * height]).unwrap()
}

/// Images on which something special happens.
fn images() -> Vec<Plane> {
    vec![
        noisy(96, 80, 8, 100, 6, 1),
        // Clipped at both ends: location maps, and no empty values at the ends.
        noisy(97, 81, 8, 0, 20, 2),
        noisy(80, 96, 8, 240, 20, 3),
        noisy(128, 64, 12, 2000, 12, 4),
        noisy(64, 64, 16, 65_500, 30, 5),
        noisy(64, 64, 16, 5, 30, 6),
        flat(64, 64, 8, 0),
        flat(64, 64, 8, 255),
        flat(64, 64, 14, 700),
    ]
}

#[test]
fn original_and_payload_come_back() {
    for scheme in schemes() {
        let mut carried = 0;
        for (number, plane) in images().iter().enumerate() {
            for bpp in [0.0, 0.01, 0.1, 0.3, 0.6] {
                let count = (plane.samples().len() as f64 * bpp / 8.0) as usize * 8;
                let payload = bits(count, 9);
                let Some(marked) = scheme.embed(plane, &payload) else {
                    continue;
                };
                carried += 1;
                let Some((restored, found)) = scheme.extract(&marked) else {
                    panic!(
                        "{}: image {number} at {bpp} does not come back",
                        scheme.name()
                    );
                };
                assert!(found == payload, "{} {number} {bpp}", scheme.name());
                assert!(restored == *plane, "{} {number} {bpp}", scheme.name());
            }
        }
        assert!(carried >= 20, "{} carried only {carried}", scheme.name());
    }
}

#[test]
fn too_much_is_refused() {
    for scheme in schemes() {
        for plane in [noisy(64, 64, 12, 2000, 12, 4), flat(8, 8, 8, 3)] {
            assert!(scheme.embed(&plane, &bits(4 * 64 * 64, 9)).is_none());
        }
    }
}

#[test]
fn what_was_never_embedded_is_refused_or_differs() {
    for scheme in schemes() {
        for plane in images() {
            let Some((restored, payload)) = scheme.extract(&plane) else {
                continue;
            };
            let again = scheme.embed(&restored, &payload);
            assert!(restored != plane || payload.is_empty() || again.is_some());
        }
    }
}

fn sum_of_squares(a: &Plane, b: &Plane) -> f64 {
    a.samples()
        .iter()
        .zip(b.samples())
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
        .sum()
}

/// In a smooth noisy image the order of the papers' own comparisons holds.
#[test]
fn later_schemes_distort_less() {
    let plane = noisy(256, 256, 12, 2000, 8, 4);
    let payload = bits(256 * 256 / 8, 3);
    let [_, ni, thodi, sachnev, _] = schemes().map(|scheme| {
        let marked = scheme.embed(&plane, &payload).unwrap_or(plane.clone());
        sum_of_squares(&plane, &marked)
    });
    assert!(sachnev > 0.0 && sachnev < thodi, "{sachnev} {thodi}");
    assert!(thodi < ni, "{thodi} {ni}");
}

/// Where one value is common and values beside it are free, one pair suffices.
#[test]
fn one_pair_changes_no_sample_by_more_than_one() {
    let plane = flat(128, 128, 8, 100);
    let marked = ni::Ni.embed(&plane, &bits(8000, 3)).unwrap();
    let pairs = plane.samples().iter().zip(marked.samples());
    assert_eq!(pairs.map(|(a, b)| a.abs_diff(*b)).max(), Some(1));
}
