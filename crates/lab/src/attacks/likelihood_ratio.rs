//! The delay law and the rate of traffic are known: how likely is what is seen, if yes and if no?

use harpo_protocol::time::Timestamp;

use super::{Attack, Knowledge, Practice, Scorer, Seen, by, by_likelihood, log};
use crate::attacks_knowledge::{WEEK_HOURS, hour_of_week};
use crate::game::{Game, Trial};

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(LikelihoodRatio)
}

struct LikelihoodRatio;

impl Attack for LikelihoodRatio {
    fn name(&self) -> &'static str {
        "likelihood ratio"
    }

    fn about(&self) -> &'static str {
        "how likely the gap is, in time and in lines of the log, under the known law of delays and the rate of traffic"
    }

    fn plays(&self, game: Game) -> bool {
        game.pairs_uploads() || game.pairs_retrievals() || game.numeral() == "iii"
    }

    fn prepare<'a>(
        &self,
        game: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a> {
        if game.numeral() == "iii" {
            let table = origin(practice.knowledge);
            return by(move |trial| match trial {
                Trial::UploadBy(upload, hospital) => {
                    let hour = hour_of_week(seen.view.uploads[upload].time);
                    table.get(usize::from(hospital)).map_or(f64::NAN, |week| week[hour])
                }
                _ => f64::NAN,
            });
        }
        by_likelihood(practice, seen, |seen, trial| {
            let (times, lines) = match trial {
                Trial::Uploads(a, b) => {
                    ([seen.view.uploads[a].time, seen.view.uploads[b].time], a.abs_diff(b))
                }
                Trial::Retrievals(a, b) => {
                    ([seen.view.fetches[a].time, seen.view.fetches[b].time], a.abs_diff(b))
                }
                _ => return [f64::NAN; 2],
            };
            [log(between(times)), log(lines as u64)]
        })
    }
}

fn between([a, b]: [Timestamp; 2]) -> u64 {
    a.0.abs_diff(b.0)
}

/// For each hospital and hour of the week, the logarithm of how likely an upload then is, if it is that hospital's: its
/// deposits of the hours before, each as likely as the delay up to then.
fn origin(knowledge: &Knowledge) -> Vec<Vec<f64>> {
    let likely = |week: &[f64; WEEK_HOURS], hour: usize| -> f64 {
        let delays = knowledge.delays.iter().enumerate();
        delays
            .map(|(delay, share)| share * week[(hour + 2 * WEEK_HOURS - delay) % WEEK_HOURS])
            .sum()
    };
    let week_of = |week| (0..WEEK_HOURS).map(|hour| likely(week, hour).ln()).collect();
    knowledge.deposits.iter().map(week_of).collect()
}
