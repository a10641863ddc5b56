//! Large objects under keys, durable when [`Blobs::put`] returns.

use std::io;
use std::ops::Range;
use std::path::{Path as FsPath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt as _, TryStreamExt as _};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    GetOptions, GetResult, GetResultPayload, ObjectStore as _, ObjectStoreExt as _,
};

use crate::files;

pub use self::error::BlobError;

mod error;
mod local;

#[cfg(test)]
mod tests;

/// Bytes of an object as they come. It may end early if the object was damaged after it was opened.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

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
        local::remove_staged(directory).map_err(open_error)?;
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
            .put(&parse(key)?, local::in_pieces(bytes))
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

    /// The object under `key`, which is known to have `length` bytes. Reads nothing of one that has more or fewer.
    ///
    /// # Errors
    /// As [`Blobs::get`]; [`BlobError::Length`].
    pub async fn get_exact(&self, key: &str, length: u64) -> Result<Bytes, BlobError> {
        let failed = |error| BlobError::from_store(key, error);
        let object = self.store.get(&parse(key)?).await.map_err(failed)?;
        let found = object.meta.size;
        if found != length {
            return Err(BlobError::Length {
                key: key.to_owned(),
                expected: length,
                found,
            });
        }
        object.bytes().await.map_err(failed)
    }

    /// The bytes `range` of the object under `key`.
    ///
    /// # Errors
    /// As [`Blobs::get`]; [`BlobError::Range`] if it has fewer bytes.
    pub async fn get_range(&self, key: &str, range: Range<u64>) -> Result<Bytes, BlobError> {
        match self.open_range(key, range).await? {
            Some(object) => object
                .bytes()
                .await
                .map_err(|error| BlobError::from_store(key, error)),
            None => Ok(Bytes::new()),
        }
    }

    /// The bytes `range` of the object under `key`, piece by piece: for what is too large to be held in memory.
    ///
    /// # Errors
    /// As [`Blobs::get_range`].
    pub async fn get_stream(&self, key: &str, range: Range<u64>) -> Result<ByteStream, BlobError> {
        let length = range.end.saturating_sub(range.start);
        let Some(object) = self.open_range(key, range).await? else {
            return Ok(futures_util::stream::empty().boxed());
        };
        Ok(match object.payload {
            GetResultPayload::File(file, _) => {
                local::stream(file, object.range.start, length).boxed()
            }
            GetResultPayload::Stream(stream) => stream.map_err(io::Error::other).boxed(),
        })
    }

    /// Opens a range, all of which is there; `None` if it is empty.
    async fn open_range(
        &self,
        key: &str,
        range: Range<u64>,
    ) -> Result<Option<GetResult>, BlobError> {
        let too_far = || BlobError::Range {
            key: key.to_owned(),
            start: range.start,
            end: range.end,
        };
        if range.start > range.end || range.end > self.size(key).await? {
            return Err(too_far());
        }
        if range.is_empty() {
            return Ok(None);
        }
        let options = GetOptions::new().with_range(Some(range.clone()));
        let object = self
            .store
            .get_opts(&parse(key)?, options)
            .await
            .map_err(|error| BlobError::from_store(key, error))?;
        // The object may have been replaced by a shorter one in between.
        if object.range != range {
            return Err(too_far());
        }
        Ok(Some(object))
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
        let file = self.file(key, &path)?;
        let directory = file.parent().unwrap_or(&file).to_owned();
        local::on_disk(directory, files::sync_dir).await
    }

    /// Removes all objects whose keys begin with `prefix` and `/`, durably: one sync for all of them. Not atomic: a
    /// crash may leave some.
    ///
    /// # Errors
    /// As [`Blobs::delete`].
    pub async fn delete_below(&self, prefix: &str) -> Result<(), BlobError> {
        let directory = self.file(prefix, &parse(prefix)?)?;
        local::on_disk(directory, local::remove_tree).await
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

    /// What follows `prefix` and `/` in the keys below it (any key, if it is empty), up to the next `/`; sorted. On
    /// local files also a directory that has become empty.
    ///
    /// # Errors
    /// [`BlobError::Key`], [`BlobError::Store`].
    pub async fn children(&self, prefix: &str) -> Result<Vec<String>, BlobError> {
        let prefix_path = match prefix {
            "" => None,
            prefix => Some(parse(prefix)?),
        };
        let found = self.store.list_with_delimiter(prefix_path.as_ref()).await;
        let found = found.map_err(|error| BlobError::from_store(prefix, error))?;
        let objects = found.objects.into_iter().map(|meta| meta.location);
        let mut names: Vec<String> = objects
            .chain(found.common_prefixes)
            .filter_map(|path| path.filename().map(str::to_owned))
            .collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    fn file(&self, key: &str, path: &Path) -> Result<PathBuf, BlobError> {
        self.store
            .path_to_filesystem(path)
            .map_err(|error| BlobError::from_store(key, error))
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
