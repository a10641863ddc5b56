//! Coatrieux, Pan, Cuppens-Boulahia, Cuppens and Roux, "Reversible Watermarking Based on Invariant
//! Image Classification and Dynamic Histogram Shifting", IEEE Transactions on Information Forensics
//! and Security 8(1), 2013.
//!
//! The image is marked in four passes, one for each sample of 2 × 2, so that the eight neighbours
//! of a sample stand still while it is changed: they are the reference that classifies it. Where
//! the reference is constant, sample values are shifted (PHS: the carrier is the background's own
//! value); elsewhere prediction errors are (DPEHS), and the carrier class moves with what the
//! neighbourhood says of the error. Here the difference between the diagonal and the direct
//! neighbours picks the class, whose centre is the median error seen with it in that pass. Samples
//! are used from quiet to busy, and where a class is wider than one value it is expanded instead of
//! shifted, which carries as much and distorts less: both favour the scheme.

use super::expansion::Carrier;
use super::header::Image;
use super::layers::Layered;
use super::sachnev::{ROUNDINGS, sorted};

/// Contexts on either side of "no difference".
const SIDE: i32 = 5;
const CONTEXTS: usize = 2 * SIDE as usize + 1;

pub(super) struct Coatrieux;

impl Layered for Coatrieux {
    const NAME: &'static str = "Coatrieux 2013";
    const LAYERS: usize = 4;
    /// The rounding of predictions, the unit of differences, and the centres of all carrier
    /// classes, two in a word.
    const WORDS: usize = 2 + CONTEXTS.div_ceil(2);
    const WORD_BITS: u32 = 16;

    fn choices(&self, image: &Image, layer: usize) -> Vec<Vec<u16>> {
        let slopes = rings(image, layer).map(|(_, ring)| u64::from(ring.slope.unsigned_abs()));
        let (count, total) = slopes.fold((0u64, 0), |(count, total), slope| {
            (count + u64::from(slope > 0), total + slope)
        });
        // Two contexts on either side within the mean difference.
        let unit = (total / (2 * count).max(1)).clamp(1, u64::from(u16::MAX)) as u16;
        let choices = ROUNDINGS.map(|rounding| {
            let centres = centres(image, layer, rounding, unit);
            let words = centres.map(u16::from_be_bytes);
            [rounding, unit].into_iter().chain(words).collect()
        });
        choices.to_vec()
    }

    fn carriers(&self, image: &Image, layer: usize, skip: usize, words: &[u16]) -> Vec<Carrier> {
        let (rounding, unit) = (words[0], words[1].max(1));
        let centres: Vec<u8> = words[2..]
            .iter()
            .flat_map(|word| word.to_be_bytes())
            .collect();
        let found = rings(image, layer).filter(|(index, _)| *index >= skip);
        let found = found.map(|(index, ring)| {
            let centre = match ring.constant() {
                true => 0,
                false => i32::from(centres[ring.context(unit)] as i8),
            };
            let carrier = Carrier {
                index: index as u32,
                prediction: ring.prediction(rounding) + centre,
            };
            (ring.variance, carrier)
        });
        sorted(found.collect())
    }
}

/// What the eight neighbours of a sample say of it.
struct Ring {
    /// Sum of the four that touch it by a side.
    direct: i32,
    /// Sum of the diagonal ones less that of the direct ones.
    slope: i32,
    /// 64 times their variance.
    variance: u64,
}

impl Ring {
    fn of(image: &Image, index: usize) -> Self {
        let (above, below) = (index - image.width, index + image.width);
        let direct = [above, index - 1, index + 1, below].map(|place| image.at(place));
        let diagonal = [above - 1, above + 1, below - 1, below + 1].map(|place| image.at(place));
        let (beside, across) = (direct.iter().sum::<i32>(), diagonal.iter().sum::<i32>());
        let all = direct.iter().chain(&diagonal);
        let squares: u64 = all.map(|v| u64::from(v.unsigned_abs()).pow(2)).sum();
        let sum = (beside + across) as u64;
        Ring {
            direct: beside,
            slope: across - beside,
            variance: 8 * squares - sum * sum,
        }
    }

    fn prediction(&self, rounding: u16) -> i32 {
        (self.direct + i32::from(rounding)) >> 2
    }

    fn constant(&self) -> bool {
        self.variance == 0
    }

    fn context(&self, unit: u16) -> usize {
        let unit = i32::from(unit);
        let steps = (self.slope + self.slope.signum() * unit / 2) / unit;
        (steps.clamp(-SIDE, SIDE) + SIDE) as usize
    }
}

/// Samples of one pass, each with its ring.
fn rings(image: &Image, layer: usize) -> impl Iterator<Item = (usize, Ring)> + '_ {
    let rows = (1..image.height.saturating_sub(1)).filter(move |row| row % 2 == layer / 2);
    rows.flat_map(move |row| {
        let columns = (1..image.width.saturating_sub(1)).filter(move |c| c % 2 == layer % 2);
        columns.map(move |column| {
            let index = row * image.width + column;
            (index, Ring::of(image, index))
        })
    })
}

/// The middle error of each context, two in a word.
fn centres(
    image: &Image,
    layer: usize,
    rounding: u16,
    unit: u16,
) -> [[u8; 2]; CONTEXTS.div_ceil(2)] {
    let mut errors = vec![Vec::new(); CONTEXTS];
    for (index, ring) in rings(image, layer).filter(|(_, ring)| !ring.constant()) {
        errors[ring.context(unit)].push(image.at(index) - ring.prediction(rounding));
    }
    let mut centres = errors.iter_mut().map(|errors| median(errors) as u8);
    std::array::from_fn(|_| [(); 2].map(|()| centres.next().unwrap_or(0)))
}

/// The middle error, within a signed byte; 0 of none.
fn median(errors: &mut [i32]) -> i8 {
    if errors.is_empty() {
        return 0;
    }
    let middle = errors.len() / 2;
    let (_, median, _) = errors.select_nth_unstable(middle);
    (*median).clamp(i32::from(i8::MIN), i32::from(i8::MAX)) as i8
}
