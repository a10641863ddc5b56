//! False accusations: innocent codewords against the evidence of pictures that really were attacked.

use anyhow::Result;
use harpo_watermark::tracing::{ExportId, Limit, Verdict};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::Serialize;

use super::images::Images;
use super::plan::Plan;
use super::tracing::{self, Leak};
use crate::progress::Progress;

/// Exports that one list is taken to have: an innocent of it is accused if chance would do that to one list in a
/// million of this length.
const LIST: f64 = 1000.0;
const FALSE_ACCUSATION: f64 = 1e-6;
/// Innocents that are scored at a time.
const BATCH: usize = 10_000;

/// Innocents against one kind of evidence.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct EvidenceRow {
    pub(crate) evidence: &'static str,
    pub(crate) trials: usize,
    pub(crate) accused: usize,
    /// The most suspicious of them: base-10 logarithm of the bound on the probability that a given innocent scores
    /// as high. Of n innocents one reaches −log10 n, if the bound is tight.
    pub(crate) least_log10_p: f64,
}

/// All of them.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Figures {
    pub(crate) trials: usize,
    pub(crate) accused: usize,
    /// An innocent was accused from here on.
    pub(crate) limit_log10_p: f64,
    pub(crate) least_log10_p: f64,
    /// What the bound allows in as many trials.
    pub(crate) expected_at_most: f64,
    pub(crate) evidence: Vec<EvidenceRow>,
}

/// Innocents, as many of each kind of evidence.
///
/// # Errors
/// If the evidence cannot be made.
pub(crate) fn measure(
    plan: &Plan,
    images: &Images,
    progress: &Progress,
) -> Result<Option<Figures>> {
    let leaks = tracing::evidence(images, plan.slices)?;
    let each = plan.innocents.div_ceil(leaks.len().max(1));
    let rows: Vec<EvidenceRow> = leaks
        .iter()
        .enumerate()
        .map(|(number, (name, leak))| {
            progress.say(format!("innocents: {name}"));
            row(name, leak, number as u64, each)
        })
        .collect();
    let trials = rows.iter().map(|row| row.trials).sum();
    Ok((!rows.is_empty()).then(|| Figures {
        trials,
        accused: rows.iter().map(|row| row.accused).sum(),
        limit_log10_p: (FALSE_ACCUSATION / LIST).log10(),
        least_log10_p: rows.iter().map(|row| row.least_log10_p).fold(0.0, f64::min),
        expected_at_most: trials as f64 * FALSE_ACCUSATION / LIST,
        evidence: rows,
    }))
}

fn row(evidence: &'static str, leak: &Leak, number: u64, innocents: usize) -> EvidenceRow {
    let batches = innocents.div_ceil(BATCH);
    let found: Vec<(usize, f64)> = (0..batches)
        .into_par_iter()
        .map(|batch| {
            let mut rng = ChaCha8Rng::seed_from_u64(number << 32 | batch as u64);
            let count = BATCH.min(innocents - batch * BATCH);
            let exports = (0..count).map(|_| {
                let mut name = [0; 32];
                rng.fill_bytes(&mut name);
                ExportId(name)
            });
            // The batch is longer than a list, and its limit as much wider.
            let limit = Limit {
                false_accusation: FALSE_ACCUSATION * count as f64 / LIST,
                candidates: count as u64,
            };
            match leak.tracer.accuse(leak.evidence(), exports, &limit) {
                Verdict::Nobody { best } => (0, best.map_or(0.0, |suspect| suspect.log10_p)),
                Verdict::Accused { accusations, .. } => {
                    (accusations.len(), accusations[0].suspect.log10_p)
                }
            }
        })
        .collect();
    EvidenceRow {
        evidence,
        trials: innocents,
        accused: found.iter().map(|(accused, _)| accused).sum(),
        least_log10_p: found.iter().map(|(_, p)| *p).fold(0.0, f64::min),
    }
}
