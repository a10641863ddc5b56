//! Encoded generations in files, mapped into memory: a restart reads digests instead of encoding, a sealing that was
//! interrupted goes on where it was, and a stack may be larger than memory.
//!
//! ```text
//! <dir>/<generation>.rows      the encoded rows, as the ring engine keeps them
//! <dir>/<generation>.stripes   what the file is for, then one line for each stripe that is durable: its SHA-256
//! ```
//!
//! What a line names is hashed again before it is used; a stripe that is missing or damaged is encoded anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harpo_oblivious::{Buffers, Encoded, GenerationInfo, Sealer, Stripe};
use harpo_protocol::domain::sha256;
use harpo_protocol::id::{Digest, GenerationId};
use harpo_protocol::stack::slots_digest;
use harpo_service::files;
use memmap2::{Advice, Mmap};

use super::encode::{Done, Failure, Fresh, refused};
use super::reader::{Reader, Reading};
use crate::Error;
use crate::residents::Resident;

#[cfg(test)]
mod tests;

/// The first line of a list of stripes, before the digest of the generation's figures.
const HEAD: &str = "harpocrates encoded generation 1";

/// Plaintext of a stripe: sealing needs about five times as much memory, whatever the generation's size.
const STRIPE_BYTES: usize = 32 << 20;

/// The folder.
#[derive(Clone, Debug)]
pub(crate) struct Kept {
    dir: PathBuf,
    stripe_bytes: usize,
}

impl Kept {
    /// Opens or creates the folder.
    pub(crate) fn open(dir: &Path) -> Result<Self, Error> {
        files::create_dir_durable(dir, 0o700).map_err(Error::file("create", dir))?;
        Ok(Self {
            dir: dir.to_owned(),
            stripe_bytes: STRIPE_BYTES,
        })
    }

