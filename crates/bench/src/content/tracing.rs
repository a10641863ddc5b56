//! Tracing: whether exports are named after what was done to them, and nobody else is.

mod attack;
mod study;

use anyhow::{Context, Result};
use harpo_watermark::Plane;
use harpo_watermark::tracing::{
    Codeword, Evidence, ExportId, ImageId, Limit, Picture, TraceKey, Tracer, Verdict, locate, ssim,
};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::Serialize;

use super::images::{Images, Modality};
use super::plan::Plan;
use crate::clock::{Samples, timed};
use crate::progress::Progress;
use attack::{ATTACKS, Attack};
use study::Study;

/// Exports of a study that a leak is tried against, those of the leak among them.
const CANDIDATES: usize = 1000;
/// A study's leaked slices after which the tracer is asked, besides all of them.
const EARLY: [usize; 2] = [1, 4];

/// One attack on exports of all studies.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) attack: &'static str,
    pub(crate) trials: usize,
    /// Trials in which whoever leaked, or one of the colluders, was accused by all leaked slices.
    pub(crate) right: usize,
    /// Trials in which anybody else was accused, by however many slices.
    pub(crate) wrong: usize,
    /// Slices that leaked of each study.
    pub(crate) slices: usize,
    /// As `right`, by the first slice alone.
    pub(crate) right_from_one: usize,
    /// As `right`, by the first four.
    pub(crate) right_from_four: usize,
    pub(crate) colluders: usize,
    /// The exports that the tracer compared.
    pub(crate) candidates: usize,
    /// The middle one of the trials' strongest accusations: base-10 logarithm of the bound on the probability
    /// that a given innocent looks as guilty; with nobody accused 0.
    pub(crate) median_log10_p: f64,
}

/// What the mark does to the slices of one study.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DistortionRow {
    pub(crate) modality: Modality,
    pub(crate) synthetic: bool,
    pub(crate) slices: usize,
    pub(crate) bits_stored: u32,
    /// Of the mean squared error of all slices, with the peak 2^BitsStored − 1.
    pub(crate) psnr_db: f64,
    /// Of the same on an 8-bit display of the range that the mark was made for.
    pub(crate) psnr_display_db: f64,
    /// The least of the slices, at the display's range.
    pub(crate) ssim: f64,
    /// In stored units.
    pub(crate) largest_error: u16,
    /// In levels of that display.
    pub(crate) largest_error_levels: f64,
    pub(crate) embed_mpix_per_s: f64,
}

/// All that is measured of tracing.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) rows: Vec<Row>,
    pub(crate) distortion: Vec<DistortionRow>,
}

/// Every attack on exports of every study.
///
/// # Errors
/// If the mark refuses an image that is large enough, or a picture cannot be coded.
pub(crate) fn measure(plan: &Plan, images: &Images, progress: &Progress) -> Result<Figures> {
    let studies = study::of(images, plan.slices);
    let distortion = studies
        .iter()
        .map(|study| distortion(study, plan.rounds))
        .collect::<Result<_>>()?;
    let rows = ATTACKS
        .iter()
        .enumerate()
        .filter(|_| !studies.is_empty())
        .map(|(number, attack)| {
            progress.say(format!("tracing: {}", attack.name));
            row(plan, &studies, number, attack)
        })
        .collect::<Result<_>>()?;
    Ok(Figures { rows, distortion })
}

