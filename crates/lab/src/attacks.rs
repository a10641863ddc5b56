//! The attacks. Each is a file of this folder with a function `attack() -> Box<dyn Attack>`; `build.rs` finds it.

use crate::game::{Game, Trial};
use crate::record::View;

include!(concat!(env!("OUT_DIR"), "/attacks.rs"));

/// A way to answer games from the cloud's view.
pub trait Attack: Send + Sync {
    /// Its name in tables.
    fn name(&self) -> &'static str;

    /// What it does, in a sentence for the report.
    fn about(&self) -> &'static str;

    /// Whether it has an answer to this game.
    fn plays(&self, game: Game) -> bool;

    /// Makes ready to attack: with what is public, and with a run of the same network under another seed, whose answers
    /// the attacker knows because it simulated it.
    fn prepare<'a>(
        &self,
        game: Game,
        practice: &Practice<'_>,
        view: &'a View,
    ) -> Box<dyn Scorer + 'a>;
}

/// Questions with their answers.
pub struct Practice<'a> {
    /// The log of the practice run.
    pub view: &'a View,
    /// Questions about it.
    pub trials: &'a [Trial],
    /// Their answers.
    pub answers: &'a [bool],
}

/// An attack that is ready.
pub trait Scorer: Sync {
    /// The larger, the likelier yes.
    fn score(&self, trial: Trial) -> f64;
}
