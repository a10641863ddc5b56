//! Sealing generations, and the stack that they make (docs/protocol.md 6, 7).

use serde::{Deserialize, Serialize};

use crate::domain::Hasher;
use crate::id::{Digest, GenerationId};
use crate::sign::Statement;
use crate::time::Timestamp;

/// Public figures of a generation: what the ring engine needs to know of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Figures {
    /// Number of slots.
    pub slots: u32,
    /// Bytes of a slot.
    pub slot_bytes: u32,
    /// Parameter set of the ring engine.
    pub parameter_set: u16,
    /// Slots interleaved in one polynomial.
    pub interleave: u32,
    /// Fixes the public polynomials.
    pub seed: Digest,
}

/// `POST /v1/generations/{generation}/seal` (6.2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealRequest {
    /// How to encode it.
    pub figures: Figures,
    /// [`slots_digest`] as trust computed it.
    pub slots: Digest,
}

/// Where the cloud stands with a generation (6.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase", deny_unknown_fields)]
pub enum GenerationStatus {
    /// Slots may be written.
    Open {
        /// How many are.
        slots: u32,
    },
    /// Being encoded.
    Sealing,
    /// Readable.
    Sealed {
        /// [`slots_digest`] of what was read back.
        slots: Digest,
        /// SHA-256 of the hint.
        hint: Digest,
        /// Length of the hint.
        hint_bytes: u64,
    },
}

/// Digest of all slots, from the SHA-256 of each in index order (6.2).
pub fn slots_digest(each: impl IntoIterator<Item = Digest>) -> Digest {
    let mut hasher = Hasher::with_domain("slots");
    for digest in each {
        hasher.update(&digest.0);
    }
    hasher.finish()
}

/// One sealed generation in the descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedGeneration {
    /// Its identifier.
    pub generation: GenerationId,
    /// Its public figures.
    pub figures: Figures,
    /// [`slots_digest`].
    pub slots: Digest,
    /// SHA-256 of its hint.
    pub hint: Digest,
    /// Length of its hint.
    pub hint_bytes: u64,
}

/// The sealed generations, in order (7.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StackDescriptor {
    /// Oldest first.
    pub generations: Vec<SealedGeneration>,
    /// When trust said so.
    pub issued: Timestamp,
}

impl Statement for StackDescriptor {
    const KIND: &'static str = "stack";
}
