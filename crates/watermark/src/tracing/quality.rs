//! Structural similarity.

use crate::Plane;

/// Side of the windows over which similarity is taken.
const WINDOW: usize = 8;
/// Their distance.
const STEP: usize = 4;

/// Structural similarity (Wang, Bovik, Sheikh, Simoncelli 2004) of two planes of one shape, over
/// windows of 8 x 8 at every fourth pixel. `range` is what lies between black and white, in stored
/// units: the smaller, the stricter. `None` where shapes differ or are smaller than a window.
pub fn ssim(a: &Plane, b: &Plane, range: f32) -> Option<f64> {
    let (width, height) = (a.width(), a.height());
    if (b.width(), b.height()) != (width, height) || width.min(height) < WINDOW {
        return None;
    }
    let range = f64::from(range);
    let (c1, c2) = ((0.01 * range).powi(2), (0.03 * range).powi(2));
    let n = (WINDOW * WINDOW) as f64;
    let (mut sum, mut windows) = (0.0, 0.0);
    for top in (0..=height - WINDOW).step_by(STEP) {
        for left in (0..=width - WINDOW).step_by(STEP) {
            let mut s = [0_u64; 5];
            for y in top..top + WINDOW {
                let row = y * width + left..y * width + left + WINDOW;
                for (a, b) in a.samples()[row.clone()].iter().zip(&b.samples()[row]) {
                    let (a, b) = (u64::from(*a), u64::from(*b));
                    s = [s[0] + a, s[1] + b, s[2] + a * a, s[3] + b * b, s[4] + a * b];
                }
            }
            let [ma, mb, aa, bb, ab] = s.map(|sum| sum as f64 / n);
            let (va, vb, cov) = (aa - ma * ma, bb - mb * mb, ab - ma * mb);
            sum += (2.0 * ma * mb + c1) * (2.0 * cov + c2)
                / ((ma * ma + mb * mb + c1) * (va + vb + c2));
            windows += 1.0;
        }
    }
    Some(sum / windows)
}
