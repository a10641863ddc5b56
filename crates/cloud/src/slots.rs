//! Bytes on the disk: slots, and the hints of sealed generations.
//!
//! ```text
//! incoming/                       what is arriving; emptied at start
//! slots/<generation>/<index>-<digest>
//!                                 one slot: eight digits of index, sixteen of its SHA-256
//! hints/<generation>              the hint of a sealed generation
//! ```
//!
//! Which of these count is in the database ([`crate::store`]): a file without its row is what a crash left.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use harpo_protocol::domain::{Hasher, sha256};
use harpo_protocol::id::{Digest, GenerationId};
use harpo_service::files;
use tokio::io::{AsyncWriteExt as _, BufWriter};

use crate::Error;
use crate::body::BodyReader;

#[cfg(test)]
mod tests;

const DIRECTORY_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;
const BUFFER_BYTES: usize = 256 << 10;

/// The files of one cloud.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    incoming: PathBuf,
    slots: PathBuf,
    hints: PathBuf,
}

/// A slot that has arrived whole and is durable, though not in its place. Removed on drop.
#[derive(Debug)]
pub(crate) struct Staged {
    path: PathBuf,
    pub(crate) bytes: u32,
    pub(crate) digest: Digest,
}

impl Drop for Staged {
    fn drop(&mut self) {
        // Gone already if it was moved into its place; what else remains is removed at the next start.
        let _ = fs::remove_file(&self.path);
    }
}

/// Why a stored slot cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// Other bytes than were written, or none.
    #[error("its bytes are missing or damaged")]
    Damaged,
    /// The service is stopping.
    #[error("the service is stopping")]
    Stopping,
    /// The file system failed otherwise: says nothing about the bytes.
    #[error(transparent)]
    Io(io::Error),
}

impl Slots {
    /// Makes the directories under `data`, and removes what was arriving when the service ended.
    pub(crate) fn open(data: &Path) -> Result<Self, Error> {
        let this = Self {
            incoming: data.join("incoming"),
            slots: data.join("slots"),
            hints: data.join("hints"),
        };
        for directory in [&this.incoming, &this.slots, &this.hints] {
            files::create_dir_durable(directory, DIRECTORY_MODE)
                .map_err(Error::file("create", directory))?;
        }
        let list = fs::read_dir(&this.incoming).map_err(Error::file("read", &this.incoming))?;
        for entry in list {
            let path = entry.map_err(Error::file("read", &this.incoming))?.path();
            fs::remove_file(&path).map_err(Error::file("remove", &path))?;
        }
        Ok(this)
    }

