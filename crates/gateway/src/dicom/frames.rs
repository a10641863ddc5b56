//! Frames of pixel data as they are stored (PS3.5 section 8 and annex A.4): nothing is decoded.

#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read, Seek, SeekFrom};
use std::path::Path;

use dicom_core::{Tag, VR};

use super::inspect::{InspectError, Limits, open_file, walker};
use super::uid;
use super::walk::{Element, Inflating, Syntax, Token, WalkError, Walker};

const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);
const FLOAT_PIXEL_DATA: Tag = Tag(0x7FE0, 0x0008);
const DOUBLE_PIXEL_DATA: Tag = Tag(0x7FE0, 0x0009);
const EXTENDED_OFFSETS: Tag = Tag(0x7FE0, 0x0001);

/// Most fragments of one object that are indexed.
const MAX_FRAGMENTS: usize = 1 << 20;
/// Longest offset table that is read, in bytes.
const TABLE_BYTES: u64 = 16 << 20;
/// Longest attribute that is read here, in bytes.
const VALUE_BYTES: u64 = 64;

/// Why frames cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// The object cannot be read.
    #[error(transparent)]
    Inspect(#[from] InspectError),
    /// It has no pixel data.
    #[error("the instance has no pixel data; ask for the instance itself")]
    NoPixels,
    /// No such frame.
    #[error("the instance has {frames} frames; there is no frame {asked}")]
    NoSuchFrame {
        /// Asked for, counted from 1.
        asked: u32,
        /// How many there are.
        frames: u32,
    },
    /// Rows, columns, samples or bits are missing or do not fit the pixel data.
    #[error("the image description does not fit its pixel data: {0}; ask for the instance itself")]
    Inconsistent(&'static str),
    /// Fragments cannot be told apart by frame.
    #[error(
        "the fragments of the compressed frames cannot be told apart; ask for the instance itself"
    )]
    UnknownBoundaries,
    /// The file failed.
    #[error("reading the pixel data failed; check the disk")]
    Read(#[source] io::Error),
}

impl From<WalkError> for FrameError {
    fn from(e: WalkError) -> Self {
        Self::Inspect(e.into())
    }
}

trait ReadSeek: Read + Seek + Send {}
impl<T: Read + Seek + Send> ReadSeek for T {}

/// The pixel data of one instance, opened.
pub struct Frames {
    source: Box<dyn ReadSeek>,
    /// Of the stored frames.
    pub transfer_syntax_uid: String,
    /// How many frames there are, at least 1.
    pub count: u32,
    layout: Layout,
}

impl std::fmt::Debug for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frames")
            .field("count", &self.count)
            .finish_non_exhaustive()
    }
}

enum Layout {
    /// Frames follow one another; `bits` each, which need not be whole bytes where one bit is
    /// allocated for a sample. `word` is the width in bytes to be swapped, 1 for none.
    Native { at: u64, bits: u64, word: usize },
    /// Pieces of the source by frame.
    Encapsulated(Vec<Vec<(u64, u32)>>),
}

/// What the image attributes say.
#[derive(Debug, Default)]
struct Image {
    rows: u64,
    columns: u64,
    samples: u64,
    bits: u64,
    frames: u32,
    subsampled: bool,
    extended: Vec<u64>,
    pixels: Option<Element>,
}

impl Frames {
    /// Opens the pixel data of a Part 10 file.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn open(path: &Path, limits: &Limits) -> Result<Self, FrameError> {
        let (opening, file, length) = open_file(path)?;
        if super::inspect::is_deflated(&opening.transfer_syntax_uid) {
            return Self::inflate(file, limits);
        }
        let image = Image::read(walker(&opening, BufReader::new(file), length, limits)?)?;
        let source = File::open(path).map_err(FrameError::Read)?;
        Self::new(opening.transfer_syntax_uid, image, Box::new(source))
    }

    fn inflate(file: File, limits: &Limits) -> Result<Self, FrameError> {
        let mut dataset = Vec::new();
        Inflating::new(BufReader::new(file), limits.inflated_bytes)
            .read_to_end(&mut dataset)
            .map_err(FrameError::Read)?;
        let length = dataset.len() as u64;
        let image = Image::read(Walker::new(
            Cursor::new(&dataset[..]),
            0,
            Some(length),
            Syntax::EXPLICIT_LE,
        ))?;
        // Once inflated, the frames are plain little endian ones.
        Self::new(
            uid::EXPLICIT_LE.to_owned(),
            image,
            Box::new(Cursor::new(dataset)),
        )
    }

    fn new(
        transfer_syntax_uid: String,
        image: Image,
        mut source: Box<dyn ReadSeek>,
    ) -> Result<Self, FrameError> {
        let Some(pixels) = image.pixels else {
            return Err(FrameError::NoPixels);
        };
        let count = image.frames.max(1);
        let layout = match pixels.length {
            Some(length) => image.native(&pixels, length)?,
            None => Layout::Encapsulated(encapsulated(&mut *source, &pixels, &image)?),
        };
        // Big endian frames are handed out as little endian ones.
        let transfer_syntax_uid = match transfer_syntax_uid.as_str() {
            uid::EXPLICIT_BE | uid::IMPLICIT_LE => uid::EXPLICIT_LE.to_owned(),
            _ => transfer_syntax_uid,
        };
        Ok(Self {
            source,
            transfer_syntax_uid,
            count,
            layout,
        })
    }

    /// Whether frames are compressed.
    #[must_use]
    pub fn is_encapsulated(&self) -> bool {
        matches!(self.layout, Layout::Encapsulated(_))
    }

    /// The stored bytes of frame `number`, counted from 1.
    ///
    /// # Errors
    /// See [`FrameError`].
    pub fn read(&mut self, number: u32) -> Result<Vec<u8>, FrameError> {
        if number == 0 || number > self.count {
            return Err(FrameError::NoSuchFrame {
                asked: number,
                frames: self.count,
            });
        }
        let index = u64::from(number - 1);
        match &self.layout {
            Layout::Native { at, bits, word } => {
                let first_bit = index * bits;
                let last_bit = first_bit + bits;
                let (from, to) = (first_bit / 8, last_bit.div_ceil(8));
                let bytes = read_at(&mut *self.source, at + from, to - from)?;
                let mut frame = shifted(bytes, (first_bit % 8) as u32, *bits);
                if *word > 1 {
                    frame.chunks_exact_mut(*word).for_each(<[u8]>::reverse);
                }
                Ok(frame)
            }
            Layout::Encapsulated(frames) => {
                let mut frame = Vec::new();
                for (at, length) in &frames[index as usize] {
                    frame.extend(read_at(&mut *self.source, *at, u64::from(*length))?);
                }
                Ok(frame)
            }
        }
    }
}

