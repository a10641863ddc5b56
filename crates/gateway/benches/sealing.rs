//! How fast a bundle is sealed (read, digested, marked, coded, checked, encrypted) and opened again,
//! on one thread, in bytes of its files.
//!
//! Synthetic CT by default; `HARPO_BENCH_DICOM=FOLDER` takes the files of a folder instead.

use std::hint::black_box;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use harpo_gateway::content::pipeline::Bounds;
use harpo_gateway::open::Opener;
use harpo_gateway::phantom::{self, Plan};
use harpo_gateway::seal::{Sealed, Sealer};
use harpo_gateway::spool::{ClosedBundle, Kind, Source, Spool};
use harpo_protocol::cell::Layout;
use harpo_protocol::deposit::unwrap_content_key;
use harpo_protocol::id::{BundleId, PartyId};
use harpo_protocol::sign::SigningKey;
use harpo_protocol::time::Timestamp;
use harpo_protocol::wrap::OpeningKey;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

const BUNDLE: BundleId = BundleId([1; 16]);
const NOW: Timestamp = Timestamp(1_800_000_000_000);
const BOUNDS: Bounds = Bounds {
    threads: 1,
    memory_bytes: 256 << 20,
    object_bytes: 2 << 30,
};

struct Scene {
    dir: tempfile::TempDir,
    closed: ClosedBundle,
    rng: ChaCha20Rng,
    signing: SigningKey,
    trust: OpeningKey,
}

impl Scene {
    fn new() -> io::Result<Self> {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        let dir = tempfile::tempdir()?;
        let files = match std::env::var_os("HARPO_BENCH_DICOM") {
            Some(folder) => files_of(Path::new(&folder))?,
            None => {
                let plan = Plan {
                    slices: 24,
                    size: 512,
                    ..Plan::default()
                };
                phantom::write_plan(&dir.path().join("phantom"), &plan, &mut rng)?
            }
        };
        let closed = spooled(&dir.path().join("spool"), &files)?;
        Ok(Self {
            closed,
            signing: SigningKey::generate(&mut rng).0,
            trust: OpeningKey::generate(&mut rng).0,
            dir,
            rng,
        })
    }

    fn seal(&mut self) -> io::Result<(Sealed, Vec<u8>)> {
        let sealer = Sealer {
            origin: PartyId([2; 16]),
            signing: &self.signing,
            trust: &self.trust.sealing_key(),
            layout: Layout::DEFAULT,
            unmarked_modalities: &[],
            bounds: BOUNDS,
        };
        let mut fragments = Vec::new();
        let dir = self.dir.path();
        let sealed = sealer.seal(
            &self.closed,
            BUNDLE,
            dir,
            &mut fragments,
            NOW,
            &mut self.rng,
        );
        Ok((sealed.map_err(io::Error::other)?, fragments))
    }

    /// Everything of opening but decoding slots.
    fn open(&self, sealed: &Sealed, fragments: &[u8]) -> io::Result<u64> {
        let producer = self.signing.verifying_key();
        let signed = &sealed.request.manifest;
        let manifest = signed.verify(&producer).map_err(io::Error::other)?;
        let wrapped = &sealed.request.content_key;
        let key = unwrap_content_key(wrapped, BUNDLE, signed.digest(), &self.trust);
        let key = key.map_err(io::Error::other)?;
        let scratch = tempfile::tempfile_in(self.dir.path())?;
        let layout = Layout::DEFAULT;
        let mut opener = Opener::new(Arc::new(manifest), producer, key, layout, scratch);
        for (index, fragment) in (0..).zip(fragments.chunks(layout.fragment_bytes())) {
            let opened = opener.fragment(index, fragment.to_vec());
            opened.map_err(io::Error::other)?;
        }
        let mut bytes = 0;
        let found = opener.finish(&BOUNDS, |_, file| {
            bytes += black_box(file).len() as u64;
            Ok(())
        });
        found.map_err(io::Error::other)?;
        Ok(bytes)
    }
}

fn files_of(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)?
        .map(|entry| Ok(entry?.path()))
        .collect::<io::Result<_>>()?;
    files.sort();
    Ok(files)
}

/// A closed bundle of the study of the first file.
fn spooled(dir: &Path, files: &[PathBuf]) -> io::Result<ClosedBundle> {
    let spool = Spool::open(dir).map_err(io::Error::other)?;
    let mut study = None;
    for path in files {
        let kind = Kind::File {
            study_instance_uid: study.clone(),
        };
        let mut incoming = spool.begin(kind, 1 << 30);
        incoming
            .push(&std::fs::read(path)?)
            .map_err(io::Error::other)?;
        let source = Source::User("bench".into());
        match spool.store(incoming, &source, NOW.as_millis()) {
            Ok(stored) => study = Some(stored.header.study_instance_uid),
            Err(error) => eprintln!("{}: left out: {error}", path.display()),
        }
    }
    let study = study.ok_or_else(|| io::Error::other("no files"))?;
    let closed = spool
        .close(&study, &BUNDLE.to_string())
        .map_err(io::Error::other)?;
    spool.bundle(&closed.id).map_err(io::Error::other)
}

fn sealing(criterion: &mut Criterion) {
    let Ok(mut scene) = Scene::new() else {
        eprintln!("the instances cannot be had");
        return;
    };
    let (sealed, fragments) = match scene.seal() {
        Ok(sealed) => sealed,
        Err(error) => {
            eprintln!("sealing failed: {error}");
            return;
        }
    };
    println!(
        "{} bytes in a pack of {}: {:.3} to 1; {} instances marked, others: {:?}",
        sealed.bytes,
        sealed.pack_bytes,
        sealed.bytes as f64 / sealed.pack_bytes as f64,
        sealed.marked,
        sealed.unmarked
    );
    let mut group = criterion.benchmark_group("bundle");
    group.throughput(Throughput::Bytes(sealed.bytes));
    group.sample_size(10);
    group.bench_function("seal", |bencher| {
        bencher.iter(|| scene.seal().map(|(sealed, _)| black_box(sealed.pack_bytes)));
    });
    group.bench_function("open", |bencher| {
        bencher.iter(|| scene.open(&sealed, &fragments));
    });
    group.finish();
}

criterion_group!(benches, sealing);
criterion_main!(benches);
