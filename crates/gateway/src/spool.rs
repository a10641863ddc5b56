//! The durable spool: instances that were acknowledged and not yet deposited.
//!
//! The file system is the only truth. An instance is acknowledged after its file is synced, renamed
//! into its study's folder, and that folder is synced. The file's name carries every fact that the
//! file itself does not (see `spool::name`), so one rename makes both durable.
//!
//! ```text
//! tmp/                     arriving; emptied at start
//! open/<study>/<instance>  studies that still grow
//! closed/<bundle>/…        bundles being sealed and deposited
//! refused/                 files that were found and could not be read; for a person to look at
//! ```
//!
//! Names are digests and hexadecimal text, never a sender's words.

pub mod count;
mod error;
mod incoming;
mod name;
mod recover;
mod state;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use harpo_service::files;

use crate::dicom::{Header, Limits};

pub use error::{SpoolError, StoreError};
pub use incoming::{Incoming, Kind, Ready};
use name::FileName;
pub(crate) use name::MAX_SOURCE_BYTES;
use state::{Place, State};

/// Who sent an instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Source {
    /// A modality or PACS, by its calling application entity title.
    AeTitle(String),
    /// A user of the web interface.
    User(String),
}

/// What became of an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It is durable now.
    Stored,
    /// The same instance with the same data set was durable before.
    AlreadyHad,
}

/// An instance that is durable, and what is known about it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// New, or known before.
    pub outcome: Outcome,
    /// What its data set says.
    pub header: Header,
}

/// A study that still grows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenStudy {
    /// Its UID.
    pub study_instance_uid: String,
    /// When its last instance was stored, in milliseconds since the Unix epoch.
    pub last_ms: u64,
    /// How many instances are durable.
    pub instances: usize,
    /// Their files' size in bytes.
    pub bytes: u64,
}

/// One instance of a closed bundle.
#[derive(Debug, Clone)]
pub struct Instance {
    /// The Part 10 file, from `header.dataset_offset` on as it was received.
    pub path: PathBuf,
    /// What its data set says.
    pub header: Header,
    /// SHA-256 of its data set, without preamble and meta header.
    pub dataset_sha256: [u8; 32],
    /// Size of the file in bytes.
    pub bytes: u64,
    /// Who sent it.
    pub source: Source,
    /// When it was stored, in milliseconds since the Unix epoch.
    pub received_ms: u64,
}

/// A bundle that does not grow any more.
#[derive(Debug, Clone)]
pub struct ClosedBundle {
    /// The identifier it was closed with.
    pub id: String,
    /// Where its files are.
    pub dir: PathBuf,
    /// The study.
    pub study_instance_uid: String,
    /// Its instances, in the order they came.
    pub instances: Vec<Instance>,
}

/// A closed bundle, as the spool remembers it without looking at the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    /// The identifier it was closed with.
    pub id: String,
    /// The study.
    pub study_instance_uid: String,
    /// How many instances it has.
    pub instances: usize,
}

/// See the module. Methods block on the disk: call them where blocking is allowed.
#[derive(Debug)]
pub struct Spool {
    dir: PathBuf,
    limits: Limits,
    state: Mutex<State>,
    settled: Condvar,
    _lock: File,
}