impl Image {
    fn read(mut walker: Walker<'_>) -> Result<Self, FrameError> {
        let mut image = Self {
            samples: 1,
            frames: 1,
            ..Self::default()
        };
        while let Some(token) = walker.next()? {
            let Token::Element(element) = token else {
                continue;
            };
            if walker.depth() > 0 {
                continue;
            }
            match element.tag {
                Tag(0x0028, 0x0002) => image.samples = number(&mut walker, &element)?,
                Tag(0x0028, 0x0004) => {
                    let value = walker.value(VALUE_BYTES)?;
                    image.subsampled =
                        value.starts_with(b"YBR_FULL_422") || value.starts_with(b"YBR_PARTIAL");
                }
                Tag(0x0028, 0x0008) => {
                    let value = walker.value(VALUE_BYTES)?;
                    let text = String::from_utf8_lossy(&value);
                    image.frames = text.trim_matches([' ', '\0']).parse().unwrap_or(1);
                }
                Tag(0x0028, 0x0010) => image.rows = number(&mut walker, &element)?,
                Tag(0x0028, 0x0011) => image.columns = number(&mut walker, &element)?,
                Tag(0x0028, 0x0100) => image.bits = number(&mut walker, &element)?,
                EXTENDED_OFFSETS => {
                    let table = walker.value(TABLE_BYTES)?;
                    image.extended = table
                        .as_chunks::<8>()
                        .0
                        .iter()
                        .map(|b| u64::from_le_bytes(*b))
                        .collect();
                }
                PIXEL_DATA | FLOAT_PIXEL_DATA | DOUBLE_PIXEL_DATA => {
                    image.pixels = Some(element);
                    break;
                }
                _ => {}
            }
        }
        Ok(image)
    }

    fn native(&self, pixels: &Element, length: u64) -> Result<Layout, FrameError> {
        let bits = match pixels.tag {
            FLOAT_PIXEL_DATA => 32,
            DOUBLE_PIXEL_DATA => 64,
            _ => self.bits,
        };
        if bits == 0 || self.rows == 0 || self.columns == 0 || self.samples == 0 {
            return Err(FrameError::Inconsistent(
                "rows, columns, samples or bits are missing",
            ));
        }
        // Each is 16 bits wide, so that their product fits 64.
        let samples = if self.subsampled && self.samples == 3 {
            2
        } else {
            self.samples
        };
        let frame_bits = self.rows * self.columns * samples * bits;
        let needed = u128::from(frame_bits) * u128::from(self.frames.max(1));
        if needed.div_ceil(8) > u128::from(length) {
            return Err(FrameError::Inconsistent(
                "the frames need more bytes than there are",
            ));
        }
        let word = match (pixels.syntax.big_endian, pixels.vr, bits) {
            (false, ..) => 1,
            (true, VR::OB, _) => 1,
            (true, _, 32) => 4,
            (true, _, 64) => 8,
            (true, ..) => 2,
        };
        if word > 1 && !frame_bits.is_multiple_of(8 * word as u64) {
            return Err(FrameError::Inconsistent(
                "big endian frames do not fill whole words",
            ));
        }
        Ok(Layout::Native {
            at: pixels.at,
            bits: frame_bits,
            word,
        })
    }
}

fn number(walker: &mut Walker<'_>, element: &Element) -> Result<u64, FrameError> {
    let value = walker.value(VALUE_BYTES)?;
    let Some(b) = value.first_chunk::<2>() else {
        return Ok(0);
    };
    let number = if element.syntax.big_endian {
        u16::from_be_bytes(*b)
    } else {
        u16::from_le_bytes(*b)
    };
    Ok(u64::from(number))
}

