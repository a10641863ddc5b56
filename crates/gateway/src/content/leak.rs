//! Whose copy a leaked picture was made of (docs/protocol.md 10.3).

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Cursor};

use harpo_protocol::export::Export;
use harpo_protocol::id::{BundleId, Digest};
use harpo_watermark::Plane;
use harpo_watermark::tracing::{
    self, Display, Evidence, ExportId, Limit, MAX_PICTURE_SAMPLES, Placement, Suspect, TraceError,
    TraceKey, Tracer, Verdict,
};
use image::{DynamicImage, ImageReader, Limits};
use serde::Serialize;

use super::export::{image_id, luminance, window};
use super::picture::{NoPicture, Picture};

/// Longest side of a leaked PNG or JPEG.
const MAX_SIDE: u32 = 16_384;
/// Memory that decoding one may take, in bytes.
const MAX_DECODED: u64 = 1 << 30;
/// Most frames of a leaked DICOM file that are looked at.
const MAX_FRAMES: usize = 64;
/// Most samples of all leaked pictures together, 4 bytes each.
pub const MAX_LEAKED_SAMPLES: usize = 1 << 27;
/// Most samples of all originals together, 2 bytes each.
const MAX_ORIGINAL_SAMPLES: usize = 1 << 30;

/// Why a file cannot be looked at.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeakError {
    /// A DICOM file without native pixels.
    #[error("its pixels cannot be read: {0}; convert it to PNG")]
    Dicom(#[from] NoPicture),
    /// Neither DICOM nor PNG nor JPEG, or damaged, or too large.
    #[error("it is neither DICOM nor a PNG or JPEG of at most {MAX_SIDE} pixels a side")]
    Image(#[from] image::ImageError),
    /// Reading failed.
    #[error("it cannot be read")]
    Io(#[from] io::Error),
    /// Out of bounds.
    #[error(transparent)]
    Trace(#[from] TraceError),
    /// Too many samples.
    #[error("it has too many pixels to be looked at; cut it, or export single frames as PNG")]
    TooLarge,
    /// Bits above Bits Stored.
    #[error("bits above those that it says are stored are in use; convert it to PNG")]
    Bits,
}

/// A picture of a leaked file, and what the file says it is.
#[derive(Debug, Clone)]
pub struct Leaked {
    /// The file's name, to be shown.
    pub file: String,
    /// The frame, from 1; 1 for a picture.
    pub frame: usize,
    /// SOP Instance UID, of a DICOM file.
    pub sop_instance_uid: Option<String>,
    picture: tracing::Picture,
}

impl Leaked {
    /// The pictures of a leaked file: one, or the frames of a DICOM file.
    ///
    /// # Errors
    /// See [`LeakError`].
    pub fn read(name: &str, bytes: &[u8]) -> Result<Vec<Self>, LeakError> {
        let one = |frame, uid, picture| Self {
            file: name.to_owned(),
            frame,
            sop_instance_uid: uid,
            picture,
        };
        if bytes.get(128..132) != Some(b"DICM") {
            return Ok(vec![one(1, None, decoded(bytes)?)]);
        }
        let found = Picture::find(bytes)?;
        let frame = found.rows * found.columns;
        if frame > MAX_PICTURE_SAMPLES || frame * found.frames.min(MAX_FRAMES) > MAX_LEAKED_SAMPLES
        {
            return Err(LeakError::TooLarge);
        }
        (0..found.frames.min(MAX_FRAMES))
            .map(|frame| {
                let planes = found.planes(bytes, frame).ok_or(LeakError::Bits)?;
                let seen = luminance(&found, &planes);
                let uid = Some(found.sop_instance_uid.clone());
                Ok(one(frame + 1, uid, tracing::Picture::try_from(&seen)?))
            })
            .collect()
    }

    /// How many samples it has.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.picture.samples().len()
    }
}

/// A PNG or JPEG as grey.
fn decoded(bytes: &[u8]) -> Result<tracing::Picture, LeakError> {
    let heading = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let (width, height) = heading.into_dimensions()?;
    if u64::from(width) * u64::from(height) > MAX_PICTURE_SAMPLES as u64 {
        return Err(LeakError::TooLarge);
    }
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_DECODED);
    reader.limits(limits);
    let image = reader.decode()?;
    let (width, height) = (image.width() as usize, image.height() as usize);
    let samples: Vec<f32> = match &image {
        DynamicImage::ImageLuma16(grey) => grey.as_raw().iter().map(|s| f32::from(*s)).collect(),
        DynamicImage::ImageLuma8(grey) => grey.as_raw().iter().map(|s| f32::from(*s)).collect(),
        // BT.601, as JPEG has it.
        other => other
            .to_rgb8()
            .pixels()
            .map(|pixel| {
                let [r, g, b] = pixel.0.map(f32::from);
                0.299 * r + 0.587 * g + 0.114 * b
            })
            .collect(),
    };
    Ok(tracing::Picture::new(width, height, samples)?)
}

/// Frames of which leaked pictures may have been made.
#[derive(Debug, Default)]
pub struct Originals {
    frames: Vec<Original>,
    /// One for each of `frames`.
    planes: Vec<Plane>,
}

#[derive(Debug)]
struct Original {
    bundle: BundleId,
    sop_instance_uid: String,
    /// From 0.
    frame: usize,
    display: Display,
}

impl Originals {
    /// Adds the frames of a file of `bundle`; none if no mark can be in it. False, and nothing added, if they
    /// would be too many.
    #[must_use]
    pub fn add(&mut self, bundle: BundleId, file: &[u8]) -> bool {
        let Ok(picture) = Picture::find(file) else {
            return true;
        };
        let more = picture.rows * picture.columns * picture.frames;
        if self.samples() + more > MAX_ORIGINAL_SAMPLES {
            return false;
        }
        for frame in 0..picture.frames {
            let Some(planes) = picture.planes(file, frame) else {
                continue;
            };
            let plane = luminance(&picture, &planes);
            self.frames.push(Original {
                bundle,
                sop_instance_uid: picture.sop_instance_uid.clone(),
                frame,
                display: Display::of(&plane, window(&picture)),
            });
            self.planes.push(plane);
        }
        true
    }

    /// How many frames there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// How many samples they have, together.
    #[must_use]
    pub fn samples(&self) -> usize {
        self.planes.iter().map(|plane| plane.samples().len()).sum()
    }

    fn same_as<'a>(&'a self, original: &'a Original) -> impl Iterator<Item = &'a Original> {
        self.frames.iter().filter(move |other| {
            (&other.sop_instance_uid, other.frame) == (&original.sop_instance_uid, original.frame)
        })
    }

    /// The original that a picture shows, and where in it. A DICOM file that names an original of its size is
    /// believed only if its samples are that original's but for what a mark changes: names are easily exchanged.
    fn place(&self, leak: &Leaked) -> Option<(&Original, &Plane, Placement)> {
        let size = (leak.picture.width(), leak.picture.height());
        let named = self
            .frames
            .iter()
            .zip(&self.planes)
            .find(|(original, plane)| {
                leak.sop_instance_uid.as_deref() == Some(&original.sop_instance_uid)
                    && leak.frame == original.frame + 1
                    && (plane.width(), plane.height()) == size
            });
        if let Some((original, plane)) = named
            && near(plane, &leak.picture, &original.display)
        {
            return Some((original, plane, Placement::whole(plane, &leak.picture)));
        }
        let (index, found) = tracing::locate(&self.planes, &leak.picture)?;
        Some((
            self.frames.get(index)?,
            self.planes.get(index)?,
            found.placement,
        ))
    }
}

/// Whether a picture differs from an original of its size by no more than a mark does, which leaves a mean squared error
/// of at most one squared level of the display and rounding.
fn near(plane: &Plane, picture: &tracing::Picture, display: &Display) -> bool {
    let pairs = plane.samples().iter().zip(picture.samples());
    let squares: f64 = pairs
        .map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2))
        .sum();
    let level = f64::from(display.range()) / 256.0;
    squares / (plane.samples().len() as f64) <= level * level + 1.0
}

