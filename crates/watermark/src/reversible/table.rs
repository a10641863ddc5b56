//! Frequencies by which errors are drawn and given back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::model::{Model, eighths};
use super::transport::marked_bounds;

/// Bits of the sum of all frequencies of a choice.
pub(super) const PRECISION: u32 = 16;

const TOTAL: u32 = 1 << PRECISION;

/// Slopes (bits against distortion) that the engine knows, steepest first.
pub(super) const SLOPES: usize = 176;

/// Pairs of a generation of tables (12 bytes each); the process keeps two generations.
const KEPT_PAIRS: usize = 1 << 21;

/// One outcome of a choice: an interval of 0 … 2^16.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Share {
    less_one: u16,
    start: u16,
}

impl Share {
    pub(super) fn frequency(self) -> u64 {
        u64::from(self.less_one) + 1
    }

    pub(super) fn start(self) -> u64 {
        u64::from(self.start)
    }

    /// Whether there is no choice.
    pub(super) fn is_all(self) -> bool {
        self.less_one == u16::MAX
    }

    /// Whether a slot lies before the end of the interval.
    #[inline(always)]
    pub(super) fn reaches(self, slot: u32) -> bool {
        slot <= u32::from(self.start) + u32::from(self.less_one)
    }
}

/// A host error and a marked error that it may become.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pair {
    pub(super) host: i16,
    pub(super) marked: i16,
    /// The marked error among those of the host error.
    pub(super) forward: Share,
    /// The host error among those of the marked error.
    pub(super) backward: Share,
}

/// What a table is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Recipe {
    pub(super) model: Model,
    /// Index of the slope.
    pub(super) slope: u8,
    /// Where the prediction lies above its integer: 0, 1/6, 1/3 or 1/2.
    pub(super) phase: u8,
    /// Errors that take part: from −below to above.
    pub(super) below: u16,
    pub(super) above: u16,
}

/// All choices for the errors of one class.
pub(super) struct Table {
    /// The smallest error is the negative of this.
    pub(super) below: u16,
    /// In the order of host errors, and so of marked errors as well; none when nothing is to be
    /// changed.
    pub(super) pairs: Vec<Pair>,
    /// The first pair of each host error, and the end.
    pub(super) rows: Vec<u16>,
    /// The first pair of each marked error, and the end.
    pub(super) columns: Vec<u16>,
    /// For each host error: bits of the message that it takes on average.
    pub(super) bits: Vec<f32>,
}

/// Tables that were wanted before: images of a series share most of them. When a generation is
/// full, the one before it goes: what is wanted again and again stays.
#[derive(Default)]
struct Store {
    young: HashMap<Recipe, Arc<Table>>,
    old: HashMap<Recipe, Arc<Table>>,
    pairs: usize,
}

impl Store {
    fn get(&mut self, recipe: &Recipe) -> Option<Arc<Table>> {
        if let Some(table) = self.young.get(recipe) {
            return Some(Arc::clone(table));
        }
        let table = self.old.remove(recipe)?;
        self.keep(*recipe, Arc::clone(&table));
        Some(table)
    }

    fn keep(&mut self, recipe: Recipe, table: Arc<Table>) {
        if self.pairs > KEPT_PAIRS {
            self.old = std::mem::take(&mut self.young);
            self.pairs = 0;
        }
        self.pairs += table.pairs.len() + 64;
        self.young.insert(recipe, table);
    }
}

/// λ of an index: 24 · 2^(−i/8) nats for each unit of square error.
pub(super) fn slope(index: u8) -> f64 {
    24.0 / eighths(u32::from(index))
}

impl Recipe {
    /// The table, from the process's store if it was wanted before.
    pub(super) fn table(self) -> Arc<Table> {
        static STORE: Mutex<Option<Store>> = Mutex::new(None);
        {
            let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
            let store = store.get_or_insert_default();
            if let Some(table) = store.get(&self) {
                return table;
            }
        }
        let table = Arc::new(Table::build(self));
        let mut store = STORE.lock().unwrap_or_else(PoisonError::into_inner);
        store.get_or_insert_default().keep(self, Arc::clone(&table));
        table
    }
}

impl Table {
    /// Changes nothing.
    fn idle() -> Self {
        Self {
            below: 0,
            pairs: Vec::new(),
            rows: Vec::new(),
            columns: Vec::new(),
            bits: Vec::new(),
        }
    }

