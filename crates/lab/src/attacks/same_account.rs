//! The same account or network address is the same party; and whose it is, is known.

use super::{Attack, Practice, Scorer, Seen, by, equal};
use crate::game::{Game, Trial};

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(SameAccount)
}

struct SameAccount;

impl Attack for SameAccount {
    fn name(&self) -> &'static str {
        "account and address"
    }

    fn about(&self) -> &'static str {
        "the same account, pass or network address is the same party, and whose it is, is known"
    }

    fn plays(&self, game: Game) -> bool {
        !game.asks_target()
    }

    fn prepare<'a>(&self, _: Game, _: &Practice<'_>, seen: Seen<'a>) -> Box<dyn Scorer + 'a> {
        by(move |trial| match trial {
            Trial::Uploads(a, b) => {
                let (a, b) = (&seen.view.uploads[a], &seen.view.uploads[b]);
                equal(a.account, b.account)
            }
            Trial::Retrievals(a, b) => {
                let (a, b) = (&seen.view.fetches[a], &seen.view.fetches[b]);
                equal(a.account, b.account).max(equal(a.peer, b.peer))
            }
            Trial::UploadBy(item, hospital) => {
                owned(&seen.outside.accounts, seen.view.uploads[item].account, hospital)
            }
            Trial::RetrievalBy(item, hospital) => {
                let fetch = &seen.view.fetches[item];
                let peer = owned(&seen.outside.peers, fetch.peer, hospital);
                peer.max(owned(&seen.outside.accounts, fetch.account, hospital))
            }
            Trial::RetrievalOf(..) => f64::NAN,
        })
    }
}

/// Whether a name is known to be that hospital's.
fn owned(owners: &[Option<u16>], name: Option<u32>, hospital: u16) -> f64 {
    match name.and_then(|name| owners.get(name as usize).copied().flatten()) {
        Some(owner) => f64::from(u8::from(owner == hospital)),
        None => f64::NAN,
    }
}
