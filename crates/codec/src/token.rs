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
pub(crate) fn unfold(folded: u32) -> i32 {
    (folded >> 1) as i32 ^ -((folded & 1) as i32)
}

/// Token, and number of bits beside it: the lowest of the folded residual.
#[inline(always)]
pub(crate) fn split(folded: u16) -> (u32, u32) {
    let value = u32::from(folded);
    let beside = (29 - (value | 4).leading_zeros()) & 31;
    ((beside << 2) + (value >> beside), beside)
}

/// Of each token, its smallest folded residual, and how many bits go beside it.
pub(crate) const SPANS: [Span; 64] = {
    let mut spans = [Span { first: 0, bits: 0 }; 64];
    let mut token = 0;
    while token < TOKENS {
        let bits = if token < 8 { 0 } else { token / 4 - 1 };
        spans[token] = Span {
            first: ((token - bits * 4) << bits) as u16,
            bits: bits as u16,
        };
        token += 1;
    }
    spans
};

/// The folded residuals of a token.
#[derive(Clone, Copy)]
pub(crate) struct Span {
    pub(crate) first: u16,
    pub(crate) bits: u16,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_residual_has_its_token() {
        for residual in i16::MIN..=i16::MAX {
            let folded = fold(residual);
            let (token, bits) = split(folded);
            let span = SPANS[token as usize];
            assert!((token as usize) < TOKENS);
            assert_eq!(u32::from(span.bits), bits);
            let beside = folded & ((1 << bits) - 1) as u16;
            assert_eq!(span.first + beside, folded);
            assert_eq!(unfold(folded.into()), i32::from(residual));
        }
    }
}
