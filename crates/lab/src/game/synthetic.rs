//! Runs made by hand, to try games and attacks on: one where nothing depends on anything, one that hides nothing.

use harpo_protocol::placement::below;
use harpo_protocol::time::Timestamp;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::record::{Bundle, Fetch, Read, Record, Seal, Truth, Upload, View, Why, Written};

const START: u64 = 1_767_571_200_000; // a Monday
const MINUTE: u64 = 60_000;
const DAY: u64 = 24 * 60 * MINUTE;
const DAYS: u64 = 12;
const HOSPITALS: u32 = 8;
const PATIENTS: u32 = 1500;
const BUNDLES: u32 = 3000;
const GENERATIONS: u32 = 48;
const SLOTS: u32 = 160;

/// How a run made by hand leaks.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Leak {
    /// Not at all: contents of slots and of retrievals are drawn apart from all that is seen.
    None,
    /// The parity of the patient's number shows in the slot index and in the half of the round.
    Bit,
}

/// A run with generations and rounds whose contents are independent of what is seen, but for the leak.
pub(crate) fn independent(leak: Leak, seed: u64) -> Record {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let span = DAYS * DAY / u64::from(GENERATIONS);
    let mut record = Record::default();
    let bundles = &mut record.truth.bundles;
    for bundle in 0..BUNDLES {
        let patient = below(PATIENTS, &mut rng);
        let epoch = u64::from(bundle * GENERATIONS / BUNDLES);
        bundles.push(Bundle {
            patient,
            hospital: below(HOSPITALS, &mut rng) as u16,
            deposited: Timestamp(START + epoch * span + draw(span, &mut rng)),
            fragments: 8,
        });
    }
    let per_generation = BUNDLES / GENERATIONS;
    for generation in 0..GENERATIONS {
        let end = START + u64::from(generation + 1) * span;
        // Two slots of each bundle, the others cover; then in random order at random indexes.
        let mut held: Vec<Option<u32>> = (0..SLOTS)
            .map(|slot| (slot < 2 * per_generation).then(|| generation * per_generation + slot / 2))
            .collect();
        harpo_protocol::placement::shuffle(&mut held, &mut rng);
        let mut indexes: Vec<u32> = (0..SLOTS).collect();
        harpo_protocol::placement::shuffle(&mut indexes, &mut rng);
        if leak == Leak::Bit {
            match_parity(&held, &mut indexes, &record.truth.bundles);
        }
        for (order, (bundle, slot)) in (0..).zip(held.into_iter().zip(indexes)) {
            let time = Timestamp(end - MINUTE + order * 200);
            record.view.uploads.push(slot_at(time, generation, slot));
            record.truth.uploads.push(Written {
                bundles: bundle.into_iter().collect(),
                replaced: false,
            });
        }
        let time = Timestamp(end);
        record.view.seals.push(Seal {
            time,
            generation,
            slots: SLOTS,
        });
    }
    rounds(&mut record, leak, span, &mut rng);
    record
}

/// Exchanges indexes so that the parity of each filled slot is its patient's.
fn match_parity(held: &[Option<u32>], indexes: &mut [u32], bundles: &[Bundle]) {
    for at in 0..held.len() {
        let wanted = |of: Option<u32>| of.map(|bundle| bundles[bundle as usize].patient & 1);
        let Some(bit) = wanted(held[at]) else {
            continue;
        };
        if indexes[at] & 1 == bit {
            continue;
        }
        let fits = |other: &usize| indexes[*other] & 1 == bit && wanted(held[*other]) != Some(bit);
        if let Some(other) = (0..held.len()).find(fits) {
            indexes.swap(at, other);
        }
    }
}

fn rounds(record: &mut Record, leak: Leak, span: u64, rng: &mut ChaCha20Rng) {
    let mut fetches: Vec<(Fetch, Read)> = Vec::new();
    for round in 0..DAYS * DAY / MINUTE {
        let begins = START + round * MINUTE;
        let sealed = ((begins - START) / span) as u32;
        for hospital in 0..HOSPITALS as u16 {
            let readable = sealed * (BUNDLES / GENERATIONS);
            let wanted = (readable > 0 && below(6, rng) == 0).then(|| below(readable, rng));
            let mut into = draw(MINUTE, rng);
            if let (Leak::Bit, Some(bundle)) = (leak, wanted) {
                let bit = u64::from(record.truth.bundles[bundle as usize].patient & 1);
                into = into % (MINUTE / 2) + bit * MINUTE / 2;
            }
            let why = if wanted.is_some() {
                Why::Reader
            } else {
                Why::Cover
            };
            let fetch = fetch_at(Timestamp(begins + into), sealed);
            fetches.push((
                fetch,
                Read {
                    hospital,
                    bundles: wanted.into_iter().collect(),
                    why,
                    at_once: wanted.is_some_and(|bundle| bundle.is_multiple_of(4)),
                },
            ));
        }
    }
    fetches.sort_by_key(|(fetch, _)| fetch.time);
    (record.view.fetches, record.truth.fetches) = fetches.into_iter().unzip();
}

