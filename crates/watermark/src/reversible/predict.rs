//! What a sample should be, judged by the other colour.

mod kernel;

use super::lattice::{Around, MARGIN};

/// Bits after the point of weights and predictions.
pub(super) const POINT: u32 = 10;

/// Contexts by the surroundings: all equal, within one, within two, and then two for each octave
/// of activity.
pub(super) const CLASSES: usize = 32;

/// How many distances between a prediction and the integer that it is rounded to are told apart:
/// 0, 1/6, 1/3 and 1/2.
pub(super) const PHASES: usize = 4;

/// Weights of four groups of neighbours in 1/1024: left and right; above and below; (±2, ±1);
/// (±1, ±2). Together they are one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Weights {
    pub(super) beside: i16,
    pub(super) wide: i16,
    pub(super) tall: i16,
}

impl Weights {
    /// The mean of the four direct neighbours.
    pub(super) const RHOMBUS: Self = Self {
        beside: 256,
        wide: 0,
        tall: 0,
    };

    /// Largest size of a weight that is accepted: predictions then stay within 32 bits.
    pub(super) const LIMIT: i16 = 1 << POINT;

    fn all(self) -> [i32; 4] {
        let [beside, wide, tall] = [self.beside, self.wide, self.tall].map(i32::from);
        let above = (1 << (POINT - 1)) - beside - 2 * wide - 2 * tall;
        [beside, above, wide, tall]
    }
}

/// Sums of the four groups of neighbours, in the order of [`Weights`].
#[inline(always)]
pub(super) fn sums(around: &Around<'_>, shift: usize, i: usize) -> [i32; 4] {
    let at = |row: usize, column: usize| i32::from(around[row][column]);
    let (middle, side) = (MARGIN + i, MARGIN + i + shift);
    [
        at(2, side - 1) + at(2, side),
        at(1, middle) + at(3, middle),
        at(1, middle - 1) + at(1, middle + 1) + at(3, middle - 1) + at(3, middle + 1),
        at(0, side - 1) + at(0, side) + at(4, side - 1) + at(4, side),
    ]
}

/// Predictions of one row: the nearest integers, and the contexts.
#[derive(Default)]
pub(super) struct Predictions {
    pub(super) centres: Vec<u16>,
    /// Class × 8 + (is the prediction below its integer?) × 4 + phase.
    pub(super) contexts: Vec<u8>,
}

impl Predictions {
    /// Predicts the `count` samples of a row whose first is in column `shift` (0 or 1).
    pub(super) fn fill(
        &mut self,
        around: &Around<'_>,
        shift: usize,
        count: usize,
        weights: Weights,
        max: u16,
    ) {
        self.centres.resize(count, 0);
        self.contexts.resize(count, 0);
        let cut = |row: usize, from: usize| &around[row][from..from + count];
        let (middle, side) = (MARGIN, MARGIN + shift);
        let neighbours = [
            cut(2, side - 1),
            cut(2, side),
            cut(1, middle),
            cut(3, middle),
            cut(1, middle - 1),
            cut(1, middle + 1),
            cut(3, middle - 1),
            cut(3, middle + 1),
            cut(0, side - 1),
            cut(0, side),
            cut(4, side - 1),
            cut(4, side),
        ];
        kernel::run(
            neighbours,
            weights.all(),
            max,
            &mut self.centres,
            &mut self.contexts,
        );
    }
}
