//! What leaked, and where it lies in an original.

use super::TraceError;
use crate::Plane;

/// Most samples of a leaked picture; an examination needs about 30 bytes of memory for each.
pub const MAX_PICTURE_SAMPLES: usize = 1 << 26;

/// A leaked picture, of any size and range of values: grey, or the luminance of colours.
#[derive(Clone, PartialEq)]
pub struct Picture {
    width: usize,
    height: usize,
    samples: Vec<f32>,
}

impl Picture {
    /// Checks shape and values; samples row by row.
    pub fn new(width: usize, height: usize, samples: Vec<f32>) -> Result<Self, TraceError> {
        let shape = TraceError::Shape {
            width,
            height,
            samples: samples.len(),
        };
        let count = width.checked_mul(height).ok_or(shape)?;
        if count == 0 || count != samples.len() || count > MAX_PICTURE_SAMPLES {
            return Err(shape);
        }
        // Beyond this, squares and sums would leave the range of f32.
        if !samples.iter().all(|sample| sample.abs() <= 1e9) {
            return Err(TraceError::NotFinite);
        }
        Ok(Self {
            width,
            height,
            samples,
        })
    }

    /// A picture of 8-bit samples, row by row.
    pub fn from_bytes(width: usize, height: usize, samples: &[u8]) -> Result<Self, TraceError> {
        Self::new(
            width,
            height,
            samples.iter().map(|sample| f32::from(*sample)).collect(),
        )
    }

    /// Columns.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Rows.
    pub fn height(&self) -> usize {
        self.height
    }

    /// The samples, row by row.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }
}

impl TryFrom<&Plane> for Picture {
    type Error = TraceError;

    /// The same samples, if they are not too many.
    fn try_from(plane: &Plane) -> Result<Self, TraceError> {
        if plane.samples().len() > MAX_PICTURE_SAMPLES {
            return Err(TraceError::Shape {
                width: plane.width(),
                height: plane.height(),
                samples: plane.samples().len(),
            });
        }
        Ok(Self::of_original(plane))
    }
}

impl Picture {
    /// The samples of an original, however many.
    pub(super) fn of_original(plane: &Plane) -> Self {
        let samples = plane
            .samples()
            .iter()
            .map(|sample| f32::from(*sample))
            .collect();
        Self {
            width: plane.width(),
            height: plane.height(),
            samples,
        }
    }
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({} x {})", self.width, self.height)
    }
}

/// Where a leaked picture lies in an original. Coordinates are continuous with pixel edges at whole
/// numbers: the leaked point (u, v) is the original's point
/// (`left` + `scale_x` u, `top` + `scale_y` v).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Placement {
    /// Original columns per leaked column.
    pub scale_x: f64,
    /// Original rows per leaked row.
    pub scale_y: f64,
    /// The original's column at the left edge of what leaked.
    pub left: f64,
    /// The original's row at the upper edge of what leaked.
    pub top: f64,
}

impl Placement {
    /// The placement of a picture that shows the whole original, reduced or enlarged.
    pub fn whole(original: &Plane, leaked: &Picture) -> Self {
        Self {
            scale_x: original.width() as f64 / leaked.width as f64,
            scale_y: original.height() as f64 / leaked.height as f64,
            left: 0.0,
            top: 0.0,
        }
    }

    /// Refuses what would need unbounded work: scales beyond 1/8 and 16, and offsets outside the original.
    pub(super) fn check(&self, original: &Plane) -> Result<(), TraceError> {
        let scales = 0.125..=16.0;
        let outside = |at: f64, side: usize| at.is_nan() || at.abs() > side as f64;
        if !scales.contains(&self.scale_x)
            || !scales.contains(&self.scale_y)
            || outside(self.left, original.width())
            || outside(self.top, original.height())
        {
            return Err(TraceError::Placement);
        }
        Ok(())
    }
}
