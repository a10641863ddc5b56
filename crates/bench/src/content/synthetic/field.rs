//! Random fields: noise with the grain of a detector, and textures of tissue.

use rand_core::Rng;

/// A number of [0, 1).
pub(super) fn uniform(random: &mut impl Rng) -> f64 {
    f64::from(random.next_u32()) / 4_294_967_296.0
}

/// A number between two others.
pub(super) fn between(random: &mut impl Rng, low: f64, high: f64) -> f64 {
    low + (high - low) * uniform(random)
}

/// Two independent normal numbers (Box and Muller).
pub(super) fn normals(random: &mut impl Rng) -> (f64, f64) {
    let radius = (-2.0 * (1.0 - uniform(random)).ln()).sqrt();
    let (sin, cos) = (std::f64::consts::TAU * uniform(random)).sin_cos();
    (radius * sin, radius * cos)
}

/// Numbers of a picture, row by row.
pub(super) struct Field {
    width: usize,
    values: Vec<f32>,
}

impl Field {
    pub(super) fn at(&self, x: usize, y: usize) -> f64 {
        f64::from(self.values[y * self.width + x])
    }

    /// Normal noise of deviation 1, neighbours correlated by `grain`, from 0 (white) to about 0.5:
    /// what a reconstruction kernel or a demosaicing leaves.
    pub(super) fn noise(random: &mut impl Rng, width: usize, height: usize, grain: f64) -> Self {
        let mut white = vec![0f32; width * height];
        for pair in white.chunks_mut(2) {
            let (first, second) = normals(random);
            pair[0] = first as f32;
            if let Some(value) = pair.get_mut(1) {
                *value = second as f32;
            }
        }
        let scale = (1.0 / (1.0 + 2.0 * grain * grain)) as f32;
        let grain = grain as f32;
        let mut values = white.clone();
        // Columns, then rows; each step keeps a deviation of 1.
        for y in 0..height {
            for x in 0..width {
                let [left, right] = [(x + width - 1) % width, (x + 1) % width];
                let sum = white[y * width + left] + white[y * width + right];
                values[y * width + x] = (white[y * width + x] + grain * sum) * scale.sqrt();
            }
        }
        let rows = values.clone();
        for y in 0..height {
            let [above, below] = [(y + height - 1) % height, (y + 1) % height];
            for x in 0..width {
                let sum = rows[above * width + x] + rows[below * width + x];
                values[y * width + x] = (rows[y * width + x] + grain * sum) * scale.sqrt();
            }
        }
        Field { width, values }
    }
}

/// A smooth random texture: octaves of lattices of random numbers, interpolated; about −1 to 1.
pub(super) struct Texture {
    octaves: Vec<Lattice>,
}

struct Lattice {
    cell: f64,
    weight: f64,
    numbers: Vec<f32>,
}

/// Numbers on either side of a lattice; beyond it repeats.
const SIDE: usize = 64;

impl Texture {
    /// `octaves` of lattices, the largest with cells of `cell` samples, each next one half of it.
    pub(super) fn new(random: &mut impl Rng, cell: f64, octaves: usize) -> Self {
        let octaves = (0..octaves).map(|octave| {
            let part = 0.5f64.powi(octave as i32);
            let mut number = || between(random, -1.0, 1.0) as f32;
            Lattice {
                cell: cell * part,
                weight: part.sqrt() / 1.5,
                numbers: (0..SIDE * SIDE).map(|_| number()).collect(),
            }
        });
        Texture {
            octaves: octaves.collect(),
        }
    }

    pub(super) fn at(&self, x: f64, y: f64) -> f64 {
        self.octaves.iter().map(|lattice| lattice.at(x, y)).sum()
    }
}

impl Lattice {
    fn at(&self, x: f64, y: f64) -> f64 {
        let (x, y) = (x / self.cell + 1e3, y / self.cell + 1e3);
        let (column, row) = (x as usize, y as usize);
        let number =
            |column: usize, row: usize| f64::from(self.numbers[row % SIDE * SIDE + column % SIDE]);
        // A smooth step, so that cells show no edges.
        let ease = |t: f64| t * t * (3.0 - 2.0 * t);
        let (right, down) = (ease(x - column as f64), ease(y - row as f64));
        let above = number(column, row) * (1.0 - right) + number(column + 1, row) * right;
        let below = number(column, row + 1) * (1.0 - right) + number(column + 1, row + 1) * right;
        self.weight * (above * (1.0 - down) + below * down)
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::SeedableRng;

    use super::*;

    #[test]
    fn noise_has_the_deviation_and_grain_asked_for() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for (grain, correlation) in [(0.0, 0.0), (0.3, 0.51)] {
            let field = Field::noise(&mut random, 256, 256, grain);
            let mean = |of: &dyn Fn(usize, usize) -> f64| -> f64 {
                let all = (0..255).flat_map(|y| (0..255).map(move |x| (x, y)));
                all.map(|(x, y)| of(x, y)).sum::<f64>() / 255.0 / 255.0
            };
            let variance = mean(&|x, y| field.at(x, y).powi(2));
            let beside = mean(&|x, y| field.at(x, y) * field.at(x + 1, y));
            assert!((variance - 1.0).abs() < 0.05, "{variance}");
            assert!((beside - correlation).abs() < 0.05, "{grain}: {beside}");
        }
    }
}
