//! The low bits that a mark replaces, in few bytes (docs/reliability-mark.md 4).
//!
//! An adaptive binary range coder: each bit is coded with the probability that its context has
//! shown so far, so that flat background costs nothing and noise one bit a bit. Whole numbers
//! only: both sides compute alike.

use super::layout::Layout;
use crate::Plane;

/// Activity of the neighbourhood x where the neighbours' mean lies x parity of the neighbours.
const CONTEXTS: usize = 6 * 8 * 3;

/// Takes the low bits out of the plane, which has them cleared afterwards.
pub(super) fn take(plane: &mut Plane, layout: &Layout) -> Vec<u8> {
    let mut bits = Vec::with_capacity(layout.bits());
    let samples = plane.samples_mut();
    for placed in layout.blocks() {
        for index in placed.tag().chain(placed.stripe()) {
            bits.push(samples[index] & 1 == 1);
            samples[index] &= !1;
        }
    }
    let mut encoder = Encoder::new();
    let mut model = Model::new();
    let mut bits = bits.into_iter();
    for placed in layout.blocks() {
        for ((x, y), bit) in placed.places().zip(bits.by_ref()) {
            encoder.encode(bit, model.of(plane, x, y));
        }
    }
    encoder.finish()
}

/// Puts the low bits back into a plane that has them cleared. Any bytes give some plane.
pub(super) fn put_back(plane: &mut Plane, layout: &Layout, coded: &[u8]) {
    let mut decoder = Decoder::new(coded);
    let mut model = Model::new();
    let mut bits = Vec::with_capacity(layout.bits());
    for placed in layout.blocks() {
        for (x, y) in placed.places() {
            bits.push(u16::from(decoder.decode(model.of(plane, x, y))));
        }
    }
    // Afterwards, because contexts read the plane as the encoder saw it.
    let samples = plane.samples_mut();
    let places = layout
        .blocks()
        .flat_map(|placed| placed.tag().chain(placed.stripe()));
    for (index, bit) in places.zip(bits) {
        samples[index] |= bit;
    }
}

/// The probability of each context so far.
struct Model([Estimate; CONTEXTS]);

impl Model {
    fn new() -> Self {
        Self([Estimate::default(); CONTEXTS])
    }

    /// The estimate that fits the neighbourhood of (x, y); border samples stand for what is
    /// outside.
    #[inline]
    fn of(&mut self, plane: &Plane, x: usize, y: usize) -> &mut Estimate {
        let (width, samples) = (plane.width(), plane.samples());
        let index = y * width + x;
        let here = samples[index];
        let west = if x > 0 { samples[index - 1] } else { here };
        let east = if x + 1 < width {
            samples[index + 1]
        } else {
            here
        };
        let north = if y > 0 { samples[index - width] } else { here };
        let south = samples.get(index + width).copied().unwrap_or(here);

        let highest = west.max(east).max(north).max(south);
        let lowest = west.min(east).min(north).min(south);
        // 0, 1 to 2, 3 to 4, 5 to 8, 9 to 16, more.
        let activity = match u32::from(highest - lowest) {
            0 => 0,
            spread => (32 - (spread - 1).leading_zeros()).clamp(1, 5) as usize,
        };
        // Four times the distance from the middle between the two candidates to the mean.
        let sum = [west, east, north, south]
            .map(i32::from)
            .iter()
            .sum::<i32>();
        let distance = sum - 4 * i32::from(here) - 2;
        let place = ((distance.clamp(-16, 15) + 16) >> 2) as usize;
        let parity = match (west & 1) + (east & 1) + (north & 1) + (south & 1) {
            0 => 0,
            4 => 2,
            _ => 1,
        };
        &mut self.0[(activity * 8 + place) * 3 + parity]
    }
}

/// Probability of a one in units of 2^−24, and how much was seen: learns fast at first.
#[derive(Clone, Copy)]
struct Estimate {
    one: i32,
    seen: u8,
}

impl Default for Estimate {
    fn default() -> Self {
        Self {
            one: CERTAIN / 2,
            seen: 0,
        }
    }
}

const CERTAIN: i32 = 1 << 24;

impl Estimate {
    /// In units of 2^−15, never 0 or 1.
    #[inline]
    fn probability(self) -> u32 {
        (self.one >> 9).clamp(2, (1 << 15) - 2) as u32
    }

    #[inline]
    fn learn(&mut self, bit: bool) {
        let target = i32::from(bit) * CERTAIN;
        let rate = RATES[usize::from(self.seen)];
        self.one += ((i64::from(target - self.one) * rate) >> RATE_BITS) as i32;
        self.seen = (self.seen + 1).min(RATES.len() as u8 - 1);
    }
}

/// How far an estimate goes towards the newest bit, in units of 2^−16: the mean of what was seen
/// (and of two bits before, one of each kind), then a window of about 128.
const RATES: [i64; 126] = {
    let mut rates = [0; 126];
    let mut seen = 0;
    while seen < rates.len() {
        rates[seen] = (1 << RATE_BITS) / (seen as i64 + 3);
        seen += 1;
    }
    rates
};

