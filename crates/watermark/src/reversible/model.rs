//! How prediction errors of a class are distributed.
//!
//! Both sides must arrive at the same tables, so only operations that IEEE 754 defines exactly
//! are used: + − × ÷ and the square root.

/// Scales a model may have.
pub(super) const SCALES: usize = 128;

/// Shapes a model may have.
pub(super) const SHAPES: usize = 8;

/// Half the exponent of the tails, for each shape: (1 + z²)^−m, from Cauchy's distribution to
/// nearly the normal one.
const POWERS: [u32; SHAPES] = [1, 2, 3, 4, 6, 10, 20, 48];

/// How far from the centre a shape is looked at, in scales.
const REACHES: [f64; SHAPES] = [10.0, 9.0, 8.0, 7.0, 6.0, 5.5, 5.0, 4.5];

/// Largest reach that is worked with; wider models stay unused.
pub(super) const MAX_REACH: usize = 1200;

/// Smallest scale; each next one is an eighth of an octave larger.
const FIRST_SCALE: f64 = 0.03;

/// Above this scale it does not matter where between two integers a prediction lies.
const COARSE: f64 = 3.0;

/// Symmetric distribution of errors: Student's with 2 m − 1 degrees of freedom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Model {
    pub(super) scale: u8,
    pub(super) shape: u8,
}

impl Model {
    /// The scale in samples.
    pub(super) fn width(self) -> f64 {
        FIRST_SCALE * eighths(u32::from(self.scale))
    }

    /// Whether it matters where between two integers a prediction lies.
    pub(super) fn is_narrow(self) -> bool {
        self.width() <= COARSE
    }

    /// Errors below this size are the model's; what is outside is never touched.
    pub(super) fn reach(self) -> usize {
        (REACHES[usize::from(self.shape) % SHAPES] * self.width()) as usize + 3
    }

    /// Probabilities of the errors −below … above, given that the error is one of them, when the
    /// prediction was `phase` above the integer that errors are counted from.
    pub(super) fn probabilities(self, phase: f64, below: usize, above: usize) -> Vec<f64> {
        let width = self.width();
        let power = POWERS[usize::from(self.shape) % SHAPES];
        let freedom = f64::from(2 * power - 1);
        let steps = ((4.0 / width) as usize).clamp(2, 64);
        let factor = 1.0 / (width * width * freedom);
        let mut all: Vec<f64> = (-(below as i64)..=above as i64)
            .map(|error| {
                let mut mass = 0.0;
                for step in 0..steps {
                    let z = error as f64 - 0.5 + (step as f64 + 0.5) / steps as f64 - phase;
                    mass += 1.0 / integer_power(1.0 + z * z * factor, power);
                }
                mass
            })
            .collect();
        let total: f64 = all.iter().sum();
        // Nothing is impossible: the least probable error can still be coded.
        for mass in &mut all {
            *mass = *mass / total + 1e-12;
        }
        all
    }
}

/// 2^(n/8).
pub(super) fn eighths(n: u32) -> f64 {
    let quarter = 2f64.sqrt().sqrt();
    let mut result = 1.0;
    for _ in 0..n / 8 {
        result *= 2.0;
    }
    for _ in 0..n % 8 / 2 {
        result *= quarter;
    }
    if n % 2 == 1 {
        result *= quarter.sqrt();
    }
    result
}

/// e^x for 0 ≤ x ≤ 700, the same on every machine.
pub(super) fn exp(x: f64) -> f64 {
    let mut halvings = 0;
    let mut small = x;
    while small > 0.125 {
        small *= 0.5;
        halvings += 1;
    }
    let (mut sum, mut term) = (1.0, 1.0);
    for n in 1..12 {
        term *= small / f64::from(n);
        sum += term;
    }
    for _ in 0..halvings {
        sum *= sum;
    }
    sum
}

fn integer_power(base: f64, mut exponent: u32) -> f64 {
    let (mut result, mut square) = (1.0, base);
    while exponent > 0 {
        if exponent & 1 == 1 {
            result *= square;
        }
        square *= square;
        exponent >>= 1;
    }
    result
}
