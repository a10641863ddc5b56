//! Every attack plays every game on one system's run.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use super::prior::Law;
use super::{Game, Identification, Questions, Trial, draw};
use crate::attacks::{Attack, Knowledge, Outside, Practice, Scorer, Seen};
use crate::controls;
use crate::record::Record;
use crate::statistics::{Calibration, Roc, entropy, roc, top_1};

/// What is played, and how long.
#[derive(Clone, Debug)]
pub struct Options {
    /// The games.
    pub games: Vec<Game>,
    /// The attacks, by name; all of them if empty.
    pub attacks: Vec<String>,
    /// Yes questions of the attacked run, of which one half decides which attack is best and the other is reported.
    pub pairs: usize,
    /// Yes questions of the practice run.
    pub practice_pairs: usize,
    /// Questions for one of several.
    pub identifications: usize,
    /// Length of the minute that retrievals are matched in: the network's rounds, if it has any.
    pub round_seconds: u32,
    /// The null control: answers are dealt out anew at random, so that nobody can know them.
    pub shuffled: bool,
    /// Which questions are drawn.
    pub seed: u64,
}

impl Default for Options {
    /// Intervals of about 0.01 to either side, where the run has enough patients.
    fn default() -> Self {
        Self {
            games: Game::ALL.to_vec(),
            attacks: Vec::new(),
            pairs: 16_000,
            practice_pairs: 6_000,
            identifications: 2_000,
            round_seconds: 60,
            shuffled: false,
            seed: 1,
        }
    }
}

/// How well an attack did in a game.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The game.
    pub game: Game,
    /// The attack.
    pub attack: String,
    /// Area under the receiver operating characteristic, on the reported half of the questions.
    pub auc: f64,
    /// Lower end of its 95 % interval.
    pub ci_low: f64,
    /// Upper end.
    pub ci_high: f64,
    /// The area on the other half: by it the best attack is chosen.
    pub validation_auc: f64,
    /// The largest true minus false positive rate.
    pub advantage: f64,
    /// True positive rate at a false positive rate of 1e-3.
    pub tpr_at_1e3: f64,
    /// How often the likeliest of several candidates was right.
    pub top1: Option<f64>,
    /// How often it would have been without the log, from the candidates' shares or ages alone.
    pub prior_top1: Option<f64>,
    /// Half of the 95 % interval of their difference, which is taken question by question.
    pub gain_half: Option<f64>,
    /// Questions of which of several; none in pairs.
    pub identifications: usize,
    /// Mean entropy in bits of what is believed of a question after the attack: of the candidates; in pairs, of yes
    /// or no.
    pub entropy: f64,
    /// The same before.
    pub prior_entropy: f64,
    /// Number of questions that the area is taken from, yes and no.
    pub trials: usize,
    /// Number of patients that they are about.
    pub patients: usize,
}

/// Plays. `practice` is a run of the same network as `attacked` under another seed. Games for which a run has no
/// questions are left out.
///
/// An attack learns from two thirds of the practice questions. On the last third it is found out which way its score
/// points and what each score is worth; so nothing is fitted to the attacked run. Its questions are split in halves
/// by patient:
/// one decides which attack is the best ([`best`]), the other is reported, so that the best is no maximum over noise.
#[must_use]
pub fn play(practice: &Record, attacked: &Record, options: &Options) -> Vec<Outcome> {
    let knowledge = Knowledge::of(practice);
    let (known, known_here) = (Outside::of(practice), Outside::of(attacked));
    let seen = Seen {
        view: &practice.view,
        outside: &known,
    };
    let here = Seen {
        view: &attacked.view,
        outside: &known_here,
    };
    let questions = |record, pairs, seed| {
        let (games, seconds) = (&options.games, options.round_seconds);
        let mut drawn = draw(record, games, pairs, options.identifications, seconds, seed);
        if options.shuffled {
            drawn
                .iter_mut()
                .for_each(|questions| controls::shuffle(questions, seed));
        }
        drawn
    };
    let (lessons, exams) = rayon::join(
        || {
            questions(
                practice,
                options.practice_pairs,
                options.seed.wrapping_add(1),
            )
        },
        || questions(attacked, options.pairs, options.seed),
    );
    let asked = options.games.par_iter().zip(lessons.par_iter().zip(&exams));
    asked
        .flat_map_iter(|(&game, (lessons, exam))| {
            let table = Table {
                game,
                lessons,
                exam,
                seen,
                here,
                knowledge: &knowledge,
            };
            table.play(&options.attacks)
        })
        .collect()
}

