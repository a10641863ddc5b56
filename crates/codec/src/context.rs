//! Contexts: how large the residuals around a sample were.
//!
//! The magnitudes of the residuals to the west (twice), north (twice), north-west and north-east add up to an
//! *activity*; two levels an octave. Levels next to each other share a table where that is cheaper.

use crate::{
    bits::{BitReader, BitWriter},
    entropy::{self, Counts},
    token::TOKENS,
};

/// Activities are below this: 6 · 255 < 2048.
pub(crate) const ACTIVITIES: usize = 2048;

/// Number of levels.
pub(crate) const LEVELS: usize = 22;

/// Most tables of a plane.
pub(crate) const MAX_TABLES: usize = 16;

/// Level of each activity.
pub(crate) const LEVEL_OF: [u8; ACTIVITIES] = {
    let mut levels = [0; ACTIVITIES];
    let mut activity = 0;
    while activity < ACTIVITIES {
        // floor(2 log2(activity + 1)), from the square's logarithm.
        let square = (activity as u32 + 1) * (activity as u32 + 1);
        let level = square.ilog2() as u8;
        levels[activity] = if level < LEVELS as u8 {
            level
        } else {
            LEVELS as u8 - 1
        };
        activity += 1;
    }
    levels
};

/// Which levels share a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Sharing {
    /// Table of each level; it grows by 0 or 1 from level to level, from 0.
    pub(crate) table_of: [u8; LEVELS],
}

impl Sharing {
    /// Joins neighbours while that is no dearer. Gives the joined counts, one for each table.
    pub(crate) fn of(counts: &[Counts; LEVELS]) -> (Self, Vec<Counts>) {
        let mut table_of = [0u8; LEVELS];
        let mut tables = vec![counts[0]];
        let mut cost = entropy::cost(&counts[0]);
        for level in 1..LEVELS {
            let own = entropy::cost(&counts[level]);
            let last = tables.len() - 1;
            let mut joined = tables[last];
            (0..TOKENS).for_each(|token| joined[token] += counts[level][token]);
            let together = entropy::cost(&joined);
            let full = tables.len() == MAX_TABLES;
            if together <= cost + own || full {
                tables[last] = joined;
                cost = together;
            } else {
                tables.push(counts[level]);
                cost = own;
            }
            table_of[level] = (tables.len() - 1) as u8;
        }
        (Self { table_of }, tables)
    }

    /// Number of tables.
    pub(crate) fn tables(&self) -> usize {
        usize::from(self.table_of[LEVELS - 1]) + 1
    }

    /// A bit for each level but the first: whether it has another table than the one before.
    pub(crate) fn write(&self, bits: &mut BitWriter) {
        for pair in self.table_of.windows(2) {
            bits.push(u32::from(pair[1] - pair[0]), 1);
        }
    }

    /// Reads what [`Self::write`] wrote; nothing if there are too many tables.
    pub(crate) fn read(bits: &mut BitReader<'_>) -> Option<Self> {
        let mut table_of = [0u8; LEVELS];
        for level in 1..LEVELS {
            table_of[level] = table_of[level - 1] + bits.take(1) as u8;
        }
        let sharing = Self { table_of };
        (sharing.tables() <= MAX_TABLES).then_some(sharing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_grow_with_activity() {
        assert_eq!(LEVEL_OF[..8], [0, 2, 3, 4, 4, 5, 5, 6]);
        assert!(LEVEL_OF.windows(2).all(|pair| pair[0] <= pair[1]));
        assert_eq!(usize::from(LEVEL_OF[6 * 255]), LEVELS - 1);
    }

    #[test]
    fn levels_that_look_alike_share_a_table() {
        let mut counts = [[0; TOKENS]; LEVELS];
        counts[3][..2].fill(1000);
        counts[4][..2].fill(900);
        counts[8][..40].fill(500);
        let (sharing, tables) = Sharing::of(&counts);
        assert_eq!(tables.len(), 2);
        assert_eq!(sharing.tables(), 2);
        assert_eq!(tables[0][0], 1900);
        assert_eq!(sharing.table_of[4..9], [0, 0, 0, 0, 1]);
        let mut writer = BitWriter::default();
        sharing.write(&mut writer);
        assert_eq!(
            Sharing::read(&mut BitReader::new(&writer.finish())),
            Some(sharing)
        );
        assert_eq!(Sharing::read(&mut BitReader::new(&[255; 3])), None);
    }
}
