//! What the reliability mark says of a file that left the platform, and putting the mark back into a file
//! that is about to (docs/protocol.md 10.2).

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use harpo_protocol::Malformed;
use harpo_protocol::attestation::Attestation;
use harpo_protocol::domain::sha256;
use harpo_protocol::id::{BundleId, PartyId};
use harpo_protocol::sign::{Signed, VerifyingKey};
use harpo_protocol::time::Timestamp;
use harpo_watermark::reliability::{self, Identity, Message, Unmarkable};
use harpo_watermark::{MarkKey, Plane};
use image::RgbImage;
use serde::{Deserialize, Serialize};
use zeroize::{Zeroize as _, Zeroizing};

use super::export::instance_id;
use super::overlay::{self, Rect};
use super::picture::{NoPicture, Picture};
use crate::dicom::inspect::open_bytes;
use crate::store::marks::BundleKeys;

/// Most bundles that are looked up for one file; an honest one names one.
const MOST_NAMED: usize = 16;

/// What verifies the reliability marks of one bundle, and could also forge them. Held by gateways that
/// sealed or opened the bundle, and by whom they give it to (`harpo mark key`), for as long as they want
/// to judge its images.
pub struct VerifyKey {
    bundle: BundleId,
    origin: PartyId,
    origin_name: String,
    mark_key: Zeroizing<[u8; 32]>,
    attestation: Attestation,
    /// What marks carry: [`Signed::digest`] of the attestation.
    statement: [u8; 32],
    given: Given,
}

/// [`VerifyKey`] on its way to somebody who judges.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Given {
    bundle: BundleId,
    origin: PartyId,
    origin_name: String,
    origin_key: VerifyingKey,
    /// In hexadecimal.
    mark_key: String,
    attestation: Signed<Attestation>,
}

impl Drop for Given {
    fn drop(&mut self) {
        self.mark_key.zeroize();
    }
}

impl VerifyKey {
    /// Of a gateway's own records.
    ///
    /// # Errors
    /// If the attestation is not the producer's.
    pub fn new(keys: &BundleKeys) -> Result<Self, Malformed> {
        Self::of(Given {
            bundle: keys.bundle,
            origin: keys.origin,
            origin_name: keys.origin_name.clone(),
            origin_key: keys.origin_key,
            mark_key: hex::encode(*keys.mark_key),
            attestation: Signed::from_json(&keys.attestation)?,
        })
    }

    /// As [`VerifyKey::to_json`] wrote it. Whoever gave it vouches for hospital and key.
    ///
    /// # Errors
    /// If it is nothing of the kind, or the attestation is not signed by the key that it names.
    pub fn from_json(text: &[u8]) -> Result<Self, Malformed> {
        let given = serde_json::from_slice(text);
        Self::of(given.map_err(|e| Malformed::new("key of marks", e.to_string()))?)
    }

    /// To be handed on.
    ///
    /// # Errors
    /// None that can be met.
    pub fn to_json(&self) -> Result<Zeroizing<String>, serde_json::Error> {
        serde_json::to_string_pretty(&self.given).map(Zeroizing::new)
    }

    /// The bundle.
    #[must_use]
    pub fn bundle(&self) -> BundleId {
        self.bundle
    }

    fn of(given: Given) -> Result<Self, Malformed> {
        let wrong = |why| Malformed::new("key of marks", why);
        let mut mark_key = Zeroizing::new([0; 32]);
        hex::decode_to_slice(given.mark_key.as_bytes(), &mut *mark_key)
            .map_err(|_| wrong("mark_key is not 64 hexadecimal digits"))?;
        let verified = given.attestation.verify(&given.origin_key);
        let attestation = verified
            .map_err(|_| wrong("the attestation was not signed by origin_key"))?
            .into_inner();
        if (attestation.bundle, attestation.origin) != (given.bundle, given.origin) {
            return Err(wrong("the attestation is of another bundle"));
        }
        Ok(Self {
            bundle: given.bundle,
            origin: given.origin,
            origin_name: given.origin_name.clone(),
            mark_key,
            attestation,
            statement: given.attestation.digest().0,
            given,
        })
    }

