use std::collections::BTreeSet;

use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;

const LAYOUT: Layout = Layout {
    cell_bytes: 1024,
    cells_per_slot: 16,
    slots: 32,
};
const RULE: SealRule = SealRule {
    share: 0.75,
    age: Duration::from_secs(60),
};

fn open(mixing: Mixing) -> OpenGeneration {
    OpenGeneration::new(LAYOUT, mixing, RULE, None, BTreeMap::new())
}

fn rng(seed: u64) -> ChaCha20Rng {
    ChaCha20Rng::seed_from_u64(seed)
}

fn distinct_slots(places: &[Place]) -> usize {
    places.iter().map(|p| p.slot).collect::<BTreeSet<_>>().len()
}

proptest! {
    #[test]
    fn no_cell_is_given_twice_and_a_bundle_needs_no_more_slots_than_it_must(
        sizes in prop::collection::vec(1u32..100, 1..30), seed: u64,
    ) {
        let mut generation = open(Mixing::EpochShuffle);
        let mut taken = BTreeSet::new();
        for fragments in sizes {
            let before = generation.slots().clone();
            match generation.place(fragments, Timestamp(0), &mut rng(seed)) {
                Ok(places) => {
                    prop_assert_eq!(places.len(), fragments as usize);
                    prop_assert_eq!(distinct_slots(&places), fragments.div_ceil(16) as usize);
                    for place in places {
                        prop_assert!(place.slot < 32 && place.cell < 16);
                        prop_assert!(taken.insert(place), "{:?} twice", place);
                    }
                }
                Err(full) => {
                    prop_assert!(full.needed > full.free);
                    prop_assert_eq!(&before, generation.slots(), "a refused bundle left traces");
                }
            }
        }
    }

    #[test]
    fn at_sealing_every_remaining_slot_leaves_once(closed in prop::collection::btree_set(0u32..32, 0..10), seed: u64) {
        let mut generation = open(Mixing::EpochShuffle);
        generation.place(16 * 32, Timestamp(0), &mut rng(seed)).unwrap();
        for slot in &closed {
            generation.close(*slot);
        }
        let order = generation.sealing_order(&mut rng(seed));
        let all: BTreeSet<u32> = order.iter().copied().collect();
        prop_assert_eq!(all.len(), order.len());
        prop_assert_eq!(all, (0..32).filter(|i| !closed.contains(i)).collect::<BTreeSet<_>>());
    }
}

#[test]
fn small_bundles_share_a_slot_until_it_is_full_or_closed() {
    let mut generation = open(Mixing::EpochShuffle);
    let mut rng = rng(1);
    let first = generation.place(10, Timestamp(0), &mut rng).unwrap()[0].slot;
    let second = generation.place(6, Timestamp(0), &mut rng).unwrap()[0].slot;
    let third = generation.place(1, Timestamp(0), &mut rng).unwrap()[0].slot;
    assert_eq!(first, second);
    assert_ne!(second, third);
    generation.close(third);
    assert_ne!(
        generation.place(1, Timestamp(0), &mut rng).unwrap()[0].slot,
        third
    );
}

#[test]
fn slot_indexes_are_uniform() {
    let mut counts = [0u32; 32];
    let mut rng = rng(2);
    for _ in 0..32_000 {
        let mut generation = open(Mixing::EpochShuffle);
        generation.place(20, Timestamp(0), &mut rng).unwrap();
        for slot in generation.slots().keys() {
            counts[*slot as usize] += 1;
        }
    }
    // 64,000 draws over 32 indexes: chi-square with 31 degrees of freedom is below 75 but for one in 10^5.
    let chi: f64 = counts
        .iter()
        .map(|c| (f64::from(*c) - 2000.0).powi(2) / 2000.0)
        .sum();
    assert!(chi < 75.0, "chi-square {chi}: {counts:?}");
}

#[test]
fn the_epoch_shuffle_lets_nothing_leave_early() {
    let mut generation = open(Mixing::EpochShuffle);
    generation.place(100, Timestamp(0), &mut rng(3)).unwrap();
    assert!(generation.due(Timestamp(u64::MAX)).is_empty());
}

#[test]
fn exponential_delays_have_their_mean_and_slots_leave_in_time_order() {
    let mean = Duration::from_secs(100);
    let mut total = 0.0;
    let mut rng = rng(4);
    for _ in 0..500 {
        let mut generation = open(Mixing::Exponential { mean });
        generation.place(16 * 32, Timestamp(0), &mut rng).unwrap();
        total += generation
            .slots()
            .values()
            .map(|s| s.leaves.unwrap().0 as f64)
            .sum::<f64>();
        let due = generation.due(Timestamp(u64::MAX));
        assert_eq!(due.len(), 32);
        assert!(due.is_sorted_by_key(|i| generation.slots()[i].leaves));
        generation.close(due[0]);
        assert_eq!(generation.due(Timestamp(u64::MAX)), due[1..]);
    }
    let measured = total / (500.0 * 32.0) / 1000.0;
    // Standard error of the mean of 16,000 draws is 0.8 s.
    assert!((measured - 100.0).abs() < 4.0, "mean {measured} s");
}

#[test]
fn sealing_begins_by_size_or_by_age_and_never_without_a_deposit() {
    let mut generation = open(Mixing::EpochShuffle);
    assert!(!generation.should_seal(Timestamp(u64::MAX)));
    generation.place(1, Timestamp(1000), &mut rng(5)).unwrap();
    assert!(!generation.should_seal(Timestamp(60_999)));
    assert!(generation.should_seal(Timestamp(61_000)));
    assert_eq!(generation.next_event(), Some(Timestamp(61_000)));
    generation
        .place(16 * 23, Timestamp(1000), &mut rng(5))
        .unwrap();
    assert!(generation.should_seal(Timestamp(1000)));
}

#[test]
fn a_restart_goes_on_where_it_stopped() {
    let mixing = Mixing::Exponential {
        mean: Duration::from_secs(9),
    };
    let mut before = open(mixing);
    before.place(40, Timestamp(7), &mut rng(6)).unwrap();
    let mut after = OpenGeneration::new(
        LAYOUT,
        mixing,
        RULE,
        before.first_deposit(),
        before.slots().clone(),
    );
    assert_eq!(
        after.place(5, Timestamp(8), &mut rng(7)),
        before.place(5, Timestamp(8), &mut rng(7))
    );
    assert_eq!(
        after.due(Timestamp(u64::MAX)),
        before.due(Timestamp(u64::MAX))
    );
}

#[test]
fn draws_are_unbiased() {
    let mut rng = rng(8);
    let mut counts = [0u32; 3];
    for _ in 0..30_000 {
        counts[below(3, &mut rng) as usize] += 1;
    }
    assert!(
        counts.iter().all(|c| c.abs_diff(10_000) < 400),
        "{counts:?}"
    );
}
