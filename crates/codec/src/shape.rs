//! What both sides know of a plane before its coding is read.

/// Largest width or height, as DICOM's Rows and Columns (PS3.3 C.7.6.3) allow.
pub const MAX_SIDE: usize = 65_535;

/// Why numbers are not the shape of a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// A side is 0 or above [`MAX_SIDE`].
    #[error("a plane of {width} x {height} samples; sides are 1 to {MAX_SIDE}")]
    Side {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
    },
    /// The depth is not 1 to 16 bits.
    #[error("samples of {0} bits; planes have 1 to 16")]
    Depth(u32),
}

/// Sides of a plane and bits of its samples. The coding does not carry it: who reads knows it from elsewhere,
/// and it bounds what reading takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    width: usize,
    height: usize,
    depth: u32,
}

impl Shape {
    /// Columns and rows, 1 to [`MAX_SIDE`], and bits per sample, 1 to 16.
    pub fn new(width: usize, height: usize, depth: u32) -> Result<Self, ShapeError> {
        let sides = 1..=MAX_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) {
            return Err(ShapeError::Side { width, height });
        }
        if !(1..=16).contains(&depth) {
            return Err(ShapeError::Depth(depth));
        }
        Ok(Self {
            width,
            height,
            depth,
        })
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Bits per sample.
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// Width by height.
    pub fn samples(&self) -> usize {
        self.width * self.height
    }

    /// Largest sample that the depth allows.
    pub fn max(&self) -> u16 {
        u16::MAX >> (16 - self.depth)
    }

    /// Whether no sample is above [`Self::max`].
    pub(crate) fn holds(&self, samples: &[u16]) -> bool {
        // A fold, so that the loop has no early exit and vectorises.
        samples.iter().fold(0, |all, sample| all | sample) <= self.max()
    }
}
