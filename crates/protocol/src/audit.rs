//! The append-only log: entries chained by hash, the head signed (docs/protocol.md 11).

use serde::{Deserialize, Serialize};

use crate::domain::hash;
use crate::id::Digest;
use crate::sign::Statement;
use crate::time::Timestamp;

/// Number and hash of the last entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditHead {
    /// Entries so far.
    pub number: u64,
    /// Hash of the last.
    pub hash: Digest,
}

impl AuditHead {
    /// Before the first entry.
    pub const EMPTY: Self = Self {
        number: 0,
        hash: Digest([0; 32]),
    };

    /// The head after `entry`, the exact JSON bytes that are stored (11.1).
    #[must_use]
    pub fn append(&self, entry: &[u8]) -> Self {
        let number = self.number + 1;
        Self {
            number,
            hash: hash("audit", &[&self.hash.0, &number.to_be_bytes(), entry]),
        }
    }
}

/// A signed head (11.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Checkpoint {
    /// The head.
    pub head: AuditHead,
    /// When.
    pub at: Timestamp,
}

impl Statement for Checkpoint {
    const KIND: &'static str = "audit-checkpoint";
}

/// Where a log contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Numbers must go up by one from 1.
    #[error(
        "entry {found} stands where entry {expected} should: an entry was removed, added or moved"
    )]
    Number {
        /// The number that should stand there.
        expected: u64,
        /// The number that does.
        found: u64,
    },
    /// The content or order was changed.
    #[error(
        "the hash of entry {number} does not match its content and predecessors: the log was changed at or before it"
    )]
    Hash {
        /// The first entry that does not fit.
        number: u64,
    },
}

/// Checks entries one after another.
#[derive(Clone, Debug)]
pub struct Verifier {
    head: AuditHead,
}

impl Default for Verifier {
    fn default() -> Self {
        Self {
            head: AuditHead::EMPTY,
        }
    }
}

impl Verifier {
    /// Checks the next entry against its stored number and hash (11.1).
    pub fn next(&mut self, number: u64, entry: &[u8], stored_hash: &[u8]) -> Result<(), Broken> {
        let head = self.head.append(entry);
        if number != head.number {
            return Err(Broken::Number {
                expected: head.number,
                found: number,
            });
        }
        if stored_hash != head.hash.0 {
            return Err(Broken::Hash { number });
        }
        self.head = head;
        Ok(())
    }

    /// The head of what was checked so far.
    pub fn head(&self) -> AuditHead {
        self.head
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log() -> Vec<(u64, Vec<u8>, Vec<u8>)> {
        let mut head = AuditHead::EMPTY;
        (1..=20u64)
            .map(|n| {
                let entry = format!("{{\"event\":{n}}}").into_bytes();
                head = head.append(&entry);
                (n, entry, head.hash.0.to_vec())
            })
            .collect()
    }

    fn check(log: &[(u64, Vec<u8>, Vec<u8>)]) -> Result<AuditHead, Broken> {
        let mut verifier = Verifier::default();
        for (n, entry, hash) in log {
            verifier.next(*n, entry, hash)?;
        }
        Ok(verifier.head())
    }

    #[test]
    fn every_flip_removal_swap_and_insertion_is_found() {
        let good = log();
        let head = check(&good).unwrap();
        for at in 0..good.len() {
            for byte in 0..good[at].1.len() {
                let mut bad = good.clone();
                bad[at].1[byte] ^= 1;
                assert!(check(&bad).is_err(), "flip in {at}");
            }
            let mut bad = good.clone();
            bad.remove(at);
            // Removing the last leaves a shorter valid chain: its head is what tells.
            assert!(
                check(&bad).is_err() || check(&bad) != Ok(head),
                "removal of {at}"
            );
            let mut bad = good.clone();
            bad.insert(at, good[at].clone());
            assert!(check(&bad).is_err(), "duplicate of {at}");
            if at > 0 {
                let mut bad = good.clone();
                bad.swap(at - 1, at);
                assert!(check(&bad).is_err(), "swap at {at}");
            }
        }
    }
}
