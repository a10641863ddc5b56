//! Prediction-error expansion with histogram shifting, as Thodi and Rodríguez (2007) and Sachnev et
//! al. (2009) use it.
//!
//! Errors from `low` to `high` are doubled and take a bit; errors beyond are moved out of the way.
//! A sample that would leave its range stays as it is, and a location map says so wherever a
//! decoder could not tell.

use super::coder::{self, Decoder};
use super::header::Image;

/// Largest threshold.
pub(super) const WIDEST: i32 = 127;

/// Candidates for thresholds whose distortion is computed exactly.
const TRIED: usize = 8;
/// Pieces of a layer that the estimate tells apart.
const PIECES: usize = 256;

/// A sample that may be changed, and what it is predicted to be.
#[derive(Clone, Copy)]
pub(super) struct Carrier {
    pub(super) index: u32,
    pub(super) prediction: i32,
}

/// Which prediction errors take a bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rule {
    /// The lowest, at most 0.
    pub(super) low: i32,
    /// The highest, at least −1.
    pub(super) high: i32,
}

impl Rule {
    fn carries(self, error: i32) -> bool {
        (self.low..=self.high).contains(&error)
    }

    fn moved(self, error: i32, bit: bool) -> i32 {
        if self.carries(error) {
            2 * error + i32::from(bit)
        } else if error > self.high {
            error + self.high + 1
        } else {
            error + self.low
        }
    }

    /// The error before, and the bit if it took one.
    fn undone(self, moved: i32) -> (i32, Option<bool>) {
        if (2 * self.low..=2 * self.high + 1).contains(&moved) {
            (moved >> 1, Some(moved & 1 == 1))
        } else if moved > self.high {
            (moved - self.high - 1, None)
        } else {
            (moved - self.low, None)
        }
    }

    /// Whether a sample of this error stays in 0..=max whatever bit it takes.
    fn fits(self, error: i32, prediction: i32, max: i32) -> bool {
        let range = 0..=max;
        range.contains(&(prediction + self.moved(error, false)))
            && range.contains(&(prediction + self.moved(error, true)))
    }
}

/// Puts bits into samples, in the order of carriers, until none is left; gives the location map,
/// compressed. `None` if there is no room for all.
pub(super) fn fill(
    image: &mut Image,
    carriers: &[Carrier],
    rule: Rule,
    bits: &[bool],
) -> Option<Vec<u8>> {
    let (mut bits, mut map) = (bits.iter().copied().peekable(), Vec::new());
    for carrier in carriers {
        let Some(bit) = bits.peek().copied() else {
            break;
        };
        let (index, prediction) = (carrier.index as usize, carrier.prediction);
        let error = image.at(index) - prediction;
        if !rule.fits(error, prediction, image.max) {
            map.push(true);
            continue;
        }
        if rule.carries(error) {
            bits.next();
        }
        let moved = rule.moved(error, bit);
        if !rule.fits(moved, prediction, image.max) {
            map.push(false);
        }
        image.samples[index] = (prediction + moved) as u16;
    }
    bits.peek().is_none().then(|| coder::encode(&map))
}

/// Takes bits out again, carrier by carrier in the order of [`fill`].
pub(super) struct Undo {
    rule: Rule,
    map: Decoder,
    wanted: usize,
    max: i32,
    bits: Vec<bool>,
}

impl Undo {
    pub(super) fn new(rule: Rule, map: Vec<u8>, wanted: usize, max: i32) -> Self {
        Undo {
            rule,
            map: Decoder::new(map),
            wanted,
            max,
            bits: Vec::new(),
        }
    }

    /// Whether every bit was found, so that no other sample was changed.
    pub(super) fn done(&self) -> bool {
        self.bits.len() >= self.wanted
    }

    /// Restores one sample.
    pub(super) fn sample(&mut self, image: &mut Image, carrier: Carrier) {
        let (index, prediction) = (carrier.index as usize, carrier.prediction);
        let moved = image.at(index) - prediction;
        if !self.rule.fits(moved, prediction, self.max) && self.map.flag() {
            return;
        }
        let (error, bit) = self.rule.undone(moved);
        self.bits.extend(bit);
        // What was never embedded may lead out of range; the caller then compares and finds a
        // difference.
        image.samples[index] = (prediction + error).clamp(0, self.max) as u16;
    }

    /// The bits; `None` if some are missing.
    pub(super) fn bits(self) -> Option<Vec<bool>> {
        (self.bits.len() == self.wanted).then_some(self.bits)
    }
}

