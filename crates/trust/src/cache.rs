//! The upload cache: fragments whose generation is not sealed yet, or has been only for a while
//! (docs/protocol.md 4.2, 5.6, 8.5).
//!
//! A fragment is stored when its file is there: files appear whole or not at all, after their digest
//! was checked, and are on the disk before that is said.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use harpo_protocol::id::BundleId;
use harpo_service::blobs::{BlobError, Blobs};
use harpo_service::files;
use tokio::sync::{OwnedRwLockReadGuard, RwLock, RwLockWriteGuard};

use crate::error::{TrustError, file_error};
use crate::folder::Folder;

/// Bundles share locks; the more, the less they wait for each other.
const LOCKS: usize = 64;

/// The cache of one data folder.
pub(crate) struct Cache {
    blobs: Blobs,
    dir: PathBuf,
    locks: [Arc<RwLock<()>>; LOCKS],
}

/// Nobody removes the bundle's fragments while this is held: what the database says of whether they are wanted stays
/// true until they are stored.
pub(crate) struct Storing {
    lock: OwnedRwLockReadGuard<()>,
    blobs: Blobs,
    bundle: BundleId,
}

impl Storing {
    /// Stores a fragment durably. Goes on to its end when the caller no longer waits, and keeps removers waiting for so
    /// long.
    pub(crate) async fn put(self, fragment: u32, bytes: Bytes) -> Result<(), TrustError> {
        let Self {
            lock,
            blobs,
            bundle,
        } = self;
        let stored = tokio::spawn(async move {
            let outcome = blobs.put(&key(bundle, fragment), bytes).await;
            // Named, so that it is moved in here: the task may outlive its caller.
            drop(lock);
            outcome
        });
        match stored.await {
            Ok(outcome) => Ok(outcome?),
            Err(ended) => {
                let path = PathBuf::from("the upload cache");
                Err(file_error("write", &path)(std::io::Error::other(ended)))
            }
        }
    }
}

/// Nobody stores a fragment of the bundle while this is held.
pub(crate) struct Removing<'a> {
    _lock: RwLockWriteGuard<'a, ()>,
    cache: &'a Cache,
    bundle: BundleId,
}

impl Removing<'_> {
    /// Removes all fragments of the bundle, if there are any.
    pub(crate) async fn remove(&self) -> Result<(), TrustError> {
        let (dir, bundle) = (self.cache.dir.clone(), self.bundle);
        tokio::task::spawn_blocking(move || remove(dir, bundle))
            .await
            .unwrap_or_else(|ended| {
                Err(file_error("remove", &self.cache.dir)(
                    std::io::Error::other(ended),
                ))
            })
    }
}

impl Cache {
    pub(crate) fn open(folder: &Folder) -> Result<Self, TrustError> {
        let dir = folder.cache_dir();
        Ok(Self {
            blobs: Blobs::open(&dir)?,
            dir,
            locks: std::array::from_fn(|_| Arc::default()),
        })
    }

    /// To store fragments of a bundle: look into the database only when this was given.
    pub(crate) async fn storing(&self, bundle: BundleId) -> Storing {
        Storing {
            lock: Arc::clone(self.lock(bundle)).read_owned().await,
            blobs: self.blobs.clone(),
            bundle,
        }
    }

    /// To remove a bundle's fragments; held until the database says that they are not wanted any more.
    pub(crate) async fn removing(&self, bundle: BundleId) -> Removing<'_> {
        Removing {
            _lock: self.lock(bundle).write().await,
            cache: self,
            bundle,
        }
    }

    fn lock(&self, bundle: BundleId) -> &Arc<RwLock<()>> {
        &self.locks[usize::from(bundle.0[0]) % LOCKS]
    }

    pub(crate) async fn get(&self, bundle: BundleId, fragment: u32) -> Result<Bytes, BlobError> {
        self.blobs.get(&key(bundle, fragment)).await
    }

    /// Which of a bundle's fragments are not stored, ascending.
    pub(crate) async fn missing(
        &self,
        bundle: BundleId,
        fragments: u32,
    ) -> Result<Vec<u32>, BlobError> {
        let stored: BTreeSet<u32> = self
            .blobs
            .list(&bundle.to_string())
            .await?
            .iter()
            .filter_map(|entry| entry.key.rsplit('/').next()?.parse().ok())
            .collect();
        Ok((0..fragments).filter(|i| !stored.contains(i)).collect())
    }

    /// Bundles of which anything is stored.
    pub(crate) fn bundles(&self) -> Result<Vec<BundleId>, TrustError> {
        let entries = std::fs::read_dir(&self.dir).map_err(file_error("read", &self.dir))?;
        Ok(entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .collect())
    }

    /// Removes all fragments of a bundle of which the database says already that they are not wanted.
    pub(crate) async fn remove(&self, bundle: BundleId) -> Result<(), TrustError> {
        self.removing(bundle).await.remove().await
    }
}

/// Removes a bundle's fragments from the cache in `dir`, also while a service uses it. One sync for all of
/// them instead of one for each.
pub(crate) fn remove(dir: PathBuf, bundle: BundleId) -> Result<(), TrustError> {
    let path = dir.join(bundle.to_string());
    match std::fs::remove_dir_all(&path) {
        Ok(()) => files::sync_dir(&dir).map_err(file_error("write", &dir)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(file_error("remove", &path)(error)),
    }
}

fn key(bundle: BundleId, fragment: u32) -> String {
    format!("{bundle}/{fragment}")
}