    /// Whose mark belongs into a frame.
    fn expected(&self, sop_instance_uid: &str, frame: usize) -> Identity {
        Identity {
            origin: self.origin.0,
            bundle: self.bundle.0,
            instance: instance_id(sop_instance_uid),
            // Frames are fewer than 2^20 (`Picture`).
            frame: frame as u32,
        }
    }

    /// Whether the producer attested an instance of this UID.
    #[must_use]
    pub fn lists(&self, sop_instance_uid: &str) -> bool {
        self.attestation.instances.contains_key(sop_instance_uid)
    }

    /// Whether the data set of `file` is the one that was attested.
    pub(super) fn attests(&self, picture: &Picture, file: &[u8]) -> bool {
        let data_set = open_bytes(file)
            .ok()
            .and_then(|(opening, _)| usize::try_from(opening.dataset_offset).ok())
            .and_then(|at| file.get(at..));
        let expected = self.attestation.instances.get(&picture.sop_instance_uid);
        data_set.is_some_and(|bytes| expected == Some(&sha256(bytes)))
    }
}

impl std::fmt::Debug for VerifyKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("VerifyKey")
            .field("bundle", &self.bundle)
            .finish_non_exhaustive()
    }
}

/// What is said of one file, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Pixels were changed after they were marked.
    Altered,
    /// The mark is of another image than the file says it is.
    OtherImage,
    /// Every frame is as it was marked, and the data set is not the one that was attested: its names,
    /// dates, how its pixels are to be read and shown, the number of its frames, or what follows them.
    DescriptionChanged,
    /// The producer attested this instance, some frames or all carry no readable mark, and the data set
    /// is not the one that was attested.
    MarkMissing,
    /// There is a mark, and its key is not here.
    UnknownKey,
    /// There is no mark, and nothing is known that contradicts the file.
    Unmarked,
    /// There is a mark, and the whole data set is the one that its producer attested.
    Authentic,
}

impl Verdict {
    /// In a few words.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Altered => "ALTERED",
            Self::OtherImage => "OF ANOTHER IMAGE",
            Self::DescriptionChanged => "DESCRIPTION CHANGED",
            Self::MarkMissing => "MARK MISSING",
            Self::UnknownKey => "unknown key",
            Self::Unmarked => "unmarked",
            Self::Authentic => "authentic",
        }
    }
}

/// Everything that is said of one file.
#[derive(Debug, Clone, Serialize)]
pub struct Judgement {
    /// Of the file as a whole.
    pub verdict: Verdict,
    /// SOP Instance UID, as the file says.
    pub sop_instance_uid: String,
    /// The bundle that the mark names; of a file without one, the bundle whose attestation lists it.
    pub bundle: Option<BundleId>,
    /// The hospital that sealed that bundle.
    pub origin: Option<PartyId>,
    /// Its name, if the bundle's key is here.
    pub origin_name: Option<String>,
    /// When the producer attested the bundle, where the data set was compared.
    pub attested: Option<Timestamp>,
    /// Whether the data set, names and dates too, is what the producer attested once the marks are out.
    /// None where it was not compared: with altered frames, or without a key.
    pub data_set_unchanged: Option<bool>,
    /// Frames.
    pub frames: usize,
    /// Those without a readable mark, from 1.
    pub unmarked: Vec<usize>,
    /// Altered blocks, of those frames that have any.
    pub altered: Vec<AlteredFrame>,
}

/// Where a frame was altered.
#[derive(Debug, Clone, Serialize)]
pub struct AlteredFrame {
    /// From 1, as DICOM counts.
    pub frame: usize,
    /// Blocks of the frame.
    pub of_blocks: usize,
    /// Those that were altered, in pixels.
    pub blocks: Vec<Rect>,
    /// The frame with them in red.
    #[serde(skip)]
    pub shown: RgbImage,
}

