//! What baselines and the positive control show otherwise than this cloud's log does.

use crate::record::{Fetch, Read, Record, Seal, View};

use super::{Settings, Way};

/// Rewrites a record as the system of these settings shows it.
pub(super) fn rewrite(settings: &Settings, record: &mut Record) {
    let slots = settings.trust.layout().slots;
    match settings.way {
        Way::ByIndex => {
            for upload in &mut record.view.uploads {
                upload.object = Some(object(upload.generation, upload.slot, slots));
            }
        }
        Way::Groups(of) => regroup(&mut record.view, slots, of),
        Way::Rounds(_) | Way::AtOnce | Way::Exact => {}
    }
    if settings.leak {
        sort(record);
    }
}

/// A slot's name where slots are read by index.
pub(super) fn object(generation: u32, slot: u32, slots: u32) -> u32 {
    generation * slots + slot
}

/// The group that a slot is in, as a generation of its own; from 1.
pub(super) fn group(generation: u32, slot: u32, slots: u32, of: u32) -> u32 {
    (generation - 1) * slots.div_ceil(of) + slot / of + 1
}

fn regroup(view: &mut View, slots: u32, of: u32) {
    for upload in &mut view.uploads {
        upload.generation = group(upload.generation, upload.slot, slots, of);
        upload.slot %= of;
    }
    let whole = std::mem::take(&mut view.seals);
    for seal in whole {
        view.seals
            .extend((0..slots).step_by(of as usize).map(|slot| Seal {
                time: seal.time,
                generation: group(seal.generation, slot, slots, of),
                slots: of.min(slots - slot),
            }));
    }
}

/// Where moments were shifted, the log is in another order.
fn sort(record: &mut Record) {
    let fetches = std::mem::take(&mut record.view.fetches);
    let reads = std::mem::take(&mut record.truth.fetches);
    let mut both: Vec<(Fetch, Read)> = fetches.into_iter().zip(reads).collect();
    both.sort_by_key(|(fetch, _)| fetch.time);
    (record.view.fetches, record.truth.fetches) = both.into_iter().unzip();
}
