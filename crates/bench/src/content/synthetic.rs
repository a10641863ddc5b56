//! Synthetic images: what pixels of a modality look like, for where no real ones are at hand.
//!
//! They are drawn, not simulated: shapes of about the right size and brightness, with the
//! modality's depth, kind of noise and background, because those are what hiding, marking and
//! coding depend on. Figures of synthetic images are always reported apart from those of real ones.
//! The same numbers give the same image.

mod draw;
mod field;

use harpo_watermark::Plane;
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;

use super::images::Modality;

/// One slice or frame of study `study`. Slices of a study show the same anatomy, which changes
/// slowly from one to the next; their noise is their own.
pub(crate) fn image(modality: Modality, study: u64, slice: usize) -> Vec<Plane> {
    let mut noise = ChaCha8Rng::seed_from_u64((study << 32) | (slice as u64 + 1));
    let mut anatomy = ChaCha8Rng::seed_from_u64(study << 32);
    let place = slice as f64;
    match modality {
        Modality::Ct => draw::ct(&mut anatomy, &mut noise, place),
        Modality::Mr => draw::mr(&mut anatomy, &mut noise, place),
        Modality::Us => draw::ultrasound(&mut anatomy, &mut noise, place),
        Modality::Radiograph => draw::radiograph(&mut anatomy, &mut noise, place),
        Modality::Other => draw::colour(&mut anatomy, &mut noise, place),
    }
}

/// `each` images of every modality, each of a study of its own.
pub(crate) fn images(each: usize) -> Vec<(Modality, Vec<Plane>)> {
    let all = Modality::ALL.into_iter();
    all.flat_map(|modality| {
        (0..each).map(move |study| (modality, image(modality, study as u64, 0)))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The share of samples that satisfy `condition`.
    fn share(plane: &Plane, condition: impl Fn(u16) -> bool) -> f64 {
        let count = plane.samples().iter().filter(|v| condition(**v)).count();
        count as f64 / plane.samples().len() as f64
    }

    #[test]
    fn images_are_repeatable_and_differ() {
        for modality in Modality::ALL {
            let first = image(modality, 1, 0);
            assert!(first == image(modality, 1, 0));
            assert!(first != image(modality, 1, 1) && first != image(modality, 2, 0));
            let planes = if modality == Modality::Other { 3 } else { 1 };
            assert_eq!(first.len(), planes);
        }
    }

    #[test]
    fn each_has_what_its_modality_is_known_for() {
        let [ct, mr, us, dx] = [
            Modality::Ct,
            Modality::Mr,
            Modality::Us,
            Modality::Radiograph,
        ]
        .map(|modality| image(modality, 3, 0).remove(0));
        assert_eq!(
            [&ct, &mr, &us, &dx].map(|plane| plane.depth()),
            [12, 12, 8, 12]
        );
        // Outside of the field of view a constant; air with noise; soft tissue around water.
        assert!((0.1..0.5).contains(&share(&ct, |v| v == 0)));
        assert!(share(&ct, |v| (974..1174).contains(&v)) > 0.15);
        // A dark but noisy background.
        assert!(share(&mr, |v| v == 0) < 0.05 && share(&mr, |v| v < 60) > 0.2);
        // Exactly black outside of the fan, some text exactly white.
        assert!((0.25..0.8).contains(&share(&us, |v| v == 0)));
        assert!((0.0005..0.02).contains(&share(&us, |v| v == 255)));
        assert!(dx.samples().len() > 2_000_000);
        // Borders of the collimator.
        assert!((0.02..0.4).contains(&share(&dx, |v| v < 40)));
    }

    #[test]
    fn slices_resemble_their_neighbours() {
        let [a, b] = [0, 1].map(|slice| image(Modality::Ct, 1, slice).remove(0));
        let far = image(Modality::Ct, 9, 0).remove(0);
        let distance = |x: &Plane, y: &Plane| -> u64 {
            let pairs = x.samples().iter().zip(y.samples());
            pairs.map(|(a, b)| u64::from(a.abs_diff(*b))).sum()
        };
        assert!(2 * distance(&a, &b) < distance(&a, &far));
    }
}
