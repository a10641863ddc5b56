//! Messages in JSON (docs/protocol.md 1.2) and signed statements (1.5).

use std::sync::LazyLock;

use harpo_oblivious::{Error, GenerationInfo, ParamSetId, Seed, Shape, Stack};
use harpo_protocol::attestation::Attestation;
use harpo_protocol::audit::Checkpoint;
use harpo_protocol::deposit::{DepositRequest, DepositStatus, Receipt};
use harpo_protocol::id::Digest;
use harpo_protocol::identity::{
    CertificateChain, CertificateRequest, Credential, EnrolRequest, EnrolResponse, TrustInfo,
};
use harpo_protocol::manifest::Manifest;
use harpo_protocol::release::{Notice, Release, ReleaseRequest, Secrets};
use harpo_protocol::replacement::ErrandSecrets;
use harpo_protocol::retrieval::Ticket;
use harpo_protocol::rounds::Round;
use harpo_protocol::search::{LocateRequest, LocateResponse, SearchRequest, SearchResponse};
use harpo_protocol::sign::{Signed, Statement};
use harpo_protocol::stack::{
    GenerationStatus, SealRequest, SlotProofRequest, SlotProofs, StackDescriptor,
};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Outcome, samples};

/// A message, as each of the kinds that there are.
pub fn message(data: &[u8]) -> Outcome {
    // Checked further than their form.
    if let Ok(manifest) = serde_json::from_slice::<Manifest>(data)
        && manifest.validate().is_ok()
    {
        assert!(manifest.instances().count() > 0);
    }
    if let Ok(info) = serde_json::from_slice::<TrustInfo>(data)
        && info.layout.validate().is_ok()
    {
        assert!(info.layout.chunk_bytes() > 0 && info.layout.slot_bytes() > 0);
    }
    [
        read::<Manifest>(data),
        read::<Attestation>(data),
        read::<TrustInfo>(data),
        read::<Ticket>(data),
        read::<StackDescriptor>(data),
        read::<Credential>(data),
        read::<Receipt>(data),
        read::<Checkpoint>(data),
        read::<Release>(data),
        read::<ReleaseRequest>(data),
        read::<Secrets>(data),
        read::<Round>(data),
        read::<ErrandSecrets>(data),
        read::<Notice>(data),
        read::<DepositRequest>(data),
        read::<DepositStatus>(data),
        read::<SearchRequest>(data),
        read::<SearchResponse>(data),
        read::<LocateRequest>(data),
        read::<LocateResponse>(data),
        read::<SealRequest>(data),
        read::<GenerationStatus>(data),
        read::<SlotProofRequest>(data),
        read::<SlotProofs>(data),
        read::<EnrolRequest>(data),
        read::<EnrolResponse>(data),
        read::<CertificateRequest>(data),
        read::<CertificateChain>(data),
    ]
    .into_iter()
    .fold(Outcome::Refused, Outcome::or)
}

/// JSON has many spellings of one message; the one that is written is read again, as the same.
fn read<T: Serialize + DeserializeOwned>(data: &[u8]) -> Outcome {
    let read = serde_json::from_slice::<T>(data);
    if let Ok(message) = &read {
        let written = serde_json::to_vec(message).unwrap();
        let again: T = serde_json::from_slice(&written).unwrap();
        assert!(serde_json::to_vec(&again).unwrap() == written);
    }
    Outcome::of(&read)
}

/// The public figures of a stack, as parties tell them each other: what the engine accepts has sizes that can be computed.
pub fn stack(data: &[u8]) -> Outcome {
    let Ok(descriptor) = serde_json::from_slice::<StackDescriptor>(data) else {
        return Outcome::Refused;
    };
    let infos = descriptor.generations.iter().map(|sealed| {
        let figures = &sealed.figures;
        Ok(GenerationInfo {
            params: ParamSetId(figures.parameter_set),
            shape: Shape::new(figures.slots, figures.slot_bytes, figures.interleave)?,
            seed: Seed(figures.seed.0),
        })
    });
    let stack = infos.collect::<Result<_, Error>>().and_then(Stack::new);
    if let Ok(stack) = &stack {
        let bytes = stack.query_bytes() + stack.answer_bytes() + stack.hint_bytes();
        assert!(bytes > 0 && stack.encoded_bytes() > 0 && stack.slots() > 0);
        for (index, info) in stack.generations().iter().enumerate() {
            assert!(info.hint_bytes().unwrap() > 0);
            assert!(stack.position(index, info.shape.slots() - 1).is_some());
            assert!(stack.position(index, info.shape.slots()).is_none());
        }
    }
    Outcome::of(&stack)
}

/// A signed statement, as each of the kinds that there are. Accepted only if it verifies, which nobody can make it do without
/// the key.
pub fn signed(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else {
        return Outcome::Refused;
    };
    [
        verify::<Ticket>(text),
        verify::<Manifest>(text),
        verify::<Attestation>(text),
        verify::<StackDescriptor>(text),
        verify::<Credential>(text),
        verify::<TrustInfo>(text),
        verify::<Receipt>(text),
        verify::<Checkpoint>(text),
    ]
    .into_iter()
    .fold(Outcome::Refused, Outcome::or)
}

fn verify<T: Statement>(text: &str) -> Outcome {
    static KNOWN: LazyLock<Vec<Digest>> = LazyLock::new(samples::statement_digests);
    let Ok(signed) = Signed::<T>::from_json(text) else {
        return Outcome::Refused;
    };
    let again = Signed::<T>::from_json(&signed.to_json()).unwrap();
    assert!(again.to_json() == signed.to_json() && again.digest() == signed.digest());
    let verified = signed.verify(&samples::key().verifying_key());
    if verified.is_ok() {
        assert!(KNOWN.contains(&signed.digest()), "the key never signed it");
    }
    Outcome::of(&verified)
}
