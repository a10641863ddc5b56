//! Ni, Shi, Ansari and Su, "Reversible Data Hiding", IEEE Transactions on Circuits and Systems for
//! Video Technology 16(3), 2006: values between a peak and an empty (or rare) value of the
//! histogram move by one, and the peak's samples take a bit each. Pairs of peak and zero follow
//! each other, each on the histogram that the last one left, until the payload is in; each carries
//! the description of the one before.
//!
//! The paper takes the highest peak and the lowest zero. Here each pair is the one that carries
//! most for its distortion, or that finishes cheapest, which is never worse.

use std::ops::Range;

use harpo_watermark::Plane;

use super::Scheme;
use super::header::{Image, Reader, low_bits, push};

/// Pairs that an image may take; more would distort far more than any other scheme.
const PAIRS: u64 = 128;
/// Peaks that are looked at for each pair, the highest first.
const PEAKS: usize = 256;
/// How far from a peak a zero is looked for.
const REACH: usize = 4096;

const VALUE_BITS: u32 = 16;
const COUNT_BITS: u32 = 32;
const ORDER_BITS: u32 = 8;
const PAIR_BITS: usize = (ORDER_BITS + 2 * VALUE_BITS + COUNT_BITS) as usize;
const PLACES_BITS: u32 = 24;

pub(super) struct Ni;

/// One peak and its zero, as the decoder is told.
#[derive(Clone, Copy, Debug)]
struct Pair {
    /// Pairs embedded before this one.
    order: u64,
    peak: usize,
    zero: usize,
    /// Bits that the peak's samples took.
    bits: usize,
}

impl Pair {
    fn write(&self) -> Vec<bool> {
        let mut bits = Vec::new();
        push(&mut bits, self.order, ORDER_BITS);
        push(&mut bits, self.peak as u64, VALUE_BITS);
        push(&mut bits, self.zero as u64, VALUE_BITS);
        push(&mut bits, self.bits as u64, COUNT_BITS);
        bits
    }

    fn read<I: Iterator<Item = bool>>(reader: &mut Reader<I>) -> Option<Self> {
        Some(Pair {
            order: reader.take(ORDER_BITS)?,
            peak: reader.take(VALUE_BITS)? as usize,
            zero: reader.take(VALUE_BITS)? as usize,
            bits: reader.take(COUNT_BITS)? as usize,
        })
    }

    /// Towards the zero.
    fn step(&self) -> i32 {
        if self.zero > self.peak { 1 } else { -1 }
    }

    /// Values strictly between peak and zero.
    fn between(&self) -> Range<usize> {
        self.peak.min(self.zero) + 1..self.peak.max(self.zero)
    }
}

impl Scheme for Ni {
    fn name(&self) -> &'static str {
        "Ni 2006"
    }

    fn embed(&self, plane: &Plane, payload: &[bool]) -> Option<Plane> {
        let mut image = Image::of(plane);
        if image.samples.len() <= PAIR_BITS {
            return None;
        }
        // What each pair carries first: the description of the one before, and for the first one
        // the low bits in whose place the last description stands.
        let mut before = image.take_low_bits(PAIR_BITS);
        let mut left = payload;
        for order in 0..PAIRS {
            let choice = choose(&image, PAIR_BITS + left.len())?;
            let places = places(&image, choice.zero);
            let mut bits = before;
            push(&mut bits, places.len() as u64, PLACES_BITS);
            for place in &places {
                push(&mut bits, *place as u64, place_bits(&image));
            }
            let room = choice.room - bits.len();
            let (now, later) = left.split_at(room.min(left.len()));
            bits.extend_from_slice(now);
            left = later;
            let pair = Pair {
                order,
                peak: choice.peak,
                zero: choice.zero,
                bits: bits.len(),
            };
            shift(&mut image, pair, &bits);
            before = pair.write();
            if left.is_empty() {
                image.put_low_bits(&before);
                return image.into_plane();
            }
        }
        None
    }

    fn extract(&self, plane: &Plane) -> Option<(Plane, Vec<bool>)> {
        let mut image = Image::of(plane);
        let mut pair = Pair::read(&mut low_bits(&image))?;
        image.take_low_bits(PAIR_BITS);
        let mut parts = Vec::new();
        loop {
            let bits = unshift(&mut image, pair)?;
            let mut reader = Reader::new(bits.get(PAIR_BITS..)?.iter().copied());
            let count = reader.take(PLACES_BITS)?;
            for _ in 0..count {
                let place = reader.take(place_bits(&image))? as usize;
                *image.samples.get_mut(place)? = pair.zero as u16;
            }
            let used = PAIR_BITS + (PLACES_BITS + count as u32 * place_bits(&image)) as usize;
            parts.push(bits.get(used..)?.to_vec());
            if pair.order == 0 {
                image.put_low_bits(&bits[..PAIR_BITS]);
                let payload = parts.into_iter().rev().flatten().collect();
                return Some((image.into_plane()?, payload));
            }
            let order = pair.order;
            pair = Pair::read(&mut Reader::new(bits.into_iter()))?;
            if pair.order + 1 != order {
                return None;
            }
        }
    }
}

