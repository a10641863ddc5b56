//! Where in a generation slots lie: parity, distance, order.

use super::{Attack, Practice, Scorer, Seen, by_likelihood, by_sign, log};
use crate::game::{Game, Trial};

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(SlotIndex)
}

struct SlotIndex;

impl Attack for SlotIndex {
    fn name(&self) -> &'static str {
        "slot index"
    }

    fn about(&self) -> &'static str {
        "the parity of slot indexes, how far they are apart, and whether they grow with time"
    }

    fn plays(&self, game: Game) -> bool {
        game.pairs_uploads() || game.numeral() == "iii"
    }

    fn prepare<'a>(
        &self,
        game: Game,
        practice: &Practice<'_>,
        seen: Seen<'a>,
    ) -> Box<dyn Scorer + 'a> {
        if game.numeral() == "iii" {
            return by_sign(practice, seen, |seen, trial| match trial {
                Trial::UploadBy(item, _) => (seen.view.uploads[item].slot % 4).into(),
                _ => 0,
            });
        }
        by_likelihood(practice, seen, |seen, trial| match trial {
            Trial::Uploads(a, b) => {
                let (a, b) = (&seen.view.uploads[a], &seen.view.uploads[b]);
                let upwards = (a.slot < b.slot) == (a.time < b.time);
                [
                    f64::from((a.slot ^ b.slot) & 1),
                    f64::from((a.slot ^ b.slot) & 7),
                    log(a.slot.abs_diff(b.slot).into()),
                    f64::from(u8::from(upwards)),
                ]
            }
            _ => [f64::NAN; 4],
        })
    }
}
