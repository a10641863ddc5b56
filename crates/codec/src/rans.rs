//! Range asymmetric numeral systems (Duda, arXiv 1311.2540) with static tables: one state a lane, and one
//! stream of 16-bit words that all lanes share, because the reader consumes them in an order that it knows.
//!
//! States are 2^15 to 2^31 − 1, so that the writer divides by a multiplication that is exact for 31 bits.

use crate::{LANES, table::Table, token::TOKENS};

/// Largest logarithm of the sum of a table's frequencies.
pub(crate) const MAX_SCALE: u32 = 12;

/// Smallest state. Every lane ends (where the writer begins) with it.
const LEAST: u32 = 1 << 15;

/// One state a lane.
pub(crate) type States = [u32; LANES];

/// How one token of one table changes a state.
#[derive(Clone, Copy, Default)]
pub(crate) struct Step {
    /// From here on, a word is written first.
    limit: u32,
    reciprocal: u32,
    bias: u32,
    complement: u16,
    shift: u16,
}

/// The steps of a table, by token.
pub(crate) fn steps(table: &Table, scale: u32) -> [Step; TOKENS] {
    let mut below = 0u32;
    table.frequencies.map(|frequency| {
        let frequency = u32::from(frequency);
        let start = below;
        below += frequency;
        let complement = ((1u32 << scale) - frequency) as u16;
        let limit = frequency << (31 - scale);
        match frequency {
            0 => Step::default(),
            // The quotient comes out as x − 1, which the bias makes up for.
            1 => Step {
                limit,
                reciprocal: u32::MAX,
                bias: start + (1 << scale) - 1,
                complement,
                shift: 0,
            },
            _ => {
                let shift = u32::BITS - (frequency - 1).leading_zeros();
                let reciprocal = (1u64 << (shift + 31)).div_ceil(u64::from(frequency));
                Step {
                    limit,
                    reciprocal: reciprocal as u32,
                    bias: start,
                    complement,
                    shift: (shift - 1) as u16,
                }
            }
        }
    })
}

/// Takes symbols in reverse.
pub(crate) struct Writer {
    states: States,
    words: Vec<u16>,
}

impl Writer {
    /// Room for a word a symbol, which no symbol exceeds.
    pub(crate) fn new() -> Self {
        Self {
            states: [LEAST; LANES],
            words: Vec::new(),
        }
    }

    /// Codes one symbol of a lane.
    #[inline(always)]
    pub(crate) fn push(&mut self, lane: usize, step: &Step) {
        let mut state = self.states[lane];
        if state >= step.limit {
            self.words.push(state as u16);
            state >>= 16;
        }
        let quotient = ((u64::from(state) * u64::from(step.reciprocal)) >> 32) as u32 >> step.shift;
        self.states[lane] = state
            .wrapping_add(step.bias)
            .wrapping_add(quotient.wrapping_mul(u32::from(step.complement)));
    }

    /// The states where reading begins, and the words in the order of reading.
    pub(crate) fn finish(mut self) -> (States, Vec<u16>) {
        self.words.reverse();
        (self.states, self.words)
    }
}

/// A slot of a table for reading: token in the low 6 bits, then frequency − 1 and the slot's distance from the
/// token's first, 12 bits each.
pub(crate) type Slot = u32;

/// Appends the 2^scale slots of a table.
pub(crate) fn slots(table: &Table, slots: &mut Vec<Slot>) {
    for (token, &frequency) in table.frequencies.iter().enumerate() {
        let fixed = token as u32 | u32::from(frequency).wrapping_sub(1) << 6;
        slots.extend((0..u32::from(frequency)).map(|distance| fixed | distance << 18));
    }
}

/// Gives symbols in order.
pub(crate) struct Reader<'a> {
    pub(crate) states: States,
    words: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// Words as bytes, low byte first.
    pub(crate) fn new(states: States, words: &'a [u8]) -> Option<Self> {
        let sound = states.iter().all(|state| (LEAST..1 << 31).contains(state));
        (sound && words.len().is_multiple_of(2)).then_some(Self {
            states,
            words,
            at: 0,
        })
    }

    /// Moves a lane's state past the slot that its low bits chose; gives the token.
    #[inline(always)]
    pub(crate) fn advance(&mut self, lane: usize, slot: Slot, scale: u32) -> usize {
        let state = self.states[lane];
        let frequency = (slot >> 6 & 0xFFF) + 1;
        // At most 2^12 · 2^(31 − scale) for sound tables; a damaged one cannot be here, as tables add up.
        let state = frequency
            .wrapping_mul(state >> scale)
            .wrapping_add(slot >> 18);
        let word = match self.words.get(self.at..).and_then(<[u8]>::first_chunk) {
            Some(word) => u32::from(u16::from_le_bytes(*word)),
            None => 0,
        };
        let short = state < LEAST;
        self.states[lane] = if short { state << 16 | word } else { state };
        self.at += 2 * usize::from(short);
        (slot & 63) as usize
    }

    /// Whether all words were read, no more, and each lane came back to where its writer began.
    pub(crate) fn ends(&self) -> bool {
        self.at == self.words.len() && self.states == [LEAST; LANES]
    }
}