/// Bits of a sample's index.
fn place_bits(image: &Image) -> u32 {
    image.samples.len().ilog2() + 1
}

/// Where samples of this value stand, beyond the description.
fn places(image: &Image, value: usize) -> Vec<usize> {
    (PAIR_BITS..image.samples.len())
        .filter(|index| usize::from(image.samples[*index]) == value)
        .collect()
}

/// A pair that could be next.
#[derive(Clone, Copy)]
struct Choice {
    peak: usize,
    zero: usize,
    /// Samples of the peak.
    room: usize,
    /// Bits that are left when the pair and the places of its zero are described.
    net: usize,
    /// Expected sum of squares when all of it is used.
    cost: f64,
}

impl Choice {
    /// Sum of squares for each of `wanted` bits.
    fn rate(&self, wanted: usize) -> f64 {
        let spared = self.net.saturating_sub(wanted) as f64 / 2.0;
        (self.cost - spared) / self.net.min(wanted) as f64
    }
}

/// The pair with the least distortion for each bit, `wanted` bits being left.
fn choose(image: &Image, wanted: usize) -> Option<Choice> {
    let mut histogram = vec![0usize; image.max as usize + 1];
    for sample in &image.samples[PAIR_BITS..] {
        histogram[usize::from(*sample)] += 1;
    }
    let wanted = wanted - PAIR_BITS;
    let mut peaks: Vec<usize> = (0..histogram.len())
        .filter(|value| histogram[*value] > 0)
        .collect();
    peaks.sort_by_key(|value| (std::cmp::Reverse(histogram[*value]), *value));
    let up = |peak: usize| peak + 1..histogram.len().min(peak + REACH);
    let down = |peak: usize| (peak.saturating_sub(REACH)..peak).rev();
    let choices = peaks.iter().take(PEAKS).flat_map(|peak| {
        let upwards = zeros(image, &histogram, *peak, up(*peak));
        upwards
            .into_iter()
            .chain(zeros(image, &histogram, *peak, down(*peak)))
    });
    choices.min_by(|a, b| a.rate(wanted.max(1)).total_cmp(&b.rate(wanted.max(1))))
}

/// Pairs of a peak with each value that is rarer than all on the way to it.
fn zeros(
    image: &Image,
    histogram: &[usize],
    peak: usize,
    way: impl Iterator<Item = usize>,
) -> Vec<Choice> {
    let (mut found, mut rarest, mut between) = (Vec::new(), usize::MAX, 0);
    for zero in way {
        let count = histogram[zero];
        if count < rarest {
            rarest = count;
            // A zero beside the peak must be empty, or its samples could not be told from ones.
            let apart = peak.abs_diff(zero) > 1 || count == 0;
            let described = PAIR_BITS + PLACES_BITS as usize + count * place_bits(image) as usize;
            let room = histogram[peak];
            if apart && room > described {
                found.push(Choice {
                    peak,
                    zero,
                    room,
                    net: room - described,
                    cost: between as f64 + room as f64 / 2.0,
                });
            }
        }
        if count == 0 {
            break;
        }
        between += count;
    }
    found
}

fn shift(image: &mut Image, pair: Pair, bits: &[bool]) {
    let (step, between) = (pair.step(), pair.between());
    let mut bits = bits.iter();
    for sample in &mut image.samples[PAIR_BITS..] {
        let value = usize::from(*sample);
        let moves = between.contains(&value) || value == pair.peak && bits.next() == Some(&true);
        if moves {
            *sample = sample.wrapping_add_signed(step as i16);
        }
    }
}

/// Moves values back, and gives the bits; those that stood at the zero are the caller's to put
/// right.
fn unshift(image: &mut Image, pair: Pair) -> Option<Vec<bool>> {
    let (step, mut bits) = (pair.step(), Vec::new());
    let first = pair.peak.checked_add_signed(step as isize)?;
    let moved = first.min(pair.zero)..first.max(pair.zero) + 1;
    for sample in &mut image.samples[PAIR_BITS..] {
        let value = usize::from(*sample);
        if bits.len() < pair.bits && (value == pair.peak || value == first) {
            bits.push(value == first);
        }
        if moved.contains(&value) {
            *sample = sample.wrapping_add_signed(-step as i16);
        }
    }
    (bits.len() == pair.bits).then_some(bits)
}