/// What a file says of itself, believed by nobody yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// The bundles that the marks in its frames name, in order; an honest file names one at most. Only
    /// the first few of more.
    pub bundles: Vec<BundleId>,
}

/// Reads the bundles that the marks in all frames of a file name: no key is needed.
///
/// # Errors
/// If the file has no native pixels.
pub fn named(file: &[u8]) -> Result<Named, NoPicture> {
    let picture = Picture::find(file)?;
    let mut bundles = Vec::new();
    for frame in 0..picture.frames {
        let planes = picture.planes(file, frame);
        let Some(identity) = planes.and_then(|planes| reliability::read(&planes)) else {
            continue;
        };
        let bundle = BundleId(identity.bundle);
        if !bundles.contains(&bundle) {
            bundles.push(bundle);
        }
        if bundles.len() == MOST_NAMED {
            break;
        }
    }
    Ok(Named {
        sop_instance_uid: picture.sop_instance_uid,
        bundles,
    })
}

/// Judges a file with the keys of its bundle, if they are here: the one that it names, or one whose
/// attestation lists it ([`VerifyKey::lists`]).
///
/// # Errors
/// If the file has no native pixels: a mark can be in no others.
pub fn judge(file: &[u8], keys: Option<&VerifyKey>) -> Result<Judgement, NoPicture> {
    let picture = Picture::find(file)?;
    let mut judgement = Judgement {
        verdict: Verdict::Unmarked,
        sop_instance_uid: picture.sop_instance_uid.clone(),
        bundle: None,
        origin: None,
        origin_name: None,
        attested: None,
        data_set_unchanged: None,
        frames: picture.frames,
        unmarked: Vec::new(),
        altered: Vec::new(),
    };
    let mut restored = file.to_vec();
    let mut seen = BTreeSet::new();
    for frame in 0..picture.frames {
        // A mark is in planes only; bits that are none of theirs were set by somebody else.
        let verdict = match picture.planes(file, frame) {
            None => Verdict::Unmarked,
            Some(mut planes) => {
                let said = judgement.frame(&picture, frame, &mut planes, keys);
                if said == Verdict::Authentic && !picture.put(&mut restored, frame, &planes) {
                    Verdict::Unmarked
                } else {
                    said
                }
            }
        };
        if verdict == Verdict::Unmarked {
            judgement.unmarked.push(frame + 1);
        }
        seen.insert(verdict);
    }
    judgement.conclude(&seen, &picture, &restored, keys);
    Ok(judgement)
}

impl Judgement {
    /// The verdict on the whole file, from what was `seen` of its frames and the file with all authentic
    /// marks taken out. Frames may lack a mark, as noise has no room for one: then the attested digest
    /// of the data set, which covers them, decides.
    fn conclude(
        &mut self,
        seen: &BTreeSet<Verdict>,
        picture: &Picture,
        restored: &[u8],
        keys: Option<&VerifyKey>,
    ) {
        let has = |verdict| seen.contains(&verdict);
        let proven = has(Verdict::Authentic);
        self.verdict = if has(Verdict::Altered) {
            Verdict::Altered
        } else if has(Verdict::OtherImage) || (proven && has(Verdict::UnknownKey)) {
            // Frames of two bundles are never one image.
            Verdict::OtherImage
        } else if has(Verdict::UnknownKey) {
            Verdict::UnknownKey
        } else if let Some(keys) = keys.filter(|k| proven || k.lists(&self.sop_instance_uid)) {
            let unchanged = keys.attests(picture, restored);
            self.bundle.get_or_insert(keys.bundle);
            self.origin.get_or_insert(keys.origin);
            self.origin_name.get_or_insert(keys.origin_name.clone());
            self.attested = Some(keys.attestation.created);
            self.data_set_unchanged = Some(unchanged);
            match (unchanged, proven, self.unmarked.is_empty()) {
                (true, true, _) => Verdict::Authentic,
                (true, false, _) => Verdict::Unmarked,
                (false, _, true) => Verdict::DescriptionChanged,
                (false, _, false) => Verdict::MarkMissing,
            }
        } else {
            Verdict::Unmarked
        };
    }

