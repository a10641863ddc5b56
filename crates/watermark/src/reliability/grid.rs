//! Blocks that cover an image.

use super::layout::BLOCK_SIDE;

/// Blocks of at most 16 x 16 samples that cover an image, their sides as even as can be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    /// Columns of samples.
    pub width: usize,
    /// Rows of samples.
    pub height: usize,
    /// Columns of blocks.
    pub columns: usize,
    /// Rows of blocks.
    pub rows: usize,
}

/// One block: its samples in the image, and its place in the grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// First column of samples.
    pub x: usize,
    /// First row of samples.
    pub y: usize,
    /// Columns of samples.
    pub width: usize,
    /// Rows of samples.
    pub height: usize,
    /// Column of the grid.
    pub column: usize,
    /// Row of the grid.
    pub row: usize,
}

impl Grid {
    pub(super) fn new(width: usize, height: usize) -> Self {
        Self {
            width,
            height,
            columns: width.div_ceil(BLOCK_SIDE),
            rows: height.div_ceil(BLOCK_SIDE),
        }
    }

    /// Number of blocks.
    #[expect(clippy::len_without_is_empty, reason = "a grid has at least one block")]
    pub fn len(&self) -> usize {
        self.columns * self.rows
    }

    /// The block with this number, row by row. Column c begins at ⌊c · width / columns⌋.
    pub(super) fn block(&self, index: usize) -> Block {
        let (column, row) = (index % self.columns, index / self.columns);
        let (x, right) = span(column, self.columns, self.width);
        let (y, bottom) = span(row, self.rows, self.height);
        Block {
            x,
            y,
            width: right - x,
            height: bottom - y,
            column,
            row,
        }
    }
}

fn span(place: usize, places: usize, samples: usize) -> (usize, usize) {
    (place * samples / places, (place + 1) * samples / places)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_cover_every_sample_once_and_are_nearly_alike() {
        for (width, height) in [(512, 512), (1, 1), (17, 33), (100, 16), (65_535, 1)] {
            let grid = Grid::new(width, height);
            let mut seen = vec![0; width * height];
            for index in 0..grid.len() {
                let block = grid.block(index);
                assert!((1..=16).contains(&block.width) && (1..=16).contains(&block.height));
                assert!(block.width.abs_diff(width / grid.columns) <= 1);
                assert!(block.height.abs_diff(height / grid.rows) <= 1);
                for y in block.y..block.y + block.height {
                    for x in block.x..block.x + block.width {
                        seen[y * width + x] += 1;
                    }
                }
            }
            assert!(seen.iter().all(|&times| times == 1));
        }
    }
}