/// The thresholds that carry `wanted` bits in these carriers with the smallest expected sum of
/// squares, and that sum.
///
/// All pairs are ordered by an estimate, which knows room exactly and distortion up to samples that
/// cannot be moved out of the way; the first ones are then computed exactly.
pub(super) fn thresholds(
    image: &Image,
    carriers: &[Carrier],
    wanted: usize,
) -> Option<(f64, Rule)> {
    if wanted == 0 {
        return Some((0.0, Rule { low: 0, high: -1 }));
    }
    let sums = Sums::of(image, carriers);
    let mut candidates = Vec::new();
    for low in -WIDEST..=0 {
        for high in -1..=WIDEST {
            let rule = Rule { low, high };
            candidates.extend(sums.cost(rule, wanted).map(|cost| (cost, rule)));
        }
    }
    candidates.sort_by(|a, b| a.0.total_cmp(&b.0));
    candidates
        .iter()
        .take(TRIED)
        .filter_map(|(_, rule)| Some((distortion(image, carriers, *rule, wanted)?, *rule)))
        .min_by(|a, b| a.0.total_cmp(&b.0))
}

/// The expected sum of squares; `None` if there is no room.
fn distortion(image: &Image, carriers: &[Carrier], rule: Rule, wanted: usize) -> Option<f64> {
    let (mut left, mut sum) = (wanted, 0.0);
    for carrier in carriers {
        let error = image.at(carrier.index as usize) - carrier.prediction;
        if !rule.fits(error, carrier.prediction, image.max) {
            continue;
        }
        if rule.carries(error) {
            sum += expanded(error);
            left -= 1;
            if left == 0 {
                return Some(sum);
            }
        } else {
            let by = f64::from(rule.moved(error, false) - error);
            sum += by * by;
        }
    }
    None
}

/// Expected square of the change of an error that takes a random bit.
fn expanded(error: i32) -> f64 {
    let error = f64::from(error);
    (error * error + (error + 1.0) * (error + 1.0)) / 2.0
}

/// Errors clamped to one beyond the widest thresholds.
const ERRORS: usize = 2 * WIDEST as usize + 3;

/// Sums over the first pieces of a layer and all errors up to one.
struct Sums {
    /// Samples.
    all: Vec<[u32; ERRORS]>,
    /// Those that could take a bit without leaving their range, which does not depend on
    /// thresholds.
    able: Vec<[u32; ERRORS]>,
    /// What it costs them.
    costs: Vec<[f64; ERRORS]>,
}

impl Sums {
    fn of(image: &Image, carriers: &[Carrier]) -> Self {
        let (mut all, mut able) = ([0u32; ERRORS], [0u32; ERRORS]);
        let mut sums = Sums {
            all: Vec::new(),
            able: Vec::new(),
            costs: Vec::new(),
        };
        for chunk in carriers.chunks(carriers.len().div_ceil(PIECES).max(1)) {
            for carrier in chunk {
                let error = image.at(carrier.index as usize) - carrier.prediction;
                let place = Self::place(error.clamp(-WIDEST - 1, WIDEST + 1));
                let expands = Rule {
                    low: error,
                    high: error,
                };
                all[place] += 1;
                able[place] += u32::from(expands.fits(error, carrier.prediction, image.max));
            }
            let paid = |place: usize| f64::from(able[place]) * expanded(Self::error(place));
            sums.costs.push(running(paid));
            sums.able.push(running(|place| able[place]));
            sums.all.push(running(|place| all[place]));
        }
        sums
    }

    fn place(error: i32) -> usize {
        (error + WIDEST + 1) as usize
    }

    fn error(place: usize) -> i32 {
        place as i32 - WIDEST - 1
    }

    /// Bits that the pieces up to this one take.
    fn room(&self, rule: Rule, piece: usize) -> u32 {
        let able = &self.able[piece];
        able[Self::place(rule.high)] - able[Self::place(rule.low - 1)]
    }

    /// The estimated sum of squares; `None` if there is no room.
    fn cost(&self, rule: Rule, wanted: usize) -> Option<f64> {
        let last = self.able.len().checked_sub(1)?;
        if (self.room(rule, last) as usize) < wanted {
            return None;
        }
        let wanted = wanted as f64;
        let (mut from, mut to) = (0, last);
        while from < to {
            let middle = (from + to) / 2;
            if f64::from(self.room(rule, middle)) < wanted {
                from = middle + 1;
            } else {
                to = middle;
            }
        }
        let before = match to.checked_sub(1) {
            Some(piece) => (f64::from(self.room(rule, piece)), self.paid(rule, piece)),
            None => (0.0, 0.0),
        };
        let after = (f64::from(self.room(rule, to)), self.paid(rule, to));
        let part = (wanted - before.0) / (after.0 - before.0);
        Some(before.1 + part * (after.1 - before.1))
    }

    fn paid(&self, rule: Rule, piece: usize) -> f64 {
        let (all, cost) = (&self.all[piece], &self.costs[piece]);
        let (below, end) = (Self::place(rule.low - 1), Self::place(rule.high));
        let above = f64::from(all[ERRORS - 1] - all[end]);
        let (up, down) = (f64::from(rule.high + 1), f64::from(rule.low));
        cost[end] - cost[below] + above * up * up + f64::from(all[below]) * down * down
    }
}

/// Sums of all values up to each place.
fn running<T: Copy + Default + std::ops::Add<Output = T>>(
    value: impl Fn(usize) -> T,
) -> [T; ERRORS] {
    let mut sum = T::default();
    std::array::from_fn(|place| {
        sum = sum + value(place);
        sum
    })
}