/// The best attack of each game, by the half of the questions that is not reported.
#[must_use]
pub fn best(outcomes: &[Outcome]) -> Vec<&Outcome> {
    let mut games: Vec<Game> = outcomes.iter().map(|outcome| outcome.game).collect();
    games.sort_unstable();
    games.dedup();
    let of = |game| outcomes.iter().filter(move |outcome| outcome.game == game);
    games
        .into_iter()
        .filter_map(|game| of(game).max_by(|a, b| a.validation_auc.total_cmp(&b.validation_auc)))
        .collect()
}

/// A game that is about to be played.
struct Table<'a> {
    game: Game,
    lessons: &'a Questions,
    exam: &'a Questions,
    seen: Seen<'a>,
    here: Seen<'a>,
    knowledge: &'a Knowledge,
}

impl Table<'_> {
    fn play(&self, names: &[String]) -> Vec<Outcome> {
        let halves = Halves::of(self.exam);
        let priors: Vec<Vec<f64>> = self.priors();
        let named = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
        let mut attacks = crate::attacks::all();
        attacks.retain(|attack| attack.plays(self.game) && named(attack.name()));
        attacks
            .par_iter()
            .filter_map(|attack| self.outcome(attack.as_ref(), &halves, &priors))
            .collect()
    }

    fn outcome(
        &self,
        attack: &dyn Attack,
        halves: &Halves,
        priors: &[Vec<f64>],
    ) -> Option<Outcome> {
        let (trials, answers) = (&self.lessons.trials, &self.lessons.answers);
        let learned = trials.len() / 3 * 2;
        let practice = Practice {
            seen: self.seen,
            trials: &trials[..learned],
            answers: &answers[..learned],
            knowledge: self.knowledge,
        };
        let (trials, answers) = (&trials[learned..], &answers[learned..]);
        let practised = attack
            .prepare(self.game, &practice, self.seen)
            .scores(trials);
        let numbers: Vec<u32> = (0..answers.len() as u32).collect();
        let points_up = roc(&practised, answers, &[&numbers]).is_none_or(|roc| roc.auc >= 0.5);
        let calibration = Calibration::fit(&practised, answers);

        let scorer = attack.prepare(self.game, &practice, self.here);
        let mut scores = scorer.scores(&self.exam.trials);
        let probability = |score: &f64| calibration.probability(*score);
        let bits = |score: &f64| entropy(&[probability(score), 1.0 - probability(score)]);
        let mut entropy = scores.iter().map(bits).sum::<f64>() / scores.len().max(1) as f64;
        let mut prior_entropy = 1.0;
        let identified = self.identify(scorer.as_ref(), &calibration, priors);
        if let Some(identified) = &identified {
            (entropy, prior_entropy) = (identified.entropy, identified.prior_entropy);
        }
        if !points_up {
            scores.iter_mut().for_each(|score| *score = -*score);
        }
        let reported = halves.reported.roc(&scores, self.exam)?;
        Some(Outcome {
            game: self.game,
            attack: attack.name().to_owned(),
            auc: reported.auc,
            ci_low: reported.ci_low,
            ci_high: reported.ci_high,
            validation_auc: halves
                .validation
                .roc(&scores, self.exam)
                .map_or(0.5, |roc| roc.auc),
            advantage: reported.advantage,
            tpr_at_1e3: reported.tpr_at_1e3,
            top1: identified.as_ref().map(|identified| identified.top1),
            prior_top1: identified.as_ref().map(|identified| identified.prior_top1),
            gain_half: identified.as_ref().map(|identified| identified.gain_half),
            identifications: identified.map_or(0, |_| self.exam.identifications.len()),
            entropy,
            prior_entropy,
            trials: halves.reported.0.len(),
            patients: halves.reported.patients(self.exam),
        })
    }

    /// For each question for one of several, how likely each candidate is without the log: hospitals by their shares,
    /// bundles by the law of ages that practice shows, and where the stack was known before, by whether it is theirs.
    fn priors(&self) -> Vec<Vec<f64>> {
        let stack_known = self.exam.stack_known;
        let law = self
            .game
            .asks_target()
            .then(|| Law::of(&self.lessons.identifications, self.seen, stack_known));
        let prior = |asked: &Identification| match &law {
            None => self.exam.hospitals.clone(),
            Some(law) => {
                let likely = |&trial: &Trial| law.log_ratio(self.here, trial).exp();
                asked.candidates.iter().map(likely).collect()
            }
        };
        self.exam.identifications.iter().map(prior).collect()
    }

    /// The likeliest of several: what was likely before, times what the score says.
    fn identify(
        &self,
        scorer: &dyn Scorer,
        calibration: &Calibration,
        priors: &[Vec<f64>],
    ) -> Option<Identified> {
        let asked = &self.exam.identifications;
        if asked.is_empty() {
            return None;
        }
        let mut sum = Identified {
            top1: 0.0,
            prior_top1: 0.0,
            gain_half: 0.0,
            entropy: 0.0,
            prior_entropy: 0.0,
        };
        let mut squares = 0.0;
        for (asked, prior) in asked.iter().zip(priors) {
            let scores = scorer.scores(&asked.candidates);
            let likely = prior.iter().zip(&scores);
            let posterior: Vec<f64> = likely
                .map(|(prior, score)| prior * calibration.log_ratio(*score).exp())
                .collect();
            let (named, guessed) = (top_1(&posterior, asked.truth), top_1(prior, asked.truth));
            sum.top1 += named;
            sum.prior_top1 += guessed;
            squares += (named - guessed).powi(2);
            sum.entropy += entropy(&posterior);
            sum.prior_entropy += entropy(prior);
        }
        let count = asked.len() as f64;
        let gain = (sum.top1 - sum.prior_top1) / count;
        Some(Identified {
            gain_half: 1.96 * ((squares / count - gain * gain).max(0.0) / count).sqrt(),
            top1: sum.top1 / count,
            prior_top1: sum.prior_top1 / count,
            entropy: sum.entropy / count,
            prior_entropy: sum.prior_entropy / count,
        })
    }
}

