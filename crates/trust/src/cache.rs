//! The upload cache: fragments whose generation is not sealed yet (docs/protocol.md 4.2, 8.5).
//!
//! A fragment is stored when its file is there: files appear whole or not at all, after their digest
//! was checked, and are on the disk before that is said.

use std::collections::BTreeSet;
use std::path::PathBuf;

use bytes::Bytes;
use harpo_protocol::id::BundleId;
use harpo_service::blobs::{BlobError, Blobs};
use harpo_service::files;

use crate::error::{TrustError, file_error};
use crate::folder::Folder;

/// The cache of one data folder.
pub(crate) struct Cache {
    blobs: Blobs,
    dir: PathBuf,
}

impl Cache {
    pub(crate) fn open(folder: &Folder) -> Result<Self, TrustError> {
        let dir = folder.cache_dir();
        Ok(Self {
            blobs: Blobs::open(&dir)?,
            dir,
        })
    }

    /// Stores a fragment durably.
    pub(crate) async fn put(
        &self,
        bundle: BundleId,
        fragment: u32,
        bytes: Bytes,
    ) -> Result<(), BlobError> {
        self.blobs.put(&key(bundle, fragment), bytes).await
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

    /// Removes all fragments of a bundle, if there are any.
    pub(crate) async fn remove(&self, bundle: BundleId) -> Result<(), TrustError> {
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || remove(dir, bundle))
            .await
            .unwrap_or_else(|ended| {
                Err(file_error("remove", &self.dir)(std::io::Error::other(
                    ended,
                )))
            })
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
