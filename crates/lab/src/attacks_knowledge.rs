//! What an attacker has besides the log.

use harpo_protocol::time::Timestamp;

use crate::record::{Record, View, Why};

/// What is seen of a run.
#[derive(Clone, Copy)]
pub struct Seen<'a> {
    /// The cloud's log.
    pub view: &'a View,
    /// What the attacker knows from elsewhere.
    pub outside: &'a Outside,
}

/// What the attacker knows of a run from elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Outside {
    /// When each bundle was deposited.
    pub deposited: Vec<Timestamp>,
    /// Where each bundle lies in `written`.
    first: Vec<u32>,
    /// The uploads of first copies.
    written: Vec<u32>,
    /// Whose each network address is, where it was seen often enough to find out.
    pub peers: Vec<Option<u16>>,
    /// Whose each account is, likewise.
    pub accounts: Vec<Option<u16>>,
    /// By which upload each stable name was written first. The log says it; it is kept here to be found fast.
    pub objects: Vec<Option<u32>>,
    /// Where the reads of each stable name lie in `read`.
    names: Vec<u32>,
    /// Retrievals under stable names.
    read: Vec<u32>,
}

/// An address or account that is seen this often is looked into.
const OFTEN: u32 = 8;

impl Outside {
    /// What is known from elsewhere about a run.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let (view, truth) = (&record.view, &record.truth);
        let (first, written) = grouped(first_copies(record));
        let named = (0..).zip(&view.fetches);
        let (names, read_under) = grouped(
            named
                .filter_map(|(line, fetch)| Some((fetch.object?, line)))
                .collect(),
        );
        let read = || {
            view.fetches
                .iter()
                .zip(truth.fetches.iter().map(|read| Some(read.hospital)))
        };
        let wrote = view.uploads.iter().zip(truth.uploads.iter().map(|written| {
            let bundle = written.bundles.first()?;
            Some(truth.bundles[*bundle as usize].hospital)
        }));
        let accounts = read().map(|(fetch, whose)| (fetch.account, whose));
        let accounts = accounts.chain(wrote.map(|(upload, whose)| (upload.account, whose)));
        Self {
            deposited: truth
                .bundles
                .iter()
                .map(|bundle| bundle.deposited)
                .collect(),
            first,
            written,
            peers: owners(read().map(|(fetch, whose)| (fetch.peer, whose))),
            accounts: owners(accounts),
            objects: first_written(view),
            names,
            read: read_under,
        }
    }

    /// The uploads of a bundle's first copy.
    #[must_use]
    pub fn first_uploads(&self, bundle: u32) -> &[u32] {
        group(&self.first, &self.written, bundle)
    }

    /// The retrievals under a stable name. The log says it; it is kept here to be found fast.
    #[must_use]
    pub fn reads(&self, object: u32) -> &[u32] {
        group(&self.names, &self.read, object)
    }
}

/// Bundles with the uploads of their first copies: those of the generation in which the log first has something of a
/// bundle. Later ones are re-placement's, also where a fresh bundle shares the slot, and nobody outside knows of them.
fn first_copies(record: &Record) -> Vec<(u32, u32)> {
    let mut generations: Vec<Option<u32>> = vec![None; record.truth.bundles.len()];
    let mut copies = Vec::new();
    let uploads = record.view.uploads.iter().zip(&record.truth.uploads);
    for (line, (upload, written)) in (0..).zip(uploads) {
        for &bundle in &written.bundles {
            let first = generations[bundle as usize].get_or_insert(upload.generation);
            if *first == upload.generation {
                copies.push((bundle, line));
            }
        }
    }
    copies
}

/// Sorts pairs of key and item: where each key's items begin, and the items.
fn grouped(mut pairs: Vec<(u32, u32)>) -> (Vec<u32>, Vec<u32>) {
    pairs.sort_unstable();
    let keys = pairs.last().map_or(0, |&(key, _)| key + 1);
    let starts = (0..=keys).map(|key| pairs.partition_point(|&(of, _)| of < key) as u32);
    let starts = starts.collect();
    (starts, pairs.into_iter().map(|(_, item)| item).collect())
}

fn group<'a>(starts: &[u32], items: &'a [u32], key: u32) -> &'a [u32] {
    let key = key as usize;
    match (starts.get(key), starts.get(key + 1)) {
        (Some(&from), Some(&to)) => &items[from as usize..to as usize],
        _ => &[],
    }
}

/// The first upload under each stable name.
fn first_written(view: &View) -> Vec<Option<u32>> {
    let mut first = Vec::new();
    for (line, upload) in (0..).zip(&view.uploads) {
        let Some(object) = upload.object else {
            continue;
        };
        let object = object as usize;
        if first.len() <= object {
            first.resize(object + 1, None);
        }
        first[object].get_or_insert(line);
    }
    first
}