    /// Receives at most `limit` bytes into a file of their own, hashing on the way, and makes them durable.
    pub(crate) async fn receive(&self, body: &mut BodyReader, limit: u64) -> Result<Staged, Error> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let path = self
            .incoming
            .join(COUNT.fetch_add(1, Ordering::Relaxed).to_string());
        let mut staged = Staged {
            path,
            bytes: 0,
            digest: Digest([0; 32]),
        };
        let complain = || Error::file("write", &staged.path);
        let file = tokio::fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&staged.path)
            .await
            .map_err(complain())?;
        let mut file = BufWriter::with_capacity(BUFFER_BYTES, file);
        let mut hasher = Hasher::default();
        let mut total = 0_u64;
        while let Some(chunk) = body.chunk().await? {
            total += chunk.len() as u64;
            if total > limit {
                return Err(Error::TooLarge {
                    what: "the slot",
                    limit,
                });
            }
            hasher.update(&chunk);
            file.write_all(&chunk).await.map_err(complain())?;
        }
        file.flush().await.map_err(complain())?;
        file.into_inner().sync_all().await.map_err(complain())?;
        staged.bytes = u32::try_from(total).map_err(|_| Error::TooLarge {
            what: "the slot",
            limit,
        })?;
        staged.digest = hasher.finish();
        Ok(staged)
    }

    /// Moves a slot into its place, durably. The digest in its name keeps it from touching other bytes at the same
    /// index, whoever wins.
    pub(crate) async fn keep(
        &self,
        staged: &Staged,
        generation: GenerationId,
        slot: u32,
    ) -> Result<(), Error> {
        let directory = self.generation(generation);
        let from = staged.path.clone();
        let to = self.slot(generation, slot, staged.digest);
        blocking(move || {
            files::create_dir_durable(&directory, DIRECTORY_MODE)
                .map_err(Error::file("create", &directory))?;
            fs::rename(&from, &to)
                .and_then(|()| files::sync_dir(&directory))
                .map_err(Error::file("write", &to))
        })
        .await
    }

    /// Reads a slot into `bytes`, which has its length, and checks that it is what was written. Blocks.
    pub(crate) fn read(
        &self,
        generation: GenerationId,
        slot: u32,
        digest: Digest,
        bytes: &mut [u8],
    ) -> Result<(), ReadError> {
        let damaged = |error: io::Error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => ReadError::Damaged,
            _ => ReadError::Io(error),
        };
        let mut file = fs::File::open(self.slot(generation, slot, digest)).map_err(damaged)?;
        file.read_exact(bytes).map_err(damaged)?;
        let whole = file.metadata().map_err(damaged)?.len() == bytes.len() as u64;
        if whole && sha256(bytes) == digest {
            Ok(())
        } else {
            Err(ReadError::Damaged)
        }
    }

    /// Stores a hint, durably. Blocks.
    pub(crate) fn write_hint(&self, generation: GenerationId, hint: &[u8]) -> Result<(), Error> {
        let path = self.hint(generation);
        files::write_durable(&path, hint, FILE_MODE).map_err(Error::file("write", &path))
    }

    /// SHA-256 of a stored hint; `None` if there is none. Blocks.
    pub(crate) fn hint_digest(&self, generation: GenerationId) -> Result<Option<Digest>, Error> {
        let path = self.hint(generation);
        match fs::read(&path) {
            Ok(bytes) => Ok(Some(sha256(&bytes))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file("read", &path)(error)),
        }
    }

    /// Opens a hint for sending.
    pub(crate) async fn open_hint(
        &self,
        generation: GenerationId,
    ) -> Result<tokio::fs::File, Error> {
        let path = self.hint(generation);
        tokio::fs::File::open(&path)
            .await
            .map_err(Error::file("read", &path))
    }

    /// Removes everything of a generation.
    pub(crate) async fn remove(&self, generation: GenerationId) -> Result<(), Error> {
        let directory = self.generation(generation);
        let hint = self.hint(generation);
        blocking(move || {
            absent_is_fine(fs::remove_dir_all(&directory))
                .map_err(Error::file("remove", &directory))?;
            absent_is_fine(fs::remove_file(&hint)).map_err(Error::file("remove", &hint))
        })
        .await
    }

    /// Generations that have files. Blocks.
    pub(crate) fn generations(&self) -> Result<Vec<GenerationId>, Error> {
        let mut found = Vec::new();
        for directory in [&self.slots, &self.hints] {
            let list = fs::read_dir(directory).map_err(Error::file("read", directory))?;
            for entry in list {
                let name = entry.map_err(Error::file("read", directory))?.file_name();
                // What is not named like a generation is not ours to touch.
                found.extend(
                    name.to_str()
                        .and_then(|name| name.parse::<GenerationId>().ok()),
                );
            }
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    fn generation(&self, generation: GenerationId) -> PathBuf {
        self.slots.join(generation.to_string())
    }

    fn slot(&self, generation: GenerationId, slot: u32, digest: Digest) -> PathBuf {
        let name = format!("{slot:08}-{}", hex::encode(&digest.0[..8]));
        self.generation(generation).join(name)
    }

    fn hint(&self, generation: GenerationId) -> PathBuf {
        self.hints.join(generation.to_string())
    }
}

fn absent_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Runs `work` where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Error::TaskLost)?
}
