//! Sealing a closed bundle: attest, mark, code, pack, encrypt, cut into fragments, sign the manifest
//! (docs/protocol.md 3).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use harpo_protocol::attestation::Attestation;
use harpo_protocol::cell::Layout;
use harpo_protocol::deposit::{DepositRequest, wrap_content_key};
use harpo_protocol::domain::sha256;
use harpo_protocol::fragment;
use harpo_protocol::id::{BundleId, Digest, PartyId};
use harpo_protocol::manifest::{Instance, Manifest, Series, Study};
use harpo_protocol::pack::{self, Parts};
use harpo_protocol::secret::{ContentKey, MarkKey, TraceKey};
use harpo_protocol::sign::{Signed, SigningKey};
use harpo_protocol::time::Timestamp;
use harpo_protocol::wrap::SealingKey;
use harpo_protocol::{Malformed, Rejected};
use rand_core::CryptoRng;

use crate::content::coding::{self, Marker};
use crate::content::pipeline::{self, Bounds};
use crate::spool::{self, ClosedBundle, Source};

/// Why a bundle could not be sealed. The spool still has it.
#[derive(Debug, thiserror::Error)]
pub enum SealError {
    /// Spool or outbox failed.
    #[error("sealing failed at the disk; free space or check it, it is tried again")]
    Io(#[from] io::Error),
    /// The bundle is out of bounds.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// What the spool gives back is not what was acknowledged: the disk has lost it.
    #[error(
        "{path} is not what was received: its data set has another digest; restore it from a backup, or discard the bundle and have the sender send it again"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// A key did not work.
    #[error("sealing failed: a key was not accepted")]
    Rejected(#[from] Rejected),
}

/// Memory that an instance takes while it is worked on, in multiples of its length: the file, its
/// planes with and without the mark, what the mark's engine notes of them, and the coding.
const WORKING: u64 = 8;

/// A sealed bundle, beside its fragments.
#[derive(Debug)]
pub struct Sealed {
    /// What is deposited.
    pub request: DepositRequest,
    /// What its marks are made with.
    pub mark_key: MarkKey,
    /// What marks in exports of it are made with.
    pub trace_key: TraceKey,
    /// What its marks name.
    pub attestation: Signed<Attestation>,
    /// Instances whose frames all carry the reliability mark.
    pub marked: u64,
    /// The others, by why they do not.
    pub unmarked: BTreeMap<&'static str, u64>,
    /// Bytes of the instances.
    pub bytes: u64,
    /// Bytes of the pack.
    pub pack_bytes: u64,
}

/// Whose bundle, and for whom it is sealed.
#[derive(Debug)]
pub struct Sealer<'a> {
    /// This gateway.
    pub origin: PartyId,
    /// Signs the manifest.
    pub signing: &'a SigningKey,
    /// Trust's, for the content key.
    pub trust: &'a SealingKey,
    /// Sizes.
    pub layout: Layout,
    /// Modalities (0008,0060) whose images get no reliability mark.
    pub unmarked_modalities: &'a [String],
    /// Threads and memory.
    pub bounds: Bounds,
}

impl Sealer<'_> {
    /// Seals `closed` as `bundle`: writes the fragments one after another to `fragments`. Instances are
    /// worked on in parallel, within the bounds.
    ///
    /// Files without a name in `scratch` take the pack in between; it is not encrypted, like the spool
    /// beside it.
    pub fn seal(
        &self,
        closed: &ClosedBundle,
        bundle: BundleId,
        scratch: &Path,
        fragments: &mut impl Write,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<Sealed, SealError> {
        let (study, order) = catalogue(closed);
        let mut manifest = Manifest {
            bundle,
            origin: self.origin,
            creator: creator(closed),
            created: now,
            study,
            fragments: Vec::new(),
        };
        let key = ContentKey::random(rng);
        let attestation = self.signing.sign(&Attestation::of(&manifest));
        let mark_key = MarkKey::derive(&key, bundle);
        let marker = Marker::new(&mark_key, self.origin, bundle, attestation.digest());
        let packed = self.pack(&mut manifest.study, &order, &marker, &attestation, scratch)?;
        let pack_bytes = packed.parts.bytes();
        let pack = read_back(packed.parts)?;
        manifest.fragments = self.encrypt(&key, bundle, pack_bytes, pack, fragments)?;
        manifest.validate()?;
        let bytes = manifest.instances().map(|(_, i)| i.bytes).sum();
        let manifest = self.signing.sign(&manifest);
        let content_key = wrap_content_key(&key, bundle, manifest.digest(), self.trust, rng)?;
        Ok(Sealed {
            request: DepositRequest {
                manifest,
                content_key,
            },
            trace_key: TraceKey::derive(&key, bundle),
            mark_key,
            attestation,
            marked: packed.marked,
            unmarked: packed.unmarked,
            bytes,
            pack_bytes,
        })
    }

    /// Codes the instances, and fills in lengths and digests of the files as they were packed.
    fn pack(
        &self,
        study: &mut Study,
        order: &[&spool::Instance],
        marker: &Marker,
        attestation: &Signed<Attestation>,
        scratch: &Path,
    ) -> Result<Packed, SealError> {
        let sink = || io::Result::Ok(BufWriter::with_capacity(1 << 20, scratch_file(scratch)?));
        let mut writer = pack::Writer::new(sink()?, sink()?)?;
        let mut entries = study.series.iter_mut().flat_map(|s| &mut s.instances);
        let mut costs = Vec::with_capacity(order.len());
        for instance in order {
            costs.push(
                std::fs::metadata(&instance.path)?
                    .len()
                    .saturating_mul(WORKING),
            );
        }
        let mut marked = 0;
        let mut unmarked = BTreeMap::new();
        pipeline::in_order(
            &self.bounds,
            &costs,
            |index| Ok::<_, SealError>(order[index]),
            |_, instance| {
                let file = original(instance)?;
                let sha256 = sha256(&file);
                let uid = &instance.header.sop_instance_uid;
                let coded = coding::encode(file, uid, marker, self.unmarked_modalities);
                Ok((sha256, coded))
            },
            |_, (sha256, coded)| {
                if let Some(entry) = entries.next() {
                    entry.bytes = coded.file().len() as u64;
                    entry.sha256 = sha256;
                }
                match coded.unmarked() {
                    None => marked += 1,
                    Some(why) => *unmarked.entry(why).or_default() += 1,
                }
                let body = coded.body();
                Ok(writer.append(coded.head(), coded.tail(), coded.coding(), body)?)
            },
        )?;
        Ok(Packed {
            parts: writer.finish(attestation)?,
            marked,
            unmarked,
        })
    }

    fn encrypt(
        &self,
        key: &ContentKey,
        bundle: BundleId,
        pack_bytes: u64,
        pack: impl Read,
        fragments: &mut impl Write,
    ) -> Result<Vec<Digest>, SealError> {
        let count = fragment::count(pack_bytes, &self.layout)?;
        let mut pack = pack.take(pack_bytes);
        let mut digests = Vec::with_capacity(count as usize);
        for index in 0..count {
            let mut chunk = Vec::with_capacity(self.layout.fragment_bytes());
            (&mut pack)
                .take(self.layout.chunk_bytes() as u64)
                .read_to_end(&mut chunk)?;
            let sealed =
                fragment::seal(key, bundle, index, index + 1 == count, chunk, &self.layout)?;
            digests.push(sha256(&sealed));
            fragments.write_all(&sealed)?;
        }
        Ok(digests)
    }
}

fn creator(closed: &ClosedBundle) -> String {
    match closed.instances.first().map(|i| &i.source) {
        Some(Source::AeTitle(title)) => title.clone(),
        Some(Source::User(user)) => user.clone(),
        None => String::new(),
    }
}

/// The study without lengths and digests yet, and the spooled instances in pack order.
fn catalogue(closed: &ClosedBundle) -> (Study, Vec<&spool::Instance>) {
    let mut by_series: BTreeMap<&str, Vec<&spool::Instance>> = BTreeMap::new();
    for instance in &closed.instances {
        by_series
            .entry(&instance.header.series_instance_uid)
            .or_default()
            .push(instance);
    }
    let mut order = Vec::with_capacity(closed.instances.len());
    let series = by_series
        .into_iter()
        .map(|(uid, mut instances)| {
            instances.sort_by(|a, b| a.header.sop_instance_uid.cmp(&b.header.sop_instance_uid));
            order.extend_from_slice(&instances);
            Series {
                series_instance_uid: uid.to_owned(),
                attributes: instances
                    .first()
                    .map(|i| i.header.attributes.series.clone().into_iter().collect())
                    .unwrap_or_default(),
                instances: instances.iter().map(|i| entry(i)).collect(),
            }
        })
        .collect();
    let first = closed.instances.first().map(|i| &i.header);
    let study = Study {
        study_instance_uid: closed.study_instance_uid.clone(),
        patient_id: first.map(|h| h.patient.id.clone()).unwrap_or_default(),
        attributes: first
            .map(|h| h.attributes.study.clone().into_iter().collect())
            .unwrap_or_default(),
        series,
    };
    (study, order)
}

fn entry(instance: &spool::Instance) -> Instance {
    Instance {
        sop_instance_uid: instance.header.sop_instance_uid.clone(),
        sop_class_uid: instance.header.sop_class_uid.clone(),
        attributes: instance
            .header
            .attributes
            .instance
            .clone()
            .into_iter()
            .collect(),
        bytes: 0,
        sha256: Digest([0; 32]),
        dataset_sha256: Digest(instance.dataset_sha256),
    }
}

/// Reads an instance, and holds it against the digest that was computed when it arrived: what has
/// rotted since must not be signed as the original.
fn original(instance: &spool::Instance) -> Result<Vec<u8>, SealError> {
    let bytes = std::fs::read(&instance.path)?;
    let dataset = usize::try_from(instance.header.dataset_offset)
        .ok()
        .and_then(|start| bytes.get(start..));
    match dataset {
        Some(dataset) if sha256(dataset).0 == instance.dataset_sha256 => Ok(bytes),
        _ => Err(SealError::Damaged {
            path: instance.path.clone(),
        }),
    }
}

/// A pack on the disk, and what became of its marks.
struct Packed {
    parts: Parts<BufWriter<File>, BufWriter<File>>,
    marked: u64,
    unmarked: BTreeMap<&'static str, u64>,
}

/// The pack from its beginning.
fn read_back(parts: Parts<BufWriter<File>, BufWriter<File>>) -> io::Result<impl Read> {
    let from_start = |sink: BufWriter<File>| {
        let mut file = sink.into_inner().map_err(io::IntoInnerError::into_error)?;
        file.seek(SeekFrom::Start(0))?;
        io::Result::Ok(BufReader::with_capacity(1 << 20, file))
    };
    let (heads, bodies) = (from_start(parts.heads)?, from_start(parts.bodies)?);
    Ok(io::Cursor::new(parts.front).chain(heads).chain(bodies))
}

/// An unnamed file on the same disk as `dir`; gone when it is closed.
pub fn scratch_file(dir: &Path) -> io::Result<File> {
    tempfile::tempfile_in(dir)
}
