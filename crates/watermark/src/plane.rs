//! One plane of samples.

/// Largest width or height, as DICOM's Rows and Columns (PS3.3 C.7.6.3) allow.
pub const MAX_SIDE: usize = 65_535;

/// Why samples are not a plane.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlaneError {
    /// Width and height do not give the number of samples, or are out of range.
    #[error("a plane of {width} x {height} cannot have {samples} samples")]
    Shape {
        /// Columns.
        width: usize,
        /// Rows.
        height: usize,
        /// Samples given.
        samples: usize,
    },
    /// The depth is not 8 to 16 bits.
    #[error("samples of {0} bits; marks know 8 to 16")]
    Depth(u32),
    /// A sample is larger than its depth allows.
    #[error("a sample is larger than its depth of {0} bits allows")]
    Sample(u32),
}

/// Samples of one component of one frame, row by row, each 0 to 2^depth − 1.
///
/// Signed samples are given in offset binary (the value plus half the range), which keeps their
/// order; so marks need not know signs.
#[derive(Clone, PartialEq, Eq)]
pub struct Plane {
    width: usize,
    height: usize,
    depth: u32,
    samples: Vec<u16>,
}

impl Plane {
    /// Checks shape, depth (bits per sample, 8 to 16) and range.
    pub fn new(
        width: usize,
        height: usize,
        depth: u32,
        samples: Vec<u16>,
    ) -> Result<Self, PlaneError> {
        let sides = 1..=MAX_SIDE;
        if !sides.contains(&width) || !sides.contains(&height) || width * height != samples.len() {
            return Err(PlaneError::Shape {
                width,
                height,
                samples: samples.len(),
            });
        }
        if !(8..=16).contains(&depth) {
            return Err(PlaneError::Depth(depth));
        }
        let max = Self::max_of(depth);
        // A fold, so that the loop has no early exit and vectorises.
        if samples.iter().fold(0, |all, sample| all | sample) > max {
            return Err(PlaneError::Sample(depth));
        }
        Ok(Self {
            width,
            height,
            depth,
            samples,
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

    /// Bits per sample (BitsStored).
    pub fn depth(&self) -> u32 {
        self.depth
    }

    /// The largest sample, 2^depth − 1.
    pub fn max(&self) -> u16 {
        Self::max_of(self.depth)
    }

    /// The samples, row by row.
    pub fn samples(&self) -> &[u16] {
        &self.samples
    }

    /// The samples, to change; each must stay at most [`Plane::max`].
    pub(crate) fn samples_mut(&mut self) -> &mut [u16] {
        &mut self.samples
    }

    /// The samples, given back.
    pub fn into_samples(self) -> Vec<u16> {
        self.samples
    }

    fn max_of(depth: u32) -> u16 {
        u16::MAX >> (16 - depth)
    }
}

impl std::fmt::Debug for Plane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "Plane({} x {}, {} bits)",
            self.width, self.height, self.depth
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_planes_within_their_depth_are_made() {
        assert!(Plane::new(2, 2, 8, vec![0, 255, 1, 2]).is_ok());
        assert_eq!(
            Plane::new(2, 2, 8, vec![0, 256, 1, 2]),
            Err(PlaneError::Sample(8))
        );
        assert_eq!(Plane::new(2, 2, 7, vec![0; 4]), Err(PlaneError::Depth(7)));
        assert_eq!(Plane::new(2, 2, 17, vec![0; 4]), Err(PlaneError::Depth(17)));
        assert!(Plane::new(2, 2, 8, vec![0; 3]).is_err());
        assert!(Plane::new(0, 2, 8, vec![]).is_err());
        assert_eq!(
            Plane::new(1, 1, 16, vec![u16::MAX]).map(|p| p.max()),
            Ok(u16::MAX)
        );
    }
}