fn read_at(source: &mut dyn ReadSeek, at: u64, length: u64) -> Result<Vec<u8>, FrameError> {
    source.seek(SeekFrom::Start(at)).map_err(FrameError::Read)?;
    let mut out = Vec::new();
    source
        .take(length)
        .read_to_end(&mut out)
        .map_err(FrameError::Read)?;
    if out.len() as u64 != length {
        return Err(FrameError::Read(io::ErrorKind::UnexpectedEof.into()));
    }
    Ok(out)
}

/// Moves a frame that starts inside a byte to the start of one; `bits` of it count.
fn shifted(mut bytes: Vec<u8>, by: u32, bits: u64) -> Vec<u8> {
    let length = usize::try_from(bits.div_ceil(8)).unwrap_or(usize::MAX);
    if by > 0 {
        for i in 0..bytes.len() {
            let next = bytes.get(i + 1).copied().unwrap_or(0);
            bytes[i] = (bytes[i] >> by) | (next << (8 - by));
        }
    }
    bytes.truncate(length);
    let spare = (length as u64 * 8 - bits) as u32;
    if let Some(last) = bytes.last_mut()
        && spare > 0
    {
        *last &= 0xFF >> spare;
    }
    bytes
}

/// Which fragments make up which frame (PS3.5 section A.4).
fn encapsulated(
    source: &mut dyn ReadSeek,
    pixels: &Element,
    image: &Image,
) -> Result<Vec<Vec<(u64, u32)>>, FrameError> {
    let (table, fragments) = fragments(source, pixels)?;
    let frames = image.frames.max(1) as usize;
    if frames == 1 {
        return Ok(vec![fragments]);
    }
    if fragments.len() == frames {
        return Ok(fragments.into_iter().map(|f| vec![f]).collect());
    }
    let offsets = if image.extended.len() == frames {
        image.extended.clone()
    } else {
        table
    };
    let first = fragments.first().map_or(0, |f| f.0) - 8;
    let starts: Vec<u64> = if offsets.len() == frames {
        // Offsets count from the first fragment's item tag.
        offsets
            .into_iter()
            .map(|o| first.saturating_add(o))
            .collect()
    } else {
        let mut starts = Vec::new();
        for (at, length) in &fragments {
            let head = read_at(source, *at, u64::from(*length).min(4))?;
            if starts_image(&head) {
                starts.push(at - 8);
            }
        }
        starts
    };
    if starts.len() != frames || !starts.is_sorted() {
        return Err(FrameError::UnknownBoundaries);
    }
    let mut out = vec![Vec::new(); frames];
    for fragment in fragments {
        let frame = starts.partition_point(|s| *s <= fragment.0 - 8);
        match frame.checked_sub(1) {
            Some(frame) => out[frame].push(fragment),
            None => return Err(FrameError::UnknownBoundaries),
        }
    }
    if out.iter().any(Vec::is_empty) {
        return Err(FrameError::UnknownBoundaries);
    }
    Ok(out)
}

/// Start of a JPEG or JPEG-LS image, of a JPEG 2000 codestream or of a JPEG XL one.
fn starts_image(head: &[u8]) -> bool {
    head.starts_with(&[0xFF, 0xD8])
        || head.starts_with(&[0xFF, 0x4F, 0xFF, 0x51])
        || head.starts_with(&[0xFF, 0x0A])
}

type Fragments = Vec<(u64, u32)>;

/// The basic offset table, and where each fragment's bytes are.
fn fragments(
    source: &mut dyn ReadSeek,
    pixels: &Element,
) -> Result<(Vec<u64>, Fragments), FrameError> {
    let damaged = |offset| {
        FrameError::from(WalkError::Truncated {
            tag: PIXEL_DATA,
            offset,
        })
    };
    let end = source.seek(SeekFrom::End(0)).map_err(FrameError::Read)?;
    let mut at = pixels.at;
    let mut table = None;
    let mut fragments = Vec::new();
    while at + 8 <= end && fragments.len() < MAX_FRAGMENTS {
        let head = read_at(source, at, 8)?;
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]);
        match &head[..4] {
            [0xFE, 0xFF, 0x00, 0xE0] if at + 8 + u64::from(length) <= end => {
                if table.is_none() {
                    if u64::from(length) > TABLE_BYTES {
                        return Err(damaged(at));
                    }
                    let bytes = read_at(source, at + 8, u64::from(length))?;
                    let offsets = bytes.as_chunks::<4>().0.iter();
                    table = Some(offsets.map(|b| u64::from(u32::from_le_bytes(*b))).collect());
                } else {
                    fragments.push((at + 8, length));
                }
                at += 8 + u64::from(length);
            }
            [0xFE, 0xFF, 0xDD, 0xE0] => break,
            _ => return Err(damaged(at)),
        }
    }
    if fragments.is_empty() {
        return Err(FrameError::NoPixels);
    }
    Ok((table.unwrap_or_default(), fragments))
}