/// A run without any protection: own accounts, stable names, sizes as they are, at once.
pub(crate) fn naive(seed: u64) -> Record {
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let mut view = View::default();
    let mut truth = Truth::default();
    let mut fetches = Vec::new();
    for bundle in 0..BUNDLES {
        let deposited = START + u64::from(bundle) * (DAYS * DAY / u64::from(BUNDLES));
        // A patient is of one hospital; a second study comes soon after the first.
        let patient = bundle / 2;
        let hospital = patient % HOSPITALS;
        truth.bundles.push(Bundle {
            patient,
            hospital: hospital as u16,
            deposited: Timestamp(deposited),
            fragments: 1 + patient % 97,
        });
        view.uploads.push(Upload {
            bytes: 1000 * u64::from(1 + patient % 97) + u64::from(below(100, &mut rng)),
            account: Some(hospital),
            object: Some(bundle),
            generation: 0,
            ..slot_at(Timestamp(deposited), 0, 0)
        });
        truth.uploads.push(Written {
            bundles: vec![bundle],
            replaced: false,
        });
        for _ in 0..2 {
            let time = Timestamp(deposited + draw(2 * DAY, &mut rng));
            let bytes_down = view.uploads[bundle as usize].bytes;
            let names = Fetch {
                bytes_down,
                account: Some(hospital),
                object: Some(bundle),
                peer: Some(hospital),
                ..fetch_at(time, 0)
            };
            let read = Read {
                hospital: hospital as u16,
                bundles: vec![bundle],
                why: Why::Reader,
                at_once: true,
            };
            fetches.push((names, read));
        }
    }
    fetches.sort_by_key(|(fetch, _)| fetch.time);
    (view.fetches, truth.fetches) = fetches.into_iter().unzip();
    Record { view, truth }
}

/// A run where each hospital works in three hours of the day of its own and has an address and an account; nothing else
/// tells anything. Slots are written five to six hours after their deposit.
pub(crate) fn habits(seed: u64) -> Record {
    const HOUR: u64 = 60 * MINUTE;
    let mut rng = ChaCha20Rng::seed_from_u64(seed);
    let (mut uploads, mut fetches) = (Vec::new(), Vec::new());
    let mut record = Record::default();
    // Which address is whose is another in every run.
    let mut names: Vec<u32> = (0..HOSPITALS).collect();
    harpo_protocol::placement::shuffle(&mut names, &mut rng);
    for bundle in 0..BUNDLES {
        let mut works = |hospital: u32| {
            let day = START + u64::from(below(DAYS as u32, &mut rng)) * DAY;
            day + u64::from(hospital) * 3 * HOUR + draw(3 * HOUR, &mut rng)
        };
        let hospital = bundle % HOSPITALS;
        let deposited = works(hospital);
        record.truth.bundles.push(Bundle {
            patient: bundle / 2,
            hospital: hospital as u16,
            deposited: Timestamp(deposited),
            fragments: 1,
        });
        let readers: [u32; 2] = std::array::from_fn(|other| (hospital + other as u32) % HOSPITALS);
        for reader in readers {
            let line = Fetch {
                peer: Some(names[reader as usize]),
                account: Some(names[reader as usize]),
                ..fetch_at(Timestamp(works(reader)), 0)
            };
            let read = Read {
                hospital: reader as u16,
                bundles: vec![bundle],
                why: Why::Reader,
                at_once: false,
            };
            fetches.push((line, read));
        }
        let written = Timestamp(deposited + 5 * HOUR + draw(HOUR, &mut rng));
        let holds = Written {
            bundles: vec![bundle],
            replaced: false,
        };
        uploads.push((slot_at(written, 0, 0), holds));
    }
    uploads.sort_by_key(|(upload, _)| upload.time);
    fetches.sort_by_key(|(fetch, _)| fetch.time);
    (record.view.uploads, record.truth.uploads) = uploads.into_iter().unzip();
    (record.view.fetches, record.truth.fetches) = fetches.into_iter().unzip();
    record
}

fn draw(bound: u64, rng: &mut ChaCha20Rng) -> u64 {
    below(bound as u32, rng).into()
}

fn slot_at(time: Timestamp, generation: u32, slot: u32) -> Upload {
    Upload {
        time,
        generation,
        slot,
        bytes: 4 << 20,
        account: None,
        object: None,
    }
}

fn fetch_at(time: Timestamp, generations: u32) -> Fetch {
    Fetch {
        time,
        stack: 0,
        generations,
        queries: 8,
        bytes_down: 40 << 20,
        peer: None,
        account: None,
        object: None,
    }
}
