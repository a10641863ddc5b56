//! What must hold of every decoder that reads another party's bytes, as functions that a fuzzer calls.
//!
//! Each target takes arbitrary bytes. It panics if the decoder does, or if a property fails: what was accepted is written back
//! as it came (or, where a format has several spellings, reads again as the same), and nothing is accepted
//! that needs a key which the writer does not have. `fuzz/` holds the same targets as libFuzzer programs, `fuzz/corpus/` where
//! they begin, and `tests/replay.rs` runs them on stable Rust.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a target tells that a property failed by panicking"
)]

mod capsule;
mod certificates;
mod content;
mod messages;
mod mutate;
mod retrieval;
mod ring;
mod samples;
mod sealed;
mod seeds;
mod text;

pub use capsule::capsule;
pub use certificates::{certificate, certificate_request};
pub use content::plane;
pub use messages::{message, signed, stack};
pub use mutate::Mutator;
pub use retrieval::retrieval;
pub use ring::{answer, hint, partial_answer, query};
pub use sealed::{cell, fragment, pack, sealing_key, wrapped};
pub use seeds::{Seed, seeds};
pub use text::text;

/// What a decoder made of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// They are an object of its kind, and the properties held.
    Accepted,
    /// They were refused with an error.
    Refused,
}

impl Outcome {
    fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() {
            Self::Accepted
        } else {
            Self::Refused
        }
    }

    /// Accepted if either is.
    fn or(self, other: Self) -> Self {
        if self == Self::Accepted { self } else { other }
    }
}

/// A function that a fuzzer calls.
pub type Target = fn(&[u8]) -> Outcome;

/// All targets by name.
pub const TARGETS: &[(&str, Target)] = &[
    ("answer", answer),
    ("capsule", capsule),
    ("cell", cell),
    ("certificate", certificate),
    ("certificate_request", certificate_request),
    ("fragment", fragment),
    ("hint", hint),
    ("message", message),
    ("pack", pack),
    ("partial_answer", partial_answer),
    ("plane", plane),
    ("query", query),
    ("retrieval", retrieval),
    ("sealing_key", sealing_key),
    ("signed", signed),
    ("stack", stack),
    ("text", text),
    ("wrapped", wrapped),
];
