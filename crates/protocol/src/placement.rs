//! Placement and mixing: which cells a bundle gets, and when slots leave for the cloud
//! (docs/protocol.md 5).
//!
//! [`OpenGeneration`] is a state machine: the caller persists what it decides and gives the state
//! back after a restart. It knows no bytes and no keys.

use std::collections::BTreeMap;
use std::time::Duration;

use rand_core::{CryptoRng, Rng};

use crate::cell::Layout;
use crate::time::Timestamp;

/// When slots leave (5.3, 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mixing {
    /// Each slot after a memoryless delay of this mean.
    Exponential {
        /// Mean of the delay.
        mean: Duration,
    },
    /// All slots together, shuffled, when the generation is sealed.
    EpochShuffle,
}

/// When a generation is sealed (5.5).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SealRule {
    /// Share of the slots that must be occupied, above 0 and at most 1.
    pub share: f64,
    /// Age of the first deposit.
    pub age: Duration,
}

/// A slot that holds fragments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OccupiedSlot {
    /// Cells in use, from cell 0 up.
    pub used: u16,
    /// When it leaves, in exponential mode.
    pub leaves: Option<Timestamp>,
    /// It has left, or is leaving: nothing more is placed in it.
    pub closed: bool,
}

/// A place for one fragment in the open generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Index of the slot.
    pub slot: u32,
    /// Index of the cell.
    pub cell: u16,
}

/// The bundle does not fit what is left of the generation: seal it, open the next (5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the bundle needs {needed} slots and the open generation has {free} left")]
pub struct Full {
    /// Slots that would have to be opened.
    pub needed: u32,
    /// Slots that are free.
    pub free: u32,
}

/// The generation that takes deposits.
#[derive(Clone, Debug)]
pub struct OpenGeneration {
    layout: Layout,
    mixing: Mixing,
    rule: SealRule,
    first_deposit: Option<Timestamp>,
    slots: BTreeMap<u32, OccupiedSlot>,
}

impl OpenGeneration {
    /// An empty one, or, with what was persisted, the one from before a restart.
    pub fn new(
        layout: Layout,
        mixing: Mixing,
        rule: SealRule,
        first_deposit: Option<Timestamp>,
        slots: BTreeMap<u32, OccupiedSlot>,
    ) -> Self {
        Self {
            layout,
            mixing,
            rule,
            first_deposit,
            slots,
        }
    }

    /// The occupied slots, for persisting.
    pub fn slots(&self) -> &BTreeMap<u32, OccupiedSlot> {
        &self.slots
    }

    /// When the first bundle came.
    pub fn first_deposit(&self) -> Option<Timestamp> {
        self.first_deposit
    }

