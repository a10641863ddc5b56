//! What a run of the laboratory says: figures for programs (JSON), a table, drawings and a page for people.

pub(crate) mod chart;
pub(crate) mod columns;
mod drawings;
mod goal;
mod html;
mod markdown;
mod real_log;
mod text;

use serde::Serialize;

use crate::game::Game;
use crate::run;
use crate::systems::System;

pub use chart::ChartError;
pub use drawings::{Drawing, drawings};
pub use goal::Mark;
pub use html::page;
pub use markdown::results;
pub use real_log::{Expected, RealLog, verdict};
pub use text::tables;

#[cfg(test)]
mod tests;

/// Everything that a run found.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Report {
    /// The network and its traffic, as it was run.
    pub scenario: serde_json::Value,
    /// Seed of the attacked run; the practice run has the next one.
    pub seed: u64,
    /// Every attack on every game of every system.
    pub rows: Vec<Row>,
    /// What was run.
    pub systems: Vec<SystemRow>,
    /// What the games must find, and what they must not.
    pub controls: Vec<Control>,
    /// For each system and game, whether the goal was met.
    pub verdicts: Vec<Verdict>,
    /// How leaks and costs move with one figure.
    pub sweeps: Vec<Sweep>,
    /// How long everything took.
    pub seconds: f64,
}

/// One attack on one game of one system.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// The game's name for programs.
    pub game: String,
    /// Its number of the five: `i` to `v`.
    pub numeral: String,
    /// What it asks, in words.
    pub title: String,
    /// Whether the product promises a half here.
    pub promised: bool,
    /// Of which system.
    pub system: String,
    /// By which attack.
    pub attack: String,
    /// Area under the receiver operating characteristic.
    pub auc: f64,
    /// Its 95 % interval.
    pub ci_low: f64,
    /// See [`Self::ci_low`].
    pub ci_high: f64,
    /// What the system is: `product`, `variant`, `baseline` or `control`.
    pub kind: String,
    /// Whether the system is a baseline that must lose.
    pub baseline: bool,
    /// Whether this attack was the best on the half of the questions that is not reported.
    pub best: bool,
    /// The largest true minus false positive rate.
    pub advantage: f64,
    /// True positive rate at this false positive rate.
    #[serde(rename = "tpr_at_fpr_1e-3")]
    pub tpr_at_1e3: f64,
    /// How often the likeliest of several candidates was right.
    pub top1: Option<f64>,
    /// How often it would have been without the log.
    pub prior_top1: Option<f64>,
    /// Half of the 95 % interval of their difference, over the same questions.
    pub gain_half: Option<f64>,
    /// Questions of which of several candidates is right.
    pub identifications: usize,
    /// Bits that are unknown after the attack.
    pub entropy: f64,
    /// … and before.
    pub prior_entropy: f64,
    /// Questions.
    pub trials: usize,
}

/// A system that was attacked.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SystemRow {
    /// Its name in rows.
    pub name: String,
    /// What it is, in a sentence.
    pub about: String,
    /// What it is: `product`, `variant`, `baseline` or `control`.
    pub kind: String,
    /// What its attacked run cost and how long readers waited.
    pub costs: serde_json::Value,
}

impl SystemRow {
    /// A figure of its costs.
    fn cost(&self, name: &str) -> f64 {
        self.costs
            .get(name)
            .and_then(serde_json::Value::as_f64)
            .unwrap_or(0.0)
    }
}

/// A control.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Control {
    /// Which.
    pub name: String,
    /// What must come of it.
    pub wanted: String,
    /// What came of it.
    pub found: String,
    /// Whether that is right.
    pub state: ControlState,
}

/// What became of a control.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ControlState {
    /// As it must be.
    Right,
    /// Otherwise: no figure counts.
    Wrong,
    /// The run left it out: nothing is known of the laboratory itself.
    NotPlayed,
}

impl ControlState {
    /// A sign for tables.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Right => "✓",
            Self::Wrong => "✗",
            Self::NotPlayed => "?",
        }
    }

    pub(crate) fn of(behaves: bool) -> Self {
        if behaves { Self::Right } else { Self::Wrong }
    }
}

/// Whether a goal was met.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Of which system.
    pub system: String,
    /// In which game.
    pub game: String,
    /// What became of it.
    pub mark: Mark,
    /// By which attack, how far.
    pub says: String,
}