    fn build(recipe: Recipe) -> Self {
        let phase = f64::from(recipe.phase) / 6.0;
        let (below, above) = (usize::from(recipe.below), usize::from(recipe.above));
        let host = recipe.model.probabilities(phase, below, above);
        let slope = slope(recipe.slope);
        if !worthwhile(&host, slope) {
            return Self::idle();
        }
        let bounds = cumulative(&host);
        let marked = marked_bounds(&bounds, slope);
        Self::from_bounds(&bounds, &marked, recipe.below)
    }

    fn from_bounds(host: &[f64], marked: &[f64], below: u16) -> Self {
        let masses = overlaps(host, marked);
        let count = host.len() - 1;
        let least = below as i16;
        let mut pairs: Vec<Pair> = masses
            .iter()
            .map(|&(x, y, _)| Pair {
                host: x as i16 - least,
                marked: y as i16 - least,
                forward: Share::default(),
                backward: Share::default(),
            })
            .collect();
        let starts = |of: &dyn Fn(&(usize, usize, f64)) -> usize| -> Vec<u16> {
            let mut starts = vec![0u16; count + 1];
            for entry in &masses {
                starts[of(entry) + 1] += 1;
            }
            for i in 0..count {
                starts[i + 1] += starts[i];
            }
            starts
        };
        let rows = starts(&|entry| entry.0);
        let columns = starts(&|entry| entry.1);
        for (starts, forward) in [(&rows, true), (&columns, false)] {
            for group in starts.windows(2) {
                let group = usize::from(group[0])..usize::from(group[1]);
                let shares = shares(&masses[group.clone()]);
                for (pair, share) in pairs[group].iter_mut().zip(shares) {
                    if forward {
                        pair.forward = share;
                    } else {
                        pair.backward = share;
                    }
                }
            }
        }
        let mut table = Self {
            below,
            pairs,
            rows,
            columns,
            bits: Vec::new(),
        };
        table.weigh();
        table
    }

    /// Notes the mean gain of each host error. Only embedding asks for it.
    fn weigh(&mut self) {
        for row in self.rows.windows(2) {
            let mut bits = 0.0;
            for pair in &self.pairs[usize::from(row[0])..usize::from(row[1])] {
                let (forward, backward) = (pair.forward.frequency(), pair.backward.frequency());
                let share = forward as f64 / f64::from(TOTAL);
                bits += share * (backward as f64 / forward as f64).log2();
            }
            self.bits.push(bits as f32);
        }
    }
}

/// Whether any change gains more than it costs.
fn worthwhile(host: &[f64], slope: f64) -> bool {
    let ratio = super::model::exp(slope.min(60.0));
    host.windows(2)
        .any(|two| two[0] > ratio * two[1] || two[1] > ratio * two[0])
}

fn cumulative(masses: &[f64]) -> Vec<f64> {
    let mut bounds = Vec::with_capacity(masses.len() + 1);
    let mut sum = 0.0;
    bounds.push(0.0);
    for mass in masses {
        sum += mass;
        bounds.push(sum);
    }
    bounds
}

/// Host error, marked error and mass of every overlap, in order. Every host error has one.
fn overlaps(host: &[f64], marked: &[f64]) -> Vec<(usize, usize, f64)> {
    let count = host.len() - 1;
    let mut all = Vec::with_capacity(2 * count);
    let (mut y, mut from) = (0, 0.0);
    for x in 0..count {
        let end = host[x + 1];
        let least = (end - host[x]) * 0.25 / f64::from(TOTAL);
        let before = all.len();
        let mut largest = (x, y, -1.0);
        while y + 1 < count && marked[y + 1] < end {
            let mass = marked[y + 1] - from;
            if mass > least {
                all.push((x, y, mass));
            }
            if mass > largest.2 {
                largest = (x, y, mass);
            }
            from = from.max(marked[y + 1]);
            y += 1;
        }
        let mass = end - from;
        if mass > least {
            all.push((x, y, mass));
        }
        if all.len() == before {
            all.push(largest);
        }
        from = end;
    }
    all
}

