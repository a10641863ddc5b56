//! Sending the answers. A task of its own hands them over as they are taken and owns what the retrieval occupies: a
//! reader that takes nothing cannot keep its place by leaving the connection open.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, stream};
use harpo_protocol::id::{Nonce, PartyId};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::{at_slowest, patience};
use crate::Error;
use crate::config::Limits;
use crate::gate::{Entered, Place};
use crate::scanner::Turn;

#[cfg(test)]
mod tests;

/// What is handed over at a time. Pieces that wait to be sent outlive the place, so they are small.
const PIECE_BYTES: usize = 64 << 10;

/// What a retrieval occupies.
#[derive(Debug)]
pub(super) struct Guards {
    pub(super) place: Place,
    /// Its pass and its ticket.
    pub(super) _alone: (Entered<PartyId>, Entered<Nonce>),
}

/// The answers to the queries of one retrieval.
#[derive(Debug)]
pub(super) struct Answers {
    pub(super) turn: Turn,
    /// Length of all answers together.
    pub(super) bytes: u64,
    pub(super) limits: Limits,
    /// Dropped before the last piece is handed over: who has read everything can come again at once.
    pub(super) guards: Guards,
}

/// Why the answers were not sent to the end.
#[derive(Debug, thiserror::Error)]
enum Ended {
    #[error("the reader is too slow")]
    TooSlow,
    #[error("the reader went away")]
    Gone,
    #[error(transparent)]
    Failed(#[from] Error),
}

impl Answers {
    /// The answers in order. The scanner computes as many ahead as one pass has, so a slow reader holds one pass in
    /// memory, and one that went away costs no more work. Ends with an error if they cannot be sent whole.
    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        let (sender, receiver) = mpsc::channel(1);
        let bytes = self.bytes;
        tokio::spawn(self.run(sender));
        stream::try_unfold((receiver, bytes), async |(mut receiver, left)| {
            match receiver.recv().await {
                Some(piece) => {
                    let left = left.saturating_sub(Bytes::len(&piece) as u64);
                    Ok(Some((piece, (receiver, left))))
                }
                None if left == 0 => Ok(None),
                // Why is in the log.
                None => Err(Error::TaskLost),
            }
        })
    }

    async fn run(self, pieces: mpsc::Sender<Bytes>) {
        let ended = tokio::select! {
            () = pieces.closed() => Err(Ended::Gone),
            ended = self.send(&pieces) => ended,
        };
        match ended {
            Ok(()) => {}
            Err(Ended::Failed(error)) => {
                let error = harpo_service::causes::in_one_line(&error);
                tracing::error!(error, "a retrieval failed while it was answered");
            }
            Err(why) => tracing::debug!(%why, "a retrieval was not answered to its end"),
        }
    }

    async fn send(mut self, pieces: &mpsc::Sender<Bytes>) -> Result<(), Ended> {
        let mut guards = Some(self.guards);
        let mut sent = 0;
        // Only waiting for the reader counts, not for the scanner.
        let mut waited = Duration::ZERO;
        while sent < self.bytes {
            let answer = self.turn.next().await?;
            if let Some(guards) = &mut guards {
                guards.place.answered();
            }
            for piece in answer.chunks(PIECE_BYTES) {
                let allowed = patience(&self.limits) + at_slowest(&self.limits, sent);
                let began = Instant::now();
                let room = timeout(allowed.saturating_sub(waited), pieces.reserve())
                    .await
                    .map_err(|_| Ended::TooSlow)?
                    .map_err(|_| Ended::Gone)?;
                waited += began.elapsed();
                sent += piece.len() as u64;
                if sent >= self.bytes {
                    guards = None;
                }
                room.send(Bytes::copy_from_slice(piece));
            }
            self.turn.taken();
        }
        drop(guards);
        Ok(())
    }
}
