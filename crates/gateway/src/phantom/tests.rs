use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng as _;

use super::*;
use crate::dicom::{Limits, inspect};

fn small() -> Plan {
    Plan {
        slices: 6,
        size: 64,
        ..Plan::default()
    }
}

#[test]
fn the_same_seed_gives_the_same_study() {
    let make = |seed| {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let identity = Identity::random(6, &mut rng);
        file(&small(), &identity, 3, &mut rng)
    };
    assert_eq!(make(1), make(1));
    assert_ne!(make(1), make(2));
}

#[test]
fn dicom_rs_and_the_gateway_read_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let files = write_plan(dir.path(), &small(), &mut rng).unwrap();
    assert_eq!(files.len(), 6);
    let mut positions = Vec::new();
    for path in &files {
        let header = inspect(&fs::read(path).unwrap(), &Limits::default()).unwrap();
        assert_eq!(header.sop_class_uid, SOP_CLASS);
        assert_eq!(header.patient.name, "PHANTOM^SYNTHETIC");
        let object = dicom_object::open_file(path).unwrap();
        let rows: u16 = object.element_by_name("Rows").unwrap().to_int().unwrap();
        assert_eq!(rows, 64);
        let pixels = object
            .element_by_name("PixelData")
            .unwrap()
            .to_bytes()
            .unwrap()
            .len();
        assert_eq!(pixels, 64 * 64 * 2);
        let position = object.element_by_name("ImagePositionPatient").unwrap();
        positions.push(position.to_multi_float64().unwrap()[2]);
    }
    let steps: Vec<f64> = positions.windows(2).map(|w| w[1] - w[0]).collect();
    assert!(steps.iter().all(|s| (s - 2.5).abs() < 1e-9), "{steps:?}");
}

#[test]
fn tissues_have_their_values_and_noise_its_sigma() {
    let plan = Plan {
        slices: 5,
        size: 256,
        ..Plan::default()
    };
    let mut rng = ChaCha20Rng::seed_from_u64(9);
    let pixels = body::slice(&plan, 2, &mut rng);
    // A patch of the left lung, and one of air beside the body.
    let patch = |x: usize, y: usize| {
        let values: Vec<f64> = (y..y + 12)
            .flat_map(|row| (x..x + 12).map(move |column| (row, column)))
            .map(|(row, column)| f64::from(pixels[row * 256 + column]) - 1024.0)
            .collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance.sqrt())
    };
    let (lung, sigma) = patch(180, 130);
    assert!((lung + 830.0).abs() < 10.0, "{lung}");
    assert!((8.0..18.0).contains(&sigma), "{sigma}");
    let (air, _) = patch(5, 125);
    assert!((air + 1000.0).abs() < 10.0, "{air}");
    assert_eq!(pixels[0], 0, "outside the reconstruction circle");
}
