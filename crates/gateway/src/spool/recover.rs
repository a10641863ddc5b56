//! Finding everything again after a stop, however it came.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use rayon::iter::{IntoParallelIterator as _, ParallelIterator as _};

use super::name::{self, FileName};
use super::state::{Closed, Known, Open, Place, State, patient_key};
use super::{ClosedBundle, Instance, SpoolError, at, sync_dir};
use crate::dicom::{Limits, inspect_file};

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
        let instances = read_dir(dir, &study, limits)?;
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
        let instances = read_dir(dir, &bundle, limits)?;
        for instance in &instances {
            known(&mut state, instance, Place::Closed(id.clone()));
        }
        if let Some(first) = instances.first() {
            let study = first.header.study_instance_uid.clone();
            state.closed.insert(
                id,
                Closed {
                    study,
                    patient: patient_key(&first.header),
                },
            );
        }
    }
    Ok(state)
}

/// Reads a closed bundle.
pub(super) fn read_bundle(
    dir: &Path,
    id: &str,
    limits: &Limits,
) -> Result<ClosedBundle, SpoolError> {
    let root = dir.parent().and_then(Path::parent).unwrap_or(dir);
    let instances = read_dir(root, dir, limits)?;
    let Some(first) = instances.first() else {
        return Err(SpoolError::NotFound(format!(
            "readable instance in bundle {id}"
        )));
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

/// The instances in a folder in the order they came. What cannot be read goes to `refused/`.
fn read_dir(root: &Path, dir: &Path, limits: &Limits) -> Result<Vec<Instance>, SpoolError> {
    let files = entries(dir)?;
    let read: Vec<(PathBuf, Option<Instance>)> = files
        .into_par_iter()
        .map(|path| (path.clone(), read_file(path, limits)))
        .collect();
    let mut instances = Vec::with_capacity(read.len());
    let mut refused = false;
    for (path, instance) in read {
        match instance {
            Some(instance) => instances.push(instance),
            None => {
                let to = root.join("refused").join(file_name(&path));
                tracing::error!(to = %to.display(), "a file in the spool cannot be read; it was set aside");
                fs::rename(&path, &to).map_err(at(&path))?;
                refused = true;
            }
        }
    }
    if refused {
        sync_dir(&root.join("refused"))?;
    }
    instances.sort_by(|a, b| (a.received_ms, &a.path).cmp(&(b.received_ms, &b.path)));
    Ok(instances)
}

fn read_file(path: PathBuf, limits: &Limits) -> Option<Instance> {
    let header = inspect_file(&path, limits).ok()?;
    let name = FileName::parse(&file_name(&path), &header.sop_instance_uid)?;
    let folder = path.parent().map(file_name)?;
    let in_open = path
        .parent()?
        .parent()
        .map(file_name)
        .is_some_and(|n| n == "open");
    if in_open && folder != name::study_dir(&header.study_instance_uid) {
        return None;
    }
    let bytes = fs::metadata(&path).ok()?.len();
    Some(Instance {
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
