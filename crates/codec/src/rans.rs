//! Range asymmetric numeral systems (Duda, arXiv 1311.2540) with static tables: one state a lane, and one
//! stream of 16-bit words that all lanes share, because the reader consumes them in an order that it knows.
//!
//! States are 2^15 to 2^31 − 1, so that the writer divides by a multiplication that is exact for 31 bits.

use crate::{
    LANES,
    context::MAX_TABLES,
    table::Table,
    token::{Spans, TOKENS},
};

/// Logarithm of the sum of a table's frequencies.
pub(crate) const SCALE: u32 = 11;

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
pub(crate) fn steps(table: &Table) -> [Step; TOKENS] {
    let mut below = 0u32;
    table.frequencies.map(|frequency| {
        let frequency = u32::from(frequency);
        let start = below;
        below += frequency;
        let complement = ((1u32 << SCALE) - frequency) as u16;
        let limit = frequency << (31 - SCALE);
        match frequency {
            0 => Step::default(),
            // The quotient comes out as x − 1, which the bias makes up for.
            1 => Step {
                limit,
                reciprocal: u32::MAX,
                bias: start + (1 << SCALE) - 1,
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
    count: usize,
}

impl Writer {
    /// With room for a word a symbol, which no symbol exceeds.
    pub(crate) fn new(symbols: usize) -> Self {
        Self {
            states: [LEAST; LANES],
            words: vec![0; symbols],
            count: 0,
        }
    }

    /// Codes one symbol of a lane.
    #[inline(always)]
    pub(crate) fn push(&mut self, lane: usize, step: &Step) {
        let mut state = self.states[lane];
        // Whether a word leaves cannot be foreseen, so there is no branch: one that stays is overwritten.
        let leaves = state >= step.limit;
        if let Some(word) = self.words.get_mut(self.count) {
            *word = state as u16;
        }
        self.count += usize::from(leaves);
        state = if leaves { state >> 16 } else { state };
        let quotient = ((u64::from(state) * u64::from(step.reciprocal)) >> 32) as u32 >> step.shift;
        self.states[lane] = state
            .wrapping_add(step.bias)
            .wrapping_add(quotient.wrapping_mul(u32::from(step.complement)));
    }

    /// The states where reading begins, and the words in the order of reading.
    pub(crate) fn finish(mut self) -> (States, Vec<u16>) {
        self.words.truncate(self.count);
        self.words.reverse();
        (self.states, self.words)
    }
}

/// A slot of a table for reading: the token's frequency, the slot's distance from the token's first, and of the
/// token's span the first residual, then magnitude · 256 + bits.
pub(crate) type Slot = [u16; 4];

/// Slots of the most tables that a plane has.
pub(crate) const SLOTS: usize = MAX_TABLES << SCALE;

/// Fills the 2^11 slots of a table.
pub(crate) fn fill(slots: &mut [Slot], table: &Table, spans: &Spans) {
    let mut rest = slots;
    for (&frequency, span) in table.frequencies.iter().zip(spans) {
        let (own, others) = rest.split_at_mut(usize::from(frequency).min(rest.len()));
        let about = u16::from_be_bytes([span.magnitude, span.bits]);
        for (distance, slot) in own.iter_mut().enumerate() {
            *slot = [frequency, distance as u16, span.first, about];
        }
        rest = others;
    }
}

/// Whether a writer can have ended with these states.
pub(crate) fn sound(states: &States) -> bool {
    states.iter().all(|state| (LEAST..1 << 31).contains(state))
}

/// Whether each lane came back to where its writer began.
pub(crate) fn ends(states: &States) -> bool {
    *states == [LEAST; LANES]
}

/// The state behind the slot that its low bits chose. Takes the word at `at` (low byte first)
/// where the state would be too small; behind the end, words are zero.
#[inline(always)]
pub(crate) fn advance(state: u32, slot: &Slot, words: &[[u8; 2]], at: &mut usize) -> u32 {
    // Below 2^31, as the frequency is at most 2^11.
    let state = u32::from(slot[0]) * (state >> SCALE) + u32::from(slot[1]);
    let word = words
        .get(*at)
        .map_or(0, |&word| u32::from(u16::from_le_bytes(word)));
    let short = state < LEAST;
    *at += usize::from(short);
    if short { state << 16 | word } else { state }
}
