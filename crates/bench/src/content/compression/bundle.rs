//! Whole files through the way that deposits take: spool, mark, code, check, pack, encrypt; and back.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use harpo_gateway::content::pipeline::Bounds;
use harpo_gateway::open::Opener;
use harpo_gateway::seal::{Sealed, Sealer};
use harpo_gateway::spool::{ClosedBundle, Kind, Source, Spool};
use harpo_protocol::cell::Layout;
use harpo_protocol::deposit::unwrap_content_key;
use harpo_protocol::id::{BundleId, PartyId};
use harpo_protocol::sign::SigningKey;
use harpo_protocol::time::Timestamp;
use harpo_protocol::wrap::OpeningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::clock::{Samples, timed};
use crate::content::images::File;

/// One core, and as much memory as the gateway takes by default.
const BOUNDS: Bounds = Bounds {
    threads: 1,
    memory_bytes: 256 << 20,
    object_bytes: 2 << 30,
};
const NOW: Timestamp = Timestamp(1_800_000_000_000);

/// What bundles of these files take. Seconds are of one thread.
#[derive(Debug, Clone, Default)]
pub(super) struct Bundles {
    pub(super) files: usize,
    pub(super) bytes: u64,
    /// Of the packs, marks inside.
    pub(super) packed: u64,
    /// Of the packs without marks.
    pub(super) unmarked_packed: u64,
    pub(super) seal_seconds: f64,
    pub(super) unmarked_seal_seconds: f64,
    pub(super) open_seconds: f64,
    /// Files all of whose frames carry the mark.
    pub(super) marked: u64,
    /// The others, by why they do not.
    pub(super) not_marked: BTreeMap<&'static str, u64>,
    /// Files that the gateway refuses, such as second copies of an instance.
    pub(super) refused: usize,
}

/// Seals and opens these files, each study a bundle of its own, `rounds` times; every file that comes back is
/// compared with what went in.
///
/// # Errors
/// If a disk fails, or a file comes back otherwise than it was.
pub(super) fn measure(files: &[&File], rounds: usize) -> Result<Bundles> {
    let dir = tempfile::tempdir()?;
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let mut found = Bundles::default();
    let scene = Scene {
        signing: SigningKey::generate(&mut rng).0,
        trust: OpeningKey::generate(&mut rng).0,
    };
    for closed in spooled(dir.path(), files, &mut found)? {
        let originals: BTreeMap<String, Vec<u8>> = closed
            .instances
            .iter()
            .map(|i| Ok((i.header.sop_instance_uid.clone(), std::fs::read(&i.path)?)))
            .collect::<Result<_>>()?;
        let modalities: Vec<String> = files
            .iter()
            .filter_map(|file| Some(file.picture.as_ref()?.modality.clone()))
            .collect();
        let (mut marked, mut unmarked, mut opening) =
            (Samples::default(), Samples::default(), Samples::default());
        for round in 0..rounds {
            let (sealed, seconds) = scene.seal(&closed, &[], dir.path(), &mut rng)?;
            marked.push(seconds);
            let (plain, seconds) = scene.seal(&closed, &modalities, dir.path(), &mut rng)?;
            unmarked.push(seconds);
            opening.push(scene.open(&sealed, dir.path(), &originals)?);
            if round == 0 {
                scene.open(&plain, dir.path(), &originals)?;
                found.files += originals.len();
                found.bytes += sealed.0.bytes;
                found.packed += sealed.0.pack_bytes;
                found.unmarked_packed += plain.0.pack_bytes;
                found.marked += sealed.0.marked;
                for (reason, count) in sealed.0.unmarked {
                    *found.not_marked.entry(reason).or_default() += count;
                }
            }
        }
        found.seal_seconds += marked.median();
        found.unmarked_seal_seconds += unmarked.median();
        found.open_seconds += opening.median();
    }
    Ok(found)
}

/// Who seals, and for whom.
struct Scene {
    signing: SigningKey,
    trust: OpeningKey,
}

const BUNDLE: BundleId = BundleId([1; 16]);

impl Scene {
    fn seal(
        &self,
        closed: &ClosedBundle,
        unmarked_modalities: &[String],
        dir: &Path,
        rng: &mut ChaCha20Rng,
    ) -> Result<((Sealed, Vec<u8>), f64)> {
        let sealer = Sealer {
            origin: PartyId([2; 16]),
            signing: &self.signing,
            trust: &self.trust.sealing_key(),
            layout: Layout::DEFAULT,
            unmarked_modalities,
            bounds: BOUNDS,
        };
        let mut fragments = Vec::new();
        let (sealed, seconds) =
            timed(|| sealer.seal(closed, BUNDLE, dir, &mut fragments, NOW, rng));
        Ok(((sealed?, fragments), seconds))
    }

    /// Opens and compares; seconds of opening alone.
    fn open(
        &self,
        (sealed, fragments): &(Sealed, Vec<u8>),
        dir: &Path,
        originals: &BTreeMap<String, Vec<u8>>,
    ) -> Result<f64> {
        let producer = self.signing.verifying_key();
        let signed = &sealed.request.manifest;
        let manifest = Arc::new(signed.verify(&producer)?);
        let wrapped = &sealed.request.content_key;
        let key = unwrap_content_key(wrapped, BUNDLE, signed.digest(), &self.trust)?;
        let scratch = tempfile::tempfile_in(dir)?;
        let layout = Layout::DEFAULT;
        let mut back: Vec<(String, Vec<u8>)> = Vec::new();
        let (opened, seconds) = timed(|| -> Result<()> {
            let mut opener = Opener::new(manifest, producer, key, layout, scratch);
            for (index, fragment) in (0..).zip(fragments.chunks(layout.fragment_bytes())) {
                opener.fragment(index, fragment.to_vec())?;
            }
            opener.finish(&BOUNDS, |instance, file| {
                back.push((instance.sop_instance_uid.clone(), file.to_vec()));
                Ok(())
            })?;
            Ok(())
        });
        opened?;
        ensure!(
            back.len() == originals.len(),
            "files are missing in an opened bundle"
        );
        for (name, file) in &back {
            ensure!(
                originals.get(name) == Some(file),
                "{name} came back otherwise than it was"
            );
        }
        Ok(seconds)
    }
}

/// Closed bundles, one for each study.
fn spooled(dir: &Path, files: &[&File], found: &mut Bundles) -> Result<Vec<ClosedBundle>> {
    let spool = Spool::open(&dir.join("spool"))?;
    let mut studies = Vec::new();
    for file in files {
        let mut incoming = spool.begin(
            Kind::File {
                study_instance_uid: None,
            },
            1 << 30,
        );
        incoming.push(&file.bytes)?;
        match spool.store(incoming, &Source::User("bench".into()), NOW.as_millis()) {
            Ok(stored) => studies.push(stored.header.study_instance_uid),
            Err(_) => found.refused += 1,
        }
    }
    studies.sort_unstable();
    studies.dedup();
    studies
        .iter()
        .enumerate()
        .map(|(number, study)| {
            let mut id = [0; 16];
            id[..8].copy_from_slice(&(number as u64 + 1).to_le_bytes());
            let closed = spool.close(study, &BundleId(id).to_string())?;
            spool.bundle(&closed.id).context("a closed bundle is gone")
        })
        .collect()
}
