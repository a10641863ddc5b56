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
    pub(crate) tails: Vec<Tail>,
}

/// Innocents that look as guilty as chance makes one in so many.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Tail {
    pub(crate) log10_p: f64,
    pub(crate) innocents: usize,
    /// What the bound allows, on average.
    pub(crate) expected_at_most: f64,
}

impl Tail {
    /// Whether chance explains as many: five standard deviations above what is allowed, and a few for rare ones.
    fn within_bound(&self) -> bool {
        self.innocents as f64 <= self.expected_at_most + 5.0 * self.expected_at_most.sqrt() + 3.0
    }
}

/// Probabilities, as base-10 logarithms, whose tails are counted: where a bound that does not hold would show.
const TAILS: [f64; 3] = [-2.0, -3.0, -4.0];

fn tails(counts: [usize; TAILS.len()], trials: usize) -> Vec<Tail> {
    let tail = |(log10_p, innocents)| Tail {
        log10_p,
        innocents,
        expected_at_most: trials as f64 * 10f64.powf(log10_p),
    };
    TAILS.into_iter().zip(counts).map(tail).collect()
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
    /// Of all kinds of evidence together.
    pub(crate) tails: Vec<Tail>,
    /// Whether every tail of every kind of evidence is as thin as the bound says.
    pub(crate) within_bound: bool,
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
        tails: tails(
            std::array::from_fn(|place| rows.iter().map(|row| row.tails[place].innocents).sum()),
            trials,
        ),
        within_bound: rows
            .iter()
            .all(|row| row.tails.iter().all(Tail::within_bound)),
        evidence: rows,
    }))
}

fn row(evidence: &'static str, leak: &Leak, number: u64, innocents: usize) -> EvidenceRow {
    let batches = innocents.div_ceil(BATCH);
    let found: Vec<(usize, f64, [usize; TAILS.len()])> = (0..batches)
        .into_par_iter()
        .map(|batch| {
            let mut rng = ChaCha8Rng::seed_from_u64(number << 32 | batch as u64);
            let count = BATCH.min(innocents - batch * BATCH);
            let export = |_| {
                let mut name = [0; 32];
                rng.fill_bytes(&mut name);
                ExportId(name)
            };
            let exports: Vec<ExportId> = (0..count).map(export).collect();
            let bounds = leak
                .tracer
                .log10_p(leak.evidence(), exports.iter().copied());
            let tails = TAILS.map(|tail| bounds.iter().filter(|p| **p <= tail).count());
            let least = bounds.iter().copied().fold(0.0, f64::min);
            // The batch is longer than a list, and its limit as much wider.
            let limit = Limit {
                false_accusation: FALSE_ACCUSATION * count as f64 / LIST,
                candidates: count as u64,
            };
            match leak.tracer.accuse(leak.evidence(), exports, &limit) {
                Verdict::Nobody { .. } => (0, least, tails),
                Verdict::Accused { accusations, .. } => (accusations.len(), least, tails),
            }
        })
        .collect();
    EvidenceRow {
        evidence,
        trials: innocents,
        accused: found.iter().map(|(accused, _, _)| accused).sum(),
        least_log10_p: found.iter().map(|(_, p, _)| *p).fold(0.0, f64::min),
        tails: tails(
            std::array::from_fn(|place| found.iter().map(|(_, _, counts)| counts[place]).sum()),
            innocents,
        ),
    }
}
