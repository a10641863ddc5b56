//! A random forest over all that other attacks say, and over the raw numbers.

use smartcore::ensemble::random_forest_regressor::{
    RandomForestRegressor, RandomForestRegressorParameters,
};
use smartcore::linalg::basic::matrix::DenseMatrix;

use super::{Attack, Practice, Scorer, Seen, all, by};
use crate::attacks_knowledge::hour_of_week;
use crate::game::{Game, Trial};

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(Learned)
}

struct Learned;

const NAME: &str = "learned";
/// Most questions that the forest learns from: more would take longer than they teach.
const LESSONS: usize = 2400;
const TREES: usize = 32;
const DEPTH: u16 = 7;
const LEAF: usize = 12;
const SEED: u64 = 1;

impl Attack for Learned {
    fn name(&self) -> &'static str {
        NAME
    }

    fn about(&self) -> &'static str {
        "a random forest over the scores of all other attacks and the raw numbers of the log, taught by the \
         practice run"
    }

    fn plays(&self, _: Game) -> bool {
        true
    }

    fn prepare<'a>(
        &self,
        game: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a> {
        // The other attacks learn from one half and the forest from the other, or it would trust what they know by
        // heart.
        let half = practice.trials.len() / 4 * 2;
        let first = Practice {
            trials: &practice.trials[..half],
            answers: &practice.answers[..half],
            ..*practice
        };
        let lessons = half..practice.trials.len().min(half + LESSONS);
        let taught = Evidence::gather(game, &first, practice.seen);
        let answers: Vec<f64> =
            practice.answers[lessons.clone()].iter().map(|&yes| f64::from(u8::from(yes))).collect();
        let forest = taught.rows(&practice.trials[lessons]).and_then(|rows| {
            let parameters = RandomForestRegressorParameters::default()
                .with_n_trees(TREES)
                .with_max_depth(DEPTH)
                .with_min_samples_leaf(LEAF)
                .with_seed(SEED);
            Forest::fit(&rows, &answers, parameters).ok()
        });
        match forest {
            Some(forest) => Box::new(Taught { evidence: Evidence::gather(game, &first, seen), forest }),
            // Too few questions to learn from.
            None => by(|_| f64::NAN),
        }
    }
}

type Forest = RandomForestRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;

struct Taught<'a> {
    evidence: Evidence<'a>,
    forest: Forest,
}

impl Scorer for Taught<'_> {
    fn score(&self, trial: Trial) -> f64 {
        self.scores(&[trial]).first().copied().unwrap_or(f64::NAN)
    }

    fn scores(&self, trials: &[Trial]) -> Vec<f64> {
        let scores = self.evidence.rows(trials).and_then(|rows| self.forest.predict(&rows).ok());
        scores.unwrap_or_else(|| vec![f64::NAN; trials.len()])
    }
}

/// What the forest is shown of a question.
struct Evidence<'a> {
    others: Vec<Box<dyn Scorer + 'a>>,
    seen: Seen<'a>,
}

impl<'a> Evidence<'a> {
    fn gather(game: Game, practice: &Practice<'_>, seen: Seen<'a>) -> Self {
        let others = all().into_iter().filter(|attack| attack.name() != NAME && attack.plays(game));
        Self { others: others.map(|attack| attack.prepare(game, practice, seen)).collect(), seen }
    }

    /// A row for each question; nothing of nothing.
    fn rows(&self, trials: &[Trial]) -> Option<DenseMatrix<f64>> {
        let mut values = Vec::new();
        for &trial in trials {
            values.extend(self.others.iter().map(|other| number(other.score(trial))));
            self.raw(trial, &mut values);
        }
        let width = values.len().checked_div(trials.len())?;
        DenseMatrix::new(trials.len(), width, values, false).ok()
    }

    /// Raw numbers of the lines asked about.
    fn raw(&self, trial: Trial, into: &mut Vec<f64>) {
        let (uploads, fetches) = (&self.seen.view.uploads, &self.seen.view.fetches);
        let clock = |time: harpo_protocol::time::Timestamp| {
            [(time.0 % 60_000) as f64, hour_of_week(time) as f64]
        };
        let signed = |a: u64, b: u64| (b as f64) - (a as f64);
        match trial {
            Trial::Uploads(a, b) => {
                let (a, b) = (&uploads[a], &uploads[b]);
                into.extend([signed(a.time.0, b.time.0), signed(a.bytes, b.bytes)]);
                into.extend([f64::from(a.slot), f64::from(b.slot), f64::from(a.generation)]);
                into.push(f64::from(b.generation));
            }
            Trial::Retrievals(a, b) => {
                let (a, b) = (&fetches[a], &fetches[b]);
                into.extend([signed(a.time.0, b.time.0), signed(a.bytes_down, b.bytes_down)]);
                into.extend(clock(a.time).into_iter().chain(clock(b.time)));
                into.extend([f64::from(a.queries), f64::from(b.queries)]);
                into.extend([f64::from(a.stack), f64::from(b.stack)]);
            }
            Trial::UploadBy(line, hospital) => {
                let line = &uploads[line];
                into.extend(clock(line.time));
                into.extend([f64::from(hospital), f64::from(line.slot), line.bytes as f64]);
            }
            Trial::RetrievalBy(line, hospital) => {
                let line = &fetches[line];
                into.extend(clock(line.time));
                into.extend([f64::from(hospital), f64::from(line.queries), line.bytes_down as f64]);
            }
            Trial::RetrievalOf(line, bundle) => {
                let line = &fetches[line];
                let deposited = self.seen.outside.deposited[bundle as usize];
                into.extend(clock(line.time));
                into.extend([signed(deposited.0, line.time.0), hour_of_week(deposited) as f64]);
                into.extend([f64::from(line.queries), f64::from(line.stack)]);
            }
        }
    }
}

/// The forest needs numbers.
fn number(score: f64) -> f64 {
    if score.is_nan() { 0.0 } else { score }
}
