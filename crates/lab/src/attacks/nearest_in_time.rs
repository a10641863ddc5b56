//! What happens close together belongs together.

use super::{Attack, Practice, Scorer};
use crate::game::{Game, Trial};
use crate::record::View;

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
        matches!(
            game,
            Game::UploadsWithinEpoch
                | Game::UploadsWholeLog
                | Game::RetrievalsWithinWindow
                | Game::RetrievalsWholeLog
        )
    }

    fn prepare<'a>(&self, _: Game, _: &Practice<'_>, view: &'a View) -> Box<dyn Scorer + 'a> {
        Box::new(Gap(view))
    }
}

struct Gap<'a>(&'a View);

impl Scorer for Gap<'_> {
    fn score(&self, trial: Trial) -> f64 {
        let (a, b) = match trial {
            Trial::Uploads(a, b) => (self.0.uploads[a].time, self.0.uploads[b].time),
            Trial::Retrievals(a, b) => (self.0.fetches[a].time, self.0.fetches[b].time),
            _ => return 0.0,
        };
        -(a.0.abs_diff(b.0) as f64)
    }
}