/// Means over all questions for one of several.
struct Identified {
    top1: f64,
    prior_top1: f64,
    gain_half: f64,
    entropy: f64,
    prior_entropy: f64,
}

/// Questions, by number.
struct Half(Vec<usize>);

struct Halves {
    validation: Half,
    reported: Half,
}

impl Halves {
    fn of(questions: &Questions) -> Self {
        let mixed = |patient: u32| (patient.wrapping_mul(0x9e37_79b1) >> 16) & 1 == 0;
        let (validation, reported) =
            (0..questions.trials.len()).partition(|&trial| mixed(questions.patients[trial]));
        Self {
            validation: Half(validation),
            reported: Half(reported),
        }
    }
}

impl Half {
    fn roc(&self, scores: &[f64], questions: &Questions) -> Option<Roc> {
        let of = |list: &[u32]| -> Vec<u32> { self.0.iter().map(|&trial| list[trial]).collect() };
        let scores: Vec<f64> = self.0.iter().map(|&trial| scores[trial]).collect();
        let answers: Vec<bool> = self
            .0
            .iter()
            .map(|&trial| questions.answers[trial])
            .collect();
        roc(
            &scores,
            &answers,
            &[&of(&questions.patients), &of(&questions.periods)],
        )
    }

    fn patients(&self, questions: &Questions) -> usize {
        let mut patients: Vec<u32> = self
            .0
            .iter()
            .map(|&trial| questions.patients[trial])
            .collect();
        patients.sort_unstable();
        patients.dedup();
        patients.len()
    }
}
