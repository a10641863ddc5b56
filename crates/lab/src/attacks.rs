//! The attacks. Each is a file of this folder with a function `attack() -> Box<dyn Attack>`; `build.rs` finds it.
//!
//! An attack never sees the truth of the run that it attacks: it is given [`Seen`], which holds the log and what an
//! outsider may know besides, and a [`Practice`] run of the same network under another seed, whose answers it knows
//! because it simulated that run.

use std::collections::HashMap;

use crate::game::{Game, Trial};
use crate::statistics::Calibration;

pub use crate::attacks_knowledge::{Knowledge, Outside, Seen, Week};

include!(concat!(env!("OUT_DIR"), "/attacks.rs"));

#[cfg(test)]
#[path = "attacks_tests.rs"]
mod tests;

/// A way to answer games from the cloud's view.
pub trait Attack: Send + Sync {
    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// What it does, in a sentence for the report.
    fn about(&self) -> &'static str;

    /// Whether it has an answer to this game.
    fn plays(&self, game: Game) -> bool;

    /// Makes ready to attack what is `seen`: with what is public, and with a practice run. It is also called with the
    /// practice run itself as what is seen, to calibrate scores on questions that were kept back from `practice`.
    fn prepare<'a>(
        &self,
        game: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a>;
}

/// Questions with their answers.
#[derive(Clone, Copy)]
pub struct Practice<'a> {
    /// What would be seen of the practice run.
    pub seen: Seen<'a>,
    /// Questions about it.
    pub trials: &'a [Trial],
    /// Their answers.
    pub answers: &'a [bool],
    /// What is known of the network in general.
    pub knowledge: &'a Knowledge,
}

/// An attack that is ready.
pub trait Scorer: Send + Sync {
    /// The larger, the likelier yes. No number where it has nothing to say.
    fn score(&self, trial: Trial) -> f64;

    /// Scores of many questions.
    fn scores(&self, trials: &[Trial]) -> Vec<f64> {
        trials.iter().map(|&trial| self.score(trial)).collect()
    }
}

/// A scorer from a function.
struct By<F>(F);

impl<F: Fn(Trial) -> f64 + Send + Sync> Scorer for By<F> {
    fn score(&self, trial: Trial) -> f64 {
        (self.0)(trial)
    }
}

fn by<'a>(score: impl Fn(Trial) -> f64 + Send + Sync + 'a) -> Box<dyn Scorer + 'a> {
    Box::new(By(score))
}

/// A scorer that weighs each of several numbers by the likelihood ratio that practice shows for it, as if they were
/// independent (naive Bayes). Not a number: nothing to say.
fn by_likelihood<'a, const N: usize>(
    practice: &Practice<'_>,
    seen: Seen<'a>,
    evidence: impl Fn(Seen<'_>, Trial) -> [f64; N] + Send + Sync + 'a,
) -> Box<dyn Scorer + 'a> {
    let practised: Vec<[f64; N]> = practice
        .trials
        .iter()
        .map(|&trial| evidence(practice.seen, trial))
        .collect();
    let ratios: [Calibration; N] = std::array::from_fn(|number| {
        let values: Vec<f64> = practised.iter().map(|numbers| numbers[number]).collect();
        Calibration::fit(&values, practice.answers)
    });
    by(move |trial| {
        let numbers = evidence(seen, trial);
        ratios
            .iter()
            .zip(numbers)
            .map(|(ratio, number)| ratio.log_ratio(number))
            .sum()
    })
}

/// A scorer for questions of origin that learns from practice how much likelier each visible sign is from each
/// hospital.
fn by_sign<'a>(
    practice: &Practice<'_>,
    seen: Seen<'a>,
    sign: impl Fn(Seen<'_>, Trial) -> u64 + Send + Sync + 'a,
) -> Box<dyn Scorer + 'a> {
    /// Imagined trials of each kind for each sign and hospital.
    const IMAGINED: f64 = 4.0;
    let mut counts: HashMap<(u64, u16), [f64; 2]> = HashMap::new();
    for (&trial, &answer) in practice.trials.iter().zip(practice.answers) {
        if let Some(hospital) = hospital_of(trial) {
            counts
                .entry((sign(practice.seen, trial), hospital))
                .or_default()[usize::from(answer)] += 1.0;
        }
    }
    by(move |trial| {
        let counted = hospital_of(trial).and_then(|of| counts.get(&(sign(seen, trial), of)));
        counted.map_or(0.0, |[no, yes]| ((yes + IMAGINED) / (no + IMAGINED)).ln())
    })
}

/// The hospital that is asked about.
fn hospital_of(trial: Trial) -> Option<u16> {
    match trial {
        Trial::UploadBy(_, hospital) | Trial::RetrievalBy(_, hospital) => Some(hospital),
        _ => None,
    }
}

/// The logarithm of a count or length, for ranges that do not depend on scale.
fn log(number: u64) -> f64 {
    (number as f64).ln_1p()
}

/// How far apart two counts or lengths are, whatever the scale.
fn log_gap(a: u64, b: u64) -> f64 {
    (log(a) - log(b)).abs()
}

/// Whether two names are the same: one, zero; or no number where the log has none.
fn equal(a: Option<u32>, b: Option<u32>) -> f64 {
    match (a, b) {
        (Some(a), Some(b)) => f64::from(u8::from(a == b)),
        _ => f64::NAN,
    }
}
