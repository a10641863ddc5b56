//! Planes like those of scanners.

use harpo_watermark::Plane;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// A disk of two tissues with noise that is nearly normal, on a constant background.
pub(crate) fn slice(side: usize, depth: u32, noise: u32) -> Plane {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let max = i64::from(u16::MAX >> (16 - depth));
    let mut spread = || {
        (0..4)
            .map(|_| i64::from(rng.next_u32() % (noise + 1)))
            .sum::<i64>()
    };
    let samples = (0..side * side).map(|i| {
        let x = 2 * (i % side) as i64 - side as i64;
        let y = 2 * (i / side) as i64 - side as i64;
        let radius = x * x + y * y;
        let side = (side * side) as i64;
        if radius * 10 > side * 8 {
            return 0;
        }
        let level = if radius * 10 > side * 3 {
            max / 4
        } else {
            max / 3
        };
        let value = level + x * max / (16 * 512) + spread() - 2 * i64::from(noise);
        value.clamp(0, max) as u16
    });
    let samples = samples.collect();
    Plane::new(side, side, depth, samples).expect("samples are clamped to the depth")
}
