//! Where the bits of a mark are: decided by the dimensions alone, so that whoever has the image
//! knows it (docs/reliability-mark.md 3).

use super::{Block, Grid};
use crate::Plane;
use crate::reversible::Frozen;

/// Tag bits of a block.
pub(super) const TAG_BITS: usize = 32;

/// Largest side of a block.
pub(super) const BLOCK_SIDE: usize = 16;

/// Bits of a block that hold a part of the header, at most.
const STRIPE_MAX: usize = 96;

/// The grid and the public choice of positions.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    pub(super) grid: Grid,
    /// Header bits in each block, after its tag bits.
    pub(super) stripe_bits: usize,
    /// Index into `tables` of each block.
    table_of_block: Vec<u8>,
    /// For each shape and phase that occurs, the (x, y) of the block's bits: tag, then stripe.
    tables: Vec<Table>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Table {
    width: usize,
    height: usize,
    phase: usize,
    places: Vec<(u8, u8)>,
}

impl Layout {
    /// The layout of planes of `width` x `height`; `identity_bits` and `parameter_bits` are the
    /// header's parts, of which the first is repeated. `None` where the header has no room.
    pub(super) fn new(
        width: usize,
        height: usize,
        identity_bits: usize,
        parameter_bits: usize,
    ) -> Option<Self> {
        let grid = Grid::new(width, height);
        let stripe_bits = stripe_bits(grid.len(), identity_bits, parameter_bits)?;
        let bits = TAG_BITS + stripe_bits;
        let smallest = (width / grid.columns) * (height / grid.rows);
        if smallest < 2 * bits {
            return None;
        }
        let mut layout = Self {
            grid,
            stripe_bits,
            table_of_block: Vec::with_capacity(grid.len()),
            tables: Vec::new(),
        };
        for index in 0..grid.len() {
            let block = grid.block(index);
            let table = layout.table(&block, bits);
            layout.table_of_block.push(table);
        }
        Some(layout)
    }

    /// Every block with the places of its tag bits and of its stripe bits, row by row.
    pub(super) fn blocks(&self) -> impl Iterator<Item = Placed<'_>> {
        (0..self.grid.len()).map(|index| self.block(index))
    }

    /// One block with its places.
    pub(super) fn block(&self, index: usize) -> Placed<'_> {
        Placed {
            index,
            block: self.grid.block(index),
            stride: self.grid.width,
            places: &self.tables[usize::from(self.table_of_block[index])].places,
        }
    }

    /// Stripe bits of the whole image.
    pub(super) fn slots(&self) -> usize {
        self.grid.len() * self.stripe_bits
    }

    /// All bits that the mark replaces.
    pub(super) fn bits(&self) -> usize {
        self.grid.len() * (TAG_BITS + self.stripe_bits)
    }

    /// Every position that the mark replaces, for an engine that must leave them alone.
    pub(super) fn frozen(&self, plane: &Plane) -> Frozen {
        let positions = self
            .blocks()
            .flat_map(|placed| placed.tag().chain(placed.stripe()));
        Frozen::of(plane, positions)
    }

    /// Clears the low bits at all positions.
    pub(super) fn clear(&self, plane: &mut Plane) {
        let samples = plane.samples_mut();
        for index in self
            .blocks()
            .flat_map(|placed| placed.tag().chain(placed.stripe()))
        {
            samples[index] &= !1;
        }
    }

    /// The table of a block's shape and phase. There are at most two widths, two heights and five
    /// phases, so 20 tables.
    fn table(&mut self, block: &Block, bits: usize) -> u8 {
        let phase = (block.x + 2 * block.y) % 5;
        let found = self.tables.iter().position(|table| {
            (table.width, table.height, table.phase) == (block.width, block.height, phase)
        });
        let index = found.unwrap_or_else(|| {
            self.tables.push(Table {
                width: block.width,
                height: block.height,
                phase,
                places: places(block.width, block.height, phase, bits),
            });
            self.tables.len() - 1
        });
        u8::try_from(index).unwrap_or(u8::MAX)
    }
}

/// A block and where its bits are.
#[derive(Clone, Copy)]
pub(super) struct Placed<'a> {
    pub(super) index: usize,
    pub(super) block: Block,
    stride: usize,
    places: &'a [(u8, u8)],
}

