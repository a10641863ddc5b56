//! Identities, messages, sealed formats, tickets, receipts, and the state machines of each party.
//!
//! Nothing here reads a socket, a file, a clock or ambient randomness: `now` and a generator of
//! random bytes are parameters. `docs/protocol.md` is the specification; functions name its
//! sections.

pub mod access;
pub mod attestation;
pub mod audit;
pub mod cell;
pub mod deposit;
pub mod domain;
pub mod export;
pub mod fragment;
pub mod id;
pub mod identity;
pub mod manifest;
pub mod pack;
pub mod placement;
pub mod release;
pub mod replacement;
pub mod retrieval;
pub mod rounds;
pub mod search;
pub mod secret;
pub mod sign;
pub mod stack;
pub mod time;
pub mod wrap;

/// The one answer to everything cryptographic that fails: a caller, and a stranger behind it,
/// learns that something was not accepted and nothing more (docs/protocol.md 1.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("rejected: a signature, key or ciphertext did not verify")]
pub struct Rejected;

/// A message or file that is not of this protocol (docs/protocol.md 1.2).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("malformed {what}: {why}")]
pub struct Malformed {
    /// The object that was read.
    pub what: &'static str,
    /// What is wrong with it.
    pub why: String,
}

impl Malformed {
    /// A complaint about `what`.
    pub fn new(what: &'static str, why: impl Into<String>) -> Self {
        Self {
            what,
            why: why.into(),
        }
    }
}
