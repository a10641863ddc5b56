//! What the attributes of a data set say of its pixels, and whether it can be.

use dicom_core::{Tag, VR};

use super::{MAX_PLANES, NoPicture, Pair, Picture};
use crate::dicom::inspect::InspectError;
use crate::dicom::uid;
use crate::dicom::walk::{Element, Token, WalkError, Walker};

const PIXEL_DATA: Tag = Tag(0x7FE0, 0x0010);
const FLOAT_PIXEL_DATA: Tag = Tag(0x7FE0, 0x0008);
const DOUBLE_PIXEL_DATA: Tag = Tag(0x7FE0, 0x0009);

/// Longest attribute that is read here, in bytes: longer ones are not what they should be.
const VALUE_BYTES: u64 = 1024;

/// As read; 0 and empty where nothing is said.
#[derive(Debug, Default)]
pub(super) struct Description {
    rows: u16,
    columns: u16,
    samples: Option<u16>,
    planar: u16,
    frames: Option<String>,
    bits_allocated: u16,
    bits_stored: u16,
    high_bit: Option<u16>,
    representation: u16,
    photometric: String,
    modality: String,
    sop_instance_uid: String,
    window: [Option<f64>; 2],
    rescale: [Option<f64>; 2],
    pixels: Option<Element>,
}

impl Description {
    /// Walks as far as the pixel data.
    pub(super) fn read(mut walker: Walker<'_>) -> Result<Self, NoPicture> {
        let mut found = Self::default();
        while let Some(token) = walker.next().map_err(InspectError::from)? {
            match token {
                Token::Element(element) if walker.depth() == 0 => {
                    if element.tag == PIXEL_DATA {
                        found.pixels = Some(element);
                        break;
                    }
                    found
                        .take(&element, &mut walker)
                        .map_err(InspectError::from)?;
                }
                _ => {}
            }
            if walker.depth() == 0 && matches!(token, Token::Element(e) if is_float(e.tag)) {
                return Err(NoPicture::Form("floating point numbers"));
            }
        }
        Ok(found)
    }

    fn take(&mut self, element: &Element, walker: &mut Walker<'_>) -> Result<(), WalkError> {
        let into = match element.tag {
            Tag(0x0028, 0x0006) => &mut self.planar,
            Tag(0x0028, 0x0010) => &mut self.rows,
            Tag(0x0028, 0x0011) => &mut self.columns,
            Tag(0x0028, 0x0100) => &mut self.bits_allocated,
            Tag(0x0028, 0x0101) => &mut self.bits_stored,
            Tag(0x0028, 0x0102) => self.high_bit.insert(0),
            Tag(0x0028, 0x0103) => &mut self.representation,
            Tag(0x0028, 0x0002) => self.samples.insert(0),
            _ => return self.take_text(element, walker),
        };
        let value = walker.value(VALUE_BYTES)?;
        if let Some(bytes) = value.first_chunk::<2>() {
            *into = if element.syntax.big_endian {
                u16::from_be_bytes(*bytes)
            } else {
                u16::from_le_bytes(*bytes)
            };
        }
        Ok(())
    }

    fn take_text(&mut self, element: &Element, walker: &mut Walker<'_>) -> Result<(), WalkError> {
        let into = match element.tag {
            Tag(0x0008, 0x0018) => &mut self.sop_instance_uid,
            Tag(0x0008, 0x0060) => &mut self.modality,
            Tag(0x0028, 0x0004) => &mut self.photometric,
            Tag(0x0028, 0x0008) => self.frames.insert(String::new()),
            Tag(0x0028, 0x1050) => {
                self.window[0] = decimal(walker)?;
                return Ok(());
            }
            Tag(0x0028, 0x1051) => {
                self.window[1] = decimal(walker)?;
                return Ok(());
            }
            Tag(0x0028, 0x1053) => {
                self.rescale[0] = decimal(walker)?;
                return Ok(());
            }
            Tag(0x0028, 0x1052) => {
                self.rescale[1] = decimal(walker)?;
                return Ok(());
            }
            _ => return Ok(()),
        };
        *into = first_text(&walker.value(VALUE_BYTES)?);
        Ok(())
    }

    /// Where the value of the pixel data starts.
    pub(super) fn pixels_at(&self) -> Option<u64> {
        self.pixels.map(|pixels| pixels.at)
    }

