//! A whole run of the laboratory: every system under two seeds, one to practise on and one to attack, every game, the
//! controls, and sweeps.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::controls;
use crate::game::{self, Game, Outcome};
use crate::report::{Control, ControlState, Report, Row, SystemRow};
use crate::systems::{Kind, System};
use crate::traffic::Scenario;
use crate::world::{Run, WorldError};

mod sweep;
#[cfg(test)]
mod tests;

/// Runs at a time: each holds two logs of millions of lines.
const AT_ONCE: usize = 2;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// The network and its traffic.
    pub scenario: Scenario,
    /// Seed of the attacked run; the practice run has the next one.
    pub seed: u64,
    /// Which systems, in the order of the table.
    pub systems: Vec<System>,
    /// Which games, and how many questions.
    pub play: game::Options,
    /// The network that is swept, smaller; none is not to sweep.
    pub sweeps: Option<Scenario>,
}

impl Options {
    /// Everything, at full length.
    #[must_use]
    pub fn new(scenario: Scenario) -> Self {
        Self {
            sweeps: Some(Scenario {
                hospitals: scenario.hospitals.min(12),
                days: scenario.days.min(21),
                ..scenario.clone()
            }),
            scenario,
            seed: 1,
            systems: System::ALL.to_vec(),
            play: game::Options::default(),
        }
    }

    /// Everything but sweeps, with fewer questions, for a first look: within two minutes on two busy cores.
    #[must_use]
    pub fn quick(scenario: Scenario) -> Self {
        let mut options = Self::new(scenario);
        options.play.pairs /= 4;
        options.play.practice_pairs /= 3;
        options.play.identifications /= 4;
        options.sweeps = None;
        options
    }

    /// How many steps a run tells of.
    #[must_use]
    pub fn steps(&self) -> usize {
        3 * self.systems.len() + self.sweeps.iter().len() * sweep::STEPS
    }
}

/// What a run tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum Step<'a> {
    /// Something begins.
    Begins(&'a str),
    /// A step is done.
    Done,
}

/// Whoever listens.
pub type Listener<'a> = &'a (dyn Fn(Step<'_>) + Sync);

/// Why a run stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A world did.
    #[error("the system {system} could not be run")]
    World {
        /// Which.
        system: &'static str,
        /// Why.
        #[source]
        cause: WorldError,
    },
    /// A worker ended without an answer.
    #[error("a worker of the run ended early; its message stands above")]
    Worker,
}

/// Runs, attacks, judges. What is said of time is the caller's to add.
///
/// # Errors
/// [`RunError`].
pub fn run(options: &Options, listener: Listener<'_>) -> Result<Report, RunError> {
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<(usize, Result<Attacked, RunError>)>> = Mutex::default();
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(system) = options.systems.get(number) else {
                return;
            };
            let attacked = attack(*system, options, listener);
            let mut done = done.lock().unwrap_or_else(PoisonError::into_inner);
            done.push((number, attacked));
        }
    };
    std::thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        // What a worker that panicked did not do is missed below.
        let _: Vec<_> = workers.into_iter().map(|worker| worker.join()).collect();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    if done.len() != options.systems.len() {
        return Err(RunError::Worker);
    }
    done.sort_by_key(|(number, _)| *number);
    let mut report = Report {
        scenario: serde_json::to_value(&options.scenario).unwrap_or_default(),
        seed: options.seed,
        ..Report::default()
    };
    for (_, attacked) in done {
        let attacked = attacked?;
        report.rows.extend(attacked.rows);
        report.systems.push(attacked.system);
        report.controls.extend(attacked.controls);
    }
    // What was left out is said too: without the controls nothing is known of the laboratory itself.
    for (kind, control) in [(Kind::Product, null(&[])), (Kind::Control, planted(&[]))] {
        if !options.systems.iter().any(|system| system.kind() == kind) {
            report.controls.push(control);
        }
    }
    if let Some(swept) = &options.sweeps {
        report.sweeps = sweep::all(swept, options, listener)?;
    }
    report.judge();
    Ok(report)
}

/// What came of one system.
struct Attacked {
    rows: Vec<Row>,
    system: SystemRow,
    controls: Vec<Control>,
}

