//! Sending the answers, as the scanner gives them and the reader takes them.

use bytes::Bytes;
use futures_util::Stream;
use harpo_protocol::id::{Nonce, PartyId};

use crate::Error;
use crate::config::Limits;
use crate::gate::{Entered, Place};
use crate::scanner::Turn;
use crate::sending::{self, Ended, PIECE_BYTES, Reader};

#[cfg(test)]
mod tests;

/// What a retrieval occupies.
#[derive(Debug)]
pub(super) struct Guards {
    pub(super) place: Place,
    /// Its pass, if it has one, and its ticket.
    pub(super) _alone: (Option<Entered<PartyId>>, Entered<Nonce>),
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

impl Answers {
    /// The answers in order. The scanner computes as many ahead as one pass has, so a slow reader holds one pass in
    /// memory, and one that went away costs no more work. Ends with an error if they cannot be sent whole.
    pub(super) fn stream(self) -> impl Stream<Item = Result<Bytes, Error>> + Send + 'static {
        let limits = self.limits.clone();
        sending::stream(self.bytes, limits, |reader| self.send(reader))
    }

    async fn send(mut self, mut reader: Reader) -> Result<(), Ended> {
        let mut guards = Some(self.guards);
        while reader.sent() < self.bytes {
            let answer = self.turn.next().await?;
            if let Some(guards) = &mut guards {
                guards.place.answered();
            }
            for piece in answer.chunks(PIECE_BYTES) {
                let is_last = reader.sent() + piece.len() as u64 >= self.bytes;
                let room = reader.room(piece.len()).await?;
                if is_last {
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
