//! Opened bundles on the local disk: a cache that can be lost at any time.
//!
//! Files are not synced when they are written. Instead their digests are kept, and compared the
//! first time a bundle is used after a start: what a power loss left half written is fetched again
//! and never shown.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use harpo_protocol::domain::sha256;
use harpo_protocol::id::BundleId;
use harpo_protocol::manifest::Manifest;
use harpo_protocol::time::Timestamp;
use tracing::{info, warn};

use super::{ConsultError, lock};
use crate::blocking;
use crate::content::pipeline::Bounds;
use crate::open::{Found, OpenError, Opener};
use crate::store::{Cached, CachedInstance, Store};

/// Use is written down at most so often.
const TOUCH_EVERY: Duration = Duration::from_secs(60);
/// What was used so lately is not removed for space: somebody may be about to read it.
const IN_USE: Duration = Duration::from_secs(600);

/// See the module.
#[derive(Debug)]
pub(super) struct Library {
    dir: PathBuf,
    limit: u64,
    store: Store,
    /// Bundles written or compared since the start.
    verified: Mutex<HashSet<BundleId>>,
    touched: Mutex<HashMap<BundleId, Timestamp>>,
}

/// Where one bundle goes.
pub(super) struct Shelf {
    part: PathBuf,
    dir: PathBuf,
}

impl Library {
    /// Opens or creates the folder, and removes what belongs to no bundle.
    pub(super) async fn open(dir: PathBuf, limit: u64, store: Store) -> Result<Self, ConsultError> {
        fs::create_dir_all(&dir)?;
        let known: HashSet<String> = store
            .all_cached()
            .await?
            .iter()
            .map(ToString::to_string)
            .collect();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            let is_known = entry
                .file_name()
                .to_str()
                .is_some_and(|name| known.contains(name));
            if entry.file_type()?.is_dir() && !is_known {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(Self {
            dir,
            limit,
            store,
            verified: Mutex::default(),
            touched: Mutex::default(),
        })
    }

    /// The folder, for scratch files beside the bundles.
    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }

    /// The instances of a bundle, if all are here and as they were.
    pub(super) async fn get(
        &self,
        bundle: BundleId,
        now: Timestamp,
    ) -> Result<Option<Vec<CachedInstance>>, ConsultError> {
        let Some(instances) = self
            .store
            .cached(bundle, &self.dir.join(bundle.to_string()))
            .await?
        else {
            return Ok(None);
        };
        if !lock(&self.verified).contains(&bundle) {
            let checked = instances.clone();
            if !blocking(move || checked.iter().all(is_intact)).await {
                warn!(%bundle, "a local copy is damaged or gone; it is fetched again");
                self.forget(bundle).await?;
                return Ok(None);
            }
            lock(&self.verified).insert(bundle);
        }
        self.touch(bundle, now).await?;
        Ok(Some(instances))
    }

    async fn touch(&self, bundle: BundleId, now: Timestamp) -> Result<(), ConsultError> {
        {
            let mut touched = lock(&self.touched);
            if touched
                .get(&bundle)
                .is_some_and(|at| now.since(*at) < TOUCH_EVERY)
            {
                return Ok(());
            }
            touched.insert(bundle, now);
        }
        Ok(self.store.touch_cached(bundle, now).await?)
    }

    /// The place of a bundle that is being opened.
    pub(super) fn shelf(&self, bundle: BundleId) -> Shelf {
        Shelf {
            part: self.dir.join(format!("{bundle}.part")),
            dir: self.dir.join(bundle.to_string()),
        }
    }

    /// Enters a bundle that its shelf has written, and makes room.
    pub(super) async fn enter(
        &self,
        manifest: &Manifest,
        bytes: u64,
        now: Timestamp,
    ) -> Result<(), ConsultError> {
        let bundle = manifest.bundle;
        let cached = Cached::new(manifest, &self.dir.join(bundle.to_string()), bytes);
        self.store.add_cached(&cached, now).await?;
        lock(&self.verified).insert(bundle);
        let idle_since = Timestamp(now.0.saturating_sub(IN_USE.as_millis() as u64));
        for old in self.store.beyond(self.limit, idle_since).await? {
            info!(bundle = %old, "removed from the local cache to make room");
            if let Err(error) = self.forget(old).await {
                warn!(bundle = %old, %error, "removing from the local cache failed");
            }
        }
        Ok(())
    }

    /// Removes a bundle.
    pub(super) async fn forget(&self, bundle: BundleId) -> Result<(), ConsultError> {
        self.store.forget_cached(bundle).await?;
        lock(&self.verified).remove(&bundle);
        lock(&self.touched).remove(&bundle);
        match fs::remove_dir_all(self.dir.join(bundle.to_string())) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error.into()),
            _ => Ok(()),
        }
    }
}

impl Shelf {
    /// Writes the instances that `opener` verifies: all of the bundle or none. Blocks.
    pub(super) fn write(
        &self,
        opener: Opener,
        bounds: &Bounds,
    ) -> Result<(u64, Found), ConsultError> {
        for leftover in [&self.part, &self.dir] {
            if leftover.exists() {
                fs::remove_dir_all(leftover)?;
            }
        }
        fs::create_dir(&self.part)?;
        let mut total = 0;
        let mut number = 0;
        let result = opener.finish(bounds, |_, bytes| {
            fs::write(self.part.join(CachedInstance::file_name(number)), bytes)?;
            number += 1;
            total += bytes.len() as u64;
            Ok(())
        });
        let found = match result {
            Ok(found) => found,
            Err(error) => {
                fs::remove_dir_all(&self.part)?;
                return Err(error.into());
            }
        };
        fs::rename(&self.part, &self.dir).map_err(OpenError::Io)?;
        Ok((total, found))
    }
}

fn is_intact(instance: &CachedInstance) -> bool {
    fs::read(&instance.path).is_ok_and(|bytes| sha256(&bytes) == instance.sha256)
}

#[cfg(test)]
mod tests;
