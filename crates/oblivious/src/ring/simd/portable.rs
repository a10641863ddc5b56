//! The portable twin: plain arrays.

use super::{LANES, Row, Simd};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Portable;

#[inline(always)]
fn lanes(a: Row, b: Row, f: impl Fn(u32, u32) -> u32) -> Row {
    std::array::from_fn(|i| f(a[i], b[i]))
}

impl Simd for Portable {
    type Vector = Row;
    type Wide = [u64; LANES];
    const TILE: usize = 1;

    #[inline(always)]
    fn load(self, row: &Row) -> Row {
        *row
    }

    #[inline(always)]
    fn store(self, vector: Row, row: &mut Row) {
        *row = vector;
    }

    #[inline(always)]
    fn stream(self, vector: Row, row: &mut Row) {
        *row = vector;
    }

    #[inline(always)]
    fn fence(self) {}

    #[inline(always)]
    fn splat(self, value: u32) -> Row {
        [value; LANES]
    }

    #[inline(always)]
    fn add(self, a: Row, b: Row) -> Row {
        lanes(a, b, u32::wrapping_add)
    }

    #[inline(always)]
    fn sub(self, a: Row, b: Row) -> Row {
        lanes(a, b, u32::wrapping_sub)
    }

    #[inline(always)]
    fn min(self, a: Row, b: Row) -> Row {
        lanes(a, b, u32::min)
    }

    #[inline(always)]
    fn mul_low(self, a: Row, b: Row) -> Row {
        lanes(a, b, u32::wrapping_mul)
    }

    #[inline(always)]
    fn mul_high_splat(self, a: Row, b: Row) -> Row {
        lanes(a, b, |x, y| ((u64::from(x) * u64::from(y)) >> 32) as u32)
    }

    #[inline(always)]
    fn wide_zero(self) -> [u64; LANES] {
        [0; LANES]
    }

    #[inline(always)]
    fn multiply_add<const K: usize>(
        self,
        sums: [Self::Wide; K],
        a: Row,
        b: [u32; K],
    ) -> [Self::Wide; K] {
        std::array::from_fn(|k| {
            std::array::from_fn(|i| sums[k][i].wrapping_add(u64::from(a[i]) * u64::from(b[k])))
        })
    }

    #[inline(always)]
    fn split(self, wide: [u64; LANES]) -> (Row, Row) {
        (wide.map(|x| x as u32), wide.map(|x| (x >> 32) as u32))
    }
}
