//! Number-theoretic transforms and sums of products, generic over the vector unit.
//!
//! Forward: Cooley and Tukey, natural to bit-reversed order; inverse: Gentleman and Sande. Reductions are Harvey's
//! lazy ones ("Faster arithmetic for number-theoretic transforms", 2014): residues below 2^27 leave five bits of
//! headroom in a u32, enough for twelve forward stages without any correction in between.

use super::{Factor, LANES, MAX_PRODUCTS, Prime, Row, Simd, Task};

/// x · factor modulo the prime, below twice the prime, for any u32 x.
#[inline(always)]
fn scale<S: Simd>(simd: S, prime: &Prime, x: S::Vector, factor: Factor) -> S::Vector {
    let quotient = simd.mul_high_splat(x, simd.splat(factor.quotient));
    simd.sub(
        simd.mul_low(x, simd.splat(factor.value)),
        simd.mul_low(quotient, simd.splat(prime.value)),
    )
}

/// From below twice the prime to below the prime.
#[inline(always)]
pub(crate) fn reduce_once<S: Simd>(simd: S, prime: &Prime, x: S::Vector) -> S::Vector {
    simd.min(x, simd.sub(x, simd.splat(prime.value)))
}

/// From any u32 to below the prime.
#[inline(always)]
fn reduce<S: Simd>(simd: S, prime: &Prime, x: S::Vector) -> S::Vector {
    reduce_once(simd, prime, scale(simd, prime, x, prime.one))
}

/// From any u32 to below twice the prime.
#[inline(always)]
pub(crate) fn reduce_loosely<S: Simd>(simd: S, prime: &Prime, x: S::Vector) -> S::Vector {
    scale(simd, prime, x, prime.one)
}

/// `RADIX` rows at distance `stride`. A loop, because a closure would not be compiled for the kernel's features.
#[inline(always)]
fn load<S: Simd, const RADIX: usize>(
    simd: S,
    rows: &[Row],
    first: usize,
    stride: usize,
) -> [S::Vector; RADIX] {
    let mut x = [simd.splat(0); RADIX];
    for (r, x) in x.iter_mut().enumerate() {
        *x = simd.load(&rows[first + r * stride]);
    }
    x
}

/// `STAGES` stages of the forward transform on 2^`STAGES` = `RADIX` rows at a time, from `blocks` blocks on.
#[inline(always)]
fn forward_pass<S: Simd, const STAGES: usize, const RADIX: usize>(
    simd: S,
    prime: &Prime,
    rows: &mut [Row],
    blocks: usize,
) {
    let length = rows.len() / blocks;
    let stride = length >> STAGES;
    let twice = simd.splat(2 * prime.value);
    let last = stride == 1;
    for block in 0..blocks {
        for offset in 0..stride {
            let first = block * length + offset;
            let mut x = load::<S, RADIX>(simd, rows, first, stride);
            for stage in 0..STAGES {
                let distance = RADIX >> (stage + 1);
                for part in 0..1 << stage {
                    let root = prime.roots[((blocks + block) << stage) + part];
                    for r in 2 * part * distance..(2 * part + 1) * distance {
                        let product = scale(simd, prime, x[r + distance], root);
                        x[r + distance] = simd.sub(simd.add(x[r], twice), product);
                        x[r] = simd.add(x[r], product);
                    }
                }
            }
            for (r, x) in x.into_iter().enumerate() {
                let x = if last { reduce(simd, prime, x) } else { x };
                simd.store(x, &mut rows[first + r * stride]);
            }
        }
    }
}

/// Forward transform of sixteen polynomials in place, n = 2048 or 4096. Takes values below three times the prime, gives
/// values below it.
#[inline(always)]
pub(crate) fn forward<S: Simd>(simd: S, prime: &Prime, rows: &mut [Row]) {
    assert_eq!(rows.len(), prime.roots.len());
    forward_pass::<S, 4, 16>(simd, prime, rows, 1);
    forward_pass::<S, 4, 16>(simd, prime, rows, 16);
    if rows.len() == 4096 {
        forward_pass::<S, 4, 16>(simd, prime, rows, 256);
    } else {
        assert_eq!(rows.len(), 2048);
        forward_pass::<S, 3, 8>(simd, prime, rows, 256);
    }
}

/// `STAGES` stages of the inverse transform, from rows at distance `stride` on.
#[inline(always)]
fn inverse_pass<S: Simd, const STAGES: usize, const RADIX: usize>(
    simd: S,
    prime: &Prime,
    rows: &mut [Row],
    stride: usize,
) {
    let twice = simd.splat(2 * prime.value);
    let groups = rows.len() / (stride * RADIX);
    for group in 0..groups {
        for offset in 0..stride {
            let first = group * stride * RADIX + offset;
            let mut x = load::<S, RADIX>(simd, rows, first, stride);
            for stage in 0..STAGES {
                let distance = 1 << stage;
                let parts = RADIX >> (stage + 1);
                for part in 0..parts {
                    let root = prime.inverse_roots[(groups + group) * parts + part];
                    for r in 2 * part * distance..(2 * part + 1) * distance {
                        let sum = simd.add(x[r], x[r + distance]);
                        let difference = simd.sub(simd.add(x[r], twice), x[r + distance]);
                        x[r] = simd.min(sum, simd.sub(sum, twice));
                        x[r + distance] = scale(simd, prime, difference, root);
                    }
                }
            }
            for (r, x) in x.into_iter().enumerate() {
                simd.store(x, &mut rows[first + r * stride]);
            }
        }
    }
}

