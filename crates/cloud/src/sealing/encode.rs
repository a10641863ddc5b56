//! Bringing a generation's slots into the form that answers queries.

use harpo_oblivious::{EncodeError, Encoded, GenerationInfo};
use harpo_protocol::id::{Digest, GenerationId};
use harpo_protocol::stack::slots_digest;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use crate::Error;
use crate::cloud::Cloud;
use crate::residents::Resident;
use crate::slots::{ReadError, Slots};

/// A generation that was encoded.
pub(super) struct Done {
    pub(super) resident: Resident,
    pub(super) hint: Vec<u8>,
    /// `slots_digest` of what was read for it.
    pub(super) read_back: Digest,
}

/// Why a generation was not encoded.
pub(super) enum Failure {
    /// These slots are not what was written.
    Damaged(Vec<u32>),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

/// Reads the slots back, checks each against its digest, encodes them, and computes the hint.
pub(super) async fn encode(
    cloud: &Cloud,
    id: GenerationId,
    info: GenerationInfo,
    stop: &CancellationToken,
) -> Result<Done, Failure> {
    let digests = cloud.store.slot_digests(id).await?;
    let reader = Reader {
        slots: cloud.slots.clone(),
        id,
        digests: digests.into_iter().map(|(_, digest)| digest).collect(),
        runtime: Handle::current(),
        stop: stop.clone(),
    };
    tokio::task::spawn_blocking(move || encode_blocking(&reader, &info))
        .await
        .map_err(|_| Error::TaskLost)?
}

/// The slots of one generation, for a thread that may block.
struct Reader {
    slots: Slots,
    id: GenerationId,
    /// By index.
    digests: Vec<Digest>,
    runtime: Handle,
    stop: CancellationToken,
}

impl Reader {
    fn read(&self, slot: u32, bytes: &mut [u8]) -> Result<Digest, ReadError> {
        if self.stop.is_cancelled() {
            return Err(ReadError::Stopping);
        }
        let digest = self.digests.get(slot as usize);
        let digest = *digest.ok_or(ReadError::Damaged)?;
        self.runtime
            .block_on(self.slots.read(self.id, slot, digest, bytes))
    }

    /// What a slot's failure means for the generation; `None` if the slot is damaged.
    fn failure(&self, slot: u32, error: ReadError) -> Option<Error> {
        match error {
            ReadError::Damaged => None,
            ReadError::Stopping => Some(Error::Stopping),
            ReadError::Store(source) => Some(Error::SlotUnreadable {
                generation: self.id,
                slot,
                source,
            }),
        }
    }
}

fn encode_blocking(reader: &Reader, info: &GenerationInfo) -> Result<Done, Failure> {
    // The ring engine reads each slot once, in index order.
    let mut found = Vec::with_capacity(reader.digests.len());
    let read = |slot, bytes: &mut [u8]| {
        found.push(reader.read(slot, bytes)?);
        Ok(())
    };
    match Encoded::encode(info, read) {
        Ok(encoded) => {
            let hint = encoded.hint().to_bytes();
            Ok(Done {
                resident: Resident(encoded),
                hint,
                read_back: slots_digest(found),
            })
        }
        Err(EncodeError::Refused(error)) => Err(Error::Engine(error).into()),
        Err(EncodeError::Read { slot, source }) => match reader.failure(slot, source) {
            Some(error) => Err(error.into()),
            // One is damaged: look for all, so that one round of writing mends the generation.
            None => Err(find_damaged(reader, info.shape.slot_bytes() as usize)?),
        },
        // The ring engine has no other today.
        Err(_) => Err(Error::TaskLost.into()),
    }
}

fn find_damaged(reader: &Reader, slot_bytes: usize) -> Result<Failure, Error> {
    let mut damaged = Vec::new();
    let mut bytes = vec![0; slot_bytes];
    for (slot, _) in (0..).zip(&reader.digests) {
        if let Err(error) = reader.read(slot, &mut bytes) {
            match reader.failure(slot, error) {
                Some(error) => return Err(error),
                None => damaged.push(slot),
            }
        }
    }
    Ok(Failure::Damaged(damaged))
}
