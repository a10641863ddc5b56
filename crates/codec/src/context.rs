//! Contexts: what surrounds a sample.
//!
//! Where the samples to the west, north-west, north and north-east step by at most one from each to the next, the context is the
//! *pattern* of the three steps: there a single bit that something changed is better known by its place than by its
//! size. Elsewhere it is the *activity*, to which the magnitudes of the residuals to the west (twice), north (twice),
//! north-west and north-east add up, in levels of half an octave. Contexts share tables where that is cheaper.

use crate::{
    bits::{BitReader, BitWriter},
    entropy::{self, Counts},
    lanes::Cell,
    token::TOKENS,
};

/// A context's *place* is its activity, which is below 6 · 256, or [`PATTERN`] and its pattern.
pub(crate) const PLACES: usize = 4096;

/// Places from here on are patterns: 4 · (3 · (step from N to NE, plus 1) + (step from NW to N, plus 1)) + (step from
/// NW to W, plus 1).
const PATTERN: u16 = 3 << STEPS_SHIFT;

/// A key's bits from here on are how many steps to the west it admits.
const STEPS_SHIFT: u32 = 10;

/// Number of levels.
pub(crate) const LEVELS: usize = 22;

/// Levels, then patterns.
pub(crate) const CONTEXTS: usize = LEVELS + 27;

/// Most tables of a plane.
pub(crate) const MAX_TABLES: usize = 32;

/// Context of each place.
pub(crate) const CONTEXT_OF: [u8; PLACES] = {
    let mut contexts = [0; PLACES];
    let mut place = 0;
    while place < PLACES {
        let context = if place < PATTERN as usize {
            // floor(2 log2(activity + 1)), from the square's logarithm.
            let square = (place as u32 + 1) * (place as u32 + 1);
            let level = square.ilog2() as usize;
            if level < LEVELS { level } else { LEVELS - 1 }
        } else {
            let pattern = place - PATTERN as usize;
            let context = LEVELS + pattern / 4 * 3 + pattern % 4;
            if context < CONTEXTS {
                context
            } else {
                CONTEXTS - 1
            }
        };
        contexts[place] = context as u8;
        place += 1;
    }
    contexts
};

/// What the row above says of a sample's pattern: [`PATTERN`] and the two northern steps, or 0 if they are larger than one.
#[inline(always)]
pub(crate) fn key(north_west: i16, north: i16, north_east: i16) -> u16 {
    let east = north_east.wrapping_sub(north).wrapping_add(1) as u16;
    let west = north.wrapping_sub(north_west).wrapping_add(1) as u16;
    // Wraps where it is not taken.
    let steps = east.wrapping_mul(3).wrapping_add(west);
    let key = steps.wrapping_mul(4).wrapping_add(PATTERN);
    if east < 3 && west < 3 { key } else { 0 }
}

/// Place of a sample's context.
#[inline(always)]
pub(crate) fn place(key: u16, north_west: i16, west: i16, activity: u16) -> u16 {
    let step = west.wrapping_sub(north_west).wrapping_add(1) as u16;
    if step < key >> STEPS_SHIFT {
        key + step
    } else {
        activity
    }
}

/// Keys of a row, from the row above, which starts at NW.
pub(crate) fn keys(north: &[Cell<i16>], keys: &mut [Cell<u16>]) {
    let width = keys.len();
    let north_west = north[..width].as_flattened();
    let north_east = north[2..][..width].as_flattened();
    let north = north[1..][..width].as_flattened();
    for (i, out) in keys.as_flattened_mut().iter_mut().enumerate() {
        *out = key(north_west[i], north[i], north_east[i]);
    }
}

/// Which contexts share a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sharing {
    /// Table of each context. From level to level it grows by 0 or 1, from 0.
    pub(crate) table_of: [u8; CONTEXTS],
    /// Number of tables.
    pub(crate) tables: usize,
}

