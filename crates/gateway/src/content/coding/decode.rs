//! Decoding what somebody else coded.

use std::io::Read as _;

use harpo_codec::Shape;
use harpo_protocol::pack::Entry;
use harpo_watermark::Plane;
use harpo_watermark::reliability::{self, Verdict};

use super::{Form, Marker, PLANES, STORED, WINDOW_LOG, ZSTD, too_large, uncode};
use crate::content::picture::{NoPicture, Picture};

/// Why an instance does not decode.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The coding is not known, or not what its lengths say.
    #[error("its pixels do not decode: {0}")]
    Body(&'static str),
    /// The head does not describe the pixels that the body codes.
    #[error("its description does not fit its coded pixels")]
    Description(#[source] Option<NoPicture>),
    /// It does not fit into this machine's memory.
    #[error("it needs {0} bytes of memory, which this machine does not have")]
    Memory(u64),
    /// A frame's mark is not the one that the producer put there.
    #[error("the reliability mark of frame {frame} is wrong: {why}")]
    Mark {
        /// Counted from 1.
        frame: usize,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A decoded instance.
#[derive(Debug)]
pub struct Decoded {
    /// The Part 10 file.
    pub file: Vec<u8>,
    /// Whether every frame carried the producer's mark, which was verified and taken out.
    pub marked: bool,
}

/// Puts an instance of `length` bytes together. Marks must be those that `marker` expects.
///
/// # Errors
/// See [`DecodeError`].
pub fn decode(
    parts: (&[u8], &[u8]),
    entry: &Entry,
    body: &[u8],
    length: u64,
    sop_instance_uid: &str,
    marker: &Marker,
) -> Result<Decoded, DecodeError> {
    let (head, tail) = parts;
    let pixels = usize::try_from(length)
        .ok()
        .and_then(|length| length.checked_sub(head.len())?.checked_sub(tail.len()))
        .ok_or(DecodeError::Body("its parts are longer than it is"))?;
    let body = match entry.coding {
        STORED => std::borrow::Cow::Borrowed(body),
        ZSTD => inflate(body, pixels)
            .ok_or(DecodeError::Body("it does not decompress to its length"))?
            .into(),
        PLANES => {
            let mut file = blank(head, pixels, tail).ok_or(DecodeError::Memory(length))?;
            let marked = Decoder {
                uid: sop_instance_uid,
                marker,
            }
            .frames(&mut file, head.len(), pixels, body)?;
            return Ok(Decoded { file, marked });
        }
        _ => {
            return Err(DecodeError::Body(
                "its coding is not known; update the gateway",
            ));
        }
    };
    if body.len() != pixels {
        return Err(DecodeError::Body("it has another length"));
    }
    Ok(Decoded {
        file: [head, &body, tail].concat(),
        marked: false,
    })
}

/// Exactly `length` bytes of a Zstandard frame; memory grows with what is there, not with what is claimed.
pub(super) fn inflate(body: &[u8], length: usize) -> Option<Vec<u8>> {
    let mut decoder = zstd::Decoder::with_buffer(body).ok()?.single_frame();
    decoder.window_log_max(WINDOW_LOG).ok()?;
    let mut bytes = Vec::new();
    decoder
        .by_ref()
        .take(length as u64 + 1)
        .read_to_end(&mut bytes)
        .ok()?;
    let rest = decoder.finish();
    (bytes.len() == length && rest.is_empty()).then_some(bytes)
}

/// The file with zeros for pixels.
pub(super) fn blank(head: &[u8], pixels: usize, tail: &[u8]) -> Option<Vec<u8>> {
    let mut file = Vec::new();
    let length = head.len().checked_add(pixels)?.checked_add(tail.len())?;
    file.try_reserve_exact(length).ok()?;
    file.extend_from_slice(head);
    file.resize(head.len() + pixels, 0);
    file.extend_from_slice(tail);
    Some(file)
}

struct Decoder<'a> {
    uid: &'a str,
    marker: &'a Marker,
}

impl Decoder<'_> {
    /// Fills the frames in; whether all were marked.
    fn frames(
        &self,
        file: &mut [u8],
        at: usize,
        pixels: usize,
        mut body: &[u8],
    ) -> Result<bool, DecodeError> {
        let picture = Picture::find(file).map_err(|why| DecodeError::Description(Some(why)))?;
        if picture.range() != (at..at + pixels) {
            return Err(DecodeError::Description(None));
        }
        if too_large(&picture) {
            return Err(DecodeError::Body("its frames are too large for planes"));
        }
        let cut = || DecodeError::Body("its frames are cut off");
        let mut marked = true;
        for frame in 0..picture.frames {
            let ([form, lengths @ ..], rest) = body.split_first_chunk::<5>().ok_or_else(cut)?;
            let form = Form::of(*form).ok_or(DecodeError::Body("a frame's form is not known"))?;
            let (coded, rest) = usize::try_from(u32::from_be_bytes(*lengths))
                .ok()
                .and_then(|length| rest.split_at_checked(length))
                .ok_or_else(cut)?;
            body = rest;
            let planes = self.frame(&picture, frame, form, coded)?;
            marked &= form == Form::Marked;
            if !picture.put(file, frame, &planes) {
                return Err(DecodeError::Description(None));
            }
        }
        if !body.is_empty() {
            return Err(DecodeError::Body("something follows its last frame"));
        }
        Ok(marked)
    }

    fn frame(
        &self,
        picture: &Picture,
        frame: usize,
        form: Form,
        coded: &[u8],
    ) -> Result<Vec<Plane>, DecodeError> {
        let depth = match form {
            Form::Plain | Form::Marked => picture.depth(),
            Form::Words => picture.bits_allocated,
        };
        let mut planes = Shape::new(picture.columns, picture.rows, depth)
            .ok()
            .and_then(|shape| uncode(coded, shape, picture.samples))
            .ok_or(DecodeError::Body("a frame does not decode"))?;
        if form == Form::Marked {
            self.restore(&mut planes, frame)?;
        }
        Ok(planes)
    }

    /// Takes the mark out, which must be the one that is expected here.
    fn restore(&self, planes: &mut [Plane], frame: usize) -> Result<(), DecodeError> {
        let wrong = |why| DecodeError::Mark {
            frame: frame + 1,
            why,
        };
        let number = u32::try_from(frame).map_err(|_| wrong("too many frames"))?;
        let expected = self.marker.message(self.uid, number);
        match reliability::verify(planes, &self.marker.key) {
            Verdict::Authentic(found) if found.identity != expected.identity => {
                Err(wrong("it is of another image"))
            }
            Verdict::Authentic(found) if found.statement != expected.statement => {
                Err(wrong("it names another attestation"))
            }
            Verdict::Authentic(_) => Ok(()),
            Verdict::Altered(_) => Err(wrong("the image was altered after it was marked")),
            Verdict::Unmarked => Err(wrong("there is none")),
        }
    }
}
