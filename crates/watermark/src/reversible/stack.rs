//! The message as a stack of choices: range asymmetric numeral systems (Duda 2013) with a state
//! of 64 bits that is refilled by words of 32.

use super::table::{PRECISION, Share};

/// States stay at or above this.
const LOW: u64 = 1 << 32;

const SLOT: u64 = (1 << PRECISION) - 1;

/// Words of the message, the last one on top, and the state above them.
#[derive(Clone)]
pub(super) struct Stack {
    pub(super) state: u64,
    pub(super) words: Vec<u32>,
}

impl Stack {
    /// A message under the lowest state.
    pub(super) fn of_message(words: Vec<u32>) -> Self {
        Self { state: LOW, words }
    }

    /// What extraction starts from; `None` for a state that embedding cannot end in.
    pub(super) fn of_state(state: u64) -> Option<Self> {
        (state >= LOW).then(|| Self {
            state,
            words: Vec::new(),
        })
    }

    /// The message, if everything was given back that had been taken.
    pub(super) fn into_message(self) -> Option<Vec<u32>> {
        (self.state == LOW).then_some(self.words)
    }

    /// What the next choice will be taken from.
    #[inline(always)]
    pub(super) fn slot(&self) -> u32 {
        (self.state & SLOT) as u32
    }

    /// Takes the choice that [`Stack::slot`] fell in; false, and nothing is taken, when the words
    /// are used up.
    #[inline(always)]
    pub(super) fn pop(&mut self, share: Share) -> bool {
        let state =
            share.frequency() * (self.state >> PRECISION) + (self.state & SLOT) - share.start();
        if state >= LOW {
            self.state = state;
            return true;
        }
        match self.words.pop() {
            Some(word) => {
                self.state = state << 32 | u64::from(word);
                true
            }
            None => false,
        }
    }

    /// Gives a choice back.
    #[inline(always)]
    pub(super) fn push(&mut self, share: Share) {
        let frequency = share.frequency();
        if frequency > SLOT {
            return;
        }
        let mut state = self.state;
        if state >> 48 >= frequency {
            self.words.push(state as u32);
            state >>= 32;
        }
        self.state = (state / frequency) << PRECISION | (state % frequency + share.start());
    }
}