fn attack(system: System, options: &Options, listener: Listener<'_>) -> Result<Attacked, RunError> {
    let world = |seed: u64, what: &str| -> Result<Run, RunError> {
        listener(Step::Begins(&format!("{}: {what}", system.name())));
        let run = system
            .run_whole(&options.scenario, seed)
            .map_err(|cause| RunError::World {
                system: system.name(),
                cause,
            })?;
        listener(Step::Done);
        Ok(run)
    };
    let practice = world(options.seed.wrapping_add(1), "a run to practise on")?.record;
    let attacked = world(options.seed, "the run to attack")?;
    listener(Step::Begins(&format!("{}: attacks", system.name())));
    let outcomes = game::play(&practice, &attacked.record, &options.play);
    let mut controls = Vec::new();
    match system.kind() {
        Kind::Control => controls.push(planted(&outcomes)),
        Kind::Product => {
            let shuffled = game::Options {
                shuffled: true,
                ..options.play.clone()
            };
            controls.push(null(&game::play(&practice, &attacked.record, &shuffled)));
        }
        Kind::Variant | Kind::Baseline => {}
    }
    listener(Step::Done);
    Ok(Attacked {
        rows: rows(system, &outcomes),
        system: SystemRow {
            name: system.name().to_owned(),
            about: system.about().to_owned(),
            kind: kind(system).to_owned(),
            costs: serde_json::to_value(&attacked.summary).unwrap_or_default(),
        },
        controls,
    })
}

fn kind(system: System) -> &'static str {
    match system.kind() {
        Kind::Product => "product",
        Kind::Variant => "variant",
        Kind::Baseline => "baseline",
        Kind::Control => "control",
    }
}

fn rows(system: System, outcomes: &[Outcome]) -> Vec<Row> {
    let best = game::best(outcomes);
    let row = |outcome: &Outcome| Row {
        game: name(outcome.game),
        numeral: outcome.game.numeral().to_owned(),
        title: outcome.game.name().to_owned(),
        promised: outcome.game.promised(),
        system: system.name().to_owned(),
        attack: outcome.attack.clone(),
        auc: outcome.auc,
        ci_low: outcome.ci_low,
        ci_high: outcome.ci_high,
        kind: kind(system).to_owned(),
        baseline: system.is_baseline(),
        best: best.iter().any(|best| std::ptr::eq(*best, outcome)),
        advantage: outcome.advantage,
        tpr_at_1e3: outcome.tpr_at_1e3,
        top1: outcome.top1,
        prior_top1: outcome.prior_top1,
        gain_half: outcome.gain_half,
        identifications: outcome.identifications,
        entropy: outcome.entropy,
        prior_entropy: outcome.prior_entropy,
        trials: outcome.trials,
    };
    outcomes.iter().map(row).collect()
}

/// A game's name for programs.
#[must_use]
pub fn name(game: Game) -> String {
    serde_json::to_value(game)
        .ok()
        .and_then(|value| value.as_str().map(str::to_owned))
        .unwrap_or_default()
}

/// Nobody may know what was dealt out at random.
fn null(outcomes: &[Outcome]) -> Control {
    let far = outcomes
        .iter()
        .max_by(|a, b| (a.auc - 0.5).abs().total_cmp(&(b.auc - 0.5).abs()));
    Control {
        name: "answers dealt out at random".to_owned(),
        wanted: "0.50 within the intervals, by every attack in every game".to_owned(),
        found: far.map_or_else(
            || "no game was played".to_owned(),
            |far| {
                format!(
                    "{} outcomes, the furthest {:.3} ({:.3} to {:.3}): {}, {}",
                    outcomes.len(),
                    far.auc,
                    far.ci_low,
                    far.ci_high,
                    name(far.game),
                    far.attack
                )
            },
        ),
        state: match outcomes {
            [] => ControlState::NotPlayed,
            _ => ControlState::of(controls::nothing_known(outcomes)),
        },
    }
}

/// The games whose items show the planted bit.
const PLANTED: [Game; 2] = [Game::UploadsWithinEpoch, Game::RetrievalsWithinWindow];

/// Where a slot is shared by many patients the bit shows less of each; but it must show.
const FOUND: f64 = 0.55;

/// The planted bit must be found wherever it shows.
fn planted(outcomes: &[Outcome]) -> Control {
    let best = game::best(outcomes);
    let shown: Vec<&&Outcome> = best
        .iter()
        .filter(|outcome| PLANTED.contains(&outcome.game))
        .collect();
    let found: Vec<String> = shown
        .iter()
        .map(|outcome| {
            format!(
                "{} {:.3} ({:.3} to {:.3}) by {}",
                name(outcome.game),
                outcome.auc,
                outcome.ci_low,
                outcome.ci_high,
                outcome.attack
            )
        })
        .collect();
    Control {
        name: "a planted bit of the patient's number".to_owned(),
        wanted: format!(
            "an attack that finds it: about {:.2} where an item is about one patient",
            controls::PLANTED_BIT_AUC
        ),
        found: if found.is_empty() {
            "no game was played that shows it".to_owned()
        } else {
            found.join("; ")
        },
        state: match shown.as_slice() {
            [] => ControlState::NotPlayed,
            shown => ControlState::of(
                shown.iter().any(|outcome| controls::bit_found(outcome))
                    && shown.iter().all(|outcome| outcome.ci_low > FOUND),
            ),
        },
    }
}
