//! Encoding, and the check that decoding gives the same bytes.

use std::ops::Range;

use harpo_watermark::Plane;
use harpo_watermark::reliability::{self, Unmarkable, Verdict};

use super::{
    Form, LEVEL, Marker, PLANES, STORED, WINDOW_LOG, ZSTD, code, decode, shape, too_large, uncode,
};
use crate::content::picture::{self, Picture};

/// Whole files of at most so many bytes without pixel data go where descriptions go.
const SMALL_BYTES: usize = 64 << 10;

/// An instance as it is kept.
pub struct Coded {
    file: Vec<u8>,
    pixels: Range<usize>,
    coding: u8,
    body: Option<Vec<u8>>,
    unmarked: Option<&'static str>,
}

impl Coded {
    /// The bytes before the pixels.
    #[must_use]
    pub fn head(&self) -> &[u8] {
        &self.file[..self.pixels.start]
    }

    /// The bytes behind the pixels.
    #[must_use]
    pub fn tail(&self) -> &[u8] {
        &self.file[self.pixels.end..]
    }

    /// How the body is coded.
    #[must_use]
    pub fn coding(&self) -> u8 {
        self.coding
    }

    /// The coded pixels.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        match &self.body {
            Some(body) => body,
            None => &self.file[self.pixels.clone()],
        }
    }

    /// Why not all frames carry a reliability mark, in a stable word; none if all do.
    #[must_use]
    pub fn unmarked(&self) -> Option<&'static str> {
        self.unmarked
    }

    /// The instance, byte for byte.
    #[must_use]
    pub fn file(&self) -> &[u8] {
        &self.file
    }
}

/// Codes the Part 10 file of the instance `sop_instance_uid`. With a `marker`, frames get its
/// reliability mark where they can; images of `unmarked_modalities` do not.
///
/// What comes out was decoded, and gave the same bytes.
#[must_use]
pub fn encode(
    file: Vec<u8>,
    sop_instance_uid: &str,
    marker: &Marker,
    unmarked_modalities: &[String],
) -> Coded {
    let picture = match Picture::find(&file) {
        Ok(picture) => picture,
        Err(why) => return plain(file, why.code()),
    };
    if too_large(&picture) {
        return plain(file, "too_large");
    }
    let wanted = !unmarked_modalities.contains(&picture.modality);
    let encoder = Encoder {
        file: &file,
        picture: &picture,
        uid: sop_instance_uid,
        marker: wanted.then_some(marker),
    };
    let Some((body, unmarked)) = encoder.frames() else {
        return plain(file, "not_exact");
    };
    let pixels = picture.range();
    // Geometry is found again from head and tail alone: not where a file describes it twice.
    let head = &file[..pixels.start];
    let found = decode::blank(head, pixels.len(), &file[pixels.end..])
        .and_then(|blank| Picture::find(&blank).ok());
    if found.as_ref() != Some(&picture) || body.len() > pixels.len() {
        return plain(file, "not_exact");
    }
    Coded {
        pixels,
        coding: PLANES,
        body: Some(body),
        unmarked,
        file,
    }
}

/// Keeps the pixels, of whatever kind, as they came, or compressed.
fn plain(file: Vec<u8>, unmarked: &'static str) -> Coded {
    let pixels = match picture::pixels_at(&file) {
        Some(at) => at..file.len(),
        None if file.len() <= SMALL_BYTES => file.len()..file.len(),
        None => 0..file.len(),
    };
    let original = &file[pixels.clone()];
    let body = compress(original).filter(|body| {
        body.len() < original.len()
            && decode::inflate(body, original.len()).as_deref() == Some(original)
    });
    Coded {
        coding: if body.is_some() { ZSTD } else { STORED },
        pixels,
        body,
        unmarked: Some(unmarked),
        file,
    }
}

fn compress(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut compressor = zstd::bulk::Compressor::new(LEVEL).ok()?;
    compressor.window_log(WINDOW_LOG).ok()?;
    compressor.compress(bytes).ok()
}

