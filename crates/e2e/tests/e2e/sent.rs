//! What was sent, to be compared with what comes back.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use harpo_e2e::images::data_set_of;
use harpo_e2e::peers::python;
use harpo_e2e::system::Hospital;

/// Instances by study. Each is expected back with these bytes: the whole file, or what follows the meta
/// information where the sender did not transfer that.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sent {
    studies: BTreeMap<String, Vec<Expected>>,
    /// Everything in the files that tells of a person or place.
    pub(crate) telling: BTreeSet<String>,
}

#[derive(Debug, Clone)]
struct Expected {
    file: PathBuf,
    bytes: Vec<u8>,
    whole: bool,
}

impl Sent {
    /// Sent by C-STORE.
    pub(crate) fn by_store(&mut self, files: &[PathBuf]) -> Result<()> {
        self.add(files, false)
    }

    /// Sent by STOW-RS.
    pub(crate) fn by_stow(&mut self, files: &[PathBuf]) -> Result<()> {
        self.add(files, true)
    }

    fn add(&mut self, files: &[PathBuf], whole: bool) -> Result<()> {
        let identities = python(&["identify"], files)?;
        for file in files {
            let identity = &identities[file.to_str().context("a path in UTF-8")?];
            let words = identity.as_object().context("no identity")?;
            let study = words["StudyInstanceUID"].as_str().context("no study")?;
            let bytes = if whole {
                std::fs::read(file)?
            } else {
                data_set_of(file)?
            };
            self.studies
                .entry(study.to_owned())
                .or_default()
                .push(Expected {
                    file: file.clone(),
                    bytes,
                    whole,
                });
            let words = words.values().filter_map(|word| word.as_str());
            self.telling
                .extend(words.map(|word| word.trim().to_owned()));
        }
        Ok(())
    }

    /// The files.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.studies
            .values()
            .flatten()
            .map(|expected| expected.file.clone())
            .collect()
    }

    /// The studies' UIDs.
    pub(crate) fn studies(&self) -> impl Iterator<Item = &str> {
        self.studies.keys().map(String::as_str)
    }

    /// Waits until a hospital finds everything.
    pub(crate) fn found_by(&self, hospital: &Hospital) -> Result<()> {
        let counts: Vec<_> = self
            .studies
            .iter()
            .map(|(study, sent)| (study.as_str(), sent.len()))
            .collect();
        hospital.finds(&counts)
    }

    /// Fetches every study at a hospital and compares every byte.
    pub(crate) fn comes_back_at(&self, hospital: &Hospital, out: &Path) -> Result<()> {
        self.comes_back(hospital, out, false)
    }

    /// The same, and dicomweb-client must be able to read each study.
    pub(crate) fn comes_back_readable_at(&self, hospital: &Hospital, out: &Path) -> Result<()> {
        self.comes_back(hospital, out, true)
    }

    fn comes_back(&self, hospital: &Hospital, out: &Path, decode: bool) -> Result<()> {
        let studies: Vec<_> = self.studies().collect();
        let answers = hospital.retrieve_all(&studies, out, decode)?;
        for (study, expected) in &self.studies {
            let answer = answers.get(study).context("no answer")?;
            ensure!(
                answer.status == 200,
                "{study}: {} {}",
                answer.status,
                answer.body
            );
            compare(expected, &answer.files).with_context(|| study.clone())?;
        }
        Ok(())
    }
}

fn compare(expected: &[Expected], files: &[PathBuf]) -> Result<()> {
    let mut arrived = Vec::new();
    for file in files {
        arrived.push((std::fs::read(file)?, data_set_of(file)?));
    }
    ensure!(
        arrived.len() == expected.len(),
        "{} instances of {} came back",
        arrived.len(),
        expected.len()
    );
    for Expected { file, bytes, whole } in expected {
        let same = |(file, set): &(Vec<u8>, Vec<u8>)| bytes == if *whole { file } else { set };
        let found = arrived.iter().position(same);
        let found = found
            .with_context(|| format!("{} did not come back as it was sent", file.display()))?;
        arrived.swap_remove(found);
    }
    Ok(())
}
