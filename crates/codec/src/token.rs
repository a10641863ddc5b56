//! Residuals as tokens, which have modelled probabilities, and bits, which are taken as even.
//!
//! A folded residual below 8 is a token of its own; above, each octave has four tokens, and the bits below the
//! two that follow the leading one go beside.

/// Number of tokens: folded residuals have 16 bits.
pub(crate) const TOKENS: usize = 60;

/// 0, −1, 1, −2, … as 0, 1, 2, 3, …
#[inline(always)]
pub(crate) fn fold(residual: i16) -> u16 {
    ((residual << 1) ^ (residual >> 15)) as u16
}

/// Reverses [`fold`].
#[inline(always)]
pub(crate) fn unfold(folded: u16) -> i16 {
    (folded >> 1) as i16 ^ -((folded & 1) as i16)
}

/// Token, and number of bits beside it: the lowest of the folded residual.
#[inline(always)]
pub(crate) fn split(folded: u16) -> (u32, u32) {
    let value = u32::from(folded);
    let beside = (29 - (value | 4).leading_zeros()) & 31;
    ((beside << 2) + (value >> beside), beside)
}

/// The folded residuals of a token.
#[derive(Clone, Copy, Default)]
pub(crate) struct Span {
    /// The smallest.
    pub(crate) first: u16,
    /// What the bits beside the token can be.
    pub(crate) mask: u16,
    /// How many they are.
    pub(crate) bits: u8,
    /// What the residual counts as in the activity of later samples.
    pub(crate) magnitude: u8,
}

/// Spans by token; those behind the last are not used.
pub(crate) type Spans = [Span; 64];

/// The spans of all tokens. Residuals are divided by 2^`shift` before they count as magnitudes.
pub(crate) const fn spans(shift: u32) -> Spans {
    let mut spans = [Span {
        first: 0,
        mask: 0,
        bits: 0,
        magnitude: 0,
    }; 64];
    let mut token = 0;
    while token < TOKENS {
        let bits = if token < 8 { 0 } else { token / 4 - 1 };
        let first = (token - bits * 4) << bits;
        let middle = first + (1 << bits) / 2;
        let magnitude = middle.div_ceil(2) >> shift;
        spans[token] = Span {
            first: first as u16,
            mask: ((1 << bits) - 1) as u16,
            bits: bits as u8,
            magnitude: if magnitude < MAX_MAGNITUDE {
                magnitude
            } else {
                MAX_MAGNITUDE
            } as u8,
        };
        token += 1;
    }
    spans
}

/// Largest magnitude that is kept of a residual.
pub(crate) const MAX_MAGNITUDE: usize = 255;

/// What so many bits can be; the number of bits beside a token is below 16.
pub(crate) const MASKS: [u16; 256] = {
    let mut masks = [0; 256];
    let mut bits = 0;
    while bits < 16 {
        masks[bits] = (1 << bits) - 1;
        bits += 1;
    }
    masks
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_residual_has_its_token() {
        let spans = spans(0);
        for residual in i16::MIN..=i16::MAX {
            let folded = fold(residual);
            let (token, bits) = split(folded);
            let span = spans[token as usize];
            assert!((token as usize) < TOKENS);
            assert_eq!(u32::from(span.bits), bits);
            let beside = folded & span.mask;
            assert_eq!(span.first + beside, folded);
            assert_eq!(unfold(folded), residual);
        }
    }

    #[test]
    fn magnitudes() {
        let of = |residual: i16, shift| spans(shift)[split(fold(residual)).0 as usize].magnitude;
        assert_eq!([of(0, 0), of(-1, 0), of(3, 0), of(-900, 0)], [0, 1, 3, 255]);
        assert_eq!(
            [of(-900, 2), of(i16::MIN, 8), of(i16::MAX, 7)],
            [240, 120, 240]
        );
    }
}