impl Sharing {
    /// Joins levels with the level before, and patterns with any table, while that is no dearer. Gives the joined
    /// counts, one for each table.
    pub(crate) fn of(counts: &[Counts; CONTEXTS]) -> (Self, Vec<Counts>) {
        let mut table_of = [0u8; CONTEXTS];
        let mut tables = vec![counts[0]];
        let mut costs = vec![entropy::cost(&counts[0])];
        for (context, own) in counts.iter().enumerate().skip(1) {
            let others = if context < LEVELS {
                tables.len() - 1
            } else {
                0
            }..tables.len();
            let cost = entropy::cost(own);
            let mut best = (tables.len(), cost, cost as i64);
            if cost == 0 || tables.len() == MAX_TABLES {
                best = (tables.len() - 1, 0, i64::MAX);
            }
            for table in others {
                let together = entropy::cost(&joined(&tables[table], own));
                let more = together as i64 - costs[table] as i64;
                if more <= best.2 {
                    best = (table, together, more);
                }
            }
            if best.0 == tables.len() {
                tables.push(*own);
                costs.push(cost);
            } else {
                tables[best.0] = joined(&tables[best.0], own);
                costs[best.0] = best.1;
            }
            table_of[context] = best.0 as u8;
        }
        let sharing = Self {
            table_of,
            tables: tables.len(),
        };
        (sharing, tables)
    }

    /// Writes the number of tables, a bit for each level but the first, whether it has another table than the one
    /// before, and the tables of the patterns.
    pub(crate) fn write(&self, bits: &mut BitWriter) {
        bits.push(self.tables as u32 - 1, 5);
        for pair in self.table_of[..LEVELS].windows(2) {
            bits.push(u32::from(pair[1] - pair[0]), 1);
        }
        for &table in &self.table_of[LEVELS..] {
            bits.push(table.into(), 5);
        }
    }

    /// Reads what [`Self::write`] wrote; nothing if a context has a table that is not there.
    pub(crate) fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let tables = bits.take(5) as usize + 1;
        let mut table_of = [0u8; CONTEXTS];
        for level in 1..LEVELS {
            table_of[level] = table_of[level - 1] + bits.take(1) as u8;
        }
        for table in &mut table_of[LEVELS..] {
            *table = bits.take(5) as u8;
        }
        let sound = table_of.iter().all(|&table| usize::from(table) < tables);
        sound.then_some(Self { table_of, tables })
    }
}

fn joined(counts: &Counts, others: &Counts) -> Counts {
    let mut joined = *counts;
    (0..TOKENS).for_each(|token| joined[token] += others[token]);
    joined
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_grow_with_activity() {
        assert_eq!(CONTEXT_OF[..8], [0, 2, 3, 4, 4, 5, 5, 6]);
        let levels = &CONTEXT_OF[..6 * 256];
        assert!(levels.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(usize::from(CONTEXT_OF[6 * 255]), LEVELS - 1);
    }

    #[test]
    fn patterns_have_contexts_of_their_own() {
        let of = |north_west, north, north_east, west| {
            let place = place(key(north_west, north, north_east), north_west, west, 9);
            usize::from(CONTEXT_OF[usize::from(place)])
        };
        let mut found: Vec<usize> = (0..27)
            .map(|i| of(5, 4 + i % 3, 4 + i % 3 - 1 + i / 3 % 3, 4 + i / 9))
            .collect();
        found.sort_unstable();
        assert_eq!(found, (LEVELS..CONTEXTS).collect::<Vec<_>>());
        let level = usize::from(CONTEXT_OF[9]);
        for (north_west, north, north_east, west) in
            [(5, 7, 7, 5), (5, 5, 3, 5), (5, 5, 5, 3), (5, 5, 5, 7)]
        {
            assert_eq!(of(north_west, north, north_east, west), level);
        }
    }

    #[test]
    fn contexts_that_look_alike_share_a_table() {
        let mut counts = [[0; TOKENS]; CONTEXTS];
        counts[3][..2].fill(1000);
        counts[4][..2].fill(900);
        counts[8][..40].fill(500);
        counts[30][..2].fill(700);
        counts[31][3] = 5000;
        let (sharing, tables) = Sharing::of(&counts);
        assert_eq!([tables.len(), sharing.tables], [3, 3]);
        assert_eq!(tables[0][0], 2600);
        assert_eq!(sharing.table_of[4..9], [0, 0, 0, 0, 1]);
        assert_eq!(sharing.table_of[30..32], [0, 2]);
        let mut writer = BitWriter::default();
        sharing.write(&mut writer);
        let bytes = writer.finish();
        assert_eq!(Sharing::read(&mut BitReader::new(&bytes)), Some(sharing));
        assert_eq!(Sharing::read(&mut BitReader::new(&[0xE0; 30])), None);
    }
}