/// The one party behind each name, where the name is used often and by that party alone.
fn owners(uses: impl Iterator<Item = (Option<u32>, Option<u16>)>) -> Vec<Option<u16>> {
    let mut seen: Vec<(u32, Option<u16>, bool)> = Vec::new();
    for (name, whose) in uses {
        let (Some(name), Some(whose)) = (name, whose) else {
            continue;
        };
        let name = name as usize;
        if seen.len() <= name {
            seen.resize(name + 1, (0, None, true));
        }
        let (count, owner, alone) = &mut seen[name];
        *alone &= owner.is_none_or(|before| before == whose);
        *owner = Some(whose);
        *count += 1;
    }
    seen.into_iter()
        .map(|(count, owner, alone)| owner.filter(|_| alone && count >= OFTEN))
        .collect()
}

/// What is known of the network in general: its hospitals' habits and the delays of its design, here as a simulation
/// shows them.
#[derive(Clone, Debug, Default)]
pub struct Knowledge {
    /// For each hospital the share of its deposits in each hour of the week.
    pub deposits: Vec<Week>,
    /// For each hospital the share of its consultations in each hour of the week.
    pub consults: Vec<Week>,
    /// The share of first copies written in each hour after their deposit; the last counts what is later.
    pub delays: Vec<f64>,
}

/// Shares of the hours of a week.
pub type Week = [f64; WEEK_HOURS];

/// Hours of a week.
pub(crate) const WEEK_HOURS: usize = 7 * 24;
/// Hours that delays are told apart for.
const DELAY_HOURS: usize = 96;
const HOUR_MILLIS: u64 = 60 * 60 * 1000;

/// The hour of the week of a moment.
#[must_use]
pub(crate) fn hour_of_week(time: Timestamp) -> usize {
    (time.0 / HOUR_MILLIS) as usize % WEEK_HOURS
}

impl Knowledge {
    /// What a simulated run of the network shows.
    #[must_use]
    pub fn of(record: &Record) -> Self {
        let truth = &record.truth;
        let hospitals = truth.bundles.iter().map(|bundle| bundle.hospital);
        let hospitals = hospitals.chain(truth.fetches.iter().map(|read| read.hospital));
        let count = hospitals.max().map_or(0, |last| usize::from(last) + 1);
        // One imagined event in every hour: a habit is not known from a single case.
        let mut known = Self {
            deposits: vec![[1.0; WEEK_HOURS]; count],
            consults: vec![[1.0; WEEK_HOURS]; count],
            delays: vec![1.0; DELAY_HOURS + 1],
        };
        for bundle in &truth.bundles {
            known.deposits[usize::from(bundle.hospital)][hour_of_week(bundle.deposited)] += 1.0;
        }
        for (fetch, read) in record.view.fetches.iter().zip(&truth.fetches) {
            if read.why >= Why::Ahead {
                known.consults[usize::from(read.hospital)][hour_of_week(fetch.time)] += 1.0;
            }
        }
        for (bundle, line) in first_copies(record) {
            let written = record.view.uploads[line as usize].time;
            let delay = written.since(truth.bundles[bundle as usize].deposited);
            let hours = (delay.as_millis() as u64 / HOUR_MILLIS) as usize;
            known.delays[hours.min(DELAY_HOURS)] += 1.0;
        }
        for week in known.deposits.iter_mut().chain(&mut known.consults) {
            share(week);
        }
        share(&mut known.delays);
        known
    }
}

/// Counts as shares of their sum.
fn share(counts: &mut [f64]) {
    let all: f64 = counts.iter().sum();
    for count in counts {
        *count /= all;
    }
}

#[cfg(test)]
mod tests {
    use super::{Knowledge, Outside};
    use crate::game::synthetic::{Leak, independent};

    #[test]
    fn a_copy_beside_something_fresh_is_not_known_from_outside() {
        let mut record = independent(Leak::None, 60);
        let before = (Outside::of(&record), Knowledge::of(&record));
        let (uploads, written) = (&record.view.uploads, &mut record.truth.uploads);
        let old = written
            .iter()
            .find_map(|of| of.bundles.first().copied())
            .unwrap();
        let late =
            |line: &usize| uploads[*line].generation > 40 && !written[*line].bundles.is_empty();
        let late = (0..uploads.len()).find(late).unwrap();
        assert!(!written[late].replaced);
        written[late].bundles.push(old);
        let after = (Outside::of(&record), Knowledge::of(&record));
        assert_eq!(after.0.first_uploads(old), before.0.first_uploads(old));
        assert_eq!(after.0.first_uploads(old).len(), 2);
        assert_eq!(after.1.delays, before.1.delays);
    }
}
