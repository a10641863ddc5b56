//! What is read under the name it was written under is known.

use super::{Attack, Practice, Scorer, Seen, by_likelihood, equal, log};
use crate::game::{Game, Trial};
use crate::record::Upload;

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(StableObject)
}

struct StableObject;

impl Attack for StableObject {
    fn name(&self) -> &'static str {
        "stable object"
    }

    fn about(&self) -> &'static str {
        "what is read under the name it was written under is known; what is read under one name twice is the \
         same; and what was written together belongs together"
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
        by_likelihood(practice, seen, |seen, trial| {
            let (uploads, fetches) = (&seen.view.uploads, &seen.view.fetches);
            match trial {
                Trial::Uploads(a, b) => {
                    [equal(uploads[a].object, uploads[b].object), f64::NAN, f64::NAN]
                }
                Trial::Retrievals(a, b) => {
                    let (a, b) = (fetches[a].object, fetches[b].object);
                    let (gap, account) = match (written(seen, a), written(seen, b)) {
                        (Some(a), Some(b)) => {
                            (log(a.time.0.abs_diff(b.time.0)), equal(a.account, b.account))
                        }
                        _ => (f64::NAN, f64::NAN),
                    };
                    [equal(a, b), gap, account]
                }
                Trial::RetrievalOf(item, bundle) => {
                    let read = fetches[item].object;
                    let firsts = seen.outside.first_uploads(bundle).iter();
                    let found = firsts.map(|&of| equal(uploads[of as usize].object, read));
                    [found.fold(f64::NAN, f64::max), f64::NAN, f64::NAN]
                }
                _ => [f64::NAN; 3],
            }
        })
    }
}

fn written(seen: Seen<'_>, object: Option<u32>) -> Option<&Upload> {
    let line = seen.outside.objects.get(object? as usize).copied().flatten()?;
    seen.view.uploads.get(line as usize)
}