fn row(plan: &Plan, studies: &[Study<'_>], number: usize, attack: &Attack) -> Result<Row> {
    let outcomes = (0..plan.trials)
        .into_par_iter()
        .map(|trial| {
            let study = &studies[trial % studies.len()];
            let mut rng = ChaCha8Rng::seed_from_u64((number << 32 | trial) as u64);
            leak(study, attack, &mut rng)?.outcome()
        })
        .collect::<Result<Vec<Outcome>>>()?;
    let count = |of: fn(&Outcome) -> bool| outcomes.iter().filter(|outcome| of(outcome)).count();
    let mut strengths: Vec<f64> = outcomes.iter().map(|outcome| outcome.log10_p).collect();
    strengths.sort_by(f64::total_cmp);
    Ok(Row {
        attack: attack.name,
        trials: outcomes.len(),
        right: count(|outcome| outcome.right),
        wrong: count(|outcome| outcome.wrong),
        slices: studies
            .iter()
            .map(|study| study.slices.len())
            .max()
            .unwrap_or(0),
        right_from_one: count(|outcome| outcome.early[0]),
        right_from_four: count(|outcome| outcome.early[1]),
        colluders: attack.colluders(),
        candidates: CANDIDATES,
        median_log10_p: strengths.get(strengths.len() / 2).copied().unwrap_or(0.0),
    })
}

/// One leak: the exports that it was made of, and what its slices say.
pub(crate) struct Leak {
    pub(crate) tracer: Tracer,
    guilty: Vec<ExportId>,
    innocent: Vec<ExportId>,
    /// After the first of the study's slices, the first four, and all.
    evidence: [Evidence; EARLY.len() + 1],
}

struct Outcome {
    right: bool,
    wrong: bool,
    early: [bool; EARLY.len()],
    log10_p: f64,
}

impl Leak {
    /// What all slices say together.
    pub(crate) fn evidence(&self) -> &Evidence {
        &self.evidence[EARLY.len()]
    }

    fn outcome(&self) -> Result<Outcome> {
        let candidates = || self.guilty.iter().chain(&self.innocent).copied();
        let mut outcome = Outcome {
            right: false,
            wrong: false,
            early: [false; EARLY.len()],
            log10_p: 0.0,
        };
        for (number, evidence) in self.evidence.iter().enumerate() {
            let verdict = self
                .tracer
                .accuse(evidence, candidates(), &Limit::default());
            let Verdict::Accused { accusations, .. } = verdict else {
                continue;
            };
            let guilty = |export: &ExportId| self.guilty.contains(export);
            let right = accusations.iter().any(|a| guilty(&a.suspect.export));
            outcome.wrong |= accusations.iter().any(|a| !guilty(&a.suspect.export));
            match outcome.early.get_mut(number) {
                Some(early) => *early = right,
                None => {
                    outcome.right = right;
                    outcome.log10_p = accusations[0].suspect.log10_p;
                }
            }
        }
        Ok(outcome)
    }
}

/// Exports a study to as many as collude, does to it what the attack does, and examines what is left.
fn leak(study: &Study<'_>, attack: &Attack, rng: &mut ChaCha8Rng) -> Result<Leak> {
    let tracer = Tracer::new(&TraceKey::new(bytes(rng)));
    let mut exports: Vec<ExportId> = (0..CANDIDATES).map(|_| ExportId(bytes(rng))).collect();
    let innocent = exports.split_off(attack.colluders());
    let codewords: Vec<Codeword> = exports
        .iter()
        .map(|export| Codeword::derive(&tracer, export))
        .collect();
    let originals = study.originals();
    let mut evidence = [const { None }; EARLY.len() + 1];
    let mut sum = Evidence::default();
    for (number, slice) in study.slices.iter().enumerate() {
        let image = image_id(number);
        let copies = codewords
            .iter()
            .map(|codeword| {
                let mut plane = slice.plane.clone();
                tracer.embed(&mut plane, &image, codeword, &slice.display)?;
                Ok(plane)
            })
            .collect::<Result<Vec<_>>>()?;
        let seen = attack.apply(&copies, slice.window, slice.sigma, rng)?;
        examine(&tracer, study, &originals, &seen, &mut sum)?;
        if let Some(early) = EARLY.iter().position(|count| *count == number + 1) {
            evidence[early] = Some(sum.clone());
        }
    }
    Ok(Leak {
        tracer,
        guilty: exports,
        innocent,
        evidence: evidence.map(|early| early.unwrap_or_else(|| sum.clone())),
    })
}

/// Finds which slice of the study the picture shows and where, and adds what it says; nothing where it is not found.
fn examine(
    tracer: &Tracer,
    study: &Study<'_>,
    originals: &[Plane],
    seen: &Picture,
    evidence: &mut Evidence,
) -> Result<()> {
    if let Some((number, found)) = locate(originals, seen) {
        tracer.examine(
            &originals[number],
            &image_id(number),
            &study.slices[number].display,
            seen,
            &found.placement,
            evidence,
        )?;
    }
    Ok(())
}

fn distortion(study: &Study<'_>, rounds: usize) -> Result<DistortionRow> {
    let tracer = Tracer::new(&TraceKey::new([7; 32]));
    let codeword = Codeword::derive(&tracer, &ExportId([9; 32]));
    let first = study.slices.first().context("a study without slices")?;
    let (mut mse, mut display_mse, mut least, mut largest, mut levels) =
        (0.0, 0.0, 1.0f64, 0, 0.0f64);
    let (mut seconds, mut samples) = (0.0, 0);
    for (number, slice) in study.slices.iter().enumerate() {
        let image = image_id(number);
        let mut times = Samples::default();
        let mut last = None;
        for _ in 0..rounds {
            let mut plane = slice.plane.clone();
            let (found, took) =
                timed(|| tracer.embed(&mut plane, &image, &codeword, &slice.display));
            times.push(took);
            last = Some((plane, found?));
        }
        let (marked, found) = last.context("no round")?;
        let range = f64::from(slice.display.range());
        mse += found.mse;
        display_mse += found.mse / (range * range);
        least =
            least.min(ssim(slice.plane, &marked, slice.display.range()).context("a tiny slice")?);
        largest = largest.max(found.largest);
        levels = levels.max(f64::from(found.largest) / range * 256.0);
        seconds += times.median();
        samples += marked.samples().len();
    }
    let count = study.slices.len() as f64;
    let peak = f64::from(first.plane.max());
    Ok(DistortionRow {
        modality: study.modality,
        synthetic: study.synthetic,
        slices: study.slices.len(),
        bits_stored: first.plane.depth(),
        psnr_db: 10.0 * (peak * peak * count / mse).log10(),
        psnr_display_db: 10.0 * ((255.0f64 / 256.0).powi(2) * count / display_mse).log10(),
        ssim: least,
        largest_error: largest,
        largest_error_levels: levels,
        embed_mpix_per_s: samples as f64 / 1e6 / seconds,
    })
}

fn image_id(number: usize) -> ImageId {
    let mut instance = [0; 16];
    instance[..8].copy_from_slice(&(number as u64).to_le_bytes());
    ImageId { instance, frame: 0 }
}

fn bytes(rng: &mut ChaCha8Rng) -> [u8; 32] {
    let mut bytes = [0; 32];
    rng.fill_bytes(&mut bytes);
    bytes
}

/// Attacks whose evidence innocents are held against, and a picture that carries no mark at all.
const AGAINST_INNOCENTS: [&str; 5] = [
    "none",
    "JPEG 50",
    "crop 25 %, JPEG 50",
    "3 colluders, mean",
    "5 colluders, mosaic",
];

/// A leak of each of several kinds.
///
/// # Errors
/// As [`measure`].
pub(crate) fn evidence(images: &Images, slices: usize) -> Result<Vec<(&'static str, Leak)>> {
    let studies = study::of(images, slices);
    let attacks = ATTACKS
        .iter()
        .filter(|a| AGAINST_INNOCENTS.contains(&a.name));
    let unmarked = [("no mark", None)].into_iter();
    unmarked
        .chain(attacks.map(|attack| (attack.name, Some(attack))))
        .zip(studies.iter().cycle())
        .enumerate()
        .map(|(number, ((name, attack), study))| {
            let mut rng = ChaCha8Rng::seed_from_u64(0xACC5 << 32 | number as u64);
            let leak = match attack {
                Some(attack) => leak(study, attack, &mut rng)?,
                None => untouched(study, &mut rng)?,
            };
            Ok((name, leak))
        })
        .collect()
}

/// The originals themselves with noise, as if nobody had exported them.
fn untouched(study: &Study<'_>, rng: &mut ChaCha8Rng) -> Result<Leak> {
    let tracer = Tracer::new(&TraceKey::new(bytes(rng)));
    let originals = study.originals();
    let mut sum = Evidence::default();
    for slice in &study.slices {
        let noisy = Attack {
            noise: 1.0,
            ..ATTACKS[0]
        };
        let original = [slice.plane.clone()];
        let seen = noisy.apply(&original, slice.window, slice.sigma, rng)?;
        examine(&tracer, study, &originals, &seen, &mut sum)?;
    }
    Ok(Leak {
        tracer,
        guilty: Vec::new(),
        innocent: Vec::new(),
        evidence: [sum.clone(), sum.clone(), sum],
    })
}

#[cfg(test)]
impl Row {
    /// Figures that nobody measured.
    pub(crate) fn sample(attack: &'static str) -> Self {
        Row {
            attack,
            trials: 4,
            right: 4,
            wrong: 0,
            slices: 2,
            right_from_one: 3,
            right_from_four: 4,
            colluders: 1,
            candidates: CANDIDATES,
            median_log10_p: -20.0,
        }
    }
}