/// One figure at several values.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sweep {
    /// `old-share`, `delay-by-log`, `round-seconds`.
    pub name: String,
    /// Its values.
    pub points: Vec<SweepPoint>,
}

/// A value of the figure that is swept, and what came of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SweepPoint {
    /// The value.
    pub x: f64,
    /// A name, where a point is none of the line: of re-placement `none`, where what was read does not go back either.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named: Option<String>,
    /// What was measured: names and figures.
    pub figures: Vec<(String, f64)>,
}

impl SweepPoint {
    /// A figure by name.
    #[must_use]
    pub fn figure(&self, name: &str) -> Option<f64> {
        let found = self.figures.iter().find(|(found, _)| found == name);
        found.map(|(_, value)| *value)
    }
}

impl Report {
    /// Whether all controls were played and behave.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        let right = |control: &Control| control.state == ControlState::Right;
        !self.controls.is_empty() && self.controls.iter().all(right)
    }

    /// Whether a control that was played does not behave.
    #[must_use]
    pub fn misbehaves(&self) -> bool {
        let wrong = |control: &Control| control.state == ControlState::Wrong;
        self.controls.iter().any(wrong)
    }

    /// The promises that are not kept, and the baselines that do not lose.
    #[must_use]
    pub fn misses(&self) -> Vec<&Verdict> {
        let missed = |verdict: &&Verdict| verdict.mark == Mark::Missed;
        self.verdicts.iter().filter(missed).collect()
    }

    /// Promises of which the run is too short to say whether they are kept.
    #[must_use]
    pub fn unclear(&self) -> usize {
        let unclear =
            |verdict: &&Verdict| verdict.mark == Mark::Unclear && self.is_product(&verdict.system);
        self.verdicts.iter().filter(unclear).count()
    }

    /// Games that a baseline must lose and was not seen to: the baseline and the game. Games that were not played say
    /// nothing.
    #[must_use]
    pub fn standing(&self) -> Vec<(&str, String)> {
        let mut standing = Vec::new();
        for system in &self.systems {
            let must = System::by_name(&system.name).map_or(&[][..], System::must_lose);
            for game in must.iter().map(|game| run::name(*game)) {
                let row = self.best(&system.name, &game);
                if row.is_some_and(|row| row.ci_low <= goal::LOST) {
                    standing.push((system.name.as_str(), game));
                }
            }
        }
        standing
    }

    /// The row of the best attack.
    #[must_use]
    pub fn best(&self, system: &str, game: &str) -> Option<&Row> {
        self.rows
            .iter()
            .find(|row| row.best && row.system == system && row.game == game)
    }

    /// The games that were played, in order: name for programs, number, whether promised.
    fn games(&self) -> Vec<&Row> {
        let mut games: Vec<&Row> = Vec::new();
        for row in &self.rows {
            if !games.iter().any(|game| game.game == row.game) {
                games.push(row);
            }
        }
        games
    }

    /// Says of every best row what became of it, and of every promise of the product that nothing was asked about.
    pub fn judge(&mut self) {
        self.verdicts = self
            .rows
            .iter()
            .filter(|row| row.best)
            .map(Verdict::of)
            .collect();
        let products = self
            .systems
            .iter()
            .filter(|system| system.kind == "product");
        for system in products {
            for game in Game::ALL.into_iter().filter(|game| game.promised()) {
                if self.best(&system.name, &run::name(game)).is_none() {
                    self.verdicts.push(Verdict::not_played(&system.name, game));
                }
            }
        }
    }

    /// How many promises the product keeps.
    fn kept(&self) -> usize {
        let kept =
            |verdict: &&Verdict| verdict.mark == Mark::Met && self.is_product(&verdict.system);
        self.verdicts.iter().filter(kept).count()
    }

    fn is_product(&self, name: &str) -> bool {
        let found = self.systems.iter().find(|system| system.name == name);
        found.is_some_and(|system| system.kind == "product")
    }

    fn mark(&self, system: &str, game: &str) -> Mark {
        let found = self
            .verdicts
            .iter()
            .find(|verdict| verdict.system == system && verdict.game == game);
        found.map_or(Mark::Context, |verdict| verdict.mark)
    }
}
