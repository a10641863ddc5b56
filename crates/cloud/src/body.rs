//! Request bodies, taken piece by piece: nothing is held that was not asked for.

use axum::body::{Body, BodyDataStream};
use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::time::Instant;

use crate::Error;

/// Reads one request body. A peer that is too slow is given up, so that it cannot hold one of the few places for
/// retrievals.
#[derive(Debug)]
pub(crate) struct BodyReader {
    stream: BodyDataStream,
    /// Arrived and not yet taken.
    held: Bytes,
    deadline: Instant,
    arrived: u64,
}

impl BodyReader {
    /// Gives up at `deadline`.
    pub(crate) fn new(body: Body, deadline: Instant) -> Self {
        Self {
            stream: body.into_data_stream(),
            held: Bytes::new(),
            deadline,
            arrived: 0,
        }
    }

    /// From now on gives up at `deadline`.
    pub(crate) fn until(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Bytes taken so far.
    pub(crate) fn taken(&self) -> u64 {
        self.arrived - self.held.len() as u64
    }

    /// The next bytes, as they come; `None` at the end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        if !self.held.is_empty() {
            return Ok(Some(std::mem::take(&mut self.held)));
        }
        loop {
            let next = tokio::time::timeout_at(self.deadline, self.stream.next())
                .await
                .map_err(|_| Error::Timeout("it came too slowly"))?;
            match next {
                None => return Ok(None),
                Some(Ok(chunk)) if chunk.is_empty() => {}
                Some(Ok(chunk)) => {
                    self.arrived += chunk.len() as u64;
                    return Ok(Some(chunk));
                }
                Some(Err(_)) => return Err(Error::Timeout("it broke off")),
            }
        }
    }

    /// Exactly the next `length` bytes. Memory grows with what arrives, not with what was announced.
    pub(crate) async fn exact(&mut self, length: usize) -> Result<BytesMut, Error> {
        let mut taken = BytesMut::new();
        while taken.len() < length {
            let Some(mut chunk) = self.chunk().await? else {
                return Err(Error::malformed("body", "it is too short"));
            };
            let part = chunk.len().min(length - taken.len());
            taken.extend_from_slice(&chunk[..part]);
            chunk.advance(part);
            self.held = chunk;
        }
        Ok(taken)
    }

    /// Everything, at most `limit` bytes.
    pub(crate) async fn whole(&mut self, limit: usize) -> Result<BytesMut, Error> {
        let mut taken = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if taken.len() + chunk.len() > limit {
                return Err(Error::TooLarge {
                    what: "the body",
                    limit: limit as u64,
                });
            }
            taken.extend_from_slice(&chunk);
        }
        Ok(taken)
    }

    /// Checks that nothing follows.
    pub(crate) async fn end(&mut self) -> Result<(), Error> {
        match self.chunk().await? {
            None => Ok(()),
            Some(_) => Err(Error::malformed("body", "it is too long")),
        }
    }
}