impl Spool {
    /// Opens or creates the spool in `dir`, and finds again everything that was acknowledged.
    ///
    /// # Errors
    /// [`SpoolError::InUse`], [`SpoolError::Io`].
    pub fn open(dir: &Path) -> Result<Arc<Self>, SpoolError> {
        for part in ["tmp", "open", "closed", "refused"] {
            let path = dir.join(part);
            files::create_dir_durable(&path, 0o700).map_err(at(&path))?;
        }
        let path = dir.join("lock");
        let lock = File::create(&path).map_err(at(&path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(fs::TryLockError::WouldBlock) => return Err(SpoolError::InUse(dir.to_owned())),
            Err(fs::TryLockError::Error(e)) => return Err(at(&path)(e)),
        }
        let limits = Limits::default();
        let state = recover::recover(dir, &limits)?;
        Ok(Arc::new(Self {
            dir: dir.to_owned(),
            limits,
            state: Mutex::new(state),
            settled: Condvar::new(),
            _lock: lock,
        }))
    }

    /// Begins to receive an object of at most `limit` bytes.
    #[must_use]
    pub fn begin(&self, kind: Kind, limit: u64) -> Incoming {
        Incoming::new(self.dir.join("tmp"), kind, limit)
    }

    /// Makes a received object durable. Callable from many threads at once; syncs run in parallel.
    ///
    /// # Errors
    /// See [`StoreError`]. After an error nothing of the object is kept.
    pub fn store(
        &self,
        incoming: Incoming,
        source: &Source,
        now_ms: u64,
    ) -> Result<Stored, StoreError> {
        self.commit(self.inspect(incoming)?, source, now_ms)
    }

    /// The first half of [`Self::store`]: reads a received object.
    ///
    /// # Errors
    /// [`StoreError::Refused`], and failures of the disk.
    pub fn inspect(&self, incoming: Incoming) -> Result<Ready, StoreError> {
        incoming.inspect(&self.limits)
    }

    /// The second half of [`Self::store`]: makes an object durable.
    ///
    /// # Errors
    /// See [`StoreError`]. After an error nothing of the object is kept.
    pub fn commit(&self, ready: Ready, source: &Source, now_ms: u64) -> Result<Stored, StoreError> {
        ready.agrees()?;
        let header = ready.header.clone();
        let reservation = match self.reserve(&header, ready.dataset_sha256)? {
            Some(reservation) => reservation,
            None => {
                return Ok(Stored {
                    outcome: Outcome::AlreadyHad,
                    header,
                });
            }
        };
        let name = FileName {
            sop_instance_uid: header.sop_instance_uid.clone(),
            dataset_sha256: ready.dataset_sha256,
            received_ms: now_ms,
            source: source.clone(),
        };
        let bytes = ready.len();
        self.publish(ready, &name, reservation.first)?;
        reservation.settle(now_ms, bytes);
        Ok(Stored {
            outcome: Outcome::Stored,
            header,
        })
    }

    /// The studies that still grow.
    #[must_use]
    pub fn open_studies(&self) -> Vec<OpenStudy> {
        self.lock().open_studies()
    }

    /// When the last instance of an open study was stored, in milliseconds since the Unix epoch;
    /// `None` if the study has none, or some are arriving now.
    #[must_use]
    pub fn quiet_since(&self, study_instance_uid: &str) -> Option<u64> {
        self.lock().quiet_since(study_instance_uid)
    }

    /// Closes a study's bundle: what arrives later opens a new one.
    ///
    /// # Errors
    /// [`SpoolError::Busy`] while instances arrive, [`SpoolError::NotFound`],
    /// [`SpoolError::BadBundleId`], [`SpoolError::Io`].
    pub fn close(&self, study_instance_uid: &str, bundle_id: &str) -> Result<Waiting, SpoolError> {
        let from = self
            .dir
            .join("open")
            .join(name::study_dir(study_instance_uid));
        let closed = {
            let mut state = self.lock();
            let to = self.new_bundle_dir(&state, bundle_id)?;
            if state.quiet_since(study_instance_uid).is_none() {
                return Err(match state.open.contains_key(study_instance_uid) {
                    true => SpoolError::Busy,
                    false => SpoolError::NotFound(format!("open study {study_instance_uid}")),
                });
            }
            // Under the lock, so that no instance is filed into a folder that moves away.
            fs::rename(&from, &to).map_err(at(&from))?;
            let instances = state.close(study_instance_uid, bundle_id);
            Waiting {
                id: bundle_id.to_owned(),
                study_instance_uid: study_instance_uid.to_owned(),
                instances,
            }
        };
        sync_dir(&self.dir.join("closed"))?;
        sync_dir(&self.dir.join("open"))?;
        Ok(closed)
    }

    /// Every closed bundle, from memory, in the order of their identifiers.
    #[must_use]
    pub fn closed(&self) -> Vec<Waiting> {
        self.lock().closed_bundles()
    }

    /// How many instances are durable here, open and closed, from memory.
    #[must_use]
    pub fn waiting_instances(&self) -> usize {
        self.lock().waiting()
    }

    /// Reads a closed bundle.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`]; [`SpoolError::Io`] and [`SpoolError::Damaged`] if any of its files
    /// cannot be read.
    pub fn bundle(&self, bundle_id: &str) -> Result<ClosedBundle, SpoolError> {
        let dir = self.closed_dir(bundle_id)?;
        recover::read_bundle(&dir, bundle_id, &self.limits)
    }

    /// Gives a closed bundle another identifier, durably.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`], [`SpoolError::BadBundleId`], [`SpoolError::Io`].
    pub fn rename(&self, bundle_id: &str, to: &str) -> Result<(), SpoolError> {
        let from_dir = self.closed_dir(bundle_id)?;
        {
            let mut state = self.lock();
            let to_dir = self.new_bundle_dir(&state, to)?;
            fs::rename(&from_dir, &to_dir).map_err(at(&from_dir))?;
            state.rename(bundle_id, to);
        }
        sync_dir(&self.dir.join("closed"))
    }

    fn closed_dir(&self, bundle_id: &str) -> Result<PathBuf, SpoolError> {
        match self.lock().closed.contains_key(bundle_id) {
            true => Ok(self.dir.join("closed").join(bundle_id)),
            false => Err(SpoolError::NotFound(format!("closed bundle {bundle_id}"))),
        }
    }

    /// The folder of a bundle that does not exist yet.
    fn new_bundle_dir(&self, state: &State, bundle_id: &str) -> Result<PathBuf, SpoolError> {
        let named = (1..=64).contains(&bundle_id.len())
            && bundle_id
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let dir = self.dir.join("closed").join(bundle_id);
        if !named || state.closed.contains_key(bundle_id) || dir.exists() {
            return Err(SpoolError::BadBundleId(bundle_id.to_owned()));
        }
        Ok(dir)
    }

    /// Removes a bundle. Call it only when the receipt of its deposit is durable.
    ///
    /// # Errors
    /// [`SpoolError::NotFound`], [`SpoolError::Io`].
    pub fn remove(&self, bundle_id: &str) -> Result<(), SpoolError> {
        let from = self.closed_dir(bundle_id)?;
        // Renamed first: a crash in between leaves a whole bundle or none.
        let to = self.dir.join("tmp").join(format!("removed-{bundle_id}"));
        fs::rename(&from, &to).map_err(at(&from))?;
        sync_dir(&self.dir.join("closed"))?;
        self.lock().forget(bundle_id);
        fs::remove_dir_all(&to).map_err(at(&to))
    }

    /// Moves the file to its place and makes that durable; `first` if the study's folder may not be.
    fn publish(
        &self,
        ready: incoming::Ready,
        name: &FileName,
        first: bool,
    ) -> Result<(), StoreError> {
        let study = self
            .dir
            .join("open")
            .join(name::study_dir(&ready.header.study_instance_uid));
        let temporary = ready.write()?;
        match fs::create_dir(&study) {
            Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e.into()),
            _ => {}
        }
        temporary.rename(&study.join(name.to_string()))?;
        File::open(&study)?.sync_all()?;
        if first {
            File::open(self.dir.join("open"))?.sync_all()?;
        }
        Ok(())
    }