struct Encoder<'a> {
    file: &'a [u8],
    picture: &'a Picture,
    uid: &'a str,
    /// None if the policy wants no marks.
    marker: Option<&'a Marker>,
}

impl Encoder<'_> {
    /// A record for each frame, and why some carry no mark.
    fn frames(&self) -> Option<(Vec<u8>, Option<&'static str>)> {
        let mut body = Vec::with_capacity(self.picture.range().len() / 3);
        let mut unmarked = None;
        let mut scratch = vec![0; self.picture.frame_bytes()];
        for frame in 0..self.picture.frames {
            let why = self.frame(frame, &mut body, &mut scratch)?;
            unmarked = unmarked.or(why);
        }
        Some((body, unmarked))
    }

    /// Appends the record of one frame; why it carries no mark.
    fn frame(
        &self,
        frame: usize,
        body: &mut Vec<u8>,
        scratch: &mut [u8],
    ) -> Option<Option<&'static str>> {
        let mut unmarked = Some("policy");
        if let Some(mut planes) = self.picture.planes(self.file, frame) {
            if let Some(marker) = self.marker {
                match self.marked(marker, frame, &mut planes, body, scratch) {
                    Ok(()) => return Some(None),
                    Err(why) => unmarked = Some(why),
                }
            }
            // The mark's planes are spoilt.
            let planes = self.picture.planes(self.file, frame)?;
            if self.record(Form::Plain, frame, &planes, body, scratch, |_| true) {
                return Some(unmarked);
            }
        } else if self.marker.is_some() {
            unmarked = Some("high_bits");
        }
        let words = self.picture.words(self.file, frame)?;
        self.record(Form::Words, frame, &words, body, scratch, |_| true)
            .then_some(unmarked)
    }

    fn marked(
        &self,
        marker: &Marker,
        frame: usize,
        planes: &mut [Plane],
        body: &mut Vec<u8>,
        scratch: &mut [u8],
    ) -> Result<(), &'static str> {
        let number = u32::try_from(frame).map_err(|_| "frames")?;
        let message = marker.message(self.uid, number);
        reliability::embed(planes, &marker.key, &message).map_err(|why| match why {
            Unmarkable::Planes(_) => "planes",
            Unmarkable::TooSmall { .. } => "too_small",
            Unmarkable::Capacity { .. } => "capacity",
        })?;
        let restore = |planes: &mut [Plane]| match reliability::verify(planes, &marker.key) {
            Verdict::Authentic(found) => {
                found.identity == message.identity && found.statement == message.statement
            }
            _ => false,
        };
        if self.record(Form::Marked, frame, planes, body, scratch, restore) {
            Ok(())
        } else {
            Err("not_exact")
        }
    }

    /// Appends the record of planes, and checks that decoding and `restore` give the frame's bytes. If
    /// they do not, `body` is as it was.
    fn record(
        &self,
        form: Form,
        frame: usize,
        planes: &[Plane],
        body: &mut Vec<u8>,
        scratch: &mut [u8],
        restore: impl FnOnce(&mut [Plane]) -> bool,
    ) -> bool {
        let begin = body.len();
        body.push(form as u8);
        body.extend_from_slice(&[0; 4]);
        let done = code(planes, body)
            && u32::try_from(body.len() - begin - 5).is_ok_and(|length| {
                body[begin + 1..begin + 5].copy_from_slice(&length.to_be_bytes());
                self.check(frame, planes, &body[begin + 5..], scratch, restore)
            });
        if !done {
            body.truncate(begin);
        }
        done
    }

    fn check(
        &self,
        frame: usize,
        planes: &[Plane],
        coded: &[u8],
        scratch: &mut [u8],
        restore: impl FnOnce(&mut [Plane]) -> bool,
    ) -> bool {
        let Some(mut back) = planes
            .first()
            .and_then(shape)
            .and_then(|shape| uncode(coded, shape, planes.len()))
        else {
            return false;
        };
        restore(&mut back)
            && self.picture.put_frame(scratch, &back)
            && self.picture.frame_of(self.file, frame) == Some(&*scratch)
    }
}
