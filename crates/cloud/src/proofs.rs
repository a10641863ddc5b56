//! Proofs that slots are still in storage (docs/protocol.md 6.5).

use std::sync::Arc;

use harpo_protocol::id::{Digest, GenerationId};
use harpo_protocol::stack::{MAX_PROOF_SLOTS, SlotProofRequest, SlotProofs, slot_proof};
use tokio::runtime::Handle;

use crate::Error;
use crate::cloud::Cloud;
use crate::slots::{ReadError, Slots};
use crate::store::State;

impl Cloud {
    /// Reads the slots back and proves each. The first that is missing or damaged is named, and nothing is proven.
    pub(crate) async fn prove(
        &self,
        id: GenerationId,
        request: SlotProofRequest,
    ) -> Result<SlotProofs, Error> {
        let count = request.slots.len();
        if count == 0 || count > MAX_PROOF_SLOTS {
            return Err(Error::malformed(
                "proof request",
                format!("{count} slots; 1 to {MAX_PROOF_SLOTS} can be proven at once"),
            ));
        }
        let generation = self
            .store
            .generation(id)
            .await?
            .filter(|generation| generation.state != State::Retired)
            .ok_or(Error::NotFound("generation"))?;
        let place = Arc::clone(&self.proofs)
            .acquire_owned()
            .await
            .map_err(|_| Error::Stopping)?;
        let digests = self.store.slot_digests(id).await?;
        let (slots, runtime) = (self.slots.clone(), Handle::current());
        let proving = move || {
            let _place = place;
            let mut bytes = vec![0; generation.slot_bytes as usize];
            let mut prove = |slot| {
                let digest = recorded(&digests, slot).ok_or(ReadError::Damaged);
                digest
                    .and_then(|digest| read(&runtime, &slots, id, slot, digest, &mut bytes))
                    .map_err(|error| failure(id, slot, error))?;
                Ok(slot_proof(request.nonce, id, slot, &bytes))
            };
            request.slots.iter().map(|slot| prove(*slot)).collect()
        };
        let proofs: Result<_, Error> = tokio::task::spawn_blocking(proving)
            .await
            .map_err(|_| Error::TaskLost)?;
        Ok(SlotProofs { proofs: proofs? })
    }
}

/// What was recorded of a slot when it was written.
fn recorded(digests: &[(u32, Digest)], slot: u32) -> Option<Digest> {
    let at = digests
        .binary_search_by_key(&slot, |(slot, _)| *slot)
        .ok()?;
    Some(digests[at].1)
}

fn read(
    runtime: &Handle,
    slots: &Slots,
    id: GenerationId,
    slot: u32,
    digest: Digest,
    bytes: &mut [u8],
) -> Result<Digest, ReadError> {
    runtime.block_on(slots.read(id, slot, digest, bytes))
}

pub(crate) fn failure(generation: GenerationId, slot: u32, error: ReadError) -> Error {
    match error {
        ReadError::Damaged => {
            tracing::error!(%generation, slot, "a slot is missing or damaged in storage");
            Error::Damaged { generation, slot }
        }
        ReadError::Store(source) => Error::SlotUnreadable {
            generation,
            slot,
            source,
        },
    }
}