    /// Removes what is kept of a generation. Mappings that are in use stay good.
    pub(crate) fn remove(&self, id: GenerationId) -> Result<(), Error> {
        for path in [self.stripes(id), self.rows(id)] {
            match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(Error::file("remove", &path)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Generations of which anything is kept.
    pub(crate) fn generations(&self) -> Result<Vec<GenerationId>, Error> {
        let entries = fs::read_dir(&self.dir).map_err(Error::file("list", &self.dir))?;
        let mut found = Vec::new();
        for entry in entries {
            let name = entry.map_err(Error::file("list", &self.dir))?.file_name();
            let stem = Path::new(&name).file_stem().and_then(|stem| stem.to_str());
            found.extend(stem.and_then(|stem| stem.parse::<GenerationId>().ok()));
        }
        Ok(found)
    }

    fn rows(&self, id: GenerationId) -> PathBuf {
        self.dir.join(format!("{id}.rows"))
    }

    fn stripes(&self, id: GenerationId) -> PathBuf {
        self.dir.join(format!("{id}.stripes"))
    }

    /// Brings a generation into service: from what is kept as far as it is good, and for the rest from the slots. Slots
    /// are not read at all if everything is kept and `sealed`. Blocks.
    pub(super) fn encode(
        &self,
        reader: &Reader,
        info: &GenerationInfo,
        sealed: bool,
    ) -> Result<Done, Failure> {
        let sealer = Sealer::new(info).map_err(Error::Engine)?;
        let sealer = sealer.with_stripe_bytes(self.stripe_bytes);
        let stripes: Vec<Stripe> = sealer.stripes().collect();
        let bytes = info.encoded_bytes().map_err(Error::Engine)?;
        let mut work = Work {
            rows: Rows::open(&self.rows(reader.id), bytes)?,
            list: List::open(&self.stripes(reader.id), info, stripes.len())?,
        };
        let damaged = work.verify(&stripes)?;
        if damaged > 0 {
            tracing::warn!(generation = %reader.id, damaged, "kept stripes are damaged; they are encoded anew");
        }
        let fresh = if sealed && work.list.is_full() {
            None
        } else {
            let done = work.list.count();
            if done > 0 {
                tracing::info!(generation = %reader.id, done, of = stripes.len(), "going on with interrupted work");
            }
            match work.fill(&sealer, &stripes, reader) {
                // Nothing that came from bad slots stays.
                Err(Failure::Damaged(slots)) => {
                    self.remove(reader.id)?;
                    return Err(Failure::Damaged(slots));
                }
                other => Some(other?),
            }
        };
        let map = work.rows.map;
        // Brought in at once rather than by the first retrieval.
        let _ = map.advise(Advice::WillNeed);
        let encoded = Encoded::from_shared(info, Box::new(Shared(map))).map_err(Error::Engine)?;
        Ok(Done {
            resident: Resident(encoded),
            fresh,
        })
    }
}

/// A mapping as the ring engine takes it.
struct Shared(Arc<Mmap>);

impl AsRef<[u8]> for Shared {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

/// A generation on its way.
struct Work {
    rows: Rows,
    list: List,
}

impl Work {
    /// Hashes what is listed and forgets what is damaged. Returns how many stripes that were.
    fn verify(&mut self, stripes: &[Stripe]) -> Result<usize, Error> {
        let before = self.list.count();
        for stripe in stripes {
            let listed = self.list.digests[stripe.index];
            if listed.is_some_and(|digest| sha256(self.rows.bytes(&stripe.encoded_range)) != digest)
            {
                self.list.digests[stripe.index] = None;
            }
        }
        let damaged = before - self.list.count();
        self.list.rewrite()?;
        Ok(damaged)
    }

    /// Encodes what is missing. All slots are read, so that all of them are checked.
    fn fill(
        &mut self,
        sealer: &Sealer,
        stripes: &[Stripe],
        reader: &Reader,
    ) -> Result<Fresh, Failure> {
        let mut reading = reader.begin();
        let mut buffers = sealer.buffers().map_err(Error::Engine)?;
        let mut hint = Vec::new();
        for stripe in stripes {
            if self.list.digests[stripe.index].is_some() {
                pass_over(&mut reading, reader, stripe)?;
                let bytes = self.rows.bytes(&stripe.encoded_range);
                hint.extend(sealer.hint_of(stripe, bytes).map_err(Error::Engine)?);
            } else {
                self.seal(sealer, stripe, &mut buffers, &mut reading, &mut hint)?;
            }
        }
        let found = reading.finish().map_err(Failure::Damaged)?;
        let hint = sealer.assemble_hint(hint).map_err(Error::Engine)?;
        Ok(Fresh {
            hint: hint.to_bytes(),
            read_back: slots_digest(found),
        })
    }

    /// Encodes one stripe; it is durable before it is listed.
    fn seal(
        &mut self,
        sealer: &Sealer,
        stripe: &Stripe,
        buffers: &mut Buffers,
        reading: &mut Reading<'_>,
        hint: &mut Vec<u8>,
    ) -> Result<(), Error> {
        let read = |slot, offset, bytes: &mut [u8]| reading.read(slot, offset, bytes);
        let sealed = sealer.seal_stripe(stripe, buffers, read).map_err(refused)?;
        hint.extend_from_slice(sealed.hint);
        self.rows.write(&stripe.encoded_range, sealed.encoded)?;
        self.list.append(stripe.index, sha256(sealed.encoded))
    }
}

/// Reads a stripe's piece of every slot for its digest alone.
fn pass_over(reading: &mut Reading<'_>, reader: &Reader, stripe: &Stripe) -> Result<(), Error> {
    let mut piece = vec![0; stripe.slot_range.len()];
    for (slot, _) in (0..).zip(&reader.digests) {
        reading.read(slot, stripe.slot_range.start as u64, &mut piece)?;
    }
    Ok(())
}

/// The file of rows, mapped.
struct Rows {
    file: File,
    path: PathBuf,
    map: Arc<Mmap>,
}

impl Rows {
    fn open(path: &Path, bytes: u64) -> Result<Self, Error> {
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(Error::file("open", path))?;
        file.set_len(bytes).map_err(Error::file("size", path))?;
        Ok(Self {
            map: Arc::new(map(&file).map_err(Error::file("map", path))?),
            path: path.to_owned(),
            file,
        })
    }

    /// Part of the rows, as they are now.
    fn bytes(&self, range: &Range<u64>) -> &[u8] {
        &self.map[range.start as usize..range.end as usize]
    }

    fn write(&self, range: &Range<u64>, bytes: &[u8]) -> Result<(), Error> {
        self.file
            .write_all_at(bytes, range.start)
            .and_then(|()| self.file.sync_data())
            .map_err(Error::file("write", &self.path))
    }
}

/// Maps the whole file.
#[expect(unsafe_code, reason = "a mapped file cannot be had otherwise")]
fn map(file: &File) -> io::Result<Mmap> {
    // SAFETY: the file lies in a folder that this process alone uses (it holds the lock of the data directory). It
    // has its final length before it is mapped and is never shortened. While it is being filled, parts are written through the
    // file; each part is read through the mapping only after it was written. Bytes are all that is read: any value is valid.
    unsafe { Mmap::map(file) }
}

/// The list of stripes that are durable.
struct List {
    path: PathBuf,
    head: String,
    digests: Vec<Option<Digest>>,
}

impl List {
    /// Reads the list; one for other figures, or none, is an empty one. What a crash cut short is not counted.
    fn open(path: &Path, info: &GenerationInfo, stripes: usize) -> Result<Self, Error> {
        let head = format!("{HEAD} {} {stripes}\n", hex::encode(info.digest()));
        let mut digests = vec![None; stripes];
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => String::new(),
            Err(error) => return Err(Error::file("read", path)(error)),
        };
        let lines = text.strip_prefix(&head).unwrap_or_default();
        for line in lines.split_inclusive('\n') {
            if let Some((index, digest)) = entry(line)
                && let Some(place) = digests.get_mut(index)
            {
                *place = Some(digest);
            }
        }
        Ok(Self {
            path: path.to_owned(),
            head,
            digests,
        })
    }

    fn count(&self) -> usize {
        self.digests.iter().flatten().count()
    }

    fn is_full(&self) -> bool {
        self.digests.iter().all(Option::is_some)
    }

    /// Writes the list as it is, atomically.
    fn rewrite(&self) -> Result<(), Error> {
        let mut text = self.head.clone();
        for (index, digest) in self.digests.iter().enumerate() {
            text.extend(digest.map(|digest| line(index, digest)));
        }
        files::write_durable(&self.path, text.as_bytes(), 0o600)
            .map_err(Error::file("write", &self.path))
    }

    fn append(&mut self, index: usize, digest: Digest) -> Result<(), Error> {
        OpenOptions::new()
            .append(true)
            .open(&self.path)
            .and_then(|mut file| {
                file.write_all(line(index, digest).as_bytes())?;
                file.sync_data()
            })
            .map_err(Error::file("write", &self.path))?;
        self.digests[index] = Some(digest);
        Ok(())
    }
}

fn line(index: usize, digest: Digest) -> String {
    format!("{index} {}\n", hex::encode(digest.0))
}

/// A whole line's stripe and digest.
fn entry(line: &str) -> Option<(usize, Digest)> {
    let (index, digest) = line.strip_suffix('\n')?.split_once(' ')?;
    let digest = hex::decode(digest).ok()?;
    Some((index.parse().ok()?, Digest::from_slice(&digest).ok()?))
}
