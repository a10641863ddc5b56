//! Thodi and Rodríguez, "Expansion Embedding Techniques for Reversible Watermarking", IEEE
//! Transactions on Image Processing 16(3), 2007: errors of the median edge detector, expanded where
//! small and shifted where not, with an overflow map (sections III and IV).
//!
//! The paper's threshold is symmetric; here both sides are searched, which can only help. Samples
//! are used row by row, as the paper does; it knows no sorting.

use super::expansion::{Carrier, Undo};
use super::header::Image;
use super::layers::Layered;

pub(super) struct ThodiRodriguez;

impl Layered for ThodiRodriguez {
    const NAME: &'static str = "Thodi-Rodríguez 2007";
    const LAYERS: usize = 1;
    const WORDS: usize = 0;
    const WORD_BITS: u32 = 0;

    fn choices(&self, _: &Image, _: usize) -> Vec<Vec<u16>> {
        vec![Vec::new()]
    }

    fn carriers(&self, image: &Image, _: usize, skip: usize, _: &[u16]) -> Vec<Carrier> {
        places(image, skip)
            .map(|index| carrier(image, index))
            .collect()
    }

    /// Predictions come from samples above and to the left, which must be restored before: one by
    /// one.
    fn undo(&self, image: &mut Image, _: usize, skip: usize, _: &[u16], undo: &mut Undo) {
        for index in places(image, skip) {
            if undo.done() {
                break;
            }
            let carrier = carrier(image, index);
            undo.sample(image, carrier);
        }
    }
}

/// All samples with a row above and a column to the left.
fn places(image: &Image, skip: usize) -> impl Iterator<Item = usize> + use<> {
    let width = image.width;
    (skip.max(width)..image.samples.len()).filter(move |index| index % width != 0)
}

/// The median edge detector of LOCO-I.
fn carrier(image: &Image, index: usize) -> Carrier {
    let (left, above) = (image.at(index - 1), image.at(index - image.width));
    let corner = image.at(index - image.width - 1);
    let prediction = (left + above - corner).clamp(left.min(above), left.max(above));
    Carrier {
        index: index as u32,
        prediction,
    }
}
