//! Whether the cloud has the slots that it says it sealed (docs/protocol.md 5.6, 6.5). The digest that it confirms is the one
//! that it was asked to seal: a cloud that kept nothing else could repeat it.

use harpo_protocol::id::Nonce;
use harpo_protocol::placement::shuffle;
use harpo_protocol::stack::{MAX_PROOF_SLOTS, SlotProofRequest, SlotProofs, slot_proof};
use harpo_service::http::{Client, ClientError};
use harpo_service::random;
use rand_core::CryptoRng;

use super::assemble;
use crate::error::TrustError;
use crate::serve::Trust;
use crate::store::generations::Generation;

/// Slots that a cloud must prove of which nothing is doubted.
const SAMPLE: usize = 16;
/// Longest answer of the cloud.
const ANSWER_BYTES: usize = 64 << 10;

/// Asks for proofs. Answers the slots that were not proven, ascending.
///
/// # Errors
/// If the cloud cannot be asked or is busy, and if the slots cannot be put together here: neither says anything about
/// what it has.
pub(super) async fn unproven(
    trust: &Trust,
    cloud: &Client,
    generation: &Generation,
) -> Result<Vec<u32>, TrustError> {
    let rng = &mut random::system();
    let mut unproven = Vec::new();
    let asked = choose(generation.layout.slots, generation.doubted, rng);
    for slots in asked.chunks(MAX_PROOF_SLOTS) {
        let request = SlotProofRequest {
            nonce: Nonce::random(rng),
            slots: slots.to_vec(),
        };
        unproven.extend(ask(trust, cloud, generation, request).await?);
    }
    Ok(unproven)
}

/// The slots to ask for, ascending. Whether one holds anything has no part in it: the cloud would learn which do,
/// all the more if it is asked again and again. It cannot tell either, so what it dropped is hit as surely.
fn choose(slots: u32, doubted: bool, rng: &mut impl CryptoRng) -> Vec<u32> {
    let mut chosen: Vec<u32> = (0..slots).collect();
    if !doubted {
        shuffle(&mut chosen, rng);
        chosen.truncate(SAMPLE);
        chosen.sort_unstable();
    }
    chosen
}

async fn ask(
    trust: &Trust,
    cloud: &Client,
    generation: &Generation,
    request: SlotProofRequest,
) -> Result<Vec<u32>, TrustError> {
    let path = format!("/v1/generations/{}/proofs", generation.id);
    let answer = cloud.post(&path).json(&request);
    let proofs = match answer.send_json::<SlotProofs>(ANSWER_BYTES).await {
        Ok(SlotProofs { proofs }) if proofs.len() == request.slots.len() => proofs,
        Ok(_) => return Ok(request.slots),
        Err(error) if refused(&error) => {
            tracing::warn!(generation = %generation.id, %error, "the cloud does not prove its slots");
            return Ok(request.slots);
        }
        Err(error) => return Err(error.into()),
    };
    // Put together only now: how long it takes tells which slots hold something.
    let mut unproven = Vec::new();
    for (slot, proof) in request.slots.into_iter().zip(proofs) {
        let bytes = assemble::slot(trust, generation, slot).await?;
        if slot_proof(request.nonce, generation.id, slot, &bytes) != proof {
            unproven.push(slot);
        }
    }
    Ok(unproven)
}

/// Whether the cloud says that it has not got them, or will not say; not that it has no time, or that it failed.
fn refused(error: &ClientError) -> bool {
    let ClientError::Refused { status, code, .. } = error else {
        return matches!(error, ClientError::Malformed { .. });
    };
    code == "damaged" || (status.is_client_error() && !["busy", "timeout"].contains(&code.as_str()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn slots_are_drawn_evenly_and_all_of_them_once_one_is_doubted() {
        let rng = &mut rand_chacha::ChaCha20Rng::from_seed([1; 32]);
        assert_eq!(choose(8, false, rng), (0..8).collect::<Vec<_>>());
        assert_eq!(choose(300, true, rng), (0..300).collect::<Vec<_>>());
        let mut drawn = [0u32; 64];
        for _ in 0..4000 {
            let chosen = choose(64, false, rng);
            assert_eq!(chosen.len(), SAMPLE);
            assert_eq!(chosen.iter().collect::<BTreeSet<_>>().len(), SAMPLE);
            chosen.iter().for_each(|slot| drawn[*slot as usize] += 1);
        }
        // 1,000 each, with a deviation of 27.
        assert!(drawn.iter().all(|n| (850..1150).contains(n)), "{drawn:?}");
    }
}
