use proptest::prelude::*;

use super::*;
use crate::{GenerationInfo, ParamSetId, Seed, Shape};

const KIB: u32 = 1 << 10;
const MIB: u32 = 1 << 20;

/// A stack of equal generations of set 2.
fn stack(generations: u8, slots: u32, slot_bytes: u32, interleave: u32) -> Stack {
    stack_in(2, generations, slots, slot_bytes, interleave)
}

fn stack_in(set: u16, generations: u8, slots: u32, slot_bytes: u32, interleave: u32) -> Stack {
    let infos = (0..generations).map(|seed| GenerationInfo {
        params: ParamSetId(set),
        shape: Shape::new(slots, slot_bytes, interleave).unwrap(),
        seed: Seed([seed; 32]),
    });
    Stack::new(infos.collect()).unwrap()
}

/// 512 slots of 4 MiB.
fn two_gib() -> Stack {
    stack(2, 256, 4 * MIB, 8)
}

/// The smallest number of queries at which the stream is chosen, if any is.
fn begins(stack: &Stack) -> Option<u32> {
    (1..=4096).find(|queries| Engine::choose(stack, *queries) == Engine::Stream)
}

#[test]
fn the_cost_of_a_query_is_that_of_the_formulas() {
    // Query: 64 polynomials of 3 x 4096 x 27 bits. Answer: 34 bits for every 32 of the slot.
    let stack = two_gib();
    let cost = Engine::Ring.cost(&stack, 8);
    assert_eq!(cost.bytes_up, 8 * (40 + 64 * 41_472));
    let answer = cost.bytes_down as f64 / 8.0 / f64::from(4 * MIB);
    assert!((1.06..1.07).contains(&answer), "{answer}");
    assert_eq!(cost.server_bytes_scanned, 8 << 31);
    // 56.9 MB at 125 MB/s, and eight times 2 GiB at 9 GB/s.
    let seconds = cost.bytes() as f64 / 125e6 + f64::from(8u32) * 2_147_483_648.0 / 9e9;
    assert!((cost.time.as_secs_f64() - seconds).abs() < 1e-6, "{cost:?}");

    let alone = Engine::Ring.cost(&stack, 1);
    let seconds = alone.bytes() as f64 / 125e6 + 2_147_483_648.0 / 3e9;
    assert!(
        (alone.time.as_secs_f64() - seconds).abs() < 1e-6,
        "{alone:?}"
    );

    let streamed = Engine::Stream.cost(&stack, 8);
    assert_eq!((streamed.bytes_up, streamed.bytes_down), (0, 1 << 31));
    assert_eq!(streamed.server_bytes_scanned, 1 << 31);
    assert_eq!(streamed, Engine::Stream.cost(&stack, 4096));
}

#[test]
fn a_hundredth_of_a_large_stack_takes_a_tenth_of_its_bytes_at_most() {
    // Slots of 4 MiB in stacks as trust makes them by default, generations of 256 slots with t = 8, and a bundle of 1/100 of the
    // stack: six slots of 2 GiB, 21 of 8 GiB, which is the largest. Then larger ones with set 1.
    for (stack, queries) in [
        (two_gib(), 8),
        (stack(8, 256, 4 * MIB, 8), 32),
        (stack_in(1, 8, 512, 4 * MIB, 32), 64),
        (stack_in(1, 32, 256, 4 * MIB, 64), 128),
    ] {
        assert_eq!(Engine::choose(&stack, queries), Engine::Ring);
        let ring = Engine::Ring.cost(&stack, queries).bytes();
        let stream = Engine::Stream.cost(&stack, queries).bytes();
        assert!(stream >= 10 * ring, "{stream} and {ring}");
    }
}

#[test]
fn the_stream_begins_where_the_table_of_the_protocol_says() {
    // docs/protocol.md 9.6: slots of 4 MiB, in generations of 1 GiB at most.
    let begin = |slots: u32| begins(&stack(1, slots, 4 * MIB, slots.min(8))).unwrap_or_default();
    let found = [1, 2, 8, 16, 32, 64, 128, 256].map(begin);
    assert_eq!(found, TABLE[..8]);
    let begin = |generations: u8| begins(&stack(generations, 256, 4 * MIB, 8)).unwrap_or_default();
    assert_eq!([2, 4, 8].map(begin), TABLE[8..]);
}

/// For 1 to 256 slots in one generation, then for two, four and eight of 256.
const TABLE: [u32; 11] = [1, 2, 7, 13, 21, 32, 42, 51, 76, 110, 143];

#[test]
fn small_slots_need_more_of_them() {
    // Where queries are as large as answers, downloading everything wins sooner.
    let of = |slot_bytes| begins(&stack(1, 32, slot_bytes, 4)).unwrap();
    assert!(of(16 * KIB) < of(256 * KIB) && of(256 * KIB) < of(4 * MIB));
}

#[test]
fn nothing_wanted_is_not_streamed() {
    assert_eq!(Engine::choose(&stack(1, 1, KIB, 1), 0), Engine::Ring);
}

#[test]
fn names_are_those_of_reports() {
    assert_eq!(
        format!("{} {}", Engine::Ring, Engine::Stream),
        "ring stream"
    );
}

fn any_stack() -> impl Strategy<Value = Stack> {
    (1u8..4, 1u32..300, 1u32..8 * MIB, 0u32..6)
        .prop_map(|(generations, slots, bytes, log)| stack(generations, slots, bytes, 1 << log))
}

proptest! {
    #[test]
    fn more_queries_cost_more_and_never_go_back_to_the_ring(
        stack in any_stack(),
        queries in 1u32..600,
        more in 1u32..600,
    ) {
        let (few, many) = (
            Engine::Ring.cost(&stack, queries),
            Engine::Ring.cost(&stack, queries + more),
        );
        prop_assert!(few.bytes() < many.bytes());
        prop_assert!(few.server_bytes_scanned < many.server_bytes_scanned);
        prop_assert!(few.time <= many.time);
        if Engine::choose(&stack, queries) == Engine::Stream {
            prop_assert_eq!(Engine::choose(&stack, queries + more), Engine::Stream);
        }
    }

    #[test]
    fn a_stream_is_never_later_nor_much_larger(stack in any_stack(), queries in 1u32..600) {
        if Engine::choose(&stack, queries) == Engine::Stream {
            let ring = Engine::Ring.cost(&stack, queries);
            let stream = Engine::Stream.cost(&stack, queries);
            prop_assert!(stream.time <= ring.time);
            prop_assert!(stream.bytes() <= STREAM_BYTES_AT_MOST * ring.bytes());
        }
    }
}
