//! The pixels: ellipses in Hounsfield units, blurred edges left out, scanner noise added.

use rand_core::CryptoRng;

use super::Plan;

/// Rescale Intercept: stored values are Hounsfield units plus 1024.
const OFFSET: f64 = 1024.0;
/// Outside the reconstruction circle scanners store the smallest value.
const AIR: f64 = -1000.0;
/// Largest value of 12 stored bits.
const LARGEST: f64 = 4095.0;

/// An ellipsoid; lengths are fractions of half the field of view, `z` of half the stack.
struct Ellipsoid {
    x: f64,
    y: f64,
    z: f64,
    rx: f64,
    ry: f64,
    rz: f64,
    hu: f64,
}

const fn ellipsoid(centre: (f64, f64, f64), radii: (f64, f64, f64), hu: f64) -> Ellipsoid {
    Ellipsoid {
        x: centre.0,
        y: centre.1,
        z: centre.2,
        rx: radii.0,
        ry: radii.1,
        rz: radii.2,
        hu,
    }
}

/// From the outside in: later ones cover earlier ones. A chest, seen from the feet.
const BODY: &[Ellipsoid] = &[
    ellipsoid((0.0, 0.0, 0.0), (0.78, 0.55, 9.0), -90.0), // fat
    ellipsoid((0.0, 0.0, 0.0), (0.74, 0.51, 9.0), 45.0),  // muscle
    ellipsoid((-0.36, -0.02, 0.05), (0.27, 0.37, 1.05), -820.0), // right lung
    ellipsoid((0.36, -0.02, 0.05), (0.25, 0.36, 1.05), -830.0), // left lung
    ellipsoid((0.12, -0.12, -0.25), (0.23, 0.21, 0.55), 40.0), // heart
    ellipsoid((0.16, -0.1, -0.25), (0.12, 0.12, 0.35), 150.0), // contrast in the ventricle
    ellipsoid((0.07, 0.2, 0.0), (0.05, 0.05, 9.0), 140.0), // aorta
    ellipsoid((-0.32, -0.05, -1.1), (0.36, 0.4, 0.6), 60.0), // liver
    ellipsoid((0.0, 0.34, 0.0), (0.11, 0.09, 9.0), 250.0), // vertebra
    ellipsoid((0.0, 0.35, 0.0), (0.085, 0.065, 9.0), 130.0), // its marrow
    ellipsoid((0.0, 0.44, 0.0), (0.04, 0.03, 9.0), 25.0), // spinal canal
    ellipsoid((0.0, -0.47, 0.2), (0.09, 0.025, 0.7), 400.0), // sternum
    ellipsoid((0.0, -0.02, 0.75), (0.04, 0.045, 0.4), -990.0), // trachea
    ellipsoid((-0.42, 0.1, 0.3), (0.05, 0.05, 0.09), 30.0), // a nodule, something to look for
];

/// The pixels of a slice, row by row, as stored values.
pub(super) fn slice(plan: &Plan, slice: u32, rng: &mut impl CryptoRng) -> Vec<u16> {
    let size = usize::from(plan.size);
    let z = 2.0 * (f64::from(slice) + 0.5) / f64::from(plan.slices.max(1)) - 1.0;
    let visible: Vec<(&Ellipsoid, f64)> = BODY
        .iter()
        .filter_map(|e| {
            let dz = (z - e.z) / e.rz;
            (dz * dz < 1.0).then_some((e, 1.0 - dz * dz))
        })
        .collect();
    let mut noise = Noise::new(plan.noise_hu, rng);
    let mut pixels = Vec::with_capacity(size * size);
    for row in 0..size {
        let y = 2.0 * (row as f64 + 0.5) / size as f64 - 1.0;
        for column in 0..size {
            let x = 2.0 * (column as f64 + 0.5) / size as f64 - 1.0;
            let stored = if x * x + y * y > 1.0 {
                0.0
            } else {
                tissue(x, y, z, &visible) + noise.next(x, y) + OFFSET
            };
            // In range after clamping.
            pixels.push(stored.round().clamp(0.0, LARGEST) as u16);
        }
    }
    pixels
}

fn tissue(x: f64, y: f64, z: f64, visible: &[(&Ellipsoid, f64)]) -> f64 {
    let mut hu = AIR;
    for (e, room) in visible {
        let (dx, dy) = ((x - e.x) / e.rx, (y - e.y) / e.ry);
        if dx * dx + dy * dy < *room {
            hu = e.hu;
        }
    }
    if rib(x, y, z) {
        hu = 380.0;
    }
    if table(x, y) { 80.0 } else { hu }
}

/// Ribs: a ring inside the muscle that comes and goes with the slices.
fn rib(x: f64, y: f64, z: f64) -> bool {
    let radius = ((x / 0.68).powi(2) + (y / 0.46).powi(2)).sqrt();
    let phase = (z * 6.0 + y * 1.2) * std::f64::consts::PI;
    (0.96..1.03).contains(&radius) && phase.sin() > 0.35
}

/// A curved table top below the back.
fn table(x: f64, y: f64) -> bool {
    let top = 0.6 - 0.12 * x * x;
    x.abs() < 0.72 && (top..top + 0.03).contains(&y)
}

/// Nearly Gaussian noise: the sum of the bytes of eight random numbers, drawn in blocks.
struct Noise<'a, R> {
    sigma: f64,
    rng: &'a mut R,
    block: [u8; 4096],
    at: usize,
}

impl<'a, R: CryptoRng> Noise<'a, R> {
    fn new(sigma: f64, rng: &'a mut R) -> Self {
        Self {
            sigma,
            rng,
            block: [0; 4096],
            at: 4096,
        }
    }

    /// One sample; noise grows towards the centre, where rays were weakened most.
    fn next(&mut self, x: f64, y: f64) -> f64 {
        if self.at == self.block.len() {
            self.rng.fill_bytes(&mut self.block);
            self.at = 0;
        }
        let sum: u32 = self.block[self.at..self.at + 8]
            .iter()
            .map(|b| u32::from(*b))
            .sum();
        self.at += 8;
        // Eight uniform bytes: mean 1020, variance 8 (256^2 - 1) / 12.
        let unit = (f64::from(sum) - 1020.0) / 209.02;
        unit * self.sigma * (1.25 - 0.5 * (x * x + y * y))
    }
}