    /// Places a bundle of `fragments` fragments (5.1): the place of each, in fragment order.
    ///
    /// Changes nothing if the bundle does not fit.
    pub fn place(
        &mut self,
        fragments: u32,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<Place>, Full> {
        let cells = self.layout.cells_per_slot;
        let whole = fragments / u32::from(cells);
        let rest = (fragments % u32::from(cells)) as u16;
        let shared = if rest > 0 { self.best_fit(rest) } else { None };

        let needed = whole + u32::from(rest > 0 && shared.is_none());
        let free = self.free_count();
        if needed > free {
            return Err(Full { needed, free });
        }

        let mut places = Vec::with_capacity(fragments as usize);
        for _ in 0..whole {
            let slot = self.open_slot(now, rng);
            self.fill(slot, cells, &mut places);
        }
        if rest > 0 {
            let slot = shared.unwrap_or_else(|| self.open_slot(now, rng));
            self.fill(slot, rest, &mut places);
        }
        if !places.is_empty() {
            self.first_deposit.get_or_insert(now);
        }
        Ok(places)
    }

    /// The slots whose time has come (5.3), earliest first. The caller closes each before it reads it.
    pub fn due(&self, now: Timestamp) -> Vec<u32> {
        let mut due: Vec<(Timestamp, u32)> = self
            .slots
            .iter()
            .filter(|(_, slot)| !slot.closed)
            .filter_map(|(index, slot)| slot.leaves.filter(|at| *at <= now).map(|at| (at, *index)))
            .collect();
        due.sort_unstable();
        due.into_iter().map(|(_, index)| index).collect()
    }

    /// When [`OpenGeneration::due`] or [`OpenGeneration::should_seal`] next changes by time alone.
    pub fn next_event(&self) -> Option<Timestamp> {
        let leaving = self
            .slots
            .values()
            .filter(|s| !s.closed)
            .filter_map(|s| s.leaves);
        let sealing = self.first_deposit.map(|first| first.after(self.rule.age));
        leaving.chain(sealing).min()
    }

    /// Marks a slot as leaving: nothing is placed in it any more.
    pub fn close(&mut self, slot: u32) {
        if let Some(slot) = self.slots.get_mut(&slot) {
            slot.closed = true;
        }
    }

    /// Whether sealing should begin (5.5). A generation without a deposit is never sealed.
    pub fn should_seal(&self, now: Timestamp) -> bool {
        let Some(first) = self.first_deposit else {
            return false;
        };
        let wanted = (self.rule.share * f64::from(self.layout.slots)).ceil();
        self.slots.len() as f64 >= wanted || now >= first.after(self.rule.age)
    }

    /// Every slot that has not left, occupied or cover, in the order in which it leaves at sealing:
    /// uniformly random (5.4, 5.5).
    pub fn sealing_order(&self, rng: &mut impl CryptoRng) -> Vec<u32> {
        let mut order: Vec<u32> = (0..self.layout.slots)
            .filter(|index| self.slots.get(index).is_none_or(|slot| !slot.closed))
            .collect();
        shuffle(&mut order, rng);
        order
    }

    fn free_count(&self) -> u32 {
        self.layout.slots - self.slots.len() as u32
    }

    /// The fullest shared slot that has room for `rest` more cells.
    fn best_fit(&self, rest: u16) -> Option<u32> {
        self.slots
            .iter()
            .filter(|(_, s)| !s.closed && s.used + rest <= self.layout.cells_per_slot)
            .max_by_key(|(_, s)| s.used)
            .map(|(index, _)| *index)
    }

    /// Opens a slot at an index drawn uniformly from the free ones; there must be one.
    fn open_slot(&mut self, now: Timestamp, rng: &mut impl CryptoRng) -> u32 {
        let mut skip = below(self.free_count(), rng);
        let mut index = 0;
        loop {
            if !self.slots.contains_key(&index) {
                if skip == 0 {
                    break;
                }
                skip -= 1;
            }
            index += 1;
        }
        let leaves = match self.mixing {
            Mixing::Exponential { mean } => Some(now.after(exponential(mean, rng))),
            Mixing::EpochShuffle => None,
        };
        self.slots.insert(
            index,
            OccupiedSlot {
                used: 0,
                leaves,
                closed: false,
            },
        );
        index
    }

    fn fill(&mut self, slot: u32, cells: u16, places: &mut Vec<Place>) {
        if let Some(state) = self.slots.get_mut(&slot) {
            places.extend((state.used..state.used + cells).map(|cell| Place { slot, cell }));
            state.used += cells;
        }
    }
}

/// Uniform in `0..bound`, without bias (rejection); `bound` must not be 0.
pub fn below(bound: u32, rng: &mut impl Rng) -> u32 {
    debug_assert!(bound > 0);
    let zone = u32::MAX - (u32::MAX % bound + 1) % bound;
    loop {
        let drawn = rng.next_u32();
        if drawn <= zone {
            return drawn % bound;
        }
    }
}

/// A uniformly random order (Fisher and Yates).
pub fn shuffle<T>(items: &mut [T], rng: &mut impl Rng) {
    for last in (1..items.len()).rev() {
        items.swap(last, below(last as u32 + 1, rng) as usize);
    }
}

/// A delay of the exponential law.
fn exponential(mean: Duration, rng: &mut impl CryptoRng) -> Duration {
    // Uniform in (0, 1]: the logarithm is finite.
    let uniform = ((rng.next_u64() >> 11) + 1) as f64 / (1u64 << 53) as f64;
    mean.mul_f64(-uniform.ln())
}

#[cfg(test)]
mod tests;
