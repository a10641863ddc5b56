//! What is recent is read.

use super::{Attack, Practice, Scorer, Seen, by_likelihood, log};
use crate::game::{Game, Trial};

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(Recency)
}

struct Recency;

impl Attack for Recency {
    fn name(&self) -> &'static str {
        "recency"
    }

    fn about(&self) -> &'static str {
        "what was deposited recently is read, by the law that practice shows"
    }

    fn plays(&self, game: Game) -> bool {
        game.asks_target()
    }

    fn prepare<'a>(
        &self,
        _: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a> {
        by_likelihood(practice, seen, |seen, trial| match trial {
            Trial::RetrievalOf(item, bundle) => {
                let deposited = seen.outside.deposited[bundle as usize];
                [log(seen.view.fetches[item].time.0.saturating_sub(deposited.0))]
            }
            _ => [f64::NAN],
        })
    }
}
