//! The truth of a run, sorted for drawing questions.

use harpo_protocol::time::Timestamp;

use crate::record::{Record, Why};

/// Lists of numbers by key, in two flat vectors.
#[derive(Debug, Default)]
pub(super) struct Groups {
    starts: Vec<u32>,
    items: Vec<u32>,
}

impl Groups {
    /// Sorts pairs of key and item; items keep their order, and those that are named twice are kept once.
    pub(super) fn of(mut pairs: Vec<(u32, u32)>) -> Self {
        pairs.sort_unstable();
        pairs.dedup();
        let keys = pairs.last().map_or(0, |&(key, _)| key as usize + 1);
        let mut starts = vec![0_u32; keys + 1];
        for &(key, _) in &pairs {
            starts[key as usize + 1] += 1;
        }
        for key in 0..keys {
            starts[key + 1] += starts[key];
        }
        let items = pairs.into_iter().map(|(_, item)| item).collect();
        Self { starts, items }
    }

    /// What belongs to a key.
    pub(super) fn get(&self, key: u32) -> &[u32] {
        let key = key as usize;
        match (self.starts.get(key), self.starts.get(key + 1)) {
            (Some(&from), Some(&to)) => &self.items[from as usize..to as usize],
            _ => &[],
        }
    }

    /// Keys with at least `least` items.
    pub(super) fn keys_with(&self, least: usize) -> Vec<u32> {
        (0..self.starts.len().saturating_sub(1) as u32)
            .filter(|&key| self.get(key).len() >= least)
            .collect()
    }
}

/// A record and what questions need of it.
pub(super) struct Chart<'a> {
    pub(super) record: &'a Record,
    /// Uploads that hold something, by epoch.
    pub(super) uploads_of_epoch: Groups,
    /// Uploads that hold something of a patient.
    pub(super) uploads_of_patient: Groups,
    /// Uploads that hold something of a bundle.
    pub(super) uploads_of_bundle: Groups,
    /// Uploads that hold something.
    pub(super) filled: Vec<u32>,
    /// Retrievals that brought something of a patient.
    pub(super) fetches_of_patient: Groups,
    /// Retrievals for readers or asked for ahead, of a patient.
    pub(super) consults_of_patient: Groups,
    /// Retrievals that brought something.
    pub(super) brought: Vec<u32>,
    /// Retrievals for readers or asked for ahead.
    pub(super) consults: Vec<u32>,
    /// Retrievals that were made outside the rounds.
    pub(super) at_once: Vec<u32>,
    /// The same, of a patient.
    pub(super) at_once_of_patient: Groups,
    /// When a bundle could first be read from the cloud.
    pub(super) readable: Vec<Option<Timestamp>>,
    /// The length of a round, or of the minute that retrievals are matched in.
    pub(super) round_millis: u64,
    /// Whether rounds name the stack beforehand, for everybody alike.
    pub(super) scheduled: bool,
    /// Numbers of patients.
    patients: u32,
}

/// Two downloads of parts of one bundle by one hospital are one retrieval within this.
const ONE_ACT_MILLIS: u64 = 10_000;
const DAY_MILLIS: u64 = 24 * 60 * 60 * 1000;

impl<'a> Chart<'a> {
    pub(super) fn of(record: &'a Record, round_seconds: u32) -> Self {
        let round_millis = u64::from(round_seconds.max(1)) * 1000;
        let patient = |bundle: u32| record.truth.bundles[bundle as usize].patient;
        let (mut by_epoch, mut by_patient, mut by_bundle) = (Vec::new(), Vec::new(), Vec::new());
        let mut filled = Vec::new();
        for (upload, written) in (0..).zip(&record.truth.uploads) {
            if written.bundles.is_empty() {
                continue;
            }
            filled.push(upload);
            by_epoch.push((epoch(record, upload as usize), upload));
            by_patient.extend(written.bundles.iter().map(|&of| (patient(of), upload)));
            by_bundle.extend(written.bundles.iter().map(|&of| (of, upload)));
        }
        let (mut of_patient, mut consults_of) = (Vec::new(), Vec::new());
        let (mut brought, mut consults) = (Vec::new(), Vec::new());
        let (mut at_once, mut at_once_of) = (Vec::new(), Vec::new());
        for (fetch, read) in (0..).zip(&record.truth.fetches) {
            if read.why == Why::Cover || read.bundles.is_empty() {
                continue;
            }
            brought.push(fetch);
            of_patient.extend(read.bundles.iter().map(|&of| (patient(of), fetch)));
            if read.at_once {
                at_once.push(fetch);
                at_once_of.extend(read.bundles.iter().map(|&of| (patient(of), fetch)));
            }
            if read.why >= Why::Ahead {
                consults.push(fetch);
                consults_of.extend(read.bundles.iter().map(|&of| (patient(of), fetch)));
            }
        }
        let uploads_of_bundle = Groups::of(by_bundle);
        let readable = readable(record, &uploads_of_bundle);
        Self {
            record,
            uploads_of_epoch: Groups::of(by_epoch),
            uploads_of_patient: Groups::of(by_patient),
            uploads_of_bundle,
            filled,
            fetches_of_patient: Groups::of(of_patient),
            consults_of_patient: Groups::of(consults_of),
            brought,
            consults,
            at_once,
            at_once_of_patient: Groups::of(at_once_of),
            readable,
            round_millis,
            scheduled: scheduled(record, round_millis),
            patients: record
                .truth
                .bundles
                .iter()
                .map(|of| of.patient + 1)
                .max()
                .unwrap_or(0),
        }
    }

