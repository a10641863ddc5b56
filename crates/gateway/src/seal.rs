//! Sealing a closed bundle: pack, encrypt, cut into fragments, sign the manifest
//! (docs/protocol.md 3).

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use harpo_protocol::cell::Layout;
use harpo_protocol::deposit::{DepositRequest, wrap_content_key};
use harpo_protocol::domain::sha256;
use harpo_protocol::fragment;
use harpo_protocol::id::{BundleId, Digest, PartyId};
use harpo_protocol::manifest::{Instance, Manifest, Series, Study};
use harpo_protocol::pack;
use harpo_protocol::secret::ContentKey;
use harpo_protocol::sign::SigningKey;
use harpo_protocol::time::Timestamp;
use harpo_protocol::wrap::SealingKey;
use harpo_protocol::{Malformed, Rejected};
use rand_core::CryptoRng;

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
}

impl Sealer<'_> {
    /// Seals `closed` as `bundle`: writes the fragments one after another to `fragments` and
    /// returns what is deposited. Holds one instance and one fragment in memory.
    ///
    /// `scratch` takes the pack in between; it is not encrypted, like the spool beside it.
    pub fn seal(
        &self,
        closed: &ClosedBundle,
        bundle: BundleId,
        scratch: File,
        fragments: &mut impl Write,
        now: Timestamp,
        rng: &mut impl CryptoRng,
    ) -> Result<DepositRequest, SealError> {
        let (study, order) = catalogue(closed);
        let (study, pack_bytes, packed) = write_pack(study, &order, scratch)?;
        let key = ContentKey::random(rng);
        let digests = self.encrypt(&key, bundle, pack_bytes, packed, fragments)?;
        let manifest = Manifest {
            bundle,
            origin: self.origin,
            creator: creator(closed),
            created: now,
            study,
            fragments: digests,
        };
        manifest.validate()?;
        let manifest = self.signing.sign(&manifest);
        let content_key = wrap_content_key(&key, bundle, manifest.digest(), self.trust, rng)?;
        Ok(DepositRequest {
            manifest,
            content_key,
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

/// Writes the pack and fills in lengths and digests of the files as they were packed.
fn write_pack(
    mut study: Study,
    order: &[&spool::Instance],
    scratch: File,
) -> Result<(Study, u64, BufReader<File>), SealError> {
    let mut writer = pack::Writer::new(BufWriter::with_capacity(1 << 20, scratch))?;
    let entries = study
        .series
        .iter_mut()
        .flat_map(|series| &mut series.instances);
    for (entry, instance) in entries.zip(order) {
        let bytes = original(instance)?;
        entry.bytes = bytes.len() as u64;
        entry.sha256 = sha256(&bytes);
        writer.append(&bytes)?;
    }
    let (pack_bytes, scratch) = writer.finish()?;
    let mut scratch = scratch
        .into_inner()
        .map_err(io::IntoInnerError::into_error)?;
    scratch.seek(SeekFrom::Start(0))?;
    Ok((
        study,
        pack_bytes,
        BufReader::with_capacity(1 << 20, scratch),
    ))
}

/// An unnamed file on the same disk as `dir`; gone when it is closed.
pub fn scratch_file(dir: &Path) -> io::Result<File> {
    tempfile::tempfile_in(dir)
}
