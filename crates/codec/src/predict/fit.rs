//! Weights that suit a plane.

use super::{FRACTION, NEIGHBOURS, Weights, median, sound};

/// Unknowns: all neighbours but W, whose weight is what is left of one.
const UNKNOWNS: usize = NEIGHBOURS - 1;

/// About how many samples are looked at.
const LOOKED_AT: usize = 1 << 14;

/// Weights of least squares over a part of the samples, each divided by how far the median prediction misses it,
/// so that edges do not decide. Nothing where the plane is too small or its samples do not determine weights.
pub(crate) fn fit(samples: &[u16], width: usize) -> Option<Weights> {
    let height = samples.len() / width;
    if width < 8 || height < 8 {
        return None;
    }
    let mut normal = [[0f64; UNKNOWNS]; UNKNOWNS];
    let mut right = [0f64; UNKNOWNS];
    // Strides that share no factor with the usual sides of blocks and repetitions of textures.
    let thin = (samples.len() / LOOKED_AT).max(1);
    let (down, along) = if thin < 4 {
        (1, thin)
    } else {
        (3, thin.div_ceil(3) | 1)
    };
    for (number, y) in (2..height).step_by(down).enumerate() {
        let here = &samples[y * width..][..width];
        let north = &samples[(y - 1) * width..][..width];
        let far = &samples[(y - 2) * width..][..width];
        for x in (2 + number % along..width - 1).step_by(along) {
            let west = here[x - 1];
            let others = [
                here[x - 2],
                north[x],
                north[x - 1],
                north[x + 1],
                far[x],
                far[x + 1],
            ];
            let offset = |sample: u16| f64::from(i32::from(sample) - i32::from(west));
            let inputs = others.map(offset);
            let target = offset(here[x]);
            let signed = |sample: u16| (sample ^ 0x8000) as i16;
            let near = median(signed(west), signed(north[x]), signed(north[x - 1]));
            let miss = (i32::from(near) - i32::from(signed(here[x]))).abs();
            let trust = 1.0 / f64::from(miss + 4);
            for row in 0..UNKNOWNS {
                let weighted = inputs[row] * trust;
                for column in 0..UNKNOWNS {
                    normal[row][column] += weighted * inputs[column];
                }
                right[row] += weighted * target;
            }
        }
    }
    rounded(solve(normal, right)?)
}

/// Gaussian elimination; the matrix is symmetric, and made definite by a small addition to its diagonal.
fn solve(
    mut matrix: [[f64; UNKNOWNS]; UNKNOWNS],
    mut right: [f64; UNKNOWNS],
) -> Option<[f64; UNKNOWNS]> {
    let trace: f64 = (0..UNKNOWNS).map(|i| matrix[i][i]).sum();
    if trace <= 0.0 {
        return None;
    }
    (0..UNKNOWNS).for_each(|i| matrix[i][i] += trace * 1e-4);
    for pivot in 0..UNKNOWNS {
        for row in pivot + 1..UNKNOWNS {
            let factor = matrix[row][pivot] / matrix[pivot][pivot];
            let above = matrix[pivot];
            for (entry, above) in matrix[row].iter_mut().zip(above) {
                *entry -= factor * above;
            }
            right[row] -= factor * right[pivot];
        }
    }
    for row in (0..UNKNOWNS).rev() {
        for column in row + 1..UNKNOWNS {
            right[row] -= matrix[row][column] * right[column];
        }
        right[row] /= matrix[row][row];
    }
    Some(right)
}

/// In fixed point, if that is possible.
fn rounded(solution: [f64; UNKNOWNS]) -> Option<Weights> {
    let mut weights = [0i16; NEIGHBOURS];
    let mut left = 1i32 << FRACTION;
    for (weight, &value) in weights[1..].iter_mut().zip(&solution) {
        let scaled = value * f64::from(1 << FRACTION);
        if !(-8192.0..8192.0).contains(&scaled) {
            return None;
        }
        *weight = scaled.round() as i16;
        left -= i32::from(*weight);
    }
    weights[0] = i16::try_from(left).ok()?;
    sound(&weights).then_some(weights)
}