    fn frame(
        &mut self,
        picture: &Picture,
        frame: usize,
        planes: &mut [Plane],
        keys: Option<&VerifyKey>,
    ) -> Verdict {
        let Some(identity) = reliability::read(planes) else {
            return Verdict::Unmarked;
        };
        let bundle = BundleId(identity.bundle);
        self.bundle.get_or_insert(bundle);
        self.origin.get_or_insert(PartyId(identity.origin));
        let Some(keys) = keys.filter(|keys| keys.bundle == bundle) else {
            return Verdict::UnknownKey;
        };
        self.origin_name.get_or_insert(keys.origin_name.clone());
        let fits = identity == keys.expected(&picture.sop_instance_uid, frame);
        match reliability::verify(planes, &MarkKey::new(*keys.mark_key)) {
            reliability::Verdict::Unmarked => Verdict::Unmarked,
            reliability::Verdict::Authentic(said) => {
                if fits && said.statement == keys.statement {
                    Verdict::Authentic
                } else {
                    Verdict::OtherImage
                }
            }
            reliability::Verdict::Altered(altered) => {
                let rects: Vec<Rect> = altered.blocks.iter().map(rect).collect();
                let mut shown = overlay::shown(picture, planes);
                overlay::accuse(&mut shown, &rects);
                self.altered.push(AlteredFrame {
                    frame: frame + 1,
                    of_blocks: altered.grid.len(),
                    blocks: rects,
                    shown,
                });
                Verdict::Altered
            }
        }
    }
}

/// Why a file cannot be given its mark.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotMarked {
    /// It has no native pixels.
    #[error(transparent)]
    NoPicture(#[from] NoPicture),
    /// Its bytes are not those that the producer attested.
    #[error("it is not an original of a bundle that was opened here; take it from a fetched study")]
    NotOriginal,
    /// It cannot carry one.
    #[error(transparent)]
    Unmarkable(#[from] Unmarkable),
    /// Bits above Bits Stored are in use.
    #[error("bits above those that it says are stored are in use")]
    Bits,
    /// The marked copy does not prove what it should.
    #[error("the marked copy does not verify, so it is not given out; please report this defect")]
    Unproven,
}

/// Puts the mark of its bundle into a restored original, for a copy that leaves the platform: the same that its
/// producer embedded. Only pixels change. The copy is then judged, and nothing but an authentic one that gives the
/// original back is a success.
///
/// # Errors
/// See [`NotMarked`]; the file is then of no use.
pub fn apply(file: &mut [u8], keys: &VerifyKey) -> Result<(), NotMarked> {
    let picture = Picture::find(file)?;
    if !keys.attests(&picture, file) {
        return Err(NotMarked::NotOriginal);
    }
    let key = MarkKey::new(*keys.mark_key);
    for frame in 0..picture.frames {
        let mut planes = picture.planes(file, frame).ok_or(NotMarked::Bits)?;
        let message = Message {
            identity: keys.expected(&picture.sop_instance_uid, frame),
            statement: keys.statement,
        };
        reliability::embed(&mut planes, &key, &message)?;
        if !picture.put(file, frame, &planes) {
            return Err(NotMarked::Bits);
        }
    }
    match judge(file, Some(keys))?.verdict {
        Verdict::Authentic => Ok(()),
        _ => Err(NotMarked::Unproven),
    }
}

fn rect(block: &reliability::Block) -> Rect {
    Rect {
        x: block.x,
        y: block.y,
        width: block.width,
        height: block.height,
    }
}
