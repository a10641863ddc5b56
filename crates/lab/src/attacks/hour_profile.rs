//! Hospitals have habits: who works at this hour of this day of the week?

use super::{Attack, Practice, Scorer, Seen, by};
use crate::attacks_knowledge::hour_of_week;
use crate::game::{Game, Trial};

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(HourProfile)
}

struct HourProfile;

impl Attack for HourProfile {
    fn name(&self) -> &'static str {
        "hour profile"
    }

    fn about(&self) -> &'static str {
        "what share of its work each hospital does at this hour of the week"
    }

    fn plays(&self, game: Game) -> bool {
        game.asks_origin()
    }

    fn prepare<'a>(
        &self,
        _: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a> {
        let (deposits, consults) =
            (practice.knowledge.deposits.clone(), practice.knowledge.consults.clone());
        by(move |trial| {
            let (habits, hospital, time) = match trial {
                Trial::UploadBy(line, of) => (&deposits, of, seen.view.uploads[line].time),
                Trial::RetrievalBy(line, of) => (&consults, of, seen.view.fetches[line].time),
                _ => return f64::NAN,
            };
            let habit = habits.get(usize::from(hospital));
            habit.map_or(f64::NAN, |week| week[hour_of_week(time)])
        })
    }
}
