//! Having the cloud seal what has left (docs/protocol.md 5.6, 6.2, 6.3), and believing it.

use harpo_protocol::id::Digest;
use harpo_protocol::stack::{Figures, GenerationStatus, SealRequest, slots_digest};
use harpo_service::http::ClientError;
use harpo_service::random;
use rand_core::Rng as _;

use super::{Mixer, Progress, proofs};
use crate::audit::Event;
use crate::error::{TrustError, damaged};
use crate::store::generations::{self, Generation};
use crate::store::{slots, stacks};

/// Longest answer of the cloud about a generation.
const STATUS_BYTES: usize = 64 << 10;

impl Mixer {
    /// All slots have left: fixes the request to seal (6.2).
    pub(super) async fn begin_encoding(
        &self,
        generation: &Generation,
    ) -> Result<Progress, TrustError> {
        let mut tx = self.trust.store.db.begin("seal").await?;
        let digests = slots::digests(&mut tx, generation.number).await?;
        let slots = slots_digest(digests);
        let request = match &generation.request {
            // Sent again: nothing about it changes.
            Some(request) if request.slots == slots => request.clone(),
            Some(_) => return Err(damaged("a slot")),
            None => SealRequest {
                figures: self.figures(generation),
                slots,
            },
        };
        generations::begin_encoding(&mut tx, generation.number, &request).await?;
        tx.commit().await?;
        Ok(Progress::More)
    }

    fn figures(&self, generation: &Generation) -> Figures {
        let layout = &generation.layout;
        let mut seed = Digest([0; 32]);
        random::system().fill_bytes(&mut seed.0);
        let ring = &self.trust.config.ring;
        Figures {
            slots: layout.slots,
            slot_bytes: layout.slot_bytes(),
            parameter_set: ring.parameter_set,
            interleave: self.trust.config.interleave_for(layout),
            seed,
        }
    }

    /// Asks the cloud to seal, and how far it is (6.2, 6.3).
    pub(super) async fn look_at_sealing(
        &self,
        generation: &Generation,
    ) -> Result<Progress, TrustError> {
        let request = generation
            .request
            .as_ref()
            .ok_or_else(|| damaged("a seal request"))?;
        let path = format!("/v1/generations/{}", generation.id);
        let status = match self.cloud.get(&path).send_json(STATUS_BYTES).await {
            Ok(GenerationStatus::Open { .. }) => {
                let asked = self.cloud.post(&format!("{path}/seal")).json(request);
                asked.send_json(STATUS_BYTES).await
            }
            other => other,
        };
        match status {
            Ok(GenerationStatus::Sealed {
                slots,
                hint,
                hint_bytes,
            }) if slots == request.slots => {
                let missing = proofs::unproven(&self.trust, &self.cloud, generation).await?;
                if !missing.is_empty() {
                    return Err(self.unproven(generation, missing).await?);
                }
                self.sealed(generation, slots, hint, hint_bytes).await?;
                Ok(Progress::More)
            }
            // What is sealed takes no writes (6.1): it is looked at again, until the cloud has mended or reopened it.
            Ok(GenerationStatus::Sealed { slots, .. }) => Err(self
                .mismatch(generation, request.slots, Some(slots))
                .await?),
            // It compares what it recorded at writing, too.
            Err(error) if error.code() == Some("conflict") => {
                let alarm = self.mismatch(generation, request.slots, None).await?;
                self.send_again(generation).await?;
                Err(alarm)
            }
            Ok(GenerationStatus::Sealing | GenerationStatus::Open { .. }) => Ok(Progress::Idle),
            Err(error) if lost_slots(&error) => {
                self.send_again(generation).await?;
                Err(error.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The generation is in a stack from this transaction on.
    async fn sealed(
        &self,
        generation: &Generation,
        slots: Digest,
        hint: Digest,
        hint_bytes: u64,
    ) -> Result<(), TrustError> {
        let store = &self.trust.store;
        let mut tx = store.db.begin("sealed").await?;
        let now = store.now();
        generations::sealed(&mut tx, generation.number, hint, hint_bytes, now).await?;
        let bounds = self.trust.config.stack_bounds();
        stacks::gather(&mut tx, bounds, &store.signing, now).await?;
        let event = Event::Sealed {
            generation: generation.id,
            slots,
            hint,
        };
        store.audit(&mut tx, event).await?;
        tx.commit().await?;
        tracing::info!(generation = %generation.id, "sealed");
        Ok(())
    }

    /// The cloud has other bytes than trust sent (threat T3): an alarm. The fragments stay cached and
    /// readable from here. Answers why the generation waits.
    async fn mismatch(
        &self,
        generation: &Generation,
        expected: Digest,
        found: Option<Digest>,
    ) -> Result<TrustError, TrustError> {
        tracing::error!(
            generation = %generation.id, %expected, ?found,
            "the cloud's slots are not what was sent; nothing is released from it"
        );
        let event = Event::SealMismatch {
            generation: generation.id,
            expected,
            found,
        };
        self.trust.store.audit_alone(event).await?;
        Ok(TrustError::Usage(
            "the cloud's digest of the slots is not the expected one".to_owned(),
        ))
    }

    /// The cloud does not prove that it has what it confirmed (threat T4): the same alarm.
    async fn unproven(
        &self,
        generation: &Generation,
        slots: Vec<u32>,
    ) -> Result<TrustError, TrustError> {
        tracing::error!(
            generation = %generation.id, ?slots,
            "the cloud does not prove that it stores these slots; nothing is released from it"
        );
        let store = &self.trust.store;
        let mut tx = store.db.begin("slots unproven").await?;
        generations::doubt(&mut tx, generation.number).await?;
        let event = Event::SlotsUnproven {
            generation: generation.id,
            slots,
        };
        store.audit(&mut tx, event).await?;
        tx.commit().await?;
        Ok(TrustError::Usage(
            "the cloud does not prove that it stores the slots".to_owned(),
        ))
    }

    async fn send_again(&self, generation: &Generation) -> Result<(), TrustError> {
        let mut tx = self.trust.store.db.begin("send again").await?;
        generations::send_again(&mut tx, generation.number).await?;
        tx.commit().await?;
        Ok(())
    }
}

/// Whether the cloud says that it does not have all the slots.
fn lost_slots(error: &ClientError) -> bool {
    matches!(error.code(), Some("not_found" | "incomplete"))
}
