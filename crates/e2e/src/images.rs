//! Real files: those that the pydicom package brings.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::seed::Choices;

/// A file of the pydicom package.
///
/// # Errors
/// If the package is not there, or has no such file.
pub fn pydicom(name: &str) -> Result<PathBuf> {
    let path = folder()?.join(name);
    ensure!(path.exists(), "{} does not exist", path.display());
    Ok(path)
}

/// The folder of pydicom's test files.
///
/// # Errors
/// If the package is not there.
pub fn folder() -> Result<PathBuf> {
    let lib = crate::venv()?.join("lib");
    for entry in std::fs::read_dir(&lib)? {
        let files = entry?.path().join("site-packages/pydicom/data/test_files");
        if files.exists() {
            return Ok(files);
        }
    }
    Err(anyhow::anyhow!("{} holds no pydicom", lib.display()))
}

/// A copy of a file of the pydicom package at `out` in which each text is replaced by another of the same length,
/// wherever it stands.
///
/// # Errors
/// If a text is not there or a length differs.
pub fn variant(name: &str, replacements: &[(&str, String)], out: &Path) -> Result<()> {
    let mut bytes = std::fs::read(pydicom(name)?)?;
    for (old, new) in replacements {
        ensure!(old.len() == new.len(), "{old} and {new} differ in length");
        let mut found = 0;
        for at in 0..=bytes.len().saturating_sub(old.len()) {
            if bytes[at..].starts_with(old.as_bytes()) {
                bytes[at..at + old.len()].copy_from_slice(new.as_bytes());
                found += 1;
            }
        }
        ensure!(found > 0, "{old} is not in {name}");
    }
    Ok(std::fs::write(out, bytes)?)
}

/// A study of `count` images in `folder`, at most 900, whose pixels are noise: 33 kB each that nothing makes smaller.
///
/// # Errors
/// If the file they are made of is not there, or the folder cannot be written to.
pub fn noise(count: usize, folder: &Path) -> Result<Vec<PathBuf>> {
    const UID: &str = "1.3.6.1.4.1.5962.1.1.1.1.1.20040119072730.12322";
    const PIXELS: &[u8] = b"\xe0\x7f\x10\x00OW\0\0\0\x80\0\0";
    const LENGTH: usize = 128 * 128 * 2;
    let mut choices = Choices::new(1);
    let mut files = Vec::new();
    for image in (100..1000).take(count) {
        let file = folder.join(format!("{image}.dcm"));
        let other = UID.replace(".1.1.1.1.1.", &format!(".1.1.1.{image}."));
        variant("CT_small.dcm", &[(UID, other)], &file)?;
        let mut bytes = std::fs::read(&file)?;
        let mut windows = bytes.windows(PIXELS.len());
        let at = windows
            .position(|window| window == PIXELS)
            .context("it has other pixels")?;
        for byte in bytes.iter_mut().skip(at + PIXELS.len()).take(LENGTH) {
            *byte = choices.below(256).to_le_bytes()[0];
        }
        std::fs::write(&file, bytes)?;
        files.push(file);
    }
    Ok(files)
}

/// The data set of a file in DICOM's file format: what follows the meta information, which each keeper of a file
/// may write anew.
///
/// # Errors
/// If it is no such file.
pub fn data_set(file: &[u8]) -> Result<&[u8]> {
    ensure!(file.get(128..132) == Some(b"DICM"), "no DICOM file");
    // (0002,0000) UL 4: the length of the rest of the group.
    ensure!(
        file.get(132..140) == Some(b"\x02\0\0\0UL\x04\0"),
        "the meta information does not begin with its length"
    );
    let length = file.get(140..144).context("cut off")?;
    let length = u32::from_le_bytes(length.try_into()?) as usize;
    file.get(144 + length..)
        .context("cut off in the meta information")
}

/// Reads a file and returns its data set.
///
/// # Errors
/// If it cannot be read or is no DICOM file.
pub fn data_set_of(path: &Path) -> Result<Vec<u8>> {
    let file = std::fs::read(path)?;
    Ok(data_set(&file)
        .with_context(|| path.display().to_string())?
        .to_vec())
}