const RATE_BITS: u32 = 16;

/// Range below which a byte leaves.
const LOW_RANGE: u32 = 1 << 24;

/// Range coder with carries (Martin 1979).
struct Encoder {
    low: u32,
    range: u32,
    bytes: Vec<u8>,
}

impl Encoder {
    fn new() -> Self {
        Self {
            low: 0,
            range: u32::MAX,
            bytes: Vec::new(),
        }
    }

    #[inline]
    fn encode(&mut self, bit: bool, estimate: &mut Estimate) {
        let bound = (self.range >> 15) * estimate.probability();
        estimate.learn(bit);
        // Noise cannot be foreseen by the processor either, so there is no branch on the bit.
        let one = u32::from(bit).wrapping_neg();
        self.add(bound & !one);
        self.range = (bound & one) | ((self.range - bound) & !one);
        while self.range < LOW_RANGE {
            self.bytes.push((self.low >> 24) as u8);
            self.low <<= 8;
            self.range <<= 8;
        }
    }

    fn add(&mut self, value: u32) {
        let (low, carry) = self.low.overflowing_add(value);
        self.low = low;
        if carry {
            for byte in self.bytes.iter_mut().rev() {
                *byte = byte.wrapping_add(1);
                if *byte != 0 {
                    break;
                }
            }
        }
    }

    /// The shortest bytes that lie in the final range when zeros follow.
    fn finish(mut self) -> Vec<u8> {
        self.add(LOW_RANGE - 1);
        self.bytes.push((self.low >> 24) as u8);
        while self.bytes.last() == Some(&0) {
            self.bytes.pop();
        }
        self.bytes
    }
}

struct Decoder<'a> {
    code: u32,
    range: u32,
    bytes: std::slice::Iter<'a, u8>,
}

impl<'a> Decoder<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self {
            code: 0,
            range: u32::MAX,
            bytes: bytes.iter(),
        };
        for _ in 0..4 {
            decoder.shift();
        }
        decoder
    }

    fn shift(&mut self) {
        self.code = self.code << 8 | u32::from(self.bytes.next().copied().unwrap_or(0));
    }

    #[inline]
    fn decode(&mut self, estimate: &mut Estimate) -> bool {
        let bound = (self.range >> 15) * estimate.probability();
        let bit = self.code < bound;
        estimate.learn(bit);
        let one = u32::from(bit).wrapping_neg();
        // Bytes that no encoder wrote must not underflow either.
        self.code = self.code.wrapping_sub(bound & !one);
        self.range = (bound & one) | ((self.range - bound) & !one);
        while self.range < LOW_RANGE {
            self.range <<= 8;
            self.shift();
        }
        bit
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn code(bits: &[(bool, usize)]) -> Vec<u8> {
        let mut estimates = [Estimate::default(); 4];
        let mut encoder = Encoder::new();
        for &(bit, context) in bits {
            encoder.encode(bit, &mut estimates[context]);
        }
        encoder.finish()
    }

    proptest! {
        #[test]
        fn bits_come_back(
            bits in prop::collection::vec((any::<bool>(), 0_usize..4), 0..3000),
            bias in 0_usize..5,
        ) {
            // Some contexts say nearly always the same.
            let bits: Vec<_> = bits
                .iter()
                .enumerate()
                .map(|(i, &(bit, c))| (bit && (c >= bias || i % 97 == 0), c))
                .collect();
            let bytes = code(&bits);
            prop_assert!(bytes.len() * 8 <= bits.len() + bits.len() / 16 + 64);
            let mut decoder = Decoder::new(&bytes);
            let mut estimates = [Estimate::default(); 4];
            for (bit, context) in bits {
                prop_assert_eq!(decoder.decode(&mut estimates[context]), bit);
            }
        }
    }

    #[test]
    fn a_carry_runs_through_bytes_of_ones() {
        let mut encoder = Encoder::new();
        encoder.bytes = vec![7, 255, 255];
        encoder.low = u32::MAX;
        encoder.add(1);
        assert_eq!(encoder.bytes, [8, 0, 0]);
        assert_eq!(encoder.low, 0);
    }

    #[test]
    fn what_repeats_costs_nearly_nothing() {
        assert!(code(&vec![(false, 0); 10_000]).len() < 12);
        assert!(code(&vec![(true, 0); 10_000]).len() < 12);
    }

    #[test]
    fn any_bytes_decode_to_something() {
        let layout = Layout::new(96, 96, 488, 576).unwrap();
        for bytes in [vec![], vec![255; 4], vec![255; 4000], vec![0; 10]] {
            let mut plane = Plane::new(96, 96, 8, vec![0; 96 * 96]).unwrap();
            put_back(&mut plane, &layout, &bytes);
        }
    }
}