impl<'a> Placed<'a> {
    /// Columns and rows of all bits, in the image.
    pub(super) fn places(self) -> impl Iterator<Item = (usize, usize)> + 'a {
        let (x, y) = (self.block.x, self.block.y);
        self.places
            .iter()
            .map(move |&(dx, dy)| (x + usize::from(dx), y + usize::from(dy)))
    }

    /// Sample indexes of the tag bits.
    pub(super) fn tag(self) -> impl Iterator<Item = usize> + 'a {
        let stride = self.stride;
        self.places()
            .take(TAG_BITS)
            .map(move |(x, y)| y * stride + x)
    }

    /// Sample indexes of the stripe bits.
    pub(super) fn stripe(self) -> impl Iterator<Item = usize> + 'a {
        let stride = self.stride;
        self.places()
            .skip(TAG_BITS)
            .map(move |(x, y)| y * stride + x)
    }

    /// Tag bits by their place within the block, row by row.
    pub(super) fn tag_within(self) -> impl Iterator<Item = usize> + 'a {
        let width = self.block.width;
        self.places
            .iter()
            .take(TAG_BITS)
            .map(move |&(dx, dy)| usize::from(dy) * width + usize::from(dx))
    }
}

/// Header bits a block: enough for ten copies of the identity, at least 3, while that is at most
/// 16; else enough for three copies, at least 16, while that is at most 40; at last for one.
fn stripe_bits(blocks: usize, identity: usize, parameters: usize) -> Option<usize> {
    let with_copies = |copies: usize| (copies * identity + parameters).div_ceil(blocks);
    let many = with_copies(10);
    let few = with_copies(3);
    let bits = if many <= 16 {
        many.max(3)
    } else if few <= 40 {
        few.max(16)
    } else {
        with_copies(1).max(40)
    };
    (bits <= STRIPE_MAX).then_some(bits)
}

/// Places in a block whose first sample has (x + 2y) mod 5 = `phase` in the image.
///
/// Where x + 2y is a multiple of five no two direct neighbours are both taken, over block borders
/// too, and each four direct neighbours of a place keep their low bits; only where these do not
/// suffice come the other classes. Within a class the order is a fixed shuffle.
fn places(width: usize, height: usize, phase: usize, bits: usize) -> Vec<(u8, u8)> {
    let mut all: Vec<(usize, u64, u8, u8)> = Vec::with_capacity(width * height);
    for y in 0..height {
        for x in 0..width {
            let class = (phase + x + 2 * y) % 5;
            let (dx, dy) = (x as u8, y as u8);
            let seed = (phase as u64) << 16 | u64::from(dy) << 8 | u64::from(dx);
            all.push((class, split_mix(seed), dx, dy));
        }
    }
    all.sort_unstable();
    all.iter().take(bits).map(|&(.., x, y)| (x, y)).collect()
}

/// SplitMix64's output function (Steele, Lea, Flood 2014): spreads, hides nothing.
pub(super) fn split_mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_has_its_own_places_and_no_two_share_one() {
        for (width, height) in [(512, 512), (130, 97), (80, 80), (64, 64), (1000, 24)] {
            let layout = Layout::new(width, height, 488, 576).unwrap();
            let mut seen = vec![false; width * height];
            for placed in layout.blocks() {
                let block = placed.block;
                let mut count = 0;
                for (x, y) in placed.places() {
                    assert!((block.x..block.x + block.width).contains(&x));
                    assert!((block.y..block.y + block.height).contains(&y));
                    assert!(!std::mem::replace(&mut seen[y * width + x], true));
                    count += 1;
                }
                assert_eq!(count, TAG_BITS + layout.stripe_bits);
                assert_eq!(placed.tag().count(), TAG_BITS);
                assert_eq!(placed.stripe().count(), layout.stripe_bits);
            }
        }
    }

    #[test]
    fn places_of_common_images_are_never_neighbours() {
        let layout = Layout::new(512, 500, 488, 576).unwrap();
        let mut taken = vec![false; 512 * 500];
        for placed in layout.blocks() {
            placed
                .tag()
                .chain(placed.stripe())
                .for_each(|i| taken[i] = true);
        }
        for y in 0..499 {
            for x in 0..511 {
                let i = y * 512 + x;
                assert!(!taken[i] || (!taken[i + 1] && !taken[i + 512]));
            }
        }
    }

    #[test]
    fn the_header_gets_as_many_copies_as_it_can() {
        assert_eq!(stripe_bits(1024, 488, 576), Some(6));
        assert_eq!(stripe_bits(16_384, 488, 576), Some(3));
        assert_eq!(stripe_bits(256, 488, 576), Some(16));
        assert_eq!(stripe_bits(64, 488, 576), Some(32));
        assert_eq!(stripe_bits(16, 488, 576), Some(67));
        assert_eq!(stripe_bits(11, 488, 576), None);
        assert!(Layout::new(48, 48, 488, 576).is_none());
        assert!(Layout::new(1, 1, 488, 576).is_none());
        assert!(Layout::new(3, 65_535, 488, 576).is_none());
    }
}
