//! Sessions: who works is seen by bursts and by the gaps to what comes before and after.

use super::{Attack, Practice, Scorer, Seen, by_likelihood, by_sign, log, log_gap};
use crate::game::{Game, Trial};

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(SessionTiming)
}

struct SessionTiming;

/// Around an item this much time is looked at for bursts.
const AROUND_MILLIS: u64 = 5 * 60 * 1000;

impl Attack for SessionTiming {
    fn name(&self) -> &'static str {
        "session timing"
    }

    fn about(&self) -> &'static str {
        "gaps to the lines before and after, bursts around each, and how many lines lie between"
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
                let [before, after, around] = match trial {
                    Trial::UploadBy(item, _) => uploads(seen, item),
                    Trial::RetrievalBy(item, _) => fetches(seen, item),
                    _ => return 0,
                };
                let class = |number: u64| u64::from(64 - number.leading_zeros()) / 2;
                class(before.min(after)) << 8 | class(around)
            });
        }
        by_likelihood(practice, seen, |seen, trial| {
            let (a, b, between) = match trial {
                Trial::Uploads(a, b) => (uploads(seen, a), uploads(seen, b), a.abs_diff(b)),
                Trial::Retrievals(a, b) => (fetches(seen, a), fetches(seen, b), a.abs_diff(b)),
                _ => return [f64::NAN; 6],
            };
            [
                log_gap(a[0], b[0]),
                log_gap(a[1], b[1]),
                log_gap(a[2], b[2]),
                log(b[0].min(b[1])),
                log(a[2] + b[2]),
                log(between as u64),
            ]
        })
    }
}

/// Milliseconds since the line before and until the next, and lines around.
fn around(time: impl Fn(usize) -> u64, item: usize, lines: usize, count: usize) -> [u64; 3] {
    let gap = |line: Option<usize>| {
        line.filter(|&line| line < lines).map_or(u64::MAX >> 1, |line| time(line).abs_diff(time(item)))
    };
    [gap(item.checked_sub(1)), gap(Some(item + 1)), count as u64]
}

fn uploads(seen: Seen<'_>, item: usize) -> [u64; 3] {
    let lines = &seen.view.uploads;
    let at = lines[item].time.0;
    let from = lines.partition_point(|line| line.time.0 + AROUND_MILLIS < at);
    let to = lines.partition_point(|line| line.time.0 <= at + AROUND_MILLIS);
    around(|line| lines[line].time.0, item, lines.len(), to - from)
}

fn fetches(seen: Seen<'_>, item: usize) -> [u64; 3] {
    let lines = &seen.view.fetches;
    let at = lines[item].time.0;
    let from = lines.partition_point(|line| line.time.0 + AROUND_MILLIS < at);
    let to = lines.partition_point(|line| line.time.0 <= at + AROUND_MILLIS);
    around(|line| lines[line].time.0, item, lines.len(), to - from)
}
