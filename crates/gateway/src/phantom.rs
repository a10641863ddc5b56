//! A synthetic CT study for demonstrations and tests: an ellipse phantom of a chest on a table.
//!
//! Nothing in it comes from a person. The images are valid CT Image Storage instances (PS3.3 A.3)
//! in Explicit VR Little Endian, with consistent geometry and noise as a scanner has it.

mod body;
mod dataset;
#[cfg(test)]
mod tests;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use rand_core::CryptoRng;

use crate::dicom::{part10, uid};

/// CT Image Storage.
pub const SOP_CLASS: &str = "1.2.840.10008.5.1.4.1.1.2";

/// How the study looks.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Number of slices.
    pub slices: u32,
    /// Rows and columns of each.
    pub size: u16,
    /// Distance of slices, in millimetres.
    pub spacing_mm: f64,
    /// Standard deviation of the noise in water, in Hounsfield units.
    pub noise_hu: f64,
    /// Patient's Name. Keep it obviously synthetic.
    pub patient_name: String,
    /// Patient ID.
    pub patient_id: String,
    /// Study Date, `YYYYMMDD`.
    pub study_date: String,
    /// Study Description.
    pub description: String,
}

impl Default for Plan {
    fn default() -> Self {
        Self {
            slices: 64,
            size: 512,
            spacing_mm: 2.5,
            noise_hu: 12.0,
            patient_name: "PHANTOM^SYNTHETIC^^^".into(),
            patient_id: "SYNTH-0001".into(),
            study_date: "20260105".into(),
            description: "Synthetic chest phantom".into(),
        }
    }
}

/// The identities of one study.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Study Instance UID.
    pub study_instance_uid: String,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// Frame of Reference UID.
    pub frame_of_reference_uid: String,
    /// SOP Instance UIDs by slice.
    pub sop_instance_uids: Vec<String>,
}

impl Identity {
    /// Fresh ones for `slices` slices.
    pub fn random(slices: u32, rng: &mut impl CryptoRng) -> Self {
        Self {
            study_instance_uid: uid::random(rng),
            series_instance_uid: uid::random(rng),
            frame_of_reference_uid: uid::random(rng),
            sop_instance_uids: (0..slices).map(|_| uid::random(rng)).collect(),
        }
    }
}

/// One slice as a Part 10 file. `slice` counts from 0 to `plan.slices - 1`.
pub fn file(plan: &Plan, identity: &Identity, slice: u32, rng: &mut impl CryptoRng) -> Vec<u8> {
    let sop_instance_uid = &identity.sop_instance_uids[slice as usize];
    let mut out = part10::meta(SOP_CLASS, sop_instance_uid, uid::EXPLICIT_LE);
    dataset::write(&mut out, plan, identity, slice);
    dataset::pixels(&mut out, &body::slice(plan, slice, rng));
    out
}

/// Writes a default study of `slices` slices to `dir`, one file per slice, and returns their paths.
///
/// # Errors
/// Where the folder cannot be written.
pub fn write_study(dir: &Path, slices: u32, rng: &mut impl CryptoRng) -> io::Result<Vec<PathBuf>> {
    write_plan(
        dir,
        &Plan {
            slices,
            ..Plan::default()
        },
        rng,
    )
}

/// As [`write_study`], after a plan of one's own.
///
/// # Errors
/// Where the folder cannot be written.
pub fn write_plan(dir: &Path, plan: &Plan, rng: &mut impl CryptoRng) -> io::Result<Vec<PathBuf>> {
    fs::create_dir_all(dir)?;
    let identity = Identity::random(plan.slices, rng);
    (0..plan.slices)
        .map(|slice| {
            let path = dir.join(format!("slice-{:04}.dcm", slice + 1));
            fs::write(&path, file(plan, &identity, slice, rng))?;
            Ok(path)
        })
        .collect()
}
