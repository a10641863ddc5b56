//! Finding everything again after a stop, however it came.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use harpo_service::causes::in_one_line;
use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::error::disk_failure;
use super::name::{self, FileName};
use super::state::{Closed, Known, Open, Place, State, patient_key};
use super::{ClosedBundle, Instance, SpoolError, at, sync_dir};
use crate::dicom::{InspectError, Limits, inspect_file};

/// Empties `tmp/`, and reads every file in `open/` and `closed/`.
pub(super) fn recover(dir: &Path, limits: &Limits) -> Result<State, SpoolError> {
    for path in entries(&dir.join("tmp"))? {
        let removed = if path.is_dir() {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.map_err(at(&path))?;
    }
    // A killed process may have left renames that are visible and not durable yet.
    for part in ["open", "closed"] {
        for folder in entries(&dir.join(part))? {
            sync_dir(&folder)?;
        }
        sync_dir(&dir.join(part))?;
    }
    let mut state = State::default();
    for study in entries(&dir.join("open"))? {
        let instances = recover_dir(dir, &study, limits)?;
        // A crash between creating a folder and filing into it, or before a rename was durable.
        let Some(first) = instances.first() else {
            fs::remove_dir(&study).map_err(at(&study))?;
            continue;
        };
        let uid = first.header.study_instance_uid.clone();
        let mut open = Open::of(patient_key(&first.header));
        for instance in &instances {
            open.add(instance.received_ms, instance.bytes);
            known(&mut state, instance, Place::Open);
        }
        state.open.insert(uid, open);
    }
    for bundle in entries(&dir.join("closed"))? {
        let id = file_name(&bundle);
        let instances = recover_dir(dir, &bundle, limits)?;
        // Everything in it was set aside.
        let Some(first) = instances.first() else {
            fs::remove_dir(&bundle).map_err(at(&bundle))?;
            continue;
        };
        let closed = Closed {
            study: first.header.study_instance_uid.clone(),
            patient: patient_key(&first.header),
            instances: instances.len(),
        };
        for instance in &instances {
            known(&mut state, instance, Place::Closed(id.clone()));
        }
        state.closed.insert(id, closed);
    }
    Ok(state)
}

/// Reads a closed bundle. Whatever cannot be read is an error: nothing is left out.
pub(super) fn read_bundle(
    dir: &Path,
    id: &str,
    limits: &Limits,
) -> Result<ClosedBundle, SpoolError> {
    let read: Vec<_> = read_all(entries(dir)?, limits);
    let mut instances = Vec::with_capacity(read.len());
    for (path, outcome) in read {
        match outcome {
            Ok(instance) => instances.push(instance),
            Err(Unusable::Disk(source)) => return Err(at(&path)(source)),
            Err(Unusable::Damaged(why)) => return Err(SpoolError::Damaged { path, why }),
        }
    }
    in_order(&mut instances);
    let Some(first) = instances.first() else {
        return Err(SpoolError::NotFound(format!("instance in bundle {id}")));
    };
    let study_instance_uid = first.header.study_instance_uid.clone();
    Ok(ClosedBundle {
        id: id.to_owned(),
        dir: dir.to_owned(),
        study_instance_uid,
        instances,
    })
}

fn known(state: &mut State, instance: &Instance, place: Place) {
    let study = instance.header.study_instance_uid.clone();
    let known = Known {
        study,
        digest: instance.dataset_sha256,
        place,
    };
    state
        .instances
        .insert(instance.header.sop_instance_uid.clone(), known);
}

/// The instances in a folder in the order they came. At start, what is no instance of ours goes to
/// `refused/`; a disk that fails is an error, since what it does not give now it may give later.
fn recover_dir(root: &Path, dir: &Path, limits: &Limits) -> Result<Vec<Instance>, SpoolError> {
    let read = read_all(entries(dir)?, limits);
    let mut instances = Vec::with_capacity(read.len());
    let mut refused = false;
    for (path, outcome) in read {
        match outcome {
            Ok(instance) => instances.push(instance),
            Err(Unusable::Disk(source)) => return Err(at(&path)(source)),
            Err(Unusable::Damaged(why)) => {
                let to = free_name(&root.join("refused"), &file_name(&path));
                tracing::error!(from = %path.display(), to = %to.display(), why, "a file in the spool is no instance; it was set aside");
                fs::rename(&path, &to).map_err(at(&path))?;
                refused = true;
            }
        }
    }
    if refused {
        sync_dir(&root.join("refused"))?;
        sync_dir(dir)?;
    }
    in_order(&mut instances);
    Ok(instances)
}

fn in_order(instances: &mut [Instance]) {
    instances.sort_by(|a, b| (a.received_ms, &a.path).cmp(&(b.received_ms, &b.path)));
}

/// A path in `dir` that nothing has yet.
fn free_name(dir: &Path, name: &str) -> PathBuf {
    let first = dir.join(name);
    std::iter::once(first)
        .chain((1u32..).map(|n| dir.join(format!("{name}.{n}"))))
        .find(|path| !path.exists())
        .unwrap_or_else(|| dir.join(name))
}

/// Why a file of the spool cannot be used.
#[derive(Debug)]
enum Unusable {
    /// The disk or the process's limits: the file may be whole.
    Disk(io::Error),
    /// It was read, and is not an instance that the spool wrote.
    Damaged(String),
}

impl From<InspectError> for Unusable {
    fn from(error: InspectError) -> Self {
        match disk_failure(error) {
            Ok(source) => Self::Disk(source),
            Err(error) => Self::Damaged(in_one_line(&error)),
        }
    }
}

fn read_all(files: Vec<PathBuf>, limits: &Limits) -> Vec<(PathBuf, Result<Instance, Unusable>)> {
    files
        .into_par_iter()
        .map(|path| (path.clone(), read_file(path, limits)))
        .collect()
}

fn read_file(path: PathBuf, limits: &Limits) -> Result<Instance, Unusable> {
    let header = inspect_file(&path, limits)?;
    let foreign = || Unusable::Damaged("its name is not one that the spool gave it".to_owned());
    let name = FileName::parse(&file_name(&path), &header.sop_instance_uid).ok_or_else(foreign)?;
    let folder = path.parent();
    let in_open = folder
        .and_then(Path::parent)
        .is_some_and(|parts| file_name(parts) == "open");
    if in_open && folder.map(file_name) != Some(name::study_dir(&header.study_instance_uid)) {
        return Err(Unusable::Damaged("it is of another study".to_owned()));
    }
    let bytes = fs::metadata(&path).map_err(Unusable::Disk)?.len();
    Ok(Instance {
        path,
        header,
        dataset_sha256: name.dataset_sha256,
        bytes,
        source: name.source,
        received_ms: name.received_ms,
    })
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, SpoolError> {
    let mut paths = fs::read_dir(dir)
        .and_then(|entries| {
            entries
                .map(|e| e.map(|e| e.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(at(dir))?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .map(OsStr::to_string_lossy)
        .unwrap_or_default()
        .into_owned()
}
