//! What symbols cost, in integers: the coder's choices are the same on every machine.

use crate::token::{Span, Spans, TOKENS, spans};

/// How often each token occurs in one context.
pub(crate) type Counts = [u32; TOKENS];

/// Fractional bits of a cost.
const FRACTION: u32 = 8;

/// 256 · log2 of 1 to 2 in steps of 1/256.
const PARTS: [u8; 256] = {
    let mut parts = [0; 256];
    let mut i = 0;
    while i < 256 {
        // 31 fractional bits; squaring moves one bit of the logarithm to the front.
        let mut number = (256 + i as u64) << 23;
        let mut bits = 0;
        let mut bit = 0;
        while bit < FRACTION {
            number = (number * number) >> 31;
            let carry = number >> 32;
            number >>= carry;
            bits = bits << 1 | carry as u8;
            bit += 1;
        }
        parts[i] = bits;
        i += 1;
    }
    parts
};

/// 256 · log2 of a number, at most 3 below; 0 of 0.
pub(crate) fn log2(number: u32) -> u32 {
    let Some(whole) = number.checked_ilog2() else {
        return 0;
    };
    let part = (u64::from(number) << (31 - whole) >> 23) as usize;
    whole << FRACTION | u32::from(PARTS[part % 256])
}

/// Bits, times 256, of all symbols of a context and of its table.
pub(crate) fn cost(counts: &Counts) -> u64 {
    let total = counts.iter().sum();
    let whole = u64::from(log2(total));
    let of_token = |(&count, span): (&u32, &Span)| {
        let each =
            whole.saturating_sub(u64::from(log2(count))) + (u64::from(span.bits) << FRACTION);
        u64::from(count) * each + if count > 0 { TABLE_ENTRY } else { 0 }
    };
    counts.iter().zip(&SPANS).map(of_token).sum()
}

/// For the bits beside tokens.
const SPANS: Spans = spans(0);

/// What one token in a table costs, about.
const TABLE_ENTRY: u64 = 8 << FRACTION;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms() {
        for number in [1u32, 2, 3, 5, 7, 1000, 65_535, 1 << 20, u32::MAX] {
            let exact = f64::from(number).log2() * 256.0;
            let found = f64::from(log2(number));
            assert!(
                found <= exact && exact < found + 3.0,
                "{number}: {found} {exact}"
            );
        }
    }

    #[test]
    fn even_tokens_cost_their_logarithm() {
        let mut counts = [0; TOKENS];
        counts[..4].fill(1000);
        assert_eq!(cost(&counts), ((4000 * 2) << FRACTION) + 4 * TABLE_ENTRY);
    }
}
