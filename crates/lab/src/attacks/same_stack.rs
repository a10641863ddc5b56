//! Which generation, which stack: equal, near, or able to hold what is asked for.

use super::{Attack, Practice, Scorer, Seen, by_likelihood};
use crate::game::{Game, Trial};

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(SameStack)
}

struct SameStack;

impl Attack for SameStack {
    fn name(&self) -> &'static str {
        "stack and generation"
    }

    fn about(&self) -> &'static str {
        "whether two items have the same stack or generation, how far these are apart, and whether a stack holds \
         the generation that a bundle was written to first"
    }

    fn plays(&self, game: Game) -> bool {
        !game.asks_origin()
    }

    fn prepare<'a>(
        &self,
        _: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a> {
        by_likelihood(practice, seen, |seen, trial| match trial {
            Trial::Uploads(a, b) => {
                let (a, b) = (&seen.view.uploads[a], &seen.view.uploads[b]);
                [f64::from(a.generation.abs_diff(b.generation)), f64::NAN, f64::NAN]
            }
            Trial::Retrievals(a, b) => {
                let (a, b) = (&seen.view.fetches[a], &seen.view.fetches[b]);
                [
                    f64::from(a.stack.abs_diff(b.stack)),
                    f64::from(a.generations.abs_diff(b.generations)),
                    f64::NAN,
                ]
            }
            Trial::RetrievalOf(item, bundle) => {
                let fetch = &seen.view.fetches[item];
                let written = seen.outside.first_uploads(bundle).iter();
                let generation = |&of: &u32| i64::from(seen.view.uploads[of as usize].generation);
                let into: Vec<i64> =
                    written.map(|of| generation(of) - i64::from(fetch.stack)).collect();
                let (Some(&first), Some(&last)) = (into.first(), into.last()) else {
                    return [f64::NAN; 3];
                };
                let inside = last >= 0 && first < i64::from(fetch.generations);
                let before_end = i64::from(fetch.generations) - first;
                [f64::from(u8::from(inside)), first as f64, before_end as f64]
            }
            _ => [f64::NAN; 3],
        })
    }
}
