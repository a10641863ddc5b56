//! Frequencies of the tokens of one context, and how they are written.

use crate::{
    bits::{BitReader, BitWriter},
    entropy::Counts,
    rans::SCALE,
    token::TOKENS,
};

/// Frequencies that add up to 2^11. A token that occurs has at least 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Table {
    pub(crate) frequencies: [u16; TOKENS],
}

impl Table {
    /// The nearest table to what was counted. Counts that are all zero give the table of token 0 alone.
    pub(crate) fn of(counts: &Counts) -> Self {
        let total: u64 = counts.iter().map(|&count| u64::from(count)).sum();
        let mut frequencies = [0u16; TOKENS];
        if total == 0 {
            frequencies[0] = 1 << SCALE;
            return Self { frequencies };
        }
        let mut left = 1i32 << SCALE;
        for (frequency, &count) in frequencies.iter_mut().zip(counts) {
            if count > 0 {
                let near = ((u64::from(count) << SCALE) + total / 2) / total;
                *frequency = (near as u16).max(1);
                left -= i32::from(*frequency);
            }
        }
        // Rounding leaves at most half a step a token: the commonest tokens feel it least.
        while left != 0 {
            let most = (0..TOKENS)
                .max_by_key(|&token| frequencies[token])
                .unwrap_or(0);
            let step = if left > 0 {
                left
            } else {
                -((i32::from(frequencies[most]) + 7) / 8).min(-left)
            };
            frequencies[most] = (i32::from(frequencies[most]) + step) as u16;
            left -= step;
        }
        Self { frequencies }
    }

    /// Writes, up to the last token that occurs, how each frequency's length differs from the one before, then its bits.
    pub(crate) fn write(&self, bits: &mut BitWriter) {
        let last = self
            .frequencies
            .iter()
            .rposition(|&frequency| frequency > 0)
            .unwrap_or(0);
        bits.push(last as u32, 6);
        let mut before = FIRST_LENGTH;
        for &frequency in &self.frequencies[..=last] {
            let length = u16::BITS - frequency.leading_zeros();
            let difference = length as i32 - before as i32;
            let folded = ((difference << 1) ^ (difference >> 31)) as u32;
            bits.push(1 << folded, folded + 1);
            if length > 1 {
                bits.push(u32::from(frequency) & ((1 << (length - 1)) - 1), length - 1);
            }
            before = length;
        }
    }

    /// Reads what [`Self::write`] wrote; nothing if it is no table.
    pub(crate) fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let last = bits.take(6) as usize;
        let mut frequencies = [0u16; TOKENS];
        let mut before = FIRST_LENGTH;
        let mut left = 1u32 << SCALE;
        for frequency in frequencies.get_mut(..=last)? {
            let mut folded = 0u32;
            while bits.take(1) == 0 {
                folded += 1;
                if folded > 2 * MOST_LENGTH {
                    return None;
                }
            }
            let difference = (folded >> 1) as i32 ^ -((folded & 1) as i32);
            let length = before.checked_add_signed(difference)?;
            let value = match length {
                0 => 0,
                1..=MOST_LENGTH => 1 << (length - 1) | bits.take(length - 1),
                _ => return None,
            };
            left = left.checked_sub(value)?;
            *frequency = value as u16;
            before = length;
        }
        (left == 0).then_some(Self { frequencies })
    }
}

/// Bits of the largest frequency.
const MOST_LENGTH: u32 = SCALE + 1;

/// What the length of the first frequency is compared with.
const FIRST_LENGTH: u32 = 9;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn tables_add_up_and_are_read_as_written(
            counts in proptest::collection::vec(prop_oneof![Just(0u32), 1u32..9, 1u32..100_000], TOKENS),
        ) {
            let counts: Counts = counts.try_into().unwrap();
            let table = Table::of(&counts);
            let sum: u32 = table.frequencies.iter().map(|&f| u32::from(f)).sum();
            prop_assert_eq!(sum, 1 << SCALE);
            if counts.iter().any(|&count| count > 0) {
                for (&count, &frequency) in counts.iter().zip(&table.frequencies) {
                    prop_assert_eq!(count > 0, frequency > 0);
                }
            }
            let mut writer = BitWriter::default();
            table.write(&mut writer);
            let bytes = writer.finish();
            let mut reader = BitReader::new(&bytes);
            prop_assert_eq!(Table::read(&mut reader), Some(table));
            prop_assert_eq!(reader.bytes_read(), bytes.len());
        }

        #[test]
        fn what_is_read_adds_up(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            if let Some(table) = Table::read(&mut BitReader::new(&bytes)) {
                let sum: u32 = table.frequencies.iter().map(|&f| u32::from(f)).sum();
                prop_assert_eq!(sum, 1 << SCALE);
            }
        }
    }
}
