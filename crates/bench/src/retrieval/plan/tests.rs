use clap::Parser;

use super::*;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn options(line: &str) -> Options {
    Line::parse_from(std::iter::once("bench").chain(line.split_whitespace())).options
}

fn plan(line: &str) -> Result<Plan> {
    Plan::without_memory(&options(line))
}

#[test]
fn options_are_completed() {
    let plan = plan("--k 4,1,4 --threads 2,1").unwrap();
    assert_eq!((plan.slots, plan.slot_bytes), (512, 4 << 20));
    assert_eq!(plan.plain_bytes(), 2 << 30);
    assert!(
        plan.encoded_bytes >= 3 * plan.plain_bytes() && plan.encoded_bytes < 4 * plan.plain_bytes()
    );
    assert_eq!(plan.ks, [1, 4]);
    assert_eq!((plan.threads, plan.growth_slots.len()), (vec![1, 2], 4));
}

#[test]
fn quick_is_small() {
    let plan = plan("--quick").unwrap();
    assert_eq!(plan.slots, 64);
    assert_eq!(plan.ks, [1, 2, 4, 8, 16]);
}

#[test]
fn small_stacks_grow_from_what_they_have() {
    let plan = plan("--slots 20 --slot-kib 256 --quick --wanted 50").unwrap();
    assert_eq!(plan.growth_slots, [16]);
    assert_eq!(plan.growth_slot_bytes, [64 << 10, 256 << 10]);
    assert_eq!(plan.wanted, 20);
}

#[test]
fn nonsense_is_refused() {
    for line in [
        "--k 0",
        "--threads 0",
        "--interleave 3",
        "--slots 0",
        "--slot-kib 4194304",
        "--wanted 0",
    ] {
        assert!(plan(line).is_err(), "{line}");
    }
}

#[test]
fn short_memory_shrinks_the_read_buffer_and_then_refuses() {
    let whole = plan("").unwrap();
    let fixed = whole.plain_bytes() + whole.encoded_bytes + MARGIN_BYTES;
    let roomy = whole.clone().fit(fixed + whole.encoded_bytes).unwrap();
    assert_eq!(roomy.read_buffer_bytes, whole.encoded_bytes);
    let tight = whole.clone().fit(fixed + LEAST_READ_BUFFER + 5).unwrap();
    assert_eq!(tight.read_buffer_bytes, LEAST_READ_BUFFER + 5);
    let refused = whole.fit(4 << 30).unwrap_err().to_string();
    assert!(refused.contains("--slots"), "{refused}");
    // What the message suggests fits.
    let slots = refused
        .split("--slots ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    assert!(
        plan(&format!("--slots {slots}"))
            .unwrap()
            .fit(4 << 30)
            .is_ok()
    );
}

#[test]
fn thread_counts_double_up_to_all_cores() {
    assert_eq!(doubling(1), [1]);
    assert_eq!(doubling(2), [1, 2]);
    assert_eq!(doubling(12), [1, 2, 4, 8, 12]);
}
