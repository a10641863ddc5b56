//! Everything that a run found, as it is written to JSON. MB are 10^6 bytes, rates are per core.

use serde::Serialize;

use super::images::Modality;
use super::localisation::Localisation;
use super::reliability::{GainRow, MarkRow, RateRow, Speed};
use super::{accusations, compression, tracing};
use crate::machine::Machine;

/// One run.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) subject: &'static str,
    /// Whether images and rounds were cut to end within two minutes.
    pub(crate) quick: bool,
    pub(crate) machine: Machine,
    pub(crate) images: Vec<ImagesRow>,
    pub(crate) compression: Vec<compression::Row>,
    /// Why there are no foreign codecs, if there are none.
    pub(crate) peers_missing: Option<String>,
    /// The reversible engine at each rate, and its gain.
    pub(crate) reliability: Vec<GainRow>,
    /// Every reversible scheme at each rate.
    pub(crate) rates: Vec<RateRow>,
    /// The reliability mark as it is used.
    pub(crate) marks: Vec<MarkRow>,
    /// Million pixels a second and core that are marked; none if no image has room for a mark.
    pub(crate) mark_mpix_per_s: Option<f64>,
    /// That, and what else takes time.
    pub(crate) mark_speed: Speed,
    pub(crate) localisation: Localisation,
    pub(crate) tracing: Vec<tracing::Row>,
    pub(crate) tracing_distortion: Vec<tracing::DistortionRow>,
    pub(crate) false_accusations: Option<accusations::Figures>,
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
