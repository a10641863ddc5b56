//! The fuzz targets on stable Rust: the corpus, and damaged copies of it.
//!
//! `HARPO_FUZZ_ROUNDS` sets how many damaged inputs each target gets, `HARPO_FUZZ_SEED` where they begin.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use harpo_fuzz::{Mutator, Outcome, TARGETS, Target};

/// Damaged inputs for each target if nothing is said.
const ROUNDS: u64 = 1500;
/// Of the targets that the promise of docs/oblivious-encoding.md 1.4 is about, so many must be malformed.
const MALFORMED: u64 = 1000;

fn corpus(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/corpus")
        .join(target);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files.iter().map(|file| fs::read(file).unwrap()).collect()
}

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable).map_or(otherwise, |text| text.parse().unwrap())
}

/// Runs a target; an input that makes it panic is kept.
fn run(name: &str, target: Target, input: &[u8], which: &str) -> Outcome {
    catch_unwind(AssertUnwindSafe(|| target(input))).unwrap_or_else(|_| {
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
        fs::write(&file, input).unwrap();
        panic!(
            "{name} failed on {which}; the input is in {}",
            file.display()
        );
    })
}

#[test]
fn good_inputs_are_accepted() {
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        assert!(!inputs.is_empty(), "{name} has no corpus");
        let accepted = inputs
            .iter()
            .filter(|input| run(name, *target, input, "its corpus") == Outcome::Accepted)
            .count();
        assert!(accepted > 0, "{name} accepts nothing");
    }
}

#[test]
fn every_seed_is_accepted() {
    for seed in harpo_fuzz::seeds() {
        let (name, target) = TARGETS
            .iter()
            .find(|(name, _)| *name == seed.target)
            .unwrap();
        let outcome = run(name, *target, &seed.bytes, &seed.name);
        assert_eq!(outcome, Outcome::Accepted, "{name}: {}", seed.name);
    }
}

#[test]
fn damaged_inputs_are_refused_or_read_as_they_are_and_never_panic() {
    let rounds = number("HARPO_FUZZ_ROUNDS", ROUNDS);
    let seed = number("HARPO_FUZZ_SEED", 1);
    for (name, target) in TARGETS {
        let inputs = corpus(name);
        let mut mutator = Mutator::new(seed);
        let mut refused = 0;
        for round in 0..rounds {
            let input = mutator.mutant(&inputs);
            let which = format!("round {round} of HARPO_FUZZ_SEED={seed}");
            if run(name, *target, &input, &which) == Outcome::Refused {
                refused += 1;
            }
        }
        println!("{name}: {refused} of {rounds} refused");
        if ["query", "hint", "answer", "partial_answer"].contains(name) && rounds >= ROUNDS {
            assert!(
                refused >= MALFORMED,
                "{name}: only {refused} were malformed"
            );
        }
    }
}