/// Inverse transform in place, then times `factor`. `rows` holds the top log2(len) levels of the tree, len a power of
/// two up to n: with len = n / t and rows that are sums over t neighbouring roots, the result is t times the
/// coefficients at multiples of t. Takes and gives values below the prime.
#[inline(always)]
pub(crate) fn inverse<S: Simd>(simd: S, prime: &Prime, rows: &mut [Row], factor: Factor) {
    assert!(rows.len().is_power_of_two() && rows.len() <= prime.roots.len());
    let mut stride = 1;
    while stride < rows.len() {
        stride *= match rows.len() / stride {
            2 => {
                inverse_pass::<S, 1, 2>(simd, prime, rows, stride);
                2
            }
            4 => {
                inverse_pass::<S, 2, 4>(simd, prime, rows, stride);
                4
            }
            8 => {
                inverse_pass::<S, 3, 8>(simd, prime, rows, stride);
                8
            }
            _ => {
                inverse_pass::<S, 4, 16>(simd, prime, rows, stride);
                16
            }
        };
    }
    for row in rows {
        let scaled = scale(simd, prime, simd.load(row), factor);
        simd.store(reduce_once(simd, prime, scaled), row);
    }
}

/// Where sums of products go. Not a closure: one would not be compiled for the kernel's features.
pub(crate) trait Sums {
    /// The row of factor `k`.
    fn row(&mut self, k: usize) -> &mut Row;
}

/// The one row of a single factor.
pub(crate) struct Single<'a>(pub(crate) &'a mut Row);

impl Sums for Single<'_> {
    #[inline(always)]
    fn row(&mut self, _: usize) -> &mut Row {
        self.0
    }
}

/// Row `at` of one slice for each factor.
pub(crate) struct Column<'a, 'b> {
    pub(crate) outs: &'a mut [&'b mut [Row]],
    pub(crate) at: usize,
}

impl Sums for Column<'_, '_> {
    #[inline(always)]
    fn row(&mut self, k: usize) -> &mut Row {
        &mut self.outs[k][self.at]
    }
}

/// [`dot_tiles`] for one tile of `K` factors, the first of which is number `first`.
#[inline(always)]
fn dot<S: Simd, const K: usize>(
    simd: S,
    prime: &Prime,
    lines: &[Row],
    factors: [&[u32]; K],
    first: usize,
    sums: &mut impl Sums,
) {
    let mut start = 0;
    for lines in lines.chunks(MAX_PRODUCTS) {
        let mut factors = factors;
        for factors in &mut factors {
            *factors = &factors[start..start + lines.len()];
        }
        let mut wide = [simd.wide_zero(); K];
        for (l, line) in lines.iter().enumerate() {
            let mut values = [0; K];
            for (value, factors) in values.iter_mut().zip(factors) {
                *value = factors[l];
            }
            wide = simd.multiply_add(wide, simd.load(line), values);
        }
        for (k, wide) in wide.into_iter().enumerate() {
            let (low, high) = simd.split(wide);
            let high = scale(simd, prime, high, prime.carry);
            let low = scale(simd, prime, low, prime.one);
            let x = reduce(simd, prime, simd.add(high, low));
            let row = sums.row(first + k);
            simd.store(add_rows(simd, prime, simd.load(row), x), row);
        }
        start += lines.len();
    }
}

/// Adds the sum over l of `lines[l] · factors[k][l]` to row k of `sums`, modulo the prime, for every k. Every factor slice is
/// as long as `lines`; residues are below the prime before and after.
#[inline(always)]
pub(crate) fn dot_tiles<S: Simd>(
    simd: S,
    prime: &Prime,
    lines: &[Row],
    factors: &[&[u32]],
    sums: &mut impl Sums,
) {
    let mut done = 0;
    while done < factors.len() {
        let rest = &factors[done..];
        done += match rest {
            [a, b, c, d, e, f, g, h, ..] if S::TILE >= 8 => {
                dot(simd, prime, lines, [a, b, c, d, e, f, g, h], done, sums);
                8
            }
            [a, b, c, d, ..] if S::TILE >= 4 => {
                dot(simd, prime, lines, [a, b, c, d], done, sums);
                4
            }
            [a, b, ..] if S::TILE >= 2 => {
                dot(simd, prime, lines, [a, b], done, sums);
                2
            }
            [a, ..] => {
                dot(simd, prime, lines, [a], done, sums);
                1
            }
            [] => 0,
        };
    }
}

/// [`forward`] as a task.
pub(super) struct Forward<'a> {
    pub(super) prime: &'a Prime,
    pub(super) rows: &'a mut [Row],
}

impl Task for Forward<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        forward(simd, self.prime, self.rows);
    }
}

/// [`inverse`] as a task.
pub(super) struct Inverse<'a> {
    pub(super) prime: &'a Prime,
    pub(super) rows: &'a mut [Row],
    pub(super) scale: Factor,
}

impl Task for Inverse<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        inverse(simd, self.prime, self.rows, self.scale);
    }
}

/// Multiplies each row by one value.
pub(super) struct Multiply<'a> {
    pub(super) prime: &'a Prime,
    pub(super) rows: &'a mut [Row],
    pub(super) values: &'a [u32],
}

impl Task for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        for (row, value) in self.rows.iter_mut().zip(self.values) {
            let mut product = [0; LANES];
            let sums = &mut Single(&mut product);
            let value = std::slice::from_ref(value);
            dot(simd, self.prime, &[*row], [value], 0, sums);
            *row = product;
        }
    }
}

/// a + b modulo the prime, for values below it.
#[inline(always)]
pub(crate) fn add_rows<S: Simd>(simd: S, prime: &Prime, a: S::Vector, b: S::Vector) -> S::Vector {
    reduce_once(simd, prime, simd.add(a, b))
}

const _: () = assert!(LANES == 16);