    pub(super) fn patients(&self) -> u32 {
        self.patients
    }

    pub(super) fn patient(&self, bundle: u32) -> u32 {
        self.record.truth.bundles[bundle as usize].patient
    }

    pub(super) fn epoch(&self, upload: usize) -> u32 {
        epoch(self.record, upload)
    }

    /// The day of a retrieval.
    pub(super) fn day(&self, fetch: usize) -> u32 {
        (self.record.view.fetches[fetch].time.0 / DAY_MILLIS) as u32
    }

    pub(super) fn written(&self, upload: usize) -> &'a [u32] {
        &self.record.truth.uploads[upload].bundles
    }

    pub(super) fn read(&self, fetch: usize) -> &'a [u32] {
        &self.record.truth.fetches[fetch].bundles
    }

    /// Between two retrievals, in milliseconds.
    pub(super) fn gap(&self, a: usize, b: usize) -> u64 {
        let fetches = &self.record.view.fetches;
        fetches[a].time.0.abs_diff(fetches[b].time.0)
    }

    /// Whether two downloads are parts of one retrieval.
    pub(super) fn one_act(&self, a: usize, b: usize) -> bool {
        let truth = &self.record.truth.fetches;
        a == b
            || (truth[a].hospital == truth[b].hospital
                && self.gap(a, b) < ONE_ACT_MILLIS
                && truth[a]
                    .bundles
                    .iter()
                    .any(|of| truth[b].bundles.contains(of)))
    }

    /// Whether two lists of bundles share a patient.
    pub(super) fn share_patient(&self, a: &[u32], b: &[u32]) -> bool {
        a.iter()
            .any(|&x| b.iter().any(|&y| self.patient(x) == self.patient(y)))
    }
}

/// The generation, or where there are none, the day.
fn epoch(record: &Record, upload: usize) -> u32 {
    let upload = &record.view.uploads[upload];
    if record.view.seals.is_empty() {
        (upload.time.0 / DAY_MILLIS) as u32
    } else {
        upload.generation
    }
}

/// For each bundle, when its first copy was sealed; or where nothing is sealed, when it was written.
fn readable(record: &Record, uploads_of_bundle: &Groups) -> Vec<Option<Timestamp>> {
    let view = &record.view;
    let last = view.seals.iter().map(|seal| seal.generation).max();
    let mut sealed = vec![None; last.map_or(0, |last| last as usize + 1)];
    for seal in &view.seals {
        sealed[seal.generation as usize] = Some(seal.time);
    }
    (0..record.truth.bundles.len() as u32)
        .map(|bundle| {
            let first = *uploads_of_bundle.get(bundle).first()?;
            let upload = &view.uploads[first as usize];
            if view.seals.is_empty() {
                Some(upload.time)
            } else {
                sealed.get(upload.generation as usize).copied().flatten()
            }
        })
        .collect()
}

/// Whether nearly all rounds have the same number of retrievals, nearly always of one stack: so many are no chance. The
/// others are those that something was sealed or read at once in, and the first and last.
fn scheduled(record: &Record, round_millis: u64) -> bool {
    const NEARLY: f64 = 0.95;
    let fetches = &record.view.fetches;
    let rounds = || fetches.chunk_by(|a, b| a.time.0 / round_millis == b.time.0 / round_millis);
    let mut lengths: Vec<usize> = rounds().map(<[_]>::len).collect();
    lengths.sort_unstable();
    let usual = lengths.get(lengths.len() / 2).copied().unwrap_or(0);
    let regular = |round: &&[crate::record::Fetch]| {
        round.len() == usual && round.iter().all(|fetch| fetch.stack == round[0].stack)
    };
    usual > 1 && rounds().filter(regular).count() as f64 >= NEARLY * lengths.len() as f64
}
