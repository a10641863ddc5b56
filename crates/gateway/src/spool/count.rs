//! Counting a spool from outside, while another process has it.

use std::fs;
use std::io;
use std::path::Path;

/// What is in a spool's folders at this moment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Studies that still grow.
    pub open_studies: usize,
    /// Their instances.
    pub open_instances: usize,
    /// Bundles that are not deposited yet.
    pub closed_bundles: usize,
    /// Their instances.
    pub closed_instances: usize,
    /// Files that were set aside because they cannot be read.
    pub set_aside: usize,
}

impl Counts {
    /// Counts the spool in `dir`; nothing is there where no folder is.
    ///
    /// # Errors
    /// The disk's.
    pub fn of(dir: &Path) -> io::Result<Self> {
        let (open_studies, open_instances) = two_levels(&dir.join("open"))?;
        let (closed_bundles, closed_instances) = two_levels(&dir.join("closed"))?;
        Ok(Self {
            open_studies,
            open_instances,
            closed_bundles,
            closed_instances,
            set_aside: entries(&dir.join("refused"))?.len(),
        })
    }
}

/// How many instances a closed bundle has; none if there is no such bundle.
///
/// # Errors
/// The disk's.
pub fn instances_of(dir: &Path, bundle: &str) -> io::Result<usize> {
    Ok(entries(&dir.join("closed").join(bundle))?.len())
}

fn two_levels(dir: &Path) -> io::Result<(usize, usize)> {
    let folders = entries(dir)?;
    let mut files = 0;
    for folder in &folders {
        files += entries(folder)?.len();
    }
    Ok((folders.len(), files))
}

/// Folders come and go meanwhile: one that is gone is empty.
fn entries(dir: &Path) -> io::Result<Vec<std::path::PathBuf>> {
    match fs::read_dir(dir) {
        Ok(entries) => entries.map(|entry| entry.map(|e| e.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}
