//! The files of the demo: found or made, told apart, compared.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use harpo_gateway::dicom::{Limits, inspect, inspect_file};
use harpo_gateway::phantom;
use harpo_protocol::domain::sha256;
use harpo_protocol::id::Digest;
use walkdir::WalkDir;

use super::report::Skipped;

/// Slices of the synthetic study.
const SLICES: u32 = 64;

/// An instance of the demo.
#[derive(Debug, Clone)]
pub(crate) struct Original {
    /// Where it is.
    pub path: PathBuf,
    /// Of which study.
    pub study: String,
    /// Its UID.
    pub sop_instance_uid: String,
    /// Size of its file.
    pub bytes: u64,
    /// SHA-256 of its data set: everything behind the meta header, which C-STORE does not send.
    pub dataset: Digest,
}

/// The instances to send.
#[derive(Debug, Default)]
pub(crate) struct Originals {
    /// Where they were found.
    folder: PathBuf,
    /// What will be sent.
    pub instances: Vec<Original>,
    /// What will not.
    pub skipped: Vec<Skipped>,
}

impl Originals {
    /// A synthetic CT study, written to `dir`.
    pub(crate) fn synthetic(dir: &Path) -> Result<Self> {
        phantom::write_study(dir, SLICES, &mut harpo_service::random::system())?;
        Self::collect(dir)
    }

    /// Every file below `folder`; what cannot be stored is named with the reason.
    pub(crate) fn collect(folder: &Path) -> Result<Self> {
        let mut found = Self {
            folder: folder.to_owned(),
            ..Self::default()
        };
        let mut seen = BTreeMap::new();
        for entry in WalkDir::new(folder).sort_by_file_name() {
            let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
            if !entry.file_type().is_file() {
                continue;
            }
            match Original::read(entry.path()) {
                Ok(original) => match seen.get(&original.sop_instance_uid) {
                    Some(first) => {
                        found.skip(entry.path(), &format!("the same SOP instance as {first}"))
                    }
                    None => {
                        let name = found.name(entry.path());
                        seen.insert(original.sop_instance_uid.clone(), name);
                        found.instances.push(original);
                    }
                },
                Err(error) => found.skip(entry.path(), &format!("{error:#}")),
            }
        }
        if found.instances.is_empty() {
            bail!(
                "{} holds no DICOM instance that can be stored",
                folder.display()
            );
        }
        Ok(found)
    }

    /// Moves an instance to what was skipped.
    pub(crate) fn refuse(&mut self, path: &Path, reason: &str) {
        self.instances.retain(|original| original.path != path);
        self.skip(path, reason);
    }

    /// A path as people know it: below the folder that they named.
    pub(crate) fn name(&self, path: &Path) -> String {
        path.strip_prefix(&self.folder)
            .unwrap_or(path)
            .display()
            .to_string()
    }

    fn skip(&mut self, path: &Path, reason: &str) {
        let file = self.name(path);
        self.skipped.push(Skipped {
            file,
            reason: reason.to_owned(),
        });
    }

    /// UIDs of the studies, each once.
    pub(crate) fn studies(&self) -> Vec<String> {
        let mut studies: Vec<String> = self.instances.iter().map(|i| i.study.clone()).collect();
        studies.sort();
        studies.dedup();
        studies
    }

    /// Size of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.instances.iter().map(|i| i.bytes).sum()
    }

    /// How many of `received` are an original of `study` byte for byte, and what is wrong with the others.
    pub(crate) fn compare(&self, study: &str, received: &[Vec<u8>]) -> (usize, Vec<String>) {
        let mut expected: BTreeMap<&str, &Original> = self
            .instances
            .iter()
            .filter(|i| i.study == study)
            .map(|i| (i.sop_instance_uid.as_str(), i))
            .collect();
        let mut right = 0;
        let mut wrong = Vec::new();
        for file in received {
            match instance(file) {
                Ok((uid, dataset)) => match expected.remove(uid.as_str()) {
                    Some(original) if original.dataset == dataset => right += 1,
                    Some(original) => wrong.push(format!("{} differs", original.path.display())),
                    None => wrong.push(format!("{uid} was not sent")),
                },
                Err(error) => {
                    wrong.push(format!("a received file is no DICOM instance: {error:#}"))
                }
            }
        }
        wrong.extend(
            expected
                .values()
                .map(|i| format!("{} is missing", i.path.display())),
        );
        (right, wrong)
    }
}

impl Original {
    fn read(path: &Path) -> Result<Self> {
        let header = inspect_file(path, &Limits::default());
        let header = header.map_err(|error| match is_directory(path) {
            true => anyhow::anyhow!("a DICOMDIR, which is an index of files and not an instance"),
            false => error.into(),
        })?;
        let file = fs::read(path)?;
        let dataset = file
            .get(header.dataset_offset as usize..)
            .context("it has no data set")?;
        Ok(Self {
            path: path.to_owned(),
            study: header.study_instance_uid,
            sop_instance_uid: header.sop_instance_uid,
            bytes: file.len() as u64,
            dataset: sha256(dataset),
        })
    }
}

fn instance(file: &[u8]) -> Result<(String, Digest)> {
    let header = inspect(file, &Limits::default())?;
    let dataset = file
        .get(header.dataset_offset as usize..)
        .context("it has no data set")?;
    Ok((header.sop_instance_uid, sha256(dataset)))
}

/// Whether the file's meta header names Media Storage Directory Storage.
fn is_directory(path: &Path) -> bool {
    const DICOMDIR: &[u8] = b"1.2.840.10008.1.3.10";
    let head = fs::read(path).unwrap_or_default();
    head.windows(DICOMDIR.len())
        .take(512)
        .any(|window| window == DICOMDIR)
}
