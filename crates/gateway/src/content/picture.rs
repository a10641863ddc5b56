//! Where the pixels of a file are, and the file's bytes as planes and back.
//!
//! Only native pixel data: 8 or 16 bits allocated, one or three samples a pixel. Everything else is
//! none of this module's business and says why.

mod description;
#[cfg(test)]
mod tests;

use std::ops::Range;

use harpo_watermark::Plane;

use crate::dicom::inspect::{self, InspectError, Limits};
use description::Description;

/// Most planes of one file: frames times samples.
const MAX_PLANES: usize = 1 << 20;

/// Why a file has no pixels that are read here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NoPicture {
    /// The file cannot be walked.
    #[error(transparent)]
    Unreadable(#[from] InspectError),
    /// It has none.
    #[error("it has no pixel data")]
    NoPixels,
    /// The whole data set is compressed.
    #[error("its data set is deflated")]
    Deflated,
    /// The frames are compressed.
    #[error("its pixel data is compressed")]
    Encapsulated,
    /// Floating point, one bit, subsampled colours and other rare forms.
    #[error("its pixels are of a form that is kept as it is: {0}")]
    Form(&'static str),
    /// Rows, columns, samples, frames or bits are missing or do not fit the pixel data.
    #[error("its image description does not fit its pixel data: {0}")]
    Inconsistent(&'static str),
}

impl NoPicture {
    /// A stable word for metrics and records.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "unreadable",
            Self::NoPixels => "no_pixels",
            Self::Deflated => "deflated",
            Self::Encapsulated => "compressed",
            Self::Form(_) => "form",
            Self::Inconsistent(_) => "inconsistent",
        }
    }
}

/// A linear function of a sample: `slope` x + `intercept`, or centre and width of a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pair(pub f64, pub f64);

/// Native pixel data of a Part 10 file in memory, and what the file says of it.
#[derive(Debug, Clone, PartialEq)]
pub struct Picture {
    /// Rows (0028,0010): height of a frame, at least 1.
    pub rows: usize,
    /// Columns (0028,0011): width of a frame, at least 1.
    pub columns: usize,
    /// Samples per Pixel (0028,0002): 1 or 3.
    pub samples: usize,
    /// Planar Configuration (0028,0006): whether the colours of a frame follow one another plane by plane.
    pub planar: bool,
    /// Number of Frames (0028,0008), at least 1.
    pub frames: usize,
    /// Bits Allocated (0028,0100): 8 or 16.
    pub bits_allocated: u32,
    /// Bits Stored (0028,0101), 1 to Bits Allocated.
    pub bits_stored: u32,
    /// High Bit (0028,0102).
    pub high_bit: u32,
    /// Pixel Representation (0028,0103): two's complement.
    pub signed: bool,
    /// Numbers of two bytes have the high byte first.
    pub big_endian: bool,
    /// Photometric Interpretation (0028,0004).
    pub photometric: String,
    /// Modality (0008,0060).
    pub modality: String,
    /// SOP Instance UID (0008,0018).
    pub sop_instance_uid: String,
    /// Window Center and Width (0028,1050), (0028,1051), the first of each.
    pub window: Option<Pair>,
    /// Rescale Slope and Intercept (0028,1053), (0028,1052).
    pub rescale: Option<Pair>,
    /// Where the value of Pixel Data (7FE0,0010) starts in the file.
    pub offset: usize,
    /// Length of the value, with padding and whatever else follows the last frame.
    pub length: usize,
}

/// Where the value of Pixel Data (7FE0,0010) starts in a file, of whatever form; none in a file that is
/// deflated, unreadable or has none.
#[must_use]
pub fn pixels_at(file: &[u8]) -> Option<usize> {
    let (opening, dataset) = inspect::open_bytes(file).ok()?;
    if inspect::is_deflated(&opening.transfer_syntax_uid) {
        return None;
    }
    let limits = Limits::default();
    let walker = inspect::walker(&opening, dataset, file.len() as u64, &limits).ok()?;
    let at = Description::read(walker).ok()?.pixels_at()?;
    usize::try_from(at).ok().filter(|at| *at <= file.len())
}

impl Picture {
    /// Finds the pixels of a Part 10 file. All of them lie within the file.
    ///
    /// # Errors
    /// See [`NoPicture`].
    pub fn find(file: &[u8]) -> Result<Self, NoPicture> {
        let (opening, dataset) = inspect::open_bytes(file)?;
        if inspect::is_deflated(&opening.transfer_syntax_uid) {
            return Err(NoPicture::Deflated);
        }
        let limits = Limits::default();
        let walker = inspect::walker(&opening, dataset, file.len() as u64, &limits)?;
        Description::read(walker)?.check(file.len())
    }

    /// Bytes of a frame.
    #[must_use]
    pub fn frame_bytes(&self) -> usize {
        // Checked when it was found.
        self.rows * self.columns * self.samples * self.sample_bytes()
    }

