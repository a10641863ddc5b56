//! Samples whose low bit belongs to somebody else.

use crate::Plane;

/// The positions of a plane that the engine must leave alone.
///
/// Their samples never change, and where they help to predict others they are read with the low
/// bit cleared; so their owner may set that bit before or after embedding, and extraction sees
/// the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frozen {
    positions: usize,
    /// One bit for each position, row by row; empty when none is frozen.
    bits: Vec<u64>,
}

impl Frozen {
    /// Nothing is frozen.
    pub fn none(plane: &Plane) -> Self {
        Self {
            positions: plane.samples().len(),
            bits: Vec::new(),
        }
    }

    /// The given positions (row × width + column) are frozen; those outside the plane are left out.
    pub fn of(plane: &Plane, positions: impl IntoIterator<Item = usize>) -> Self {
        let mut frozen = Self::none(plane);
        for position in positions {
            frozen.insert(position);
        }
        frozen
    }

    /// Freezes one more position (row × width + column), if the plane has it.
    pub fn insert(&mut self, position: usize) {
        if position < self.positions {
            if self.bits.is_empty() {
                self.bits = vec![0; self.positions.div_ceil(64)];
            }
            self.bits[position / 64] |= 1 << (position % 64);
        }
    }

    /// Whether the position (row × width + column) is frozen.
    pub fn contains(&self, position: usize) -> bool {
        self.bits
            .get(position / 64)
            .is_some_and(|word| word >> (position % 64) & 1 == 1)
    }

    /// Whether no position is frozen.
    pub fn is_empty(&self) -> bool {
        self.bits.is_empty()
    }

    /// Whether it was made for planes of this many samples.
    pub(super) fn fits(&self, plane: &Plane) -> bool {
        self.positions == plane.samples().len()
    }
}
