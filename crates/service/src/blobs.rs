//! Large objects under keys, durable when [`Blobs::put`] returns.

use std::io;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ObjectStore as _, ObjectStoreExt as _};

use crate::causes::causes;
use crate::files;

#[cfg(test)]
mod tests;

/// Why an object could not be stored or brought.
#[derive(Debug, thiserror::Error)]
pub enum BlobError {
    /// No space is left; nothing was changed.
    #[error("the storage for objects is full; make space and try again")]
    Full {
        /// What the store said.
        source: object_store::Error,
    },
    /// There is no such object.
    #[error("there is no object `{key}`")]
    NotFound {
        /// The key asked for.
        key: String,
    },
    /// The key is not usable.
    #[error("`{key}` cannot be the key of an object: {reason}")]
    Key {
        /// The key.
        key: String,
        /// Why not.
        reason: String,
    },
    /// The range reaches outside the object.
    #[error("`{key}` has fewer bytes than the range {start}..{end} asks for")]
    Range {
        /// The key.
        key: String,
        /// First byte asked for.
        start: u64,
        /// The byte after the last one asked for.
        end: u64,
    },
    /// The directory cannot be used.
    #[error("the directory {} cannot be used for objects", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Anything else.
    #[error("the storage for objects failed")]
    Store {
        /// What it said.
        source: object_store::Error,
    },
}

impl BlobError {
    fn from_store(key: &str, source: object_store::Error) -> Self {
        if matches!(source, object_store::Error::NotFound { .. }) {
            return Self::NotFound {
                key: key.to_owned(),
            };
        }
        let full = causes(&source)
            .filter_map(|error| error.downcast_ref::<io::Error>())
            .any(files::is_storage_full);
        if full {
            Self::Full { source }
        } else {
            Self::Store { source }
        }
    }
}

/// An object, as [`Blobs::list`] sees it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    /// Its key.
    pub key: String,
    /// Its bytes.
    pub size: u64,
}

/// A store of objects under keys such as `generations/7/slots/12`: parts of `[A-Za-z0-9._-]`
/// joined by `/`. Clones share it. One process uses a directory at a time.
///
/// Objects are whole or absent, after a crash at any moment too.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Arc<LocalFileSystem>,
}

impl Blobs {
    /// Opens the store in `directory`, which is created if needed, and removes what writes that a
    /// crash cut short have left.
    ///
    /// # Errors
    /// [`BlobError::Open`], [`BlobError::Store`].
    pub fn open(directory: &FsPath) -> Result<Self, BlobError> {
        let open_error = |source| BlobError::Open {
            path: directory.to_owned(),
            source,
        };
        files::create_dir_durable(directory, 0o700).map_err(open_error)?;
        remove_staged(directory).map_err(open_error)?;
        let store = LocalFileSystem::new_with_prefix(directory)
            .map_err(|source| BlobError::Store { source })?
            .with_fsync(true);
        Ok(Self {
            store: Arc::new(store),
        })
    }

    /// Stores `bytes` under `key`, replacing what was there, atomically. Durable when it returns.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Full`], [`BlobError::Store`].
    pub async fn put(&self, key: &str, bytes: Bytes) -> Result<(), BlobError> {
        self.store
            .put(&parse(key)?, bytes.into())
            .await
            .map(drop)
            .map_err(|error| BlobError::from_store(key, error))
    }

    /// The object under `key`.
    ///
    /// # Errors
    /// [`BlobError::NotFound`], [`BlobError::Key`], [`BlobError::Store`].
    pub async fn get(&self, key: &str) -> Result<Bytes, BlobError> {
        let object = self
            .store
            .get(&parse(key)?)
            .await
            .map_err(|error| BlobError::from_store(key, error))?;
        object
            .bytes()
            .await
            .map_err(|error| BlobError::from_store(key, error))
    }