/// Exports of one bundle, and the key of their marks.
pub struct Candidates {
    /// The bundle's tracing key.
    pub key: zeroize::Zeroizing<[u8; 32]>,
    /// Digests of the statements, and what they say.
    pub exports: Vec<(Digest, Export)>,
}

impl Candidates {
    /// Those who took it, each once.
    #[must_use]
    pub fn takers(&self) -> BTreeSet<Digest> {
        self.exports
            .iter()
            .map(|(_, export)| export.taker())
            .collect()
    }
}

/// What one leaked picture was found to be.
#[derive(Debug, Clone, Serialize)]
pub struct Seen {
    /// The file.
    pub file: String,
    /// Its frame, from 1.
    pub frame: usize,
    /// The original that it shows, if one was found.
    pub sop_instance_uid: Option<String>,
    /// The original's frame, from 1.
    pub original_frame: Option<usize>,
    /// Marked places of the original that it shows.
    pub chips: usize,
    /// Why it says nothing.
    pub problem: Option<String>,
}

/// One of somebody's exports.
#[derive(Debug, Clone, Serialize)]
pub struct Occasion {
    /// Digest of the export's statement.
    pub id: Digest,
    /// Who, when, why.
    pub export: Export,
}

/// Somebody, and how well the evidence fits.
#[derive(Debug, Clone, Serialize)]
pub struct Named {
    /// The user.
    pub user: String,
    /// The hospital that vouches for the user, by name.
    pub hospital: String,
    /// All that this user took of the bundle, with marks, in the order of time: their marks are the same.
    pub exports: Vec<Occasion>,
    /// Bound on the base-10 logarithm of the probability that an innocent one fits as well.
    pub log10_p: f64,
    /// One less that bound times the number of candidates; 0 for those who are not accused.
    pub confidence: f64,
}

