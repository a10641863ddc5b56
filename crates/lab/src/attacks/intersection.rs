//! Who is there whenever the target is there? Over a long log few are.

use std::collections::HashSet;

use super::{Attack, Practice, Scorer, Seen, by};
use crate::game::{Game, Trial};
use crate::record::View;

pub(super) fn attack() -> Box<dyn Attack> {
    Box::new(Intersection)
}

struct Intersection;

/// Lines on either side of an item that are taken to be present with it.
const PRESENT: usize = 12;

impl Attack for Intersection {
    fn name(&self) -> &'static str {
        "intersection"
    }

    fn about(&self) -> &'static str {
        "who is present around both items, of all that are present around either: objects, accounts, addresses, \
         stacks and generations (Berthold, Pfitzmann and Standtke 2000; Kesdogan, Agrawal and Penz 2002)"
    }

    fn plays(&self, game: Game) -> bool {
        game.pairs_uploads() || game.pairs_retrievals()
    }

    fn prepare<'a>(&self, _: Game, _: &Practice<'_>, seen: Seen<'a>) -> Box<dyn Scorer + 'a> {
        by(move |trial| {
            let (a, b) = match trial {
                Trial::Uploads(a, b) => (uploads(seen.view, a), uploads(seen.view, b)),
                Trial::Retrievals(a, b) => (fetches(seen.view, a), fetches(seen.view, b)),
                _ => return f64::NAN,
            };
            let both = a.intersection(&b).count() as f64;
            both / (a.len() as f64 + b.len() as f64 - both)
        })
    }
}

/// A visible name, with what kind of name it is.
type Name = (u8, u32);

fn around(item: usize, lines: usize) -> std::ops::Range<usize> {
    item.saturating_sub(PRESENT)..(item + PRESENT + 1).min(lines)
}

fn uploads(view: &View, item: usize) -> HashSet<Name> {
    let lines = &view.uploads[around(item, view.uploads.len())];
    let names = lines.iter().flat_map(|line| {
        let account = line.account.map(|name| (1, name));
        let object = line.object.map(|name| (2, name));
        [Some((0, line.generation)), account, object]
    });
    names.flatten().collect()
}

fn fetches(view: &View, item: usize) -> HashSet<Name> {
    let lines = &view.fetches[around(item, view.fetches.len())];
    let names = lines.iter().flat_map(|line| {
        let account = line.account.map(|name| (1, name));
        let object = line.object.map(|name| (2, name));
        let peer = line.peer.map(|name| (3, name));
        [Some((0, line.stack)), account, object, peer, Some((4, line.queries))]
    });
    names.flatten().collect()
}