    /// The bytes `range` of the object under `key`.
    ///
    /// # Errors
    /// As [`Blobs::get`]; [`BlobError::Range`] if it has fewer bytes.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BlobError> {
        let too_far = || BlobError::Range {
            key: key.to_owned(),
            start: range.start,
            end: range.end,
        };
        if range.start > range.end || range.end > self.size(key).await? {
            return Err(too_far());
        }
        if range.is_empty() {
            return Ok(Bytes::new());
        }
        let bytes = self
            .store
            .get_range(&parse(key)?, range.clone())
            .await
            .map_err(|error| BlobError::from_store(key, error))?;
        // The object may have been replaced by a shorter one in between.
        if bytes.len() as u64 != range.end - range.start {
            return Err(too_far());
        }
        Ok(bytes)
    }

    /// The size of the object under `key`, in bytes.
    ///
    /// # Errors
    /// As [`Blobs::get`].
    pub async fn size(&self, key: &str) -> Result<u64, BlobError> {
        self.store
            .head(&parse(key)?)
            .await
            .map(|meta| meta.size)
            .map_err(|error| BlobError::from_store(key, error))
    }

    /// Whether there is an object under `key`.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Store`].
    pub async fn exists(&self, key: &str) -> Result<bool, BlobError> {
        match self.size(key).await {
            Ok(_) => Ok(true),
            Err(BlobError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Removes the object under `key`, durably. Removing what is not there is no error: it may have
    /// been removed before a crash.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Store`].
    pub async fn delete(&self, key: &str) -> Result<(), BlobError> {
        let path = parse(key)?;
        match self.store.delete(&path).await {
            Ok(()) => {}
            Err(object_store::Error::NotFound { .. }) => return Ok(()),
            Err(error) => return Err(BlobError::from_store(key, error)),
        }
        let file = self
            .store
            .path_to_filesystem(&path)
            .map_err(|error| BlobError::from_store(key, error))?;
        let directory = file.parent().unwrap_or(&file).to_owned();
        let synced = tokio::task::spawn_blocking({
            let directory = directory.clone();
            move || files::sync_dir(&directory)
        });
        let synced = synced
            .await
            .unwrap_or_else(|ended| Err(io::Error::other(ended)));
        synced.map_err(|source| BlobError::Open {
            path: directory,
            source,
        })
    }

    /// The objects whose keys begin with the parts of `prefix` (all, if it is empty), by key.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Store`].
    pub async fn list(&self, prefix: &str) -> Result<Vec<Entry>, BlobError> {
        let prefix_path = match prefix.trim_end_matches('/') {
            "" => None,
            prefix => Some(parse(prefix)?),
        };
        let mut entries: Vec<Entry> = self
            .store
            .list(prefix_path.as_ref())
            .map_ok(|meta| Entry {
                key: meta.location.into(),
                size: meta.size,
            })
            .try_collect()
            .await
            .map_err(|error| BlobError::from_store(prefix, error))?;
        entries.sort();
        Ok(entries)
    }
}

fn parse(key: &str) -> Result<Path, BlobError> {
    let wrong = |reason: &str| BlobError::Key {
        key: key.to_owned(),
        reason: reason.to_owned(),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-/".contains(&byte);
    if !key.bytes().all(allowed) {
        return Err(wrong("only letters, digits, `.`, `_`, `-` and `/` are"));
    }
    if key
        .split('/')
        .any(|part| part.is_empty() || part.starts_with('.'))
    {
        return Err(wrong("a part is empty or begins with a dot"));
    }
    Path::parse(key).map_err(|error| wrong(&error.to_string()))
}

/// Removes the files that unfinished writes leave: the store writes `NAME#NUMBER` and renames it.
fn remove_staged(directory: &FsPath) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            remove_staged(&entry.path())?;
        } else if kind.is_file() && is_staged(&entry.file_name()) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

fn is_staged(name: &std::ffi::OsStr) -> bool {
    let Some((_, number)) = name.to_str().and_then(|name| name.rsplit_once('#')) else {
        return false;
    };
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}
