//! Files of folders: which are DICOM, of what modality, and the planes of those with native pixel data.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use harpo_gateway::content::picture::Picture;
use harpo_gateway::dicom::inspect::{self, Limits};
use harpo_gateway::dicom::json;
use walkdir::WalkDir;

use super::{File, Image, Modality};

/// Larger files are not read.
const MAX_FILE_BYTES: u64 = 512 << 20;
/// Most frames of one file that become images.
const MAX_FRAMES: usize = 4;
/// The least side of an image that can carry marks to speak of.
const LEAST_SIDE: usize = 64;

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) files: Vec<File>,
    /// Files that are no DICOM instances, or damaged.
    pub(crate) refused: usize,
    /// Instances that were left out because there was enough of their modality.
    pub(crate) left_out: usize,
}

/// Reads all DICOM instances below `folders`, in the order of their paths. Of a modality with more than
/// `modality_bytes` an evenly spread choice is read.
///
/// # Errors
/// If a folder cannot be read.
pub(crate) fn folders(folders: &[PathBuf], modality_bytes: u64) -> Result<Found> {
    let mut found = Found::default();
    let mut known: BTreeMap<Modality, Vec<(PathBuf, u64)>> = BTreeMap::new();
    for path in paths(folders)? {
        match instance(&path)? {
            Some((modality, bytes)) => known.entry(modality).or_default().push((path, bytes)),
            None => found.refused += 1,
        }
    }
    for (modality, paths) in known {
        let all: u64 = paths.iter().map(|(_, bytes)| bytes).sum();
        let mut taken = 0u128;
        let mut passed = 0u128;
        for (path, bytes) in &paths {
            // The share that was taken so far follows the share that is wanted.
            passed += u128::from(*bytes);
            let wanted = passed * u128::from(modality_bytes.min(all)) / u128::from(all.max(1));
            if taken + u128::from(*bytes) / 2 > wanted {
                found.left_out += 1;
                continue;
            }
            taken += u128::from(*bytes);
            let bytes =
                fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
            found.files.push(File {
                name: path.file_name().unwrap_or_default().display().to_string(),
                modality,
                synthetic: false,
                picture: Picture::find(&bytes).ok(),
                bytes,
            });
        }
    }
    Ok(found)
}

fn paths(folders: &[PathBuf]) -> Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for folder in folders {
        for entry in WalkDir::new(folder).sort_by_file_name() {
            let entry = entry.with_context(|| format!("cannot read {}", folder.display()))?;
            if entry.file_type().is_file() {
                paths.push(entry.into_path());
            }
        }
    }
    Ok(paths)
}

/// Modality and size of a file; none if it is no instance with pixels that anything here can be said of.
fn instance(path: &Path) -> Result<Option<(Modality, u64)>> {
    let length = fs::metadata(path)?.len();
    if !(132..=MAX_FILE_BYTES).contains(&length) {
        return Ok(None);
    }
    let Ok(header) = inspect::inspect_file(path, &Limits::default()) else {
        return Ok(None);
    };
    let modality = json::first(&header.attributes.series, "00080060").unwrap_or_default();
    Ok(Some((Modality::of(modality), length)))
}

/// The frames of a file whose pixels are native and whose sides are not tiny.
pub(crate) fn images(file: &File) -> Vec<Image> {
    let Some(picture) = &file.picture else {
        return Vec::new();
    };
    if picture.rows.min(picture.columns) < LEAST_SIDE {
        return Vec::new();
    }
    (0..picture.frames.min(MAX_FRAMES))
        .filter_map(|frame| {
            Some(Image {
                name: file.name.clone(),
                modality: file.modality,
                synthetic: file.synthetic,
                planes: picture.planes(&file.bytes, frame)?,
                window: picture.window.map(|window| (window.0, window.1)),
                rescale: picture.rescale.map_or((1.0, 0.0), |pair| (pair.0, pair.1)),
                signed: picture.signed,
            })
        })
        .collect()
}
