//! One figure at several values: what moves with it.

use crate::game::{self, Game, Outcome};
use crate::plan::law;
use crate::report::{Sweep, SweepPoint};
use crate::run::{Listener, Options, RunError, Step};
use crate::traffic::Scenario;
use crate::world::{self, Run, Settings, Way};

/// Shares of errands, with what was read going back; first a point without any re-placement.
const SHARES: [(f64, bool); 5] = [
    (0.0, false),
    (0.0, true),
    (0.25, true),
    (0.5, true),
    (0.75, true),
];
const DELAYS: [f64; 4] = [0.02, 0.08, 0.2, 0.4];
const ROUNDS: [u32; 4] = [30, 60, 120, 300];
/// Steps that all sweeps take.
pub(super) const STEPS: usize = SHARES.len() + DELAYS.len() + ROUNDS.len();
/// Questions of a point, as a share of those of a game.
const FEWER: usize = 3;

/// Every sweep over the traffic of a scenario.
pub(super) fn all(
    scenario: &Scenario,
    options: &Options,
    listener: Listener<'_>,
) -> Result<Vec<Sweep>, RunError> {
    let swept = Swept {
        scenario,
        options,
        listener,
    };
    Ok(vec![
        swept.old_share()?,
        swept.delay_by_log()?,
        swept.round_seconds()?,
    ])
}

struct Swept<'a> {
    scenario: &'a Scenario,
    options: &'a Options,
    listener: Listener<'a>,
}

impl Swept<'_> {
    /// How little times of writes say over a whole log, and how many slots that takes.
    fn old_share(&self) -> Result<Sweep, RunError> {
        let point = |(share, after_read): &(f64, bool)| {
            let mut settings = Settings::default();
            settings.trust.replacement.old_share = *share;
            settings.trust.replacement.after_read = *after_read;
            let (outcomes, run) = self.attacked("errands", *share, &settings)?;
            let costs = &run.summary;
            let all = costs.slots_fresh + costs.slots_replaced + costs.slots_cover;
            let fresh = costs.slots_fresh.max(1) as f64;
            let mut figures = vec![
                ("slots written for one fresh".to_owned(), all as f64 / fresh),
                (
                    "of them holding something".to_owned(),
                    (costs.slots_fresh + costs.slots_replaced) as f64 / fresh,
                ),
            ];
            figures.extend(
                outcomes
                    .iter()
                    .map(|best| (format!("AUC, {}", best.game.name()), best.auc)),
            );
            Ok(SweepPoint {
                x: *share,
                named: (!after_read).then(|| "none".to_owned()),
                figures,
            })
        };
        sweep("old-share", SHARES.iter().map(point))
    }

    /// Exponential mixing over one generation that is never full, beside the closed form.
    fn delay_by_log(&self) -> Result<Sweep, RunError> {
        let log = f64::from(self.scenario.days) * 86_400.0;
        let point = |share: &f64| {
            let mut settings = Settings {
                way: Way::AtOnce,
                ..Settings::default()
            };
            let trust = &mut settings.trust;
            trust.replacement.old_share = 0.0;
            trust.replacement.after_read = false;
            trust.mixing.mode = harpo_trust::config::Mode::Exponential;
            trust.mixing.mean_delay_seconds = (share * log) as u64;
            trust.mixing.seal_after_seconds = 1 << 32;
            trust.layout.slots_per_generation = 1 << 16;
            trust.ring.max_polynomials_per_stack = 1024;
            let (outcomes, _) = self.attacked("delay", *share, &settings)?;
            let measured = outcomes
                .iter()
                .find(|best| best.game == Game::UploadsOfOneStudy);
            let mut figures = vec![(
                "closed form".to_owned(),
                law::exponential_auc(share * log, log),
            )];
            figures.extend(measured.map(|best| ("best attack".to_owned(), best.auc)));
            Ok(SweepPoint {
                x: *share,
                named: None,
                figures,
            })
        };
        sweep("delay-by-log", DELAYS.iter().map(point))
    }

    /// What readers wait; nobody attacks.
    fn round_seconds(&self) -> Result<Sweep, RunError> {
        let point = |seconds: &u32| {
            let mut settings = Settings::default();
            if let Way::Rounds(rule) = &mut settings.way {
                rule.seconds = *seconds;
            }
            self.begins("rounds", f64::from(*seconds));
            let run = self.world(&settings, self.options.seed)?;
            (self.listener)(Step::Done);
            let (mean, most) = law::wait_in_rounds(2);
            let figures = [
                ("waited, median", run.summary.wait_median),
                ("waited, 95 %", run.summary.wait_95),
                (
                    "closed form, newest of several stacks: mean",
                    mean * f64::from(*seconds),
                ),
                ("… 95 %", most * f64::from(*seconds)),
            ];
            Ok(SweepPoint {
                x: f64::from(*seconds),
                named: None,
                figures: figures
                    .map(|(name, value)| (name.to_owned(), value))
                    .to_vec(),
            })
        };
        sweep("round-seconds", ROUNDS.iter().map(point))
    }

    /// The best attacks on two runs of these settings, and what the attacked one cost.
    fn attacked(
        &self,
        what: &str,
        value: f64,
        settings: &Settings,
    ) -> Result<(Vec<Outcome>, Run), RunError> {
        self.begins(what, value);
        let seed = self.options.seed;
        let practice = self.world(settings, seed.wrapping_add(1))?.record;
        let attacked = self.world(settings, seed)?;
        let play = game::Options {
            games: vec![
                Game::UploadsOfOneStudy,
                Game::UploadsOfDifferentStudies,
                Game::UploadsWholeLog,
            ],
            pairs: self.options.play.pairs / FEWER,
            practice_pairs: self.options.play.practice_pairs / FEWER,
            ..self.options.play.clone()
        };
        let outcomes = game::play(&practice, &attacked.record, &play);
        let best = game::best(&outcomes).into_iter().cloned().collect();
        (self.listener)(Step::Done);
        Ok((best, attacked))
    }

    fn world(&self, settings: &Settings, seed: u64) -> Result<Run, RunError> {
        let run = world::simulate(settings, self.scenario, seed, None);
        run.map_err(|cause| RunError::World {
            system: "of a sweep",
            cause,
        })
    }

    fn begins(&self, what: &str, value: f64) {
        (self.listener)(Step::Begins(&format!("sweep of {what}: {value}")));
    }
}

fn sweep(
    name: &str,
    points: impl Iterator<Item = Result<SweepPoint, RunError>>,
) -> Result<Sweep, RunError> {
    Ok(Sweep {
        name: name.to_owned(),
        points: points.collect::<Result<_, _>>()?,
    })
}