/// What tracing found.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Each leaked picture.
    pub seen: Vec<Seen>,
    /// Users that were compared, one for each bundle that they took.
    pub candidates: usize,
    /// Those who took part, the surest first; empty if nobody can be accused.
    pub accused: Vec<Named>,
    /// The most suspicious of the others.
    pub next: Option<Named>,
}

/// Compares leaked pictures, of one study, with the exports of its bundles. An innocent is accused with a probability
/// of at most `false_accusation`, over `reckoned` candidates together: those here, and of other studies
/// that are tried, too.
#[must_use]
pub fn trace(
    leaked: &[Leaked],
    originals: &Originals,
    candidates: &BTreeMap<BundleId, Candidates>,
    reckoned: usize,
    false_accusation: f64,
) -> Report {
    let tracers: BTreeMap<BundleId, (Tracer, &Candidates)> = candidates
        .iter()
        .map(|(bundle, c)| (*bundle, (Tracer::new(&TraceKey::new(*c.key)), c)))
        .collect();
    let mut evidence: BTreeMap<BundleId, Evidence> = BTreeMap::new();
    let mut seen = Vec::new();
    for leak in leaked {
        seen.push(examine(leak, originals, &tracers, &mut evidence));
    }
    let total: usize = candidates.values().map(|c| c.takers().len()).sum();
    let limit = Limit {
        false_accusation,
        candidates: total.max(reckoned) as u64,
    };
    let mut accused = Vec::new();
    let mut others = Vec::new();
    for (bundle, evidence) in &evidence {
        let Some((tracer, candidates)) = tracers.get(bundle) else {
            continue;
        };
        let ids = candidates.takers().into_iter().map(|id| ExportId(id.0));
        match tracer.accuse(evidence, ids, &limit) {
            Verdict::Accused {
                accusations,
                runner_up,
            } => {
                accused.extend(
                    accusations
                        .iter()
                        .filter_map(|a| named(candidates, &a.suspect, a.confidence)),
                );
                others.extend(runner_up.and_then(|s| named(candidates, &s, 0.0)));
            }
            Verdict::Nobody { best } => {
                others.extend(best.and_then(|s| named(candidates, &s, 0.0)))
            }
        }
    }
    accused.sort_by(|a: &Named, b| a.log10_p.total_cmp(&b.log10_p));
    let next = others
        .into_iter()
        .min_by(|a: &Named, b| a.log10_p.total_cmp(&b.log10_p));
    Report {
        seen,
        candidates: total,
        accused,
        next,
    }
}

fn named(candidates: &Candidates, suspect: &Suspect, confidence: f64) -> Option<Named> {
    let taker = Digest(suspect.export.0);
    let of_taker = candidates
        .exports
        .iter()
        .filter(|(_, export)| export.taker() == taker);
    let mut exports: Vec<Occasion> = of_taker
        .map(|(id, export)| Occasion {
            id: *id,
            export: export.clone(),
        })
        .collect();
    exports.sort_by_key(|occasion| occasion.export.at);
    let last = &exports.last()?.export;
    Some(Named {
        user: last.requester.user.clone(),
        hospital: last.consumer_name.clone(),
        exports,
        log10_p: suspect.log10_p,
        confidence,
    })
}

fn examine(
    leak: &Leaked,
    originals: &Originals,
    tracers: &BTreeMap<BundleId, (Tracer, &Candidates)>,
    evidence: &mut BTreeMap<BundleId, Evidence>,
) -> Seen {
    let mut seen = Seen {
        file: leak.file.clone(),
        frame: leak.frame,
        sop_instance_uid: None,
        original_frame: None,
        chips: 0,
        problem: None,
    };
    let Some((original, plane, placement)) = originals.place(leak) else {
        seen.problem = Some("it shows none of the originals".into());
        return seen;
    };
    seen.sop_instance_uid = Some(original.sop_instance_uid.clone());
    seen.original_frame = Some(original.frame + 1);
    // The same instance may lie in several bundles, each with marks of its own.
    for same in originals.same_as(original) {
        let Some((tracer, _)) = tracers.get(&same.bundle) else {
            continue;
        };
        let examined = tracer.examine(
            plane,
            &image_id(&same.sop_instance_uid, same.frame),
            &same.display,
            &leak.picture,
            &placement,
            evidence.entry(same.bundle).or_default(),
        );
        match examined {
            Ok(examination) => seen.chips = examination.chips,
            Err(error) => seen.problem = Some(error.to_string()),
        }
    }
    seen
}
