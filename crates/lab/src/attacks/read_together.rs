//! What one reader reads in one sitting is of one patient.

use super::{Attack, Practice, Scorer, Seen, by_likelihood, log};
use crate::game::{Game, Trial};
use crate::record::Fetch;

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(ReadTogether)
}

struct ReadTogether;

/// Downloads of one object that are looked at.
const LOOKED_AT: usize = 24;

impl Attack for ReadTogether {
    fn name(&self) -> &'static str {
        "read together"
    }

    fn about(&self) -> &'static str {
        "how soon after each other the same account or address has read both objects, anywhere in the log"
    }

    fn plays(&self, game: Game) -> bool {
        game.pairs_uploads() || game.pairs_retrievals()
    }

    fn prepare<'a>(
        &self,
        _: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a> {
        by_likelihood(practice, seen, |seen, trial| {
            let (uploads, fetches) = (&seen.view.uploads, &seen.view.fetches);
            let (asked, objects) = match trial {
                Trial::Uploads(a, b) => ([None; 2], [uploads[a].object, uploads[b].object]),
                Trial::Retrievals(a, b) => {
                    ([Some(a), Some(b)], [fetches[a].object, fetches[b].object])
                }
                _ => return [f64::NAN; 2],
            };
            let [Some(a), Some(b)] = objects else {
                return [f64::NAN; 2];
            };
            // The lines that are asked about say what other attacks already know.
            let reads = |object: u32| {
                let lines = seen.outside.reads(object).iter().map(|&line| line as usize);
                lines.filter(|&line| !asked.contains(&Some(line))).take(LOOKED_AT)
            };
            let mut soonest = [u64::MAX; 2];
            for x in reads(a) {
                for y in reads(b) {
                    let gap = fetches[x].time.0.abs_diff(fetches[y].time.0);
                    soonest[1] = soonest[1].min(gap);
                    if one_reader(&fetches[x], &fetches[y]) {
                        soonest[0] = soonest[0].min(gap);
                    }
                }
            }
            soonest.map(|gap| if gap == u64::MAX { f64::NAN } else { log(gap) })
        })
    }
}

fn one_reader(a: &Fetch, b: &Fetch) -> bool {
    (a.account.is_some() && a.account == b.account) || (a.peer.is_some() && a.peer == b.peer)
}