    /// Where all frames lie in the file, without what follows the last one.
    #[must_use]
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.frames * self.frame_bytes()
    }

    /// Bits of the samples of [`Picture::planes`]: Bits Stored, at least 8.
    #[must_use]
    pub fn depth(&self) -> u32 {
        self.bits_stored.max(8)
    }

    /// The planes of frame `frame` (from 0) with samples of [`Picture::depth`] bits: one, or three of a
    /// colour image. Signed samples are in offset binary.
    ///
    /// None if there is no such frame, if High Bit is not Bits Stored − 1, or if the bits above Bits
    /// Stored are anything else than zeros or the sign: [`Picture::words`] has these.
    #[must_use]
    pub fn planes(&self, file: &[u8], frame: usize) -> Option<Vec<Plane>> {
        if self.high_bit + 1 != self.bits_stored {
            return None;
        }
        self.split(file, frame, self.depth())
    }

    /// As [`Picture::planes`], with all allocated bits, whatever they are. None only if there is no such
    /// frame.
    #[must_use]
    pub fn words(&self, file: &[u8], frame: usize) -> Option<Vec<Plane>> {
        self.split(file, frame, self.bits_allocated)
    }

    /// Puts planes that [`Picture::planes`] or [`Picture::words`] gave, or others of their shape, into
    /// frame `frame` of `file`. What they gave gives the same bytes.
    ///
    /// False, and nothing is written, if there is no such frame, or if number, shape or depth of the
    /// planes does not fit.
    #[must_use]
    pub fn put(&self, file: &mut [u8], frame: usize, planes: &[Plane]) -> bool {
        self.at(frame)
            .and_then(|range| file.get_mut(range))
            .is_some_and(|into| self.put_frame(into, planes))
    }

    /// The bytes of frame `frame`.
    #[must_use]
    pub fn frame_of<'a>(&self, file: &'a [u8], frame: usize) -> Option<&'a [u8]> {
        file.get(self.at(frame)?)
    }

    /// As [`Picture::put`], into a frame alone.
    #[must_use]
    pub fn put_frame(&self, into: &mut [u8], planes: &[Plane]) -> bool {
        let fits = |plane: &Plane| {
            (plane.width(), plane.height()) == (self.columns, self.rows)
                && (plane.depth() == self.depth() || plane.depth() == self.bits_allocated)
        };
        if planes.len() != self.samples
            || into.len() != self.frame_bytes()
            || !planes.iter().all(fits)
        {
            return false;
        }
        let size = self.rows * self.columns;
        for (index, plane) in planes.iter().enumerate() {
            let zero = self.zero(plane.depth());
            let samples = plane.samples();
            let (first, step) = self.stride(index, size);
            let byte = |v: u16| v.wrapping_sub(zero) as u8;
            let (low, high) = if self.big_endian { (1, 0) } else { (0, 1) };
            match (self.bits_allocated, step) {
                (8, 1) => {
                    for (b, v) in into[first..].iter_mut().zip(samples) {
                        *b = byte(*v);
                    }
                }
                (8, step) => {
                    for (pixel, v) in into[first..].chunks_mut(step).zip(samples) {
                        pixel[0] = byte(*v);
                    }
                }
                (_, 1) if !self.big_endian => {
                    let words = into[2 * first..].as_chunks_mut::<2>().0;
                    for (word, v) in words.iter_mut().zip(samples) {
                        *word = v.wrapping_sub(zero).to_le_bytes();
                    }
                }
                (_, step) => {
                    for (pixel, v) in into[2 * first..].chunks_mut(2 * step).zip(samples) {
                        let word = v.wrapping_sub(zero).to_le_bytes();
                        (pixel[low], pixel[high]) = (word[0], word[1]);
                    }
                }
            }
        }
        true
    }

    fn split(&self, file: &[u8], frame: usize, depth: u32) -> Option<Vec<Plane>> {
        let from = self.frame_of(file, frame)?;
        let size = self.rows * self.columns;
        (0..self.samples)
            .map(|index| {
                let samples = self.gather(from, self.stride(index, size), size, depth);
                // Refuses samples of more bits than `depth`.
                Plane::new(self.columns, self.rows, depth, samples).ok()
            })
            .collect()
    }

    fn gather(&self, from: &[u8], stride: (usize, usize), size: usize, depth: u32) -> Vec<u16> {
        let zero = self.zero(depth);
        let (first, step) = stride;
        if self.bits_allocated == 8 {
            // Wraps as the byte does, not as the word.
            let wide = |b: &u8| u16::from(b.wrapping_add(zero as u8));
            return match step {
                1 => from[first..first + size].iter().map(wide).collect(),
                _ => from[first..].iter().step_by(step).map(wide).collect(),
            };
        }
        let words = from.as_chunks::<2>().0;
        let of = |word: &[u8; 2]| {
            if self.big_endian {
                u16::from_be_bytes(*word)
            } else {
                u16::from_le_bytes(*word)
            }
        };
        match step {
            1 if !self.big_endian => words[first..first + size]
                .iter()
                .map(|word| u16::from_le_bytes(*word).wrapping_add(zero))
                .collect(),
            _ => words[first..]
                .iter()
                .step_by(step)
                .take(size)
                .map(|word| of(word).wrapping_add(zero))
                .collect(),
        }
    }

    /// Place of the first sample of plane `index` in a frame, and the distance of the next, in samples.
    fn stride(&self, index: usize, size: usize) -> (usize, usize) {
        if self.samples == 1 || self.planar {
            (index * size, 1)
        } else {
            (index, self.samples)
        }
    }

    /// What 0 is in offset binary.
    fn zero(&self, depth: u32) -> u16 {
        if self.signed { 1 << (depth - 1) } else { 0 }
    }

    fn at(&self, frame: usize) -> Option<Range<usize>> {
        let bytes = self.frame_bytes();
        (frame < self.frames)
            .then(|| self.offset + frame * bytes..self.offset + (frame + 1) * bytes)
    }

    fn sample_bytes(&self) -> usize {
        self.bits_allocated as usize / 8
    }
}
