//! Prediction of a sample from those to its west and north.

mod fit;

pub(crate) use fit::fit;

use crate::{
    LANES,
    lanes::{Cell, PAD, Window},
};

/// Fractional bits of a weight.
pub(crate) const FRACTION: u32 = 10;

/// Neighbours of a linear prediction: W, WW, N, NW, NE, NN, NNE.
pub(crate) const NEIGHBOURS: usize = 7;

/// Weights of the neighbours, times 2^10. They add up to 2^10.
pub(crate) type Weights = [i16; NEIGHBOURS];

/// How samples of a plane are predicted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Predictor {
    /// The median of W, N and W + N − NW (LOCO-I: Weinberger, Seroussi, Sapiro, IEEE Trans. Image Process. 9, 2000).
    Median,
    /// A weighted sum of neighbours, kept between the least and the largest of W, N, NW and NE where `bounded`.
    Linear {
        /// Of each neighbour.
        weights: Weights,
        /// Whether the prediction is kept between the nearest neighbours.
        bounded: bool,
    },
}

/// The median prediction. The sum wraps, but is only taken where it lies between W and N.
#[inline(always)]
pub(crate) fn median(west: i16, north: i16, corner: i16) -> i16 {
    let least = west.min(north);
    let most = west.max(north);
    let plane = west.wrapping_add(north).wrapping_sub(corner);
    let upper = if corner <= least { most } else { plane };
    if corner >= most { least } else { upper }
}

/// What a linear prediction of a row takes from the rows above.
#[derive(Default)]
pub(crate) struct Partial {
    /// Weighted sum of the northern neighbours, and one half.
    pub(crate) sum: Vec<Cell<i32>>,
    /// Least of N, NW and NE; the smallest number where predictions are not bounded.
    pub(crate) least: Vec<Cell<i16>>,
    /// Largest of N, NW and NE; the largest number where predictions are not bounded.
    pub(crate) most: Vec<Cell<i16>>,
}

impl Partial {
    pub(crate) fn new(width: usize) -> Self {
        Self {
            sum: vec![[0; LANES]; width],
            least: vec![[i16::MIN; LANES]; width],
            most: vec![[i16::MAX; LANES]; width],
        }
    }

    /// Prepares the row at work.
    pub(crate) fn prepare(&mut self, rows: &Window<i16>, weights: &Weights, bounded: bool) {
        let width = self.sum.len();
        let [_, _, n, nw, ne, nn, nne] = weights.map(i32::from);
        let north = neighbours(&rows.north, PAD, width);
        let north_west = neighbours(&rows.north, PAD - 1, width);
        let north_east = neighbours(&rows.north, PAD + 1, width);
        let far = neighbours(&rows.far, PAD, width);
        let far_east = neighbours(&rows.far, PAD + 1, width);
        for (i, sum) in self.sum.as_flattened_mut().iter_mut().enumerate() {
            *sum = n * i32::from(north[i])
                + nw * i32::from(north_west[i])
                + ne * i32::from(north_east[i])
                + nn * i32::from(far[i])
                + nne * i32::from(far_east[i])
                + (1 << (FRACTION - 1));
        }
        if bounded {
            for (i, least) in self.least.as_flattened_mut().iter_mut().enumerate() {
                *least = north[i].min(north_west[i]).min(north_east[i]);
            }
            for (i, most) in self.most.as_flattened_mut().iter_mut().enumerate() {
                *most = north[i].max(north_west[i]).max(north_east[i]);
            }
        }
    }
}

/// The samples of a row, shifted, one lane's after the other's.
pub(crate) fn neighbours<T>(row: &[Cell<T>], from: usize, width: usize) -> &[T] {
    row[from..from + width].as_flattened()
}

/// A linear prediction from what the rows above gave, and W and WW.
#[inline(always)]
pub(crate) fn linear(
    sum: i32,
    least: i16,
    most: i16,
    west: i16,
    far_west: i16,
    weights: [i32; 2],
) -> i16 {
    let sum = sum + weights[0] * i32::from(west) + weights[1] * i32::from(far_west);
    let least = i32::from(least.min(west));
    let most = i32::from(most.max(west));
    // Not `clamp`, which checks its bounds.
    (sum >> FRACTION).max(least).min(most) as i16
}

/// Whether no sum of samples with these weights leaves 32 bits, and they add up to one.
pub(crate) fn sound(weights: &Weights) -> bool {
    let sum: i32 = weights.iter().map(|&weight| i32::from(weight)).sum();
    let size: u32 = weights
        .iter()
        .map(|weight| u32::from(weight.unsigned_abs()))
        .sum();
    sum == 1 << FRACTION && size < 1 << 15
}
