//! Drawing questions from a run whose truth is known.

use std::time::Duration;

use harpo_protocol::placement::below;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use super::chart::Chart;
use super::{Game, Trial};
use crate::record::Record;

/// Questions with their answers, and what depends on what.
#[derive(Clone, Debug, Default)]
pub struct Questions {
    /// The questions; each yes is followed by its no.
    pub trials: Vec<Trial>,
    /// Their answers.
    pub answers: Vec<bool>,
    /// The patient that each is about; retrievals of nothing are each about nobody else.
    pub patients: Vec<u32>,
    /// The epoch or day of each.
    pub periods: Vec<u32>,
    /// Besides, questions for one of several.
    pub identifications: Vec<Identification>,
    /// For questions of origin, how often each hospital is right.
    pub hospitals: Vec<f64>,
    /// For questions of targets, whether the stack was known before the log was read.
    pub stack_known: bool,
}

/// Which of these? One is right.
#[derive(Clone, Debug)]
pub struct Identification {
    /// One question for each candidate.
    pub candidates: Vec<Trial>,
    /// Which is right.
    pub truth: usize,
}

/// "Within the window" of game (ii).
const WINDOW: Duration = Duration::from_secs(60 * 60);
/// How far from its minute a no of game (ii) may be taken where that has no stranger.
const BESIDE: Duration = Duration::from_secs(10 * 60);
/// Within which wrong targets of game (v) are drawn: too short for recency to differ.
const NEAR: Duration = Duration::from_secs(3 * 60 * 60);
/// Candidates in game (v).
const TARGETS: usize = 100;
/// Tries for one question before it is given up; the loop ends after as many failures in a row.
const TRIES: u32 = 200;

/// Draws up to `pairs` yes and as many no questions, and up to `identifications` of one among several. `round_seconds`
/// is the length of the minute that retrievals are matched in. Fewer come where the run has too few.
#[must_use]
pub fn draw(
    record: &Record,
    games: &[Game],
    pairs: usize,
    identifications: usize,
    round_seconds: u32,
    seed: u64,
) -> Vec<Questions> {
    let chart = Chart::of(record, round_seconds);
    games
        .iter()
        .map(|&game| {
            let mut drawer = Drawer {
                chart: &chart,
                round_millis: chart.round_millis,
                rng: ChaCha20Rng::seed_from_u64(seed ^ ((game as u64 + 1) << 48)),
            };
            drawer.questions(game, pairs, identifications)
        })
        .collect()
}

struct Drawer<'a> {
    chart: &'a Chart<'a>,
    round_millis: u64,
    rng: ChaCha20Rng,
}

/// A yes and its no.
struct Pair {
    yes: Trial,
    no: Trial,
    patient: u32,
    period: u32,
}

