//! Where in the minute something happens.

use super::{Attack, Practice, Scorer, Seen, by_likelihood, by_sign};
use crate::game::{Game, Trial};

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(MomentInRound)
}

struct MomentInRound;

/// Rounds of this length, or clocks that tick in it.
const ROUND_MILLIS: u64 = 60_000;

impl Attack for MomentInRound {
    fn name(&self) -> &'static str {
        "moment in the round"
    }

    fn about(&self) -> &'static str {
        "where in the minute, and in which half of it and which second, something happens"
    }

    fn plays(&self, game: Game) -> bool {
        !game.asks_target()
    }

    fn prepare<'a>(
        &self,
        game: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a> {
        if game.asks_origin() {
            return by_sign(practice, seen, |seen, trial| {
                let [at, _] = times(seen, trial);
                at % ROUND_MILLIS / (ROUND_MILLIS / 4)
            });
        }
        by_likelihood(practice, seen, |seen, trial| {
            let [a, b] = times(seen, trial).map(|at| at % ROUND_MILLIS);
            let apart = a.abs_diff(b);
            let half = |at: u64| at / (ROUND_MILLIS / 2);
            [
                f64::from(u8::from(half(a) == half(b))),
                apart.min(ROUND_MILLIS - apart) as f64,
                (a % 1000).abs_diff(b % 1000) as f64,
            ]
        })
    }
}

fn times(seen: Seen<'_>, trial: Trial) -> [u64; 2] {
    let upload = |line: usize| seen.view.uploads[line].time.0;
    let fetch = |line: usize| seen.view.fetches[line].time.0;
    match trial {
        Trial::Uploads(a, b) => [upload(a), upload(b)],
        Trial::Retrievals(a, b) => [fetch(a), fetch(b)],
        Trial::UploadBy(line, _) => [upload(line); 2],
        Trial::RetrievalBy(line, _) | Trial::RetrievalOf(line, _) => [fetch(line); 2],
    }
}
