//! Sachnev, Kim, Nam, Suresh and Shi, "Reversible Watermarking Algorithm Using Sorting and
//! Prediction", IEEE Transactions on Circuits and Systems for Video Technology 19(7), 2009.
//!
//! Two layers like the colours of a chessboard ("cross" and "dot"), each predicted from its four
//! neighbours of the other, sorted by local variance so that quiet places are used first, with two
//! thresholds for each layer. Half of the payload goes to each. The paper rounds the mean of
//! neighbours down; here it is also rounded to the nearest, and what distorts less is taken, layer
//! by layer: up to 2 dB in favour of the scheme.

use super::expansion::Carrier;
use super::header::Image;
use super::layers::Layered;

/// Added to a sum of four before it is divided: down, and to the nearest.
pub(super) const ROUNDINGS: [u16; 2] = [0, 2];

pub(super) struct Sachnev;

impl Layered for Sachnev {
    const NAME: &'static str = super::REFERENCE;
    const LAYERS: usize = 2;
    /// The rounding.
    const WORDS: usize = 1;
    const WORD_BITS: u32 = 2;

    fn choices(&self, _: &Image, _: usize) -> Vec<Vec<u16>> {
        ROUNDINGS.map(|rounding| vec![rounding]).to_vec()
    }

    fn carriers(&self, image: &Image, layer: usize, skip: usize, words: &[u16]) -> Vec<Carrier> {
        let mut found: Vec<(u64, Carrier)> = Vec::with_capacity(image.samples.len() / 2);
        for row in 1..image.height.saturating_sub(1) {
            for column in (1..image.width.saturating_sub(1)).filter(|c| (row + c) % 2 == layer) {
                let index = row * image.width + column;
                if index >= skip {
                    found.push(predicted(image, index, i32::from(words[0])));
                }
            }
        }
        sorted(found)
    }
}

/// By rising key; equals stay in their order.
pub(super) fn sorted(mut found: Vec<(u64, Carrier)>) -> Vec<Carrier> {
    found.sort_unstable_by_key(|(key, carrier)| (*key, carrier.index));
    found.into_iter().map(|(_, carrier)| carrier).collect()
}

/// The rhombus mean, and 16 times the variance of the differences of neighbours that stand beside
/// each other.
fn predicted(image: &Image, index: usize, rounding: i32) -> (u64, Carrier) {
    let up = image.at(index - image.width);
    let right = image.at(index + 1);
    let down = image.at(index + image.width);
    let left = image.at(index - 1);
    let differences = [up - left, right - up, down - right, left - down];
    let [sum, squares] = differences.iter().fold([0u64; 2], |[sum, squares], d| {
        let d = u64::from(d.unsigned_abs());
        [sum + d, squares + d * d]
    });
    let carrier = Carrier {
        index: index as u32,
        prediction: (up + right + down + left + rounding) >> 2,
    };
    (4 * squares - sum * sum, carrier)
}