/// Frequencies that add up to 2^16, none of them zero.
fn shares(group: &[(usize, usize, f64)]) -> Vec<Share> {
    let sum: f64 = group.iter().map(|entry| entry.2.max(0.0)).sum();
    let spare = f64::from(TOTAL - group.len() as u32);
    let mut frequencies: Vec<u32> = group
        .iter()
        .map(|entry| 1 + (entry.2.max(0.0) / sum * spare) as u32)
        .collect();
    let given: u32 = frequencies.iter().sum();
    let mut best = 0;
    for i in 1..frequencies.len() {
        if frequencies[i] > frequencies[best] {
            best = i;
        }
    }
    if let Some(frequency) = frequencies.get_mut(best) {
        *frequency = (*frequency + TOTAL).saturating_sub(given).max(1);
    }
    let mut start = 0;
    frequencies
        .iter()
        .map(|&frequency| {
            let share = Share {
                less_one: (frequency - 1) as u16,
                start: start as u16,
            };
            start += frequency;
            share
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::stack::Stack;
    use super::*;

    fn recipe(scale: u8, shape: u8, slope: u8) -> Recipe {
        let model = Model { scale, shape };
        let reach = model.reach() as u16;
        Recipe {
            model,
            slope,
            phase: 1,
            below: reach - 1,
            above: reach,
        }
    }

    #[test]
    fn frequencies_of_every_choice_fill_it() {
        for (scale, shape, slope) in [(0, 1, 24), (12, 4, 30), (44, 7, 60), (70, 0, 90)] {
            let table = Table::build(recipe(scale, shape, slope));
            assert!(!table.pairs.is_empty());
            for (starts, forward) in [(&table.rows, true), (&table.columns, false)] {
                for group in starts.windows(2).filter(|group| group[0] < group[1]) {
                    let mut end = 0;
                    for pair in &table.pairs[usize::from(group[0])..usize::from(group[1])] {
                        let share = if forward { pair.forward } else { pair.backward };
                        assert_eq!(share.start(), end);
                        end += share.frequency();
                    }
                    assert_eq!(end, u64::from(TOTAL));
                }
            }
            assert!(table.rows.windows(2).all(|row| row[0] < row[1]));
        }
    }

    #[test]
    fn the_rate_of_errors_that_follow_the_model_is_the_gain_of_entropy() {
        let recipe = recipe(44, 4, 66);
        let table = Table::build(recipe);
        let host = recipe.model.probabilities(
            1.0 / 6.0,
            usize::from(recipe.below),
            usize::from(recipe.above),
        );
        let entropy = |masses: &[f64]| -> f64 { masses.iter().map(|p| -p * p.log2()).sum() };
        let bounds = cumulative(&host);
        let marked = marked_bounds(&bounds, slope(recipe.slope));
        let masses: Vec<f64> = marked.windows(2).map(|two| two[1] - two[0]).collect();
        let bound = entropy(&masses) - entropy(&host);
        assert!(bound > 0.05, "too little is asked for: {bound}");
        let mut state = 1u64;
        let mut random = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33) as u32
        };
        let message: Vec<u32> = (0..20_000).map(|_| random() << 8 ^ random()).collect();
        let mut stack = Stack::of_message(message);
        let (before, samples) = (stack.words.len(), 200_000);
        for _ in 0..samples {
            let u = f64::from(random()) / 2f64.powi(31);
            let row = bounds
                .partition_point(|bound| *bound <= u)
                .clamp(1, host.len())
                - 1;
            let row = &table.pairs[usize::from(table.rows[row])..];
            let pair = row
                .iter()
                .find(|pair| pair.forward.reaches(stack.slot()))
                .unwrap();
            assert!(stack.pop(pair.forward));
            stack.push(pair.backward);
        }
        let rate = (before - stack.words.len()) as f64 * 32.0 / f64::from(samples);
        assert!(
            (rate / bound - 1.0).abs() < 0.03,
            "{rate} bits, {bound} expected"
        );
    }

    #[test]
    fn tables_are_the_same_on_every_machine() {
        let mut sum = 0xcbf2_9ce4_8422_2325u64;
        for (scale, shape, slope) in [(3, 1, 8), (20, 3, 40), (48, 6, 64), (80, 2, 100)] {
            for pair in Table::build(recipe(scale, shape, slope)).pairs {
                for part in [
                    pair.host as u64,
                    pair.marked as u64,
                    pair.forward.frequency(),
                    pair.backward.frequency(),
                ] {
                    sum = (sum ^ part).wrapping_mul(0x0000_0100_0000_01b3);
                }
            }
        }
        assert_eq!(
            sum, 17_153_331_154_417_398_509,
            "what was marked before cannot be restored: make a new version"
        );
    }
}