    /// Whether all of it fits a file of `file_bytes`.
    pub(super) fn check(self, file_bytes: usize) -> Result<Picture, NoPicture> {
        let pixels = self.pixels.ok_or(NoPicture::NoPixels)?;
        let length = pixels.length.ok_or(NoPicture::Encapsulated)?;
        let (offset, length) = usize::try_from(pixels.at)
            .ok()
            .zip(usize::try_from(length).ok())
            .filter(|(at, length)| at.checked_add(*length).is_some_and(|end| end <= file_bytes))
            .ok_or(NoPicture::Inconsistent("it is cut off"))?;
        // It names the image, to people too.
        if !uid::is_valid(&self.sop_instance_uid) {
            return Err(NoPicture::Inconsistent("its SOP Instance UID is none"));
        }
        let bits_allocated = u32::from(self.bits_allocated);
        if ![8, 16].contains(&bits_allocated) {
            return Err(NoPicture::Form("neither 8 nor 16 bits allocated"));
        }
        let samples = usize::from(self.samples.unwrap_or(1));
        if ![1, 3].contains(&samples) {
            return Err(NoPicture::Form("neither one nor three samples a pixel"));
        }
        let subsampled = ["YBR_FULL_422", "YBR_PARTIAL"];
        if subsampled.iter().any(|s| self.photometric.starts_with(s)) {
            return Err(NoPicture::Form("subsampled colours"));
        }
        let big_endian = pixels.syntax.big_endian && pixels.vr != VR::OB;
        if big_endian && bits_allocated == 8 {
            return Err(NoPicture::Form("bytes in big endian words"));
        }
        // A few old files do not say; then all bits count.
        let bits_stored = match u32::from(self.bits_stored) {
            0 => bits_allocated,
            bits => bits,
        };
        if bits_stored > bits_allocated {
            return Err(NoPicture::Inconsistent("more bits stored than allocated"));
        }
        let frames = match &self.frames {
            None => 1,
            Some(text) => text
                .parse::<usize>()
                .ok()
                .filter(|frames| *frames > 0)
                .ok_or(NoPicture::Inconsistent("the number of frames is none"))?,
        };
        let (rows, columns) = (usize::from(self.rows), usize::from(self.columns));
        let needed = [columns, samples, bits_allocated as usize / 8, frames]
            .iter()
            .try_fold(rows, |product, factor| product.checked_mul(*factor));
        match needed {
            Some(1..) if needed <= Some(length) => {}
            Some(0) => return Err(NoPicture::Inconsistent("rows or columns are missing")),
            _ => {
                return Err(NoPicture::Inconsistent(
                    "it needs more bytes than there are",
                ));
            }
        }
        if frames > MAX_PLANES / samples {
            return Err(NoPicture::Form("too many frames"));
        }
        Ok(Picture {
            rows,
            columns,
            samples,
            planar: self.planar == 1,
            frames,
            bits_allocated,
            bits_stored,
            high_bit: self.high_bit.map_or(bits_stored - 1, u32::from),
            signed: self.representation == 1,
            big_endian,
            photometric: self.photometric,
            modality: self.modality,
            sop_instance_uid: self.sop_instance_uid,
            window: pair(self.window).filter(|w| w.1 >= 1.0),
            rescale: pair(self.rescale).filter(|r| r.0 != 0.0),
            offset,
            length,
        })
    }
}

fn is_float(tag: Tag) -> bool {
    [FLOAT_PIXEL_DATA, DOUBLE_PIXEL_DATA].contains(&tag)
}

/// The first value of a text, without padding.
fn first_text(value: &[u8]) -> String {
    let first = value.split(|b| *b == b'\\').next().unwrap_or_default();
    String::from_utf8_lossy(first)
        .trim_matches([' ', '\0'])
        .to_owned()
}

/// The first of decimal strings (PS3.5 section 6.2, DS).
fn decimal(walker: &mut Walker<'_>) -> Result<Option<f64>, WalkError> {
    let text = first_text(&walker.value(VALUE_BYTES)?);
    Ok(text.parse().ok().filter(|number: &f64| number.is_finite()))
}

fn pair([a, b]: [Option<f64>; 2]) -> Option<Pair> {
    Some(Pair(a?, b?))
}
