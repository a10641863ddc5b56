//! What lines of a log have in common: an address or else an account that is seen again, or else their size. Disclosure attacks attribute signs to
//! hospitals by when they are seen.

use std::collections::{HashMap, HashSet};

use crate::attacks::Seen;
use crate::attacks_knowledge::{WEEK_HOURS, Week, hour_of_week};
use crate::game::{Game, Trial};

/// A sign, numbered in the order of the log.
pub(crate) type Sign = u16;

/// Every line's sign, and when each sign is seen.
pub(crate) struct Signs {
    of_line: Vec<Sign>,
    /// For each sign the lines in each hour of the week.
    pub(crate) weeks: Vec<Week>,
}

/// More kinds than these are one kind.
const MOST: usize = 512;

impl Signs {
    /// The signs of uploads or of retrievals, by what the game asks about.
    pub(crate) fn of(game: Game, seen: Seen<'_>) -> Self {
        let view = seen.view;
        // A pass that is new for each connection is seen once and says nothing; an address stays.
        if game.numeral() == "iii" {
            let again = seen_again(view.uploads.iter().map(|line| line.account));
            Self::gather(view.uploads.iter().map(|line| {
                let account = line.account.filter(|name| again.contains(name));
                let name = account.map_or((0, 0, line.bytes), |name| (1, name, 0));
                (line.time, name)
            }))
        } else {
            let again = seen_again(view.fetches.iter().map(|line| line.account));
            Self::gather(view.fetches.iter().map(|line| {
                let account = line.account.filter(|name| again.contains(name));
                let name = match (line.peer, account) {
                    (Some(name), _) => (2, name, 0),
                    (_, Some(name)) => (1, name, 0),
                    _ => (0, line.queries, line.bytes_down),
                };
                (line.time, name)
            }))
        }
    }

    fn gather(
        lines: impl Iterator<Item = (harpo_protocol::time::Timestamp, (u8, u32, u64))>,
    ) -> Self {
        let mut numbers = HashMap::new();
        let mut signs = Self {
            of_line: Vec::new(),
            weeks: Vec::new(),
        };
        for (time, name) in lines {
            let next = numbers.len().min(MOST) as Sign;
            let sign = *numbers.entry(name).or_insert(next);
            if signs.weeks.len() <= usize::from(sign) {
                signs.weeks.push([0.0; WEEK_HOURS]);
            }
            signs.weeks[usize::from(sign)][hour_of_week(time)] += 1.0;
            signs.of_line.push(sign);
        }
        signs
    }

    /// The sign of the line that is asked about, and the hospital.
    pub(crate) fn asked(&self, trial: Trial) -> Option<(usize, usize)> {
        match trial {
            Trial::UploadBy(line, hospital) | Trial::RetrievalBy(line, hospital) => {
                Some((usize::from(*self.of_line.get(line)?), usize::from(hospital)))
            }
            _ => None,
        }
    }
}

/// Names that more than one line has.
fn seen_again(names: impl Iterator<Item = Option<u32>>) -> HashSet<u32> {
    let (mut once, mut again) = (HashSet::new(), HashSet::new());
    for name in names.flatten() {
        if !once.insert(name) {
            again.insert(name);
        }
    }
    again
}

#[cfg(test)]
mod tests {
    use super::Signs;
    use crate::attacks::{Outside, Seen};
    use crate::game::Game;
    use crate::game::synthetic::naive;

    #[test]
    fn an_address_is_a_sign_before_a_pass_and_a_pass_seen_once_is_none() {
        let mut record = naive(61);
        for (line, fetch) in (0..).zip(&mut record.view.fetches) {
            fetch.account = Some(line);
        }
        let signs = |record: &crate::record::Record| {
            let outside = Outside::of(record);
            let seen = Seen {
                view: &record.view,
                outside: &outside,
            };
            Signs::of(Game::RetrievalOrigin, seen).weeks.len()
        };
        assert_eq!(signs(&record), 8);
        for fetch in &mut record.view.fetches {
            (fetch.peer, fetch.queries, fetch.bytes_down) = (None, 8, 1000);
        }
        assert_eq!(signs(&record), 1);
    }
}
