//! A plane taken apart into the two colours of a chessboard.

use super::frozen::Frozen;
use crate::Plane;

/// Rows and compact columns around the plane, so that no neighbour needs a check.
pub(super) const MARGIN: usize = 2;

/// The smallest side a plane must have to carry anything: mirrored neighbours must exist.
pub(super) const MIN_SIDE: usize = 4;

/// Samples of the two colours, each stored without gaps: column i of colour c in row y is
/// sample x = 2 i + ((c + y) mod 2) of the plane.
///
/// The four direct neighbours of a sample, and the eight a knight's move away, are of the other
/// colour. Around each colour lies a margin of mirrored samples, which keep their colour.
pub(super) struct Lattice {
    width: usize,
    height: usize,
    max: u16,
    stride: usize,
    colours: [Vec<u16>; 2],
    /// Which samples are frozen, as the colours are; empty when none is.
    frozen: [Vec<bool>; 2],
}

/// Five rows of the other colour around one row.
pub(super) type Around<'a> = [&'a [u16]; 5];

impl Lattice {
    /// Takes a plane of sides of at least [`MIN_SIDE`] apart.
    pub(super) fn new(plane: &Plane, frozen: &Frozen) -> Self {
        let (width, height) = (plane.width(), plane.height());
        let stride = width.div_ceil(2) + 2 * MARGIN;
        let size = stride * (height + 2 * MARGIN);
        let mut lattice = Self {
            width,
            height,
            max: plane.max(),
            stride,
            colours: [vec![0; size], vec![0; size]],
            frozen: [Vec::new(), Vec::new()],
        };
        if !frozen.is_empty() {
            lattice.frozen = [vec![false; size], vec![false; size]];
        }
        for (y, row) in plane.samples().chunks_exact(width).enumerate() {
            for colour in 0..2 {
                let start = lattice.at(y);
                let target = &mut lattice.colours[colour][start..];
                let first = (colour + y) & 1;
                for (to, from) in target.iter_mut().zip(row[first..].iter().step_by(2)) {
                    *to = *from;
                }
                if !frozen.is_empty() {
                    for (i, x) in (first..width).step_by(2).enumerate() {
                        if frozen.contains(y * width + x) {
                            lattice.frozen[colour][start + i] = true;
                            lattice.colours[colour][start + i] &= !1;
                        }
                    }
                }
            }
        }
        lattice.mirror(0);
        lattice.mirror(1);
        lattice
    }

    /// Puts the samples of one colour back, frozen ones excepted.
    pub(super) fn store(&self, colour: usize, plane: &mut Plane) {
        let width = self.width;
        for (y, row) in plane.samples_mut().chunks_exact_mut(width).enumerate() {
            let start = self.at(y);
            let source = &self.colours[colour][start..];
            let targets = row[(colour + y) & 1..].iter_mut().step_by(2);
            if self.frozen[colour].is_empty() {
                targets.zip(source).for_each(|(to, from)| *to = *from);
            } else {
                let frozen = &self.frozen[colour][start..];
                for ((to, from), frozen) in targets.zip(source).zip(frozen) {
                    if !frozen {
                        *to = *from;
                    }
                }
            }
        }
    }

    /// All samples of a colour, margins included.
    pub(super) fn colour(&self, colour: usize) -> &[u16] {
        &self.colours[colour]
    }

    /// Puts back what [`Lattice::colour`] gave.
    pub(super) fn restore(&mut self, colour: usize, samples: &[u16]) {
        self.colours[colour].copy_from_slice(samples);
    }

    /// The largest sample that is allowed.
    pub(super) fn max(&self) -> u16 {
        self.max
    }

    /// Samples of both colours.
    pub(super) fn area(&self) -> usize {
        self.width * self.height
    }

    /// Rows.
    pub(super) fn height(&self) -> usize {
        self.height
    }

    /// Samples of a colour in a row.
    pub(super) fn count(&self, colour: usize, y: usize) -> usize {
        (self.width - ((colour + y) & 1)).div_ceil(2)
    }

    /// Column of the first sample of a colour in a row: 0 or 1.
    pub(super) fn first(colour: usize, y: usize) -> usize {
        (colour + y) & 1
    }

    /// The row of a colour to change, the rows of the other colour around it (from their
    /// margin on), and which of the row are frozen (empty: none).
    pub(super) fn row(&mut self, colour: usize, y: usize) -> (&mut [u16], Around<'_>, &[bool]) {
        let start = self.at(y);
        let count = self.count(colour, y);
        let stride = self.stride;
        let [even, odd] = &mut self.colours;
        let (own, other) = if colour == 0 {
            (even, odd)
        } else {
            (odd, even)
        };
        let around = std::array::from_fn(|k| &other[(y + k) * stride..][..stride]);
        let frozen = &self.frozen[colour];
        let frozen = if frozen.is_empty() {
            &[]
        } else {
            &frozen[start..start + count]
        };
        (&mut own[start..start + count], around, frozen)
    }

    /// Fills the margin of a colour; after it changed and before the other one is predicted.
    pub(super) fn mirror(&mut self, colour: usize) {
        let (width, height, stride) = (self.width as isize, self.height as isize, self.stride);
        let samples = &mut self.colours[colour];
        for y in 0..height {
            let start = (y as usize + MARGIN) * stride;
            let first = (colour as isize + y) & 1;
            let count = (width - first + 1) / 2;
            let last = stride as isize - MARGIN as isize;
            for i in (-(MARGIN as isize)..0).chain(count..last) {
                let x = reflect(first + 2 * i, width);
                let from = start + MARGIN + ((x - first) / 2) as usize;
                samples[(start as isize + MARGIN as isize + i) as usize] = samples[from];
            }
        }
        for y in (-(MARGIN as isize)..0).chain(height..height + MARGIN as isize) {
            let from = (reflect(y, height) + MARGIN as isize) as usize * stride;
            let to = (y + MARGIN as isize) as usize * stride;
            samples.copy_within(from..from + stride, to);
        }
    }

    /// Where the samples of a row start.
    fn at(&self, y: usize) -> usize {
        (y + MARGIN) * self.stride + MARGIN
    }
}

/// Mirrors at the outermost samples, so that parity stays; what is too far for a small plane
/// lands on a sample of the right parity all the same.
fn reflect(x: isize, side: isize) -> isize {
    let x = x.abs();
    let x = if x >= side { 2 * (side - 1) - x } else { x };
    if x < 0 { x & 1 } else { x }
}
