//! The cloud's bytes: slots, and the hints of sealed generations, as objects.
//!
//! ```text
//! <generation>/slots/<index>-<digest>   one slot: eight digits of index, sixteen of its SHA-256
//! <generation>/hint                     the hint, once it is sealed
//! ```
//!
//! Which of these count is in the database ([`crate::store`]): an object without its row is what a crash left.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::TryStreamExt as _;
use harpo_protocol::domain::{Hasher, sha256};
use harpo_protocol::id::{Digest, GenerationId};
use harpo_service::blobs::{BlobError, Blobs, ByteStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::Error;
use crate::body::BodyReader;
use crate::config::Limits;
use crate::store::HintRecord;

#[cfg(test)]
mod tests;

/// For a place among the slots that are received: less than a client waits for an answer.
const PLACE_WITHIN: Duration = Duration::from_secs(30);
/// For one slot to arrive.
const UPLOAD_WITHIN: Duration = Duration::from_secs(300);

/// The objects of one cloud.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    blobs: Blobs,
    /// One permit for each slot that is held in memory.
    places: Arc<Semaphore>,
    place_within: Duration,
    max_slot_bytes: u32,
}

/// A slot that has arrived whole. Nothing of it is stored yet.
#[derive(Debug)]
pub(crate) struct Received {
    bytes: Bytes,
    pub(crate) length: u32,
    pub(crate) digest: Digest,
}

/// A slot's memory and its permission to take it, so that neither outlives the other: a write goes on after its
/// request was given up.
struct Held {
    bytes: BytesMut,
    _place: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// Why a stored slot cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// Other bytes than were written, or none.
    #[error("its bytes are missing or damaged")]
    Damaged,
    /// The store failed otherwise: says nothing about the bytes.
    #[error(transparent)]
    Store(BlobError),
}

impl Slots {
    pub(crate) fn new(blobs: Blobs, limits: &Limits) -> Self {
        Self {
            blobs,
            places: Arc::new(Semaphore::new(limits.slot_uploads_at_once as usize)),
            place_within: PLACE_WITHIN,
            max_slot_bytes: limits.max_slot_bytes,
        }
    }

    /// Receives a slot into memory, hashing on the way. `announced` is what the request says of its length. Waits
    /// while as many as are allowed are held.
    pub(crate) async fn receive(
        &self,
        body: Body,
        announced: Option<u64>,
    ) -> Result<Received, Error> {
        let limit = u64::from(self.max_slot_bytes);
        let too_large = || Error::TooLarge {
            what: "the slot",
            limit,
        };
        let capacity = announced.unwrap_or(limit).min(limit);
        let place = timeout(self.place_within, Arc::clone(&self.places).acquire_owned())
            .await
            .map_err(|_| Error::Busy("too many slots arrive at once"))?
            .map_err(|_| Error::Stopping)?;
        let mut body = BodyReader::new(body, Instant::now() + UPLOAD_WITHIN);
        let mut hasher = Hasher::default();
        // Of one size from the beginning: growing would hold it twice.
        let mut bytes = BytesMut::with_capacity(usize::try_from(capacity).unwrap_or_default());
        while let Some(chunk) = body.chunk().await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(too_large());
            }
            hasher.update(&chunk);
            bytes.extend_from_slice(&chunk);
        }
        Ok(Received {
            length: u32::try_from(bytes.len()).map_err(|_| too_large())?,
            digest: hasher.finish(),
            bytes: Bytes::from_owner(Held {
                bytes,
                _place: place,
            }),
        })
    }

    /// Stores a slot, durably. The digest in its name keeps it from touching other bytes at the same index, whoever
    /// wins.
    pub(crate) async fn keep(
        &self,
        received: Received,
        generation: GenerationId,
        slot: u32,
    ) -> Result<(), Error> {
        let key = slot_key(generation, slot, received.digest);
        Ok(self.blobs.put(&key, received.bytes).await?)
    }

    /// Reads a slot into `bytes`, which has its length, and checks that it is what was written. Returns the SHA-256 of
    /// what was read.
    pub(crate) async fn read(
        &self,
        generation: GenerationId,
        slot: u32,
        digest: Digest,
        bytes: &mut [u8],
    ) -> Result<Digest, ReadError> {
        let key = slot_key(generation, slot, digest);
        let stored = match self.blobs.get_exact(&key, bytes.len() as u64).await {
            Ok(stored) => stored,
            Err(BlobError::NotFound { .. } | BlobError::Length { .. }) => {
                return Err(ReadError::Damaged);
            }
            Err(error) => return Err(ReadError::Store(error)),
        };
        // The length again: it may have been cut while it was read.
        let found = sha256(&stored);
        if stored.len() != bytes.len() || found != digest {
            return Err(ReadError::Damaged);
        }
        bytes.copy_from_slice(&stored);
        Ok(found)
    }

    /// Reads a slot's bytes from `offset` on into `bytes`. They are not checked: whoever reads all pieces compares the
    /// digest.
    pub(crate) async fn read_piece(
        &self,
        generation: GenerationId,
        slot: u32,
        digest: Digest,
        offset: u64,
        bytes: &mut [u8],
    ) -> Result<(), ReadError> {
        let key = slot_key(generation, slot, digest);
        let range = offset..offset + bytes.len() as u64;
        let stored = match self.blobs.get_range(&key, range).await {
            Ok(stored) if stored.len() == bytes.len() => stored,
            Ok(_) | Err(BlobError::NotFound { .. } | BlobError::Range { .. }) => {
                return Err(ReadError::Damaged);
            }
            Err(error) => return Err(ReadError::Store(error)),
        };
        bytes.copy_from_slice(&stored);
        Ok(())
    }

    /// Stores a hint, durably.
    pub(crate) async fn keep_hint(
        &self,
        generation: GenerationId,
        hint: Vec<u8>,
    ) -> Result<(), Error> {
        Ok(self.blobs.put(&hint_key(generation), hint.into()).await?)
    }

    /// Whether a stored hint is there and undamaged.
    pub(crate) async fn has_hint(
        &self,
        generation: GenerationId,
        hint: HintRecord,
    ) -> Result<bool, Error> {
        let mut stream = match self.hint(generation, 0..hint.bytes).await {
            Err(Error::Storage(BlobError::NotFound { .. } | BlobError::Range { .. })) => {
                return Ok(false);
            }
            other => other?,
        };
        let mut hasher = Hasher::default();
        while let Some(chunk) = stream.try_next().await.map_err(Error::HintUnreadable)? {
            hasher.update(&chunk);
        }
        Ok(hasher.finish() == hint.digest)
    }

    /// Part of a hint, for sending.
    pub(crate) async fn hint(
        &self,
        generation: GenerationId,
        range: Range<u64>,
    ) -> Result<ByteStream, Error> {
        Ok(self.blobs.get_stream(&hint_key(generation), range).await?)
    }

    /// Removes everything of a generation.
    pub(crate) async fn remove(&self, generation: GenerationId) -> Result<(), Error> {
        Ok(self.blobs.delete_below(&generation.to_string()).await?)
    }

    /// Generations of which anything is stored. What is not named like a generation is not ours to touch.
    pub(crate) async fn generations(&self) -> Result<Vec<GenerationId>, Error> {
        let names = self.blobs.children("").await?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }
}

fn slot_key(generation: GenerationId, slot: u32, digest: Digest) -> String {
    let digest = hex::encode(&digest.0[..8]);
    format!("{generation}/slots/{slot:08}-{digest}")
}

fn hint_key(generation: GenerationId) -> String {
    format!("{generation}/hint")
}
