//! One retrieval at the consumer, by either engine: what goes up, how much comes down, and the wanted slots from that
//! (docs/protocol.md 9).

use rand_core::CryptoRng;
use rayon::prelude::*;

use crate::engine::stream_bytes;
use crate::{Answer, Choice, Engine, Error, Secret, Stack, StackHint, client};

/// Answers decoded at once: bounds memory.
const DECODED_AT_ONCE: usize = 8;

/// A retrieval that was begun, and what is needed to make slots of what comes back. Whoever asked holds it until then.
#[derive(Debug)]
pub struct Retrieval {
    stack: Stack,
    kept: Kept,
}

/// What the consumer keeps to itself.
enum Kept {
    /// What each query asked for, and what opens its answer.
    Ring(Vec<(bool, Secret)>),
    /// What each choice asked for, as the number of a slot in the whole stack.
    Stream(Vec<Option<u64>>),
}

impl std::fmt::Debug for Kept {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Kept(..)")
    }
}

impl Retrieval {
    /// Begins a retrieval of `choices` from `stack`. Also returns what goes up after the ticket: as many queries as
    /// there are choices, or nothing if everything comes down anyway. Its length depends on engine, stack and number
    /// of choices only.
    ///
    /// # Errors
    /// [`Error::NoSuchSlot`] if the stack has no such generation or slot.
    pub fn begin(
        engine: Engine,
        stack: &Stack,
        choices: &[Choice],
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<u8>), Error> {
        let mut up = Vec::new();
        let kept = match engine {
            Engine::Ring => {
                let mut secrets = Vec::with_capacity(choices.len());
                for choice in choices {
                    let (secret, query) = client::query(stack, *choice, rng)?;
                    up.extend_from_slice(&query.to_bytes());
                    secrets.push((matches!(choice, Choice::Slot { .. }), secret));
                }
                Kept::Ring(secrets)
            }
            Engine::Stream => {
                let places = choices.iter().map(|choice| match *choice {
                    Choice::Dummy => Ok(None),
                    Choice::Slot { generation, slot } => stack
                        .position(generation, slot)
                        .map(Some)
                        .ok_or(Error::NoSuchSlot),
                });
                Kept::Stream(places.collect::<Result<_, _>>()?)
            }
        };
        let stack = stack.clone();
        Ok((Self { stack, kept }, up))
    }

    /// Which engine does it.
    #[must_use]
    pub fn engine(&self) -> Engine {
        match self.kept {
            Kept::Ring(_) => Engine::Ring,
            Kept::Stream(_) => Engine::Stream,
        }
    }

    /// Exact bytes that come down. They do not depend on what was chosen.
    #[must_use]
    pub fn bytes_down(&self) -> u64 {
        match &self.kept {
            Kept::Ring(asked) => asked.len() as u64 * self.stack.answer_bytes(),
            Kept::Stream(_) => stream_bytes(&self.stack),
        }
    }

    /// Makes slots of what came down, all of which must be there: `read` fills a buffer with the bytes from an
    /// offset on, and `take` gets each chosen slot with the index of its choice. `hint` is the sum of the stack's
    /// hints; a stream needs none.
    ///
    /// The ring engine decodes every answer, dummies' too; which slots are read of a stream shows where it is read
    /// from, so that must be the consumer's own.
    ///
    /// # Errors
    /// What `read` and `take` return; [`Error::Malformed`] or [`Error::WrongStack`] if something else came down or the
    /// hints are another stack's; [`Error::Incomplete`] if hints are needed and there are none.
    pub fn slots<E: From<Error>>(
        self,
        hint: Option<&StackHint>,
        mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
        mut take: impl FnMut(usize, Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.kept {
            Kept::Ring(asked) => {
                let hint = hint.ok_or(Error::Incomplete {
                    what: "sum of hints",
                    missing: self.stack.generations().len(),
                })?;
                decode(&self.stack, hint, asked, read, take)
            }
            Kept::Stream(places) => {
                let length = self.stack.slot_bytes();
                for (index, place) in places.into_iter().enumerate() {
                    let Some(place) = place else { continue };
                    let mut slot = vec![0; length as usize];
                    read(place * u64::from(length), &mut slot)?;
                    take(index, slot)?;
                }
                Ok(())
            }
        }
    }
}

fn decode<E: From<Error>>(
    stack: &Stack,
    hint: &StackHint,
    asked: Vec<(bool, Secret)>,
    mut read: impl FnMut(u64, &mut [u8]) -> Result<(), E>,
    mut take: impl FnMut(usize, Vec<u8>) -> Result<(), E>,
) -> Result<(), E> {
    let size = stack.answer_bytes() as usize;
    let mut asked = asked.into_iter();
    let (mut index, mut at) = (0, 0);
    loop {
        let batch: Vec<_> = asked.by_ref().take(DECODED_AT_ONCE).collect();
        if batch.is_empty() {
            return Ok(());
        }
        let mut bytes = vec![0; size * batch.len()];
        read(at, &mut bytes)?;
        at += bytes.len() as u64;
        let slots: Vec<(bool, Vec<u8>)> = batch
            .into_par_iter()
            .zip(bytes.par_chunks(size))
            .map(|((real, secret), bytes)| {
                let answer = Answer::from_bytes(stack, bytes)?;
                Ok((real, secret.decode(hint, &answer)?))
            })
            .collect::<Result<_, Error>>()?;
        for (real, slot) in slots {
            if real {
                take(index, slot)?;
            }
            index += 1;
        }
    }
}

#[cfg(test)]
mod tests;