impl Drawer<'_> {
    fn questions(&mut self, game: Game, pairs: usize, identifications: usize) -> Questions {
        let mut drawn = Questions::default();
        let subjects = self.subjects(game);
        let mut failures = 0;
        while !subjects.is_empty() && drawn.trials.len() < 2 * pairs && failures < TRIES {
            let subject = self.one(&subjects);
            let Some(pair) = self.pair(game, subject, &subjects) else {
                failures += 1;
                continue;
            };
            failures = 0;
            drawn.trials.extend([pair.yes, pair.no]);
            drawn.answers.extend([true, false]);
            drawn.patients.extend([pair.patient; 2]);
            drawn.periods.extend([pair.period; 2]);
        }
        if game.asks_origin() {
            drawn.hospitals = self.shares(game, &subjects);
        }
        drawn.stack_known = self.chart.scheduled && game != Game::RetrievalTargetAnyStack;
        if game.identifies() && !subjects.is_empty() {
            for _ in 0..identifications {
                let subject = self.one(&subjects);
                let asked = self.identification(game, subject, drawn.hospitals.len());
                drawn.identifications.extend(asked);
            }
        }
        drawn
    }

    /// What a question begins with: patients, uploads or retrievals.
    fn subjects(&self, game: Game) -> Vec<u32> {
        let chart = self.chart;
        match game {
            Game::UploadsOfOneStudy => chart.uploads_of_bundle.keys_with(2),
            Game::RetrievalsConsults => chart.consults_of_patient.keys_with(2),
            Game::RetrievalsAtOnce => chart.at_once_of_patient.keys_with(2),
            _ if game.pairs_uploads() => chart.uploads_of_patient.keys_with(2),
            _ if game.pairs_retrievals() => chart.fetches_of_patient.keys_with(2),
            Game::UploadOriginWithinEpoch | Game::UploadOrigin => chart.filled.clone(),
            Game::RetrievalOrigin => (0..chart.record.view.fetches.len() as u32).collect(),
            Game::RetrievalOriginAtOnce => chart.at_once.clone(),
            Game::RetrievalOriginConsults | Game::RetrievalTargetConsults => chart.consults.clone(),
            _ => chart.brought.clone(),
        }
    }

    fn pair(&mut self, game: Game, subject: u32, subjects: &[u32]) -> Option<Pair> {
        match game {
            _ if game.pairs_uploads() => self.uploads(game, subject),
            _ if game.pairs_retrievals() => self.retrievals(game, subject),
            _ if game.asks_origin() => self.origin(game, subject as usize, subjects),
            _ => self.target(game, subject as usize, subjects),
        }
    }

    fn uploads(&mut self, game: Game, subject: u32) -> Option<Pair> {
        let chart = self.chart;
        let own = if game == Game::UploadsOfOneStudy {
            chart.uploads_of_bundle.get(subject)
        } else {
            chart.uploads_of_patient.get(subject)
        };
        let a = self.one(own) as usize;
        let epoch = chart.epoch(a);
        let b = find(own, &mut self.rng, |b| {
            b != a
                && match game {
                    Game::UploadsWithinEpoch => chart.epoch(b) == epoch,
                    Game::UploadsOfDifferentStudies => !chart
                        .written(a)
                        .iter()
                        .any(|of| chart.written(b).contains(of)),
                    _ => true,
                }
        })?;
        let others = if game == Game::UploadsWithinEpoch {
            chart.uploads_of_epoch.get(epoch)
        } else {
            &chart.filled
        };
        let other = find(others, &mut self.rng, |other| {
            !chart.share_patient(chart.written(a), chart.written(other))
        })?;
        let patient = match game {
            Game::UploadsOfOneStudy => chart.patient(subject),
            _ => subject,
        };
        let [yes, no] = [Trial::Uploads(a, b), Trial::Uploads(a, other)];
        Some(Pair {
            yes,
            no,
            patient,
            period: epoch,
        })
    }

    fn retrievals(&mut self, game: Game, patient: u32) -> Option<Pair> {
        let chart = self.chart;
        let own = match game {
            Game::RetrievalsConsults => chart.consults_of_patient.get(patient),
            Game::RetrievalsAtOnce => chart.at_once_of_patient.get(patient),
            _ => chart.fetches_of_patient.get(patient),
        };
        let a = self.one(own) as usize;
        let millis = WINDOW.as_millis() as u64;
        let b = find(own, &mut self.rng, |b| {
            let near = game != Game::RetrievalsWithinWindow || chart.gap(a, b) < millis;
            near && !chart.one_act(a, b)
        })?;
        let stranger = |other: usize| !chart.share_patient(chart.read(a), chart.read(other));
        let other = if game == Game::RetrievalsUnmatched {
            find(&chart.brought, &mut self.rng, stranger)?
        } else if game == Game::RetrievalsAtOnce {
            find(&chart.at_once, &mut self.rng, stranger)?
        } else {
            // A no is within the hour as its yes is, or the hour would tell them apart.
            let within = (game == Game::RetrievalsWithinWindow).then_some(millis);
            self.of_the_same_round(a, b, within, stranger)?
        };
        let [yes, no] = [Trial::Retrievals(a, b), Trial::Retrievals(a, other)];
        Some(Pair {
            yes,
            no,
            patient,
            period: chart.day(a),
        })
    }

    /// A retrieval of `b`'s round other than `a` and `b`; or where it has no stranger, the nearest stranger before or
    /// after it, with equal chance, if that is near. What is nearer to `a` than `within` stays so.
    fn of_the_same_round(
        &mut self,
        a: usize,
        b: usize,
        within: Option<u64>,
        stranger: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        let chart = self.chart;
        let fetches = &chart.record.view.fetches;
        let round = fetches[b].time.0 / self.round_millis;
        let from = fetches.partition_point(|fetch| fetch.time.0 / self.round_millis < round);
        let to = fetches.partition_point(|fetch| fetch.time.0 / self.round_millis <= round);
        let fits = |other: &usize| *other != a && *other != b && stranger(*other);
        let inside: Vec<u32> = (from..to)
            .filter(|other| fits(other) && within.is_none_or(|most| chart.gap(a, *other) < most))
            .map(|other| other as u32)
            .collect();
        if !inside.is_empty() {
            return Some(self.one(&inside) as usize);
        }
        let near = |other: &usize| chart.gap(b, *other) <= BESIDE.as_millis() as u64;
        let other = match below(2, &mut self.rng) {
            0 => (0..from).rev().take_while(near).find(fits),
            _ => (to..fetches.len()).take_while(near).find(fits),
        }?;
        // Whichever side it is on, or those nearer to `a` would be kept more often.
        let farthest = chart.gap(a, b) + chart.gap(b, other);
        within.is_none_or(|most| farthest < most).then_some(other)
    }

    fn origin(&mut self, game: Game, item: usize, subjects: &[u32]) -> Option<Pair> {
        let chart = self.chart;
        let right = self.hospital(game, item)?;
        let others = if game == Game::UploadOriginWithinEpoch {
            chart.uploads_of_epoch.get(chart.epoch(item))
        } else {
            subjects
        };
        // Both change places with equal chance, or the wrong ones would be smaller hospitals than the right ones: a
        // pair
        // that does not fit either way is given up whole.
        let other = self.one(others) as usize;
        let wrong = self.hospital(game, other)?;
        if self.involved(game, item, wrong) || self.involved(game, other, right) {
            return None;
        }
        let ask = origin_question(game, item);
        let (patient, period) = if game.numeral() == "iii" {
            (chart.patient(chart.written(item)[0]), chart.epoch(item))
        } else {
            let whose = chart
                .read(item)
                .first()
                .map(|&bundle| chart.patient(bundle));
            (
                whose.unwrap_or(chart.patients() + item as u32),
                chart.day(item),
            )
        };
        Some(Pair {
            yes: ask(right),
            no: ask(wrong),
            patient,
            period,
        })
    }

    /// The hospital of a retrieval, or of a random one of the bundles in an upload.
    fn hospital(&mut self, game: Game, item: usize) -> Option<u16> {
        let truth = &self.chart.record.truth;
        if game.numeral() == "iv" {
            return Some(truth.fetches[item].hospital);
        }
        let written = &truth.uploads[item].bundles;
        (!written.is_empty()).then(|| truth.bundles[self.one(written) as usize].hospital)
    }

    /// Whether an upload holds anything of a hospital, or a retrieval is by it.
    fn involved(&self, game: Game, item: usize, hospital: u16) -> bool {
        let truth = &self.chart.record.truth;
        if game.numeral() == "iv" {
            return truth.fetches[item].hospital == hospital;
        }
        let written = truth.uploads[item].bundles.iter();
        written
            .map(|&of| truth.bundles[of as usize].hospital)
            .any(|of| of == hospital)
    }

    /// How often each hospital is right.
    fn shares(&mut self, game: Game, subjects: &[u32]) -> Vec<f64> {
        let mut counts: Vec<f64> = Vec::new();
        for &item in subjects {
            let Some(hospital) = self.hospital(game, item as usize) else {
                continue;
            };
            let hospital = usize::from(hospital);
            if counts.len() <= hospital {
                counts.resize(hospital + 1, 0.0);
            }
            counts[hospital] += 1.0;
        }
        let all: f64 = counts.iter().sum();
        counts.iter().map(|count| count / all.max(1.0)).collect()
    }

    fn target(&mut self, game: Game, a: usize, subjects: &[u32]) -> Option<Pair> {
        let chart = self.chart;
        let fetches = &chart.record.view.fetches;
        let (time, stack) = (fetches[a].time.0, fetches[a].stack);
        let right = self.eligible_of(a, a)?;
        let near = NEAR.as_millis() as u64;
        let from = subjects.partition_point(|&of| fetches[of as usize].time.0 + near < time);
        let to = subjects.partition_point(|&of| fetches[of as usize].time.0 <= time + near);
        let any = game == Game::RetrievalTargetAnyStack || !chart.scheduled;
        let other = find(&subjects[from..to], &mut self.rng, |other| {
            any || fetches[other].stack == stack
        })?;
        let wrong = self.eligible_of(other, a)?;
        // As with origins: whatever fits one way must fit the other, or the wrong ones would be older.
        let known = chart.read(a).contains(&wrong) || chart.read(other).contains(&right);
        if known || !self.eligible(right, other) {
            return None;
        }
        let [yes, no] = [Trial::RetrievalOf(a, right), Trial::RetrievalOf(a, wrong)];
        Some(Pair {
            yes,
            no,
            patient: chart.patient(right),
            period: chart.day(a),
        })
    }

    /// One of the bundles that `of` brought, if it could be read at the time of `a`.
    fn eligible_of(&mut self, of: usize, a: usize) -> Option<u32> {
        let bundle = self.one(self.chart.read(of));
        self.eligible(bundle, a).then_some(bundle)
    }

    fn eligible(&self, bundle: u32, fetch: usize) -> bool {
        self.chart.readable[bundle as usize]
            .is_some_and(|since| since <= self.chart.record.view.fetches[fetch].time)
    }

    fn identification(
        &mut self,
        game: Game,
        item: u32,
        hospitals: usize,
    ) -> Option<Identification> {
        let item = item as usize;
        if game.asks_origin() {
            let truth = usize::from(self.hospital(game, item)?);
            let candidates = (0..hospitals as u16)
                .map(origin_question(game, item))
                .collect();
            return Some(Identification { candidates, truth });
        }
        let right = self.eligible_of(item, item)?;
        let bundles = self.chart.record.truth.bundles.len() as u32;
        let mut candidates = vec![right];
        for _ in 0..TARGETS * TRIES as usize {
            let bundle = below(bundles, &mut self.rng);
            let known = candidates.contains(&bundle) || self.chart.read(item).contains(&bundle);
            if !known && self.eligible(bundle, item) {
                candidates.push(bundle);
            }
            if candidates.len() == TARGETS {
                break;
            }
        }
        // The right one is not to be known by its place.
        let truth = below(candidates.len() as u32, &mut self.rng) as usize;
        candidates.swap(0, truth);
        let candidates = candidates
            .into_iter()
            .map(|of| Trial::RetrievalOf(item, of))
            .collect();
        Some(Identification { candidates, truth })
    }

    /// A uniform one of a list that is not empty.
    fn one(&mut self, items: &[u32]) -> u32 {
        items[below(items.len() as u32, &mut self.rng) as usize]
    }
}

/// A uniform one of those that fit; nothing where none was found within the tries.
fn find(items: &[u32], rng: &mut ChaCha20Rng, fits: impl Fn(usize) -> bool) -> Option<usize> {
    let all = u32::try_from(items.len()).ok().filter(|&all| all > 0)?;
    (0..TRIES)
        .map(|_| items[below(all, rng) as usize] as usize)
        .find(|&item| fits(item))
}

/// Asks whether an item is of a hospital.
fn origin_question(game: Game, item: usize) -> impl Fn(u16) -> Trial {
    move |hospital| match game.numeral() {
        "iii" => Trial::UploadBy(item, hospital),
        _ => Trial::RetrievalBy(item, hospital),
    }
}
