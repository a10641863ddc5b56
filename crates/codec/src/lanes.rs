//! A plane as lanes: bands of rows, one below the other, that are coded in lockstep.
//!
//! Each sample's coding waits for the one to its west. With several lanes, several such chains run beside each other.
//! Rows of the same number in all lanes are kept interleaved: a [`Cell`] holds one sample of each.

use crate::LANES;

/// One sample of each lane.
pub(crate) type Cell<T> = [T; LANES];

/// Cells before and behind a row, so that neighbours outside the plane have a value.
pub(crate) const PAD: usize = 2;

/// Where the lanes of a plane lie.
#[derive(Clone, Copy)]
pub(crate) struct Bands {
    height: usize,
}

impl Bands {
    pub(crate) fn new(height: usize) -> Self {
        Self { height }
    }

    /// Rows that all lanes have.
    pub(crate) fn full(self) -> usize {
        self.height / LANES
    }

    /// How many lanes, from the first on, have one row more.
    pub(crate) fn longer(self) -> usize {
        self.height % LANES
    }

    /// Steps: rows of the longest lane.
    pub(crate) fn steps(self) -> usize {
        self.height.div_ceil(LANES)
    }

    /// Lanes that have a row of this number.
    pub(crate) fn active(self, step: usize) -> usize {
        if step < self.full() {
            LANES
        } else {
            self.longer()
        }
    }

    /// Row of the plane where a lane's step lies.
    pub(crate) fn row(self, lane: usize, step: usize) -> usize {
        lane * self.full() + lane.min(self.longer()) + step
    }
}

/// Three rows of cells: the one at work and the two above it.
pub(crate) struct Window<T> {
    pub(crate) here: Vec<Cell<T>>,
    pub(crate) north: Vec<Cell<T>>,
    pub(crate) far: Vec<Cell<T>>,
}

impl<T: Copy + Default> Window<T> {
    /// Three rows for planes of this width, all zero.
    pub(crate) fn new(width: usize) -> Self {
        let row = vec![[T::default(); LANES]; width + 2 * PAD];
        Self {
            here: row.clone(),
            north: row.clone(),
            far: row,
        }
    }

    /// The row at work is complete: its ends continue outwards, and it becomes the northern one. After the first row, it is
    /// the far one as well.
    pub(crate) fn advance(&mut self, first: bool) {
        let last = self.here.len() - PAD - 1;
        let (west, east) = (self.here[PAD], self.here[last]);
        self.here[..PAD].fill(west);
        self.here[last + 1..].fill(east);
        std::mem::swap(&mut self.far, &mut self.north);
        std::mem::swap(&mut self.north, &mut self.here);
        if first {
            self.far.copy_from_slice(&self.north);
        }
    }

    /// What is west of the row at work is what is north of its first sample.
    pub(crate) fn begin(&mut self) {
        let north = self.north[PAD];
        self.here[..PAD].fill(north);
    }
}
