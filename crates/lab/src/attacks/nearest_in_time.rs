//! What happens close together belongs together.

use super::{Attack, Practice, Scorer, Seen, by};
use crate::game::{Game, Trial};

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(NearestInTime)
}

struct NearestInTime;

impl Attack for NearestInTime {
    fn name(&self) -> &'static str {
        "nearest in time"
    }

    fn about(&self) -> &'static str {
        "what happens close together belongs together"
    }

    fn plays(&self, game: Game) -> bool {
        game.pairs_uploads() || game.pairs_retrievals()
    }

    fn prepare<'a>(&self, _: Game, _: &Practice<'_>, seen: Seen<'a>) -> Box<dyn Scorer + 'a> {
        let view = seen.view;
        by(move |trial| {
            let (a, b) = match trial {
                Trial::Uploads(a, b) => (view.uploads[a].time, view.uploads[b].time),
                Trial::Retrievals(a, b) => (view.fetches[a].time, view.fetches[b].time),
                _ => return f64::NAN,
            };
            -(a.0.abs_diff(b.0) as f64)
        })
    }
}
