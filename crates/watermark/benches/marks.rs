//! Speed of marks: one thread, synthetic planes, samples of the carrier plane a second.
#![expect(clippy::expect_used, reason = "a benchmark stops at the first failure")]

#[path = "marks/planes.rs"]
mod planes;
#[path = "marks/reliability.rs"]
mod reliability;
#[path = "marks/reversible.rs"]
mod reversible;
#[path = "marks/tracing.rs"]
mod tracing;

fn main() {
    let mut criterion = criterion::Criterion::default().configure_from_args();
    reliability::measure(&mut criterion);
    reversible::measure(&mut criterion);
    tracing::measure(&mut criterion);
    criterion.final_summary();
}
