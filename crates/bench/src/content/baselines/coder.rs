//! Location maps, compressed: an adaptive binary arithmetic coder whose context is the last two
//! flags.

/// Flags seen in each context, zeros and ones.
struct Model {
    counts: [[u32; 2]; 4],
    context: usize,
}

impl Model {
    fn new() -> Self {
        Model {
            counts: [[0; 2]; 4],
            context: 0,
        }
    }

    /// The part of `range` that a zero takes, by the estimator of Krichevsky and Trofimov.
    fn split(&self, range: u32) -> u32 {
        let [zeros, ones] = self.counts[self.context].map(u64::from);
        let part = (u64::from(range) * (2 * zeros + 1) / (2 * (zeros + ones) + 2)) as u32;
        part.clamp(1, range - 1)
    }

    fn learn(&mut self, flag: bool) {
        let counts = &mut self.counts[self.context];
        counts[usize::from(flag)] += 1;
        if counts[0] + counts[1] > 1 << 24 {
            *counts = counts.map(|count| count / 2);
        }
        self.context = (self.context << 1 | usize::from(flag)) & 3;
    }
}

/// The interval [low, low + range] of 32 bits; its upper bytes leave as soon as they are settled.
#[derive(Clone, Copy)]
struct Interval {
    low: u32,
    high: u32,
}

impl Interval {
    const WHOLE: Interval = Interval {
        low: 0,
        high: u32::MAX,
    };

    fn cut(&mut self, model: &Model, flag: bool) {
        let middle = self.middle(model);
        if flag {
            self.low = middle;
        } else {
            self.high = middle - 1;
        }
    }

    fn middle(&self, model: &Model) -> u32 {
        self.low + model.split(self.high - self.low)
    }

    /// The top byte, if it is settled; it is shifted out.
    fn settled(&mut self) -> Option<u8> {
        if (self.low ^ self.high) >> 24 != 0 {
            // An interval that straddles a byte's end and became too narrow to be cut gives up its
            // larger part.
            if self.high - self.low < 1 << 12 {
                let end = self.high & 0xff00_0000;
                if end - self.low > self.high - end {
                    self.high = end - 1;
                } else {
                    self.low = end;
                }
            } else {
                return None;
            }
        }
        let byte = (self.low >> 24) as u8;
        self.low <<= 8;
        self.high = self.high << 8 | 0xff;
        Some(byte)
    }
}

/// The flags in as few bytes as the model allows; none for no flags.
pub(super) fn encode(flags: &[bool]) -> Vec<u8> {
    let mut bytes = Vec::new();
    if flags.is_empty() {
        return bytes;
    }
    let (mut model, mut interval) = (Model::new(), Interval::WHOLE);
    for flag in flags {
        interval.cut(&model, *flag);
        model.learn(*flag);
        while let Some(byte) = interval.settled() {
            bytes.push(byte);
        }
    }
    // Bytes that are missing are read as zeros: the shortest number within the interval ends it.
    let ends = [0xff00_0000, 0xffff_0000, 0xffff_ff00, u32::MAX];
    let end = ends
        .iter()
        .enumerate()
        .map(|(length, mask)| (length + 1, interval.high & mask))
        .find(|(_, end)| *end >= interval.low);
    if let Some((length, end)) = end {
        bytes.extend_from_slice(&end.to_be_bytes()[..length]);
    }
    while bytes.last() == Some(&0) {
        bytes.pop();
    }
    bytes
}

/// Reads flags one by one, as many as are asked for.
pub(super) struct Decoder {
    bytes: std::vec::IntoIter<u8>,
    model: Model,
    interval: Interval,
    value: u32,
}

impl Decoder {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        let mut bytes = bytes.into_iter();
        let value = (0..4).fold(0, |value, _| {
            value << 8 | u32::from(bytes.next().unwrap_or(0))
        });
        Decoder {
            bytes,
            model: Model::new(),
            interval: Interval::WHOLE,
            value,
        }
    }

    pub(super) fn flag(&mut self) -> bool {
        let flag = self.value >= self.interval.middle(&self.model);
        self.interval.cut(&self.model, flag);
        self.model.learn(flag);
        while self.interval.settled().is_some() {
            self.value = self.value << 8 | u32::from(self.bytes.next().unwrap_or(0));
        }
        flag
    }
}

#[cfg(test)]
mod tests {
    use rand_chacha::ChaCha8Rng;
    use rand_core::{Rng, SeedableRng};

    use super::*;

    #[test]
    fn flags_come_back_and_rare_ones_are_cheap() {
        let mut random = ChaCha8Rng::seed_from_u64(5);
        for (one_in, most_bytes) in [(2, 1300), (20, 420), (1000, 40), (u32::MAX, 4)] {
            for length in [0, 1, 2, 7, 10_000] {
                let flags: Vec<bool> = (0..length)
                    .map(|_| random.next_u32().is_multiple_of(one_in))
                    .collect();
                let bytes = encode(&flags);
                assert!(bytes.len() <= most_bytes, "{one_in} {}", bytes.len());
                let mut decoder = Decoder::new(bytes);
                assert!(flags.iter().all(|flag| decoder.flag() == *flag));
            }
        }
    }
}
