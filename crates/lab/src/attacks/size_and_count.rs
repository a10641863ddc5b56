//! Sizes and numbers: bytes, queries, and how much is written or read at once.

use super::{Attack, Practice, Scorer, Seen, by_likelihood, by_sign, log, log_gap};
use crate::game::{Game, Trial};
use crate::record::View;

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(SizeAndCount)
}

struct SizeAndCount;

/// What is written or read within this belongs to one act.
const ACT_MILLIS: u64 = 1000;
/// Lines that are looked at on either side.
const FAR: usize = 64;

impl Attack for SizeAndCount {
    fn name(&self) -> &'static str {
        "size and count"
    }

    fn about(&self) -> &'static str {
        "bytes, number of queries, and how much is written or read in one second, compared with each other and \
         with what a bundle needs"
    }

    fn plays(&self, _: Game) -> bool {
        true
    }

    fn prepare<'a>(
        &self,
        game: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a> {
        if game.asks_origin() {
            return by_sign(practice, seen, |seen, trial| match trial {
                Trial::UploadBy(item, _) => sign(upload(seen.view, item)),
                Trial::RetrievalBy(item, _) => sign(fetch(seen.view, item)),
                _ => 0,
            });
        }
        by_likelihood(practice, seen, |seen, trial| {
            let (a, b) = match trial {
                Trial::Uploads(a, b) => (upload(seen.view, a), upload(seen.view, b)),
                Trial::Retrievals(a, b) => (fetch(seen.view, a), fetch(seen.view, b)),
                Trial::RetrievalOf(item, bundle) => {
                    let [bytes, queries, together] = fetch(seen.view, item);
                    return against(seen, bundle, bytes, queries, together);
                }
                _ => return [f64::NAN; 6],
            };
            let [x, y, z] = std::array::from_fn(|number| log_gap(a[number], b[number]));
            [x, y, z, log(a[0] + b[0]), log(a[1] + b[1]), log(a[2] + b[2])]
        })
    }
}

/// Bytes, nothing, and uploads within the same second.
fn upload(view: &View, item: usize) -> [u64; 3] {
    let time = |line: usize| view.uploads[line].time.0;
    [view.uploads[item].bytes, 0, together(time, item, view.uploads.len())]
}

/// Bytes, queries, and retrievals within the same second.
fn fetch(view: &View, item: usize) -> [u64; 3] {
    let time = |line: usize| view.fetches[line].time.0;
    let fetch = &view.fetches[item];
    [fetch.bytes_down, fetch.queries.into(), together(time, item, view.fetches.len())]
}

fn together(time: impl Fn(usize) -> u64, item: usize, lines: usize) -> u64 {
    let near = |line: &usize| time(*line).abs_diff(time(item)) <= ACT_MILLIS;
    let before = (0..item).rev().take(FAR).take_while(near).count();
    let after = (item + 1..lines).take(FAR).take_while(near).count();
    (before + after) as u64
}

/// A retrieval against what a bundle took to write.
fn against(seen: Seen<'_>, bundle: u32, bytes: u64, queries: u64, together: u64) -> [f64; 6] {
    let written = seen.outside.first_uploads(bundle);
    let slots = written.len() as u64;
    let size: u64 = written.iter().map(|&of| seen.view.uploads[of as usize].bytes).sum();
    let signed = |a: u64, b: u64| log(a) - log(b);
    [
        signed(bytes, size),
        signed(queries, slots),
        signed(together + 1, slots),
        f64::from(u8::from(queries < slots)),
        log(size),
        log(slots),
    ]
}

fn sign([bytes, queries, together]: [u64; 3]) -> u64 {
    let class = |number: u64| u64::from(64 - number.leading_zeros());
    class(bytes) << 16 | class(queries) << 8 | class(together)
}
