//! Encoded generations in files, mapped into memory: a restart reads digests instead of encoding, a sealing that was
//! interrupted goes on where it was, and a stack may be larger than memory.
//!
//! ```text
//! <dir>/<generation>.rows      the encoded rows, as the ring engine keeps them
//! <dir>/<generation>.stripes   what the file is for, then one line for each stripe that is durable: the SHA-256 of its rows, and of
//!                              the pieces of slots that it was made from; at the end, that these were checked
//! ```
//!
//! What a line names is hashed again before it is used; a stripe that is missing, damaged, or was made from other
//! bytes than the slots have is encoded anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use harpo_oblivious::{Buffers, Encoded, GenerationInfo, STRIPE_BYTES, Sealer, Stripe};
use harpo_protocol::domain::{Hasher, sha256};
use harpo_protocol::id::{Digest, GenerationId};
use harpo_protocol::stack::slots_digest;
use harpo_service::files;
use memmap2::{Advice, Mmap};

use self::list::{Entry, List};
use self::rows::Rows;
use super::encode::{Done, Failure, Fresh, refused};
use super::reader::{Reader, Reading};
use crate::Error;
use crate::residents::Resident;

mod list;
mod rows;
#[cfg(test)]
mod tests;

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
        let fresh = if sealed && work.list.is_finished() {
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

/// A stripe's rows in memory, aligned as the ring engine wants them.
#[derive(Default)]
struct Buffer(Vec<u32>);

impl Buffer {
    fn of(&mut self, bytes: u64) -> &mut [u8] {
        let length = bytes as usize;
        self.0.resize(length.div_ceil(size_of::<u32>()), 0);
        &mut bytemuck::cast_slice_mut(&mut self.0)[..length]
    }
}

/// A generation on its way.
struct Work {
    rows: Rows,
    list: List,
}

/// One reading of all slots, with what it gave.
struct Round {
    /// The hint's rows.
    hint: Vec<u8>,
    read_back: Digest,
    /// Stripes that were made from other bytes than the slots have; they are not listed any more.
    others: usize,
}

impl Work {
    /// Hashes what is listed and forgets what is damaged. Returns how many stripes that were.
    fn verify(&mut self, stripes: &[Stripe]) -> Result<usize, Error> {
        let before = self.list.count();
        let mut buffer = Buffer::default();
        for stripe in stripes {
            if self.list.entries[stripe.index].is_some() && self.kept(stripe, &mut buffer).is_none()
            {
                self.list.entries[stripe.index] = None;
            }
        }
        let damaged = before - self.list.count();
        self.list.rewrite()?;
        Ok(damaged)
    }

    /// A stripe that is listed, and its rows if they are what is listed. What cannot be read is missing.
    fn kept<'a>(&self, stripe: &Stripe, buffer: &'a mut Buffer) -> Option<(Entry, &'a [u8])> {
        let entry = self.list.entries[stripe.index]?;
        let range = &stripe.encoded_range;
        let bytes = buffer.of(range.end - range.start);
        if let Err(error) = self.rows.read(range, bytes) {
            tracing::warn!(stripe = stripe.index, %error, "a kept stripe cannot be read");
            return None;
        }
        (sha256(bytes) == entry.rows).then_some((entry, &*bytes))
    }

    /// Encodes what is missing. All slots are read, so that all of them are checked.
    fn fill(
        &mut self,
        sealer: &Sealer,
        stripes: &[Stripe],
        reader: &Reader,
    ) -> Result<Fresh, Failure> {
        let mut round = self.round(sealer, stripes, reader)?;
        if round.others > 0 {
            tracing::warn!(generation = %reader.id, stripes = round.others, "kept stripes were made from other bytes than the slots have; they are encoded anew");
            self.list.rewrite()?;
            round = self.round(sealer, stripes, reader)?;
        }
        if round.others > 0 {
            return Err(Error::Unsteady(reader.id).into());
        }
        self.list.finish()?;
        let hint = sealer.assemble_hint(round.hint).map_err(Error::Engine)?;
        Ok(Fresh {
            hint: hint.to_bytes(),
            read_back: round.read_back,
        })
    }

    /// Reads the slots once. What was made from them is right when this returns, and `others` is 0.
    fn round(
        &mut self,
        sealer: &Sealer,
        stripes: &[Stripe],
        reader: &Reader,
    ) -> Result<Round, Failure> {
        let mut reading = reader.begin();
        let mut buffers = sealer.buffers().map_err(Error::Engine)?;
        let mut buffer = Buffer::default();
        let (mut hint, mut others) = (Vec::new(), 0);
        for stripe in stripes {
            if let Some((entry, bytes)) = self.kept(stripe, &mut buffer) {
                hint.extend(sealer.hint_of(stripe, bytes).map_err(Error::Engine)?);
                if pass_over(&mut reading, reader, stripe)? != entry.plain {
                    self.list.entries[stripe.index] = None;
                    others += 1;
                }
            } else {
                self.seal(sealer, stripe, &mut buffers, &mut reading, &mut hint)?;
            }
        }
        let found = reading.finish().map_err(Failure::Damaged)?;
        Ok(Round {
            hint,
            read_back: slots_digest(found),
            others,
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
        let mut plain = Hasher::default();
        let read = |slot, offset, bytes: &mut [u8]| {
            reading.read(slot, offset, bytes)?;
            plain.update(bytes);
            Ok(())
        };
        let sealed = sealer.seal_stripe(stripe, buffers, read).map_err(refused)?;
        hint.extend_from_slice(sealed.hint);
        self.rows.write(&stripe.encoded_range, sealed.encoded)?;
        let entry = Entry {
            rows: sha256(sealed.encoded),
            plain: plain.finish(),
        };
        self.list.append(stripe.index, entry)
    }
}

/// Reads a stripe's piece of every slot for its digest, and that of all pieces.
fn pass_over(reading: &mut Reading<'_>, reader: &Reader, stripe: &Stripe) -> Result<Digest, Error> {
    let mut plain = Hasher::default();
    let mut piece = vec![0; stripe.slot_range.len()];
    for (slot, _) in (0..).zip(&reader.digests) {
        reading.read(slot, stripe.slot_range.start as u64, &mut piece)?;
        plain.update(&piece);
    }
    Ok(plain.finish())
}
