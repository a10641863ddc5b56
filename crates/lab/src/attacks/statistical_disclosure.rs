//! Statistical disclosure: signs that are seen when a hospital is busy are likely its own (Danezis 2003).

use super::{Attack, Practice, Scorer, Seen, by};
use crate::attacks_signs::Signs;
use crate::game::Game;

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(StatisticalDisclosure)
}

struct StatisticalDisclosure;

impl Attack for StatisticalDisclosure {
    fn name(&self) -> &'static str {
        "statistical disclosure"
    }

    fn about(&self) -> &'static str {
        "whose busy hours do the lines with this sign (account, address, or size) keep, over the whole log?"
    }

    fn plays(&self, game: Game) -> bool {
        game.asks_origin()
    }

    fn prepare<'a>(
        &self,
        game: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a> {
        let signs = Signs::of(game, seen);
        let habits = match game.numeral() {
            "iii" => &practice.knowledge.deposits,
            _ => &practice.knowledge.consults,
        };
        // For each sign and hospital the mean over the sign's lines of the log likelihood of their hours.
        let table: Vec<Vec<f64>> = signs
            .weeks
            .iter()
            .map(|week| {
                let lines: f64 = week.iter().sum();
                let fits = |habit: &[f64]| -> f64 {
                    week.iter().zip(habit).map(|(count, share)| count * share.ln()).sum()
                };
                habits.iter().map(|habit| fits(habit) / lines).collect()
            })
            .collect();
        by(move |trial| {
            let likely = signs.asked(trial).and_then(|(sign, of)| table.get(sign)?.get(of));
            likely.copied().unwrap_or(f64::NAN)
        })
    }
}
