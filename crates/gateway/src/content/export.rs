//! Instances that leave for taking away (docs/protocol.md 10.3), with a tracing mark where the permit
//! demands it.

#[cfg(test)]
pub(crate) mod tests;

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader, Read, Seek as _, Write};
use std::path::Path;
use std::sync::Arc;

use dicom_core::Tag;
use harpo_protocol::domain::sha256;
use harpo_protocol::id::Digest;
use harpo_watermark::Plane;
use harpo_watermark::tracing::{
    Codeword, Display, ExportId, ImageId, TraceError, TraceKey, Tracer,
};

use super::picture::{NoPicture, Picture};
use super::pipeline::{Memory, Share};
use crate::archive::StoredInstance;
use crate::dicom::inspect::{InspectError, Limits, open_bytes, walker};
use crate::dicom::walk::Token;
use crate::seal::scratch_file;

/// Most instances that a refusal names.
const NAMED: usize = 10;
/// Image Type (0008,0008).
const IMAGE_TYPE: Tag = Tag(0x0008, 0x0008);
/// Modalities whose pixels are measurements that software computes with, and no picture.
const MEASURED: &[&str] = &["RTDOSE", "SEG", "REG", "RWV"];

/// Why an image cannot carry a tracing mark.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Untraceable {
    /// The file cannot be read.
    #[error("it cannot be read")]
    Read(#[from] io::Error),
    /// Its pixels are not native.
    #[error("{0}")]
    NoPicture(#[source] NoPicture),
    /// Bits above Bits Stored.
    #[error("bits above those that it says are stored are in use")]
    Bits,
    /// A palette's indexes, doses, labels: a little more or less would mean something else.
    #[error("its pixel values are {0}, which a mark would falsify")]
    NotShades(&'static str),
    /// No room.
    #[error(transparent)]
    Trace(#[from] TraceError),
}

/// The images that kept an export from leaving.
#[derive(Debug)]
pub struct UntraceableSet {
    /// SOP Instance UID, and why; the first few.
    pub first: Vec<(String, Untraceable)>,
    /// All of them.
    pub count: usize,
}

impl fmt::Display for UntraceableSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the policy permits this export with tracing marks only, which {} of its images cannot carry; export the \
             other series or instances one by one:",
            self.count
        )?;
        for (uid, why) in &self.first {
            write!(f, " {uid}: {why};")?;
        }
        match self.count - self.first.len() {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl std::error::Error for UntraceableSet {}

/// The mark of exports of one bundle to one user: its codeword, and what places it. Lives as long as the export leaves.
#[derive(Debug)]
pub struct Tracing {
    tracer: Tracer,
    codeword: Codeword,
}

impl Tracing {
    /// The mark of what `taker` takes away ([`harpo_protocol::export::Export::taker`]), with the bundle's key.
    #[must_use]
    pub fn new(key: &[u8; 32], taker: Digest) -> Self {
        let tracer = Tracer::new(&TraceKey::new(*key));
        let codeword = Codeword::derive(&tracer, &ExportId(taker.0));
        Self { tracer, codeword }
    }

    /// Marks every frame of a file in place: the pixels change, and the first value of Image Type
    /// becomes DERIVED, as PS3.3 C.7.6.1.1.2 asks. Everything else stays, and so do all lengths. False,
    /// and nothing changed, if the file has no pixel data at all.
    ///
    /// # Errors
    /// See [`Untraceable`]; the file is then of no use.
    pub fn mark(&self, file: &mut [u8]) -> Result<bool, Untraceable> {
        let Some(picture) = shades(file)? else {
            return Ok(false);
        };
        for frame in 0..picture.frames {
            let mut planes = picture.planes(file, frame).ok_or(Untraceable::Bits)?;
            self.mark_frame(&picture, frame, &mut planes)?;
            if !picture.put(file, frame, &planes) {
                return Err(Untraceable::Bits);
            }
        }
        derive(file)?;
        Ok(true)
    }

    fn mark_frame(
        &self,
        picture: &Picture,
        frame: usize,
        planes: &mut [Plane],
    ) -> Result<(), TraceError> {
        let id = image_id(&picture.sop_instance_uid, frame);
        let seen = luminance(picture, planes);
        let display = Display::of(&seen, window(picture));
        match planes {
            [red, green, blue] if picture.photometric == "RGB" => {
                let planes = [red, green, blue];
                self.tracer
                    .embed_rgb(planes, &seen, &id, &self.codeword, &display)?;
            }
            // Of other colour spaces the first plane is the luminance.
            [first, ..] => {
                self.tracer.embed(first, &id, &self.codeword, &display)?;
            }
            [] => {}
        }
        Ok(())
    }
}

/// Names an image for tracing and reliability marks: the first half of its UID's SHA-256, and the frame
/// from 0.
#[must_use]
pub fn image_id(sop_instance_uid: &str, frame: usize) -> ImageId {
    ImageId {
        instance: instance_id(sop_instance_uid),
        // Frames are fewer than 2^20 (`Picture`).
        frame: frame as u32,
    }
}

/// The first half of the SHA-256 of a SOP Instance UID.
#[must_use]
pub fn instance_id(sop_instance_uid: &str) -> [u8; 16] {
    let mut half = [0; 16];
    half.copy_from_slice(&sha256(sop_instance_uid.as_bytes()).0[..16]);
    half
}

/// What of a frame is bright and dark: the only plane, the luminance of red, green and blue, or the first
/// plane of other colour spaces.
#[must_use]
pub fn luminance(picture: &Picture, planes: &[Plane]) -> Plane {
    if let ([red, green, blue], "RGB") = (planes, picture.photometric.as_str()) {
        let mixed = red.samples().iter().zip(green.samples());
        // BT.601, as JPEG has it, in 256ths.
        let samples = mixed
            .zip(blue.samples())
            .map(|((r, g), b)| {
                let sum = 77 * u32::from(*r) + 150 * u32::from(*g) + 29 * u32::from(*b);
                ((sum + 128) >> 8) as u16
            })
            .collect();
        if let Ok(plane) = Plane::new(red.width(), red.height(), red.depth(), samples) {
            return plane;
        }
    }
    planes[0].clone()
}

/// The width of the file's window in stored units.
#[must_use]
pub fn window(picture: &Picture) -> Option<f32> {
    let slope = picture.rescale.map_or(1.0, |pair| pair.0.abs());
    picture.window.map(|pair| (pair.1 / slope) as f32)
}

/// The picture of a file that can be marked; none if it has no pixels at all.
fn shades(file: &[u8]) -> Result<Option<Picture>, Untraceable> {
    let picture = match Picture::find(file) {
        Ok(picture) => picture,
        Err(NoPicture::NoPixels) => return Ok(None),
        Err(other) => return Err(Untraceable::NoPicture(other)),
    };
    if picture.photometric == "PALETTE COLOR" {
        return Err(Untraceable::NotShades("places in a palette"));
    }
    if MEASURED.contains(&picture.modality.as_str()) {
        return Err(Untraceable::NotShades("measurements"));
    }
    Ok(Some(picture))
}

/// Writes DERIVED over ORIGINAL in Image Type. A space at the end of a value of a CS is padding (PS3.5 section 6.2),
/// so that nothing moves.
fn derive(file: &mut [u8]) -> Result<(), Untraceable> {
    let unreadable = |error| Untraceable::NoPicture(NoPicture::Unreadable(error));
    let at = image_type(file).map_err(unreadable)?;
    let value = at.and_then(|at| file.get_mut(at..at + b"ORIGINAL".len()));
    if let Some(value) = value
        && value == b"ORIGINAL"
    {
        value.copy_from_slice(b"DERIVED ");
    }
    Ok(())
}

fn image_type(file: &[u8]) -> Result<Option<usize>, InspectError> {
    let (opening, dataset) = open_bytes(file)?;
    let mut walker = walker(&opening, dataset, file.len() as u64, &Limits::default())?;
    while let Some(token) = walker.next()? {
        if let Token::Element(element) = token
            && walker.depth() == 0
        {
            if element.tag == IMAGE_TYPE {
                return Ok(usize::try_from(element.at).ok());
            }
            if element.tag > IMAGE_TYPE {
                break;
            }
        }
    }
    Ok(None)
}

/// An instance that leaves.
#[derive(Debug, Clone)]
pub struct Exported {
    /// The original here.
    pub stored: StoredInstance,
    mark: Option<Arc<Tracing>>,
}

impl Exported {
    /// With a tracing mark, where there is one.
    #[must_use]
    pub fn new(stored: StoredInstance, mark: Option<Arc<Tracing>>) -> Self {
        Self { stored, mark }
    }

    /// As it is.
    #[must_use]
    pub fn exact(stored: StoredInstance) -> Self {
        Self::new(stored, None)
    }

    /// Writes the file, as long as the original. One that is marked goes through a file without a name
    /// beside the original, so that no memory is held for as long as somebody takes to receive it. Blocks.
    ///
    /// # Errors
    /// The disk, `out`, and [`Untraceable`], which [`untraceable`] would have told before.
    pub fn write(&self, out: &mut impl Write) -> io::Result<()> {
        let Some(mark) = &self.mark else {
            let mut file = BufReader::with_capacity(256 << 10, File::open(&self.stored.path)?);
            return io::copy(&mut file, out).map(drop);
        };
        let mut marked = self.marked(mark)?;
        io::copy(&mut marked, out).map(drop)
    }

    fn marked(&self, mark: &Tracing) -> io::Result<impl Read> {
        let path = &self.stored.path;
        let _share = share(path)?;
        let mut file = fs::read(path)?;
        mark.mark(&mut file).map_err(io::Error::other)?;
        let mut scratch = scratch_file(path.parent().unwrap_or(Path::new(".")))?;
        scratch.write_all(&file)?;
        scratch.rewind()?;
        Ok(BufReader::with_capacity(256 << 10, scratch))
    }

    fn check(&self) -> Result<(), Untraceable> {
        match &self.mark {
            None => Ok(()),
            Some(mark) => check(mark, &self.stored.path),
        }
    }
}

/// Whether every image that must carry a mark can. Blocks.
///
/// # Errors
/// Those that cannot, with reasons.
pub fn untraceable(leaving: &[Exported]) -> Result<(), UntraceableSet> {
    let mut set = UntraceableSet {
        first: Vec::new(),
        count: 0,
    };
    for exported in leaving {
        if let Err(why) = exported.check() {
            set.count += 1;
            if set.first.len() < NAMED {
                set.first
                    .push((exported.stored.sop_instance_uid.clone(), why));
            }
        }
    }
    if set.count == 0 { Ok(()) } else { Err(set) }
}

/// Memory of all files of the process that are being marked, in bytes; a file that needs more is marked
/// alone.
const MEMORY_BYTES: u64 = 1 << 30;
/// What one takes, in multiples of its length: the file, and the planes of a frame in between.
const WORKING: u64 = 4;
static MARKING: Memory = Memory::new();

/// Waits until there is memory for a file. Blocks.
fn share(path: &Path) -> io::Result<Share<'static>> {
    let bytes = fs::metadata(path)?.len().saturating_mul(WORKING);
    Ok(MARKING.share(bytes, MEMORY_BYTES))
}

/// Everything that marking could refuse, short of marking all frames: they have one shape.
fn check(mark: &Tracing, path: &Path) -> Result<(), Untraceable> {
    let _share = share(path)?;
    let file = fs::read(path)?;
    let Some(picture) = shades(&file)? else {
        return Ok(());
    };
    for frame in 0..picture.frames {
        let mut planes = picture.planes(&file, frame).ok_or(Untraceable::Bits)?;
        if frame == 0 {
            mark.mark_frame(&picture, frame, &mut planes)?;
        }
    }
    Ok(())
}
