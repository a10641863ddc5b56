//! Sealing generations, and the stack that they make (docs/protocol.md 6, 7).

use serde::{Deserialize, Serialize};

use crate::domain::{Hasher, hash};
use crate::id::{Digest, GenerationId, Nonce};
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

/// Most slots that one [`SlotProofRequest`] may name.
pub const MAX_PROOF_SLOTS: usize = 64;

/// `POST /v1/generations/{generation}/proofs` (6.5): shows whether the slots are still there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotProofRequest {
    /// Fresh: the proofs cannot have been made before.
    pub nonce: Nonce,
    /// Indexes, at least one and at most [`MAX_PROOF_SLOTS`].
    pub slots: Vec<u32>,
}

/// The answer to a [`SlotProofRequest`] (6.5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SlotProofs {
    /// [`slot_proof`] of each slot, in the order of the request.
    pub proofs: Vec<Digest>,
}

/// What only somebody who has all `bytes` of a slot can answer to a fresh `nonce` (6.5).
pub fn slot_proof(nonce: Nonce, generation: GenerationId, slot: u32, bytes: &[u8]) -> Digest {
    hash(
        "slot-proof",
        &[&nonce.0, &generation.0, &slot.to_be_bytes(), bytes],
    )
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

#[cfg(test)]
mod tests {
    use super::*;

    const NONCE: Nonce = Nonce([1; 16]);
    const GENERATION: GenerationId = GenerationId([2; 16]);

    #[test]
    fn a_slot_proof_is_the_hash_that_the_protocol_says() {
        let plain = [
            b"harpocrates/1/slot-proof\0".as_slice(),
            &[1; 16],
            &[2; 16],
            &[0, 1, 2, 3],
            b"bytes",
        ];
        assert_eq!(
            slot_proof(NONCE, GENERATION, 0x0001_0203, b"bytes"),
            crate::domain::sha256(&plain.concat())
        );
    }

    #[test]
    fn a_slot_proof_is_good_for_one_nonce_generation_slot_and_content() {
        let proof = slot_proof(NONCE, GENERATION, 3, b"bytes");
        for other in [
            slot_proof(Nonce([9; 16]), GENERATION, 3, b"bytes"),
            slot_proof(NONCE, GenerationId([9; 16]), 3, b"bytes"),
            slot_proof(NONCE, GENERATION, 4, b"bytes"),
            slot_proof(NONCE, GENERATION, 3, b"bytez"),
            slot_proof(NONCE, GENERATION, 3, b"byte"),
            slot_proof(NONCE, GENERATION, 3, b""),
        ] {
            assert_ne!(proof, other);
        }
    }

    #[test]
    fn proof_requests_are_read_strictly() {
        let nonce = NONCE.to_string();
        let good = format!(r#"{{"nonce":"{nonce}","slots":[0,5]}}"#);
        let read: SlotProofRequest = serde_json::from_str(&good).unwrap();
        assert_eq!(read.slots, [0, 5]);
        for bad in [
            good.replace("5]", "-5]"),
            good.replace("5]", "4294967296]"),
            good.replace("}", r#","digests":[]}"#),
            good.replace(&nonce, "00"),
        ] {
            assert!(
                serde_json::from_str::<SlotProofRequest>(&bad).is_err(),
                "{bad}"
            );
        }
    }
}
