//! Bringing a generation's slots into the form that answers queries.

use harpo_oblivious::{EncodeError, Encoded, GenerationInfo};
use harpo_protocol::id::{Digest, GenerationId};
use harpo_protocol::stack::slots_digest;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;

use super::reader::Reader;
use crate::Error;
use crate::cloud::Cloud;
use crate::residents::Resident;

/// A generation that can answer.
pub(super) struct Done {
    pub(super) resident: Resident,
    /// What was computed for it, unless everything was kept.
    pub(super) fresh: Option<Fresh>,
}

/// What encoding from the slots gives besides.
pub(super) struct Fresh {
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

/// Reads the slots back, checks each against its digest, encodes them, and computes the hint; or takes what is kept of a
/// generation that is `sealed`.
pub(super) async fn encode(
    cloud: &Cloud,
    id: GenerationId,
    info: GenerationInfo,
    sealed: bool,
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
    let kept = cloud.kept.clone();
    tokio::task::spawn_blocking(move || match kept {
        Some(kept) => kept.encode(&reader, &info, sealed),
        None => in_memory(&reader, &info),
    })
    .await
    .map_err(|_| Error::TaskLost)?
}

fn in_memory(reader: &Reader, info: &GenerationInfo) -> Result<Done, Failure> {
    let mut reading = reader.begin();
    let sealed = Encoded::seal(info, |slot, offset, bytes| {
        reading.read(slot, offset, bytes)
    });
    let (encoded, hint) = sealed.map_err(refused)?;
    let found = reading.finish().map_err(Failure::Damaged)?;
    Ok(Done {
        resident: Resident(encoded),
        fresh: Some(Fresh {
            hint: hint.to_bytes(),
            read_back: slots_digest(found),
        }),
    })
}

/// What sealing failed of.
pub(super) fn refused(error: EncodeError<Error>) -> Error {
    match error {
        EncodeError::Refused(error) => Error::Engine(error),
        EncodeError::Read { source, .. } => source,
        // The ring engine has no other today.
        _ => Error::TaskLost,
    }
}