    /// Claims an instance for writing, or `None` if it is already durable.
    fn reserve(
        &self,
        header: &Header,
        digest: [u8; 32],
    ) -> Result<Option<Reservation<'_>>, StoreError> {
        let mut state = self.lock();
        loop {
            match state.instances.get(&header.sop_instance_uid) {
                Some(known)
                    if known.digest != digest || known.study != header.study_instance_uid =>
                {
                    return Err(StoreError::DuplicateDiffers);
                }
                Some(known) if known.place != Place::Arriving => return Ok(None),
                // The same object on another association: answer when that one is durable.
                Some(_) => {
                    state = self
                        .settled
                        .wait(state)
                        .unwrap_or_else(PoisonError::into_inner)
                }
                None => break,
            }
        }
        if !state.same_patient(header) {
            return Err(StoreError::PatientMismatch);
        }
        let first = state.arriving(header, digest);
        Ok(Some(Reservation {
            spool: self,
            first,
            study: header.study_instance_uid.clone(),
            instance: header.sop_instance_uid.clone(),
            settled: false,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No code panics while holding it; the state is consistent between statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An instance that is being written; given up when dropped before it is settled.
#[derive(Debug)]
struct Reservation<'a> {
    spool: &'a Spool,
    study: String,
    instance: String,
    /// No instance of the study is durable yet, so its folder may not be either.
    first: bool,
    settled: bool,
}

impl Reservation<'_> {
    fn settle(mut self, now_ms: u64, bytes: u64) {
        self.settled = true;
        self.spool
            .lock()
            .arrived(&self.study, &self.instance, now_ms, bytes);
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.spool.lock().failed(&self.study, &self.instance);
        }
        self.spool.settled.notify_all();
    }
}

/// Names the path of an I/O error.
fn at(path: &Path) -> impl FnOnce(io::Error) -> SpoolError + use<> {
    let path = path.to_owned();
    move |source| SpoolError::Io { path, source }
}

fn sync_dir(path: &Path) -> Result<(), SpoolError> {
    File::open(path)
        .and_then(|d| d.sync_all())
        .map_err(at(path))
}

/// Instances by SOP Instance UID.
type Instances = HashMap<String, state::Known>;
