//! Everything that a run found, as it is written to JSON. MB are 10^6 bytes, rates are per core.

use serde::Serialize;

use super::images::Modality;
use super::localisation::Localisation;
use super::{accusations, compression, reliability, tracing};
use crate::machine::Machine;

/// One run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) subject: &'static str,
    /// Whether images and rounds were cut to end within two minutes.
    pub(crate) quick: bool,
    pub(crate) machine: Machine,
    pub(crate) images: Vec<ImagesRow>,
    /// Files of the folders that are no DICOM instances, or damaged.
    pub(crate) refused: usize,
    /// Instances that were left out because there was enough of their modality.
    pub(crate) left_out: usize,
    pub(crate) compression: Vec<compression::Row>,
    /// Files that came compressed, or of a form that is kept as it is.
    pub(crate) kept: Option<compression::Kept>,
    /// Files that were sealed, opened and compared, byte for byte.
    pub(crate) exact_files: usize,
    /// Why there are no foreign codecs, if there are none.
    pub(crate) peers_missing: Option<String>,
    /// The reversible engine at each rate.
    pub(crate) reliability: Vec<reliability::GainRow>,
    /// Every scheme at each rate.
    pub(crate) reliability_schemes: Vec<reliability::RateRow>,
    /// The reliability mark as it is used.
    pub(crate) reliability_mark: Vec<reliability::MarkRow>,
    /// Megapixels a second and core that are marked: of whole CT slices, warm; of all images where there are none.
    pub(crate) mark_mpix_per_s: Option<f64>,
    /// The same of the first mark of the process.
    pub(crate) mark_cold_mpix_per_s: Option<f64>,
    pub(crate) mark_speed: reliability::Speed,
    pub(crate) localisation: Localisation,
    pub(crate) tracing: Vec<tracing::Row>,
    pub(crate) tracing_distortion: Vec<tracing::DistortionRow>,
    pub(crate) false_accusations: Option<accusations::Figures>,
}

impl Report {
    /// Every scheme's rows of one group of images, in the order in which schemes were measured.
    pub(crate) fn schemes_of(
        &self,
        group: (Modality, bool),
    ) -> Vec<(&'static str, Vec<&reliability::RateRow>)> {
        let mut schemes: Vec<(&'static str, Vec<&reliability::RateRow>)> = Vec::new();
        for row in &self.reliability_schemes {
            if (row.modality, row.synthetic) != group {
                continue;
            }
            match schemes.iter_mut().find(|(name, _)| *name == row.scheme) {
                Some((_, rows)) => rows.push(row),
                None => schemes.push((row.scheme, vec![row])),
            }
        }
        schemes
    }
}

/// The images of one group.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ImagesRow {
    pub(crate) modality: Modality,
    pub(crate) synthetic: bool,
    /// Files of every kind.
    pub(crate) files: usize,
    /// Of those the ones whose pixels are native.
    pub(crate) native: usize,
    /// Frames that marks are measured on: native, no side less than 64.
    pub(crate) images: usize,
    pub(crate) megapixels: f64,
}

#[cfg(test)]
mod tests;
