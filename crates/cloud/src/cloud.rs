//! What the handlers share, and the cloud's writes (docs/protocol.md 6).

use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use harpo_oblivious::GenerationInfo;
use harpo_protocol::id::GenerationId;
use harpo_protocol::sign::VerifyingKey;
use harpo_protocol::stack::{GenerationStatus, SealRequest};
use harpo_protocol::time::Timestamp;
use harpo_service::admin::Condition;
use harpo_service::clock::Clock;
use harpo_service::ohttp::ServerKeys;
use tokio::sync::{Semaphore, mpsc};

use crate::Error;
use crate::config::Limits;
use crate::events::{Event, EventLog};
use crate::gate::Gate;
use crate::residents::{self, Residents};
use crate::scanner::Scanner;
use crate::sealing::kept::Kept;
use crate::slots::Slots;
use crate::store::{Begin, Generation, State, Store};

/// Slots of a generation: beyond what any parameter set allows.
const MAX_SLOTS: u32 = 1 << 21;

/// One running cloud.
#[derive(Debug)]
pub(crate) struct Cloud {
    pub(crate) store: Store,
    pub(crate) slots: Slots,
    pub(crate) residents: Residents,
    /// Where encoded generations are kept, if they are.
    pub(crate) kept: Option<Kept>,
    pub(crate) scanner: Scanner,
    pub(crate) events: EventLog,
    /// Verifies tickets.
    pub(crate) trust_key: VerifyingKey,
    /// Opens what comes through the relay.
    pub(crate) keys: ServerKeys,
    /// Bounds retrievals.
    pub(crate) gate: Gate,
    /// One proof request reads slots at a time.
    pub(crate) proofs: Arc<Semaphore>,
    pub(crate) limits: Limits,
    pub(crate) clock: Clock,
    /// Generations to encode.
    pub(crate) queue: mpsc::UnboundedSender<GenerationId>,
    /// Whether what was sealed before the start is in memory.
    pub(crate) stack: Condition,
    /// Keeps a second process away from the folder.
    pub(crate) _lock: File,
}

impl Cloud {
    pub(crate) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Has a generation encoded in the background.
    pub(crate) fn enqueue(&self, id: GenerationId) {
        // Fails only when the service is stopping: the next start finds the generation in the database.
        let _ = self.queue.send(id);
    }

    /// Writes a slot (6.1). `length` is what the request says of its body.
    pub(crate) async fn put_slot(
        &self,
        id: GenerationId,
        slot: u32,
        length: Option<u64>,
        body: axum::body::Body,
    ) -> Result<(), Error> {
        if slot >= MAX_SLOTS {
            return Err(Error::malformed(
                "slot",
                format!("its index is not below {MAX_SLOTS}"),
            ));
        }
        if let Some(length) = length {
            // Refused before a byte of it is read.
            let bytes = u32::try_from(length)
                .ok()
                .filter(|bytes| *bytes <= self.limits.max_slot_bytes);
            let bytes = bytes.ok_or(Error::TooLarge {
                what: "the slot",
                limit: u64::from(self.limits.max_slot_bytes),
            })?;
            self.store.admit(id, bytes).await?;
        }
        let received = self.slots.receive(body, length).await?;
        let (bytes, digest) = (received.length, received.digest);
        if bytes == 0 {
            return Err(Error::malformed("slot", "it is empty"));
        }
        self.store.admit(id, bytes).await?;
        if !self.store.has_slot(id, slot, digest).await? {
            self.slots.keep(received, id, slot).await?;
            self.store.put_slot(id, slot, bytes, digest).await?;
        }
        self.events.record(&Event::Write {
            time: self.now(),
            generation: id,
            slot,
            bytes: u64::from(bytes),
        })
    }

    /// Begins to seal a generation (6.2).
    pub(crate) async fn seal(
        &self,
        id: GenerationId,
        request: &SealRequest,
    ) -> Result<GenerationStatus, Error> {
        let info = residents::info(&request.figures)?;
        let generation = self
            .store
            .generation(id)
            .await?
            .ok_or(Error::NotFound("generation"))?;
        if generation.state == State::Open {
            self.residents.fits(id, self.memory_for(&info)?)?;
        }
        if self.store.begin_seal(id, request).await? == Begin::Started {
            self.enqueue(id);
        }
        self.status(id).await
    }

    /// Where a generation stands (6.3).
    pub(crate) async fn status(&self, id: GenerationId) -> Result<GenerationStatus, Error> {
        let generation = self
            .store
            .generation(id)
            .await?
            .ok_or(Error::NotFound("generation"))?;
        match generation.state {
            State::Open => Ok(GenerationStatus::Open {
                slots: self.store.slot_count(id).await?,
            }),
            State::Sealing(_) => Ok(GenerationStatus::Sealing),
            State::Sealed(_, sealed) => match self.residents.failure(id) {
                Some(failure) => Err(failure),
                None => Ok(GenerationStatus::Sealed {
                    slots: sealed.read_back,
                    hint: sealed.hint.digest,
                    hint_bytes: sealed.hint.bytes,
                }),
            },
            State::Retired => Err(Error::NotFound("generation")),
        }
    }

    /// Retires a generation (6.4). Repeats are accepted.
    pub(crate) async fn retire(&self, id: GenerationId) -> Result<(), Error> {
        let generation = self
            .store
            .generation(id)
            .await?
            .ok_or(Error::NotFound("generation"))?;
        if generation.state != State::Retired {
            self.events.record(&Event::Retire {
                time: self.now(),
                generation: id,
            })?;
            self.store.retire(id).await?;
        }
        self.residents.remove(id);
        self.forget_encoded(id)?;
        self.slots.remove(id).await
    }

    /// Removes what is kept of an encoded generation.
    pub(crate) fn forget_encoded(&self, id: GenerationId) -> Result<(), Error> {
        self.kept.as_ref().map_or(Ok(()), |kept| kept.remove(id))
    }

    /// Memory to set aside for a generation. Of a mapped file the system holds as much as it has room for.
    pub(crate) fn memory_for(&self, info: &GenerationInfo) -> Result<u64, Error> {
        match self.kept {
            Some(_) => Ok(0),
            None => Ok(info.encoded_bytes()?),
        }
    }

    /// Removes the objects of generations that are gone: a crash came between the two.
    pub(crate) async fn remove_leftovers(&self) -> Result<(), Error> {
        for id in self.slots.generations().await? {
            let known = self.store.generation(id).await?;
            if known.is_none_or(|generation| generation.state == State::Retired) {
                self.slots.remove(id).await?;
            }
        }
        for id in self
            .kept
            .iter()
            .map(Kept::generations)
            .collect::<Result<Vec<_>, _>>()?
            .concat()
        {
            let known = self.store.generation(id).await?;
            // An open generation's slots may change.
            let closed = |generation: Generation| {
                matches!(generation.state, State::Sealing(_) | State::Sealed(..))
            };
            if !known.is_some_and(closed) {
                self.forget_encoded(id)?;
            }
        }
        Ok(())
    }

    /// Forgets tickets that expired long ago.
    pub(crate) async fn forget_tickets(&self) -> Result<u64, Error> {
        let memory = Duration::from_secs(self.limits.ticket_memory_seconds);
        self.store.forget_tickets(self.now() - memory).await
    }
}
