//! The server: encoding a generation, its hint, and answering (oblivious-encoding 3, 5, 6).

mod partial;
mod scan;
mod seal;
mod storage;

use std::convert::Infallible;

pub use self::partial::PartialAnswer;
pub use self::seal::{Buffers, STRIPE_BYTES, Sealed, Sealer, Stripe};
pub use self::storage::SharedBytes;

use self::storage::Storage;
use crate::ring::{Kernel, Rows};
use crate::{Answer, EncodeError, Error, GenerationInfo, Hint, Params, Query, QueryPart, Stack};

/// One generation, ready to be scanned: about three times the size of its slots.
///
/// For each block of sixteen chunks, each prime, each root and each polynomial there is one row of sixteen residues,
/// so that one query's contribution to a coefficient is a sum of products over contiguous rows.
#[derive(Debug)]
pub struct Encoded {
    info: GenerationInfo,
    digest: [u8; 32],
    params: &'static Params,
    storage: Storage,
}

impl Encoded {
    /// Encodes a generation in memory of its own. `read(slot, offset, bytes)` fills in the slot's bytes from `offset` on. It
    /// is called stripe by stripe and in a stripe slot by slot, so that the pieces of one slot come in order and
    /// without gaps. Besides the result this needs memory for one stripe of plaintext ([`Sealer::stripe_bytes`]).
    ///
    /// # Errors
    /// [`EncodeError::Read`] with the first failure of `read`, [`EncodeError::Refused`] if the parameter set is
    /// unknown or memory is short.
    pub fn encode<E: std::error::Error + 'static>(
        info: &GenerationInfo,
        read: impl FnMut(u32, u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Encoded, EncodeError<E>> {
        let sealer = Sealer::new(info)?;
        sealer.encode(read, |_, _| ())
    }

    /// Encodes slots that are in memory. There are as many, of the right size, as the shape says; missing bytes count as
    /// zero.
    ///
    /// # Errors
    /// [`Error::UnknownParams`], [`Error::OutOfMemory`].
    pub fn of_slots(info: &GenerationInfo, slots: &[impl AsRef<[u8]>]) -> Result<Encoded, Error> {
        let read = |slot: u32, offset: u64, bytes: &mut [u8]| {
            let stored = slots.get(slot as usize).map_or(&[][..], AsRef::as_ref);
            let stored = stored.get(offset as usize..).unwrap_or_default();
            let length = stored.len().min(bytes.len());
            bytes[..length].copy_from_slice(&stored[..length]);
            bytes[length..].fill(0);
            Ok::<_, Infallible>(())
        };
        match Encoded::encode(info, read) {
            Ok(encoded) => Ok(encoded),
            Err(EncodeError::Refused(error)) => Err(error),
            Err(EncodeError::Read { source, .. }) => match source {},
        }
    }

    /// [`Encoded::encode`] and the generation's hint, block by block: cheaper than one after the other.
    ///
    /// # Errors
    /// As [`Encoded::encode`].
    pub fn seal<E: std::error::Error + 'static>(
        info: &GenerationInfo,
        read: impl FnMut(u32, u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<(Encoded, Hint), EncodeError<E>> {
        let sealer = Sealer::new(info)?;
        let mut hint = vec![0; sealer.hint_bytes()];
        let encoded = sealer.encode(read, |stripe, rows| {
            sealer.hint(rows, &mut hint[sealer.hint_range(stripe)]);
        })?;
        Ok((encoded, Hint::from_rows(*info, hint)))
    }

    /// Takes a generation that was encoded before, in bytes that the caller keeps ([`Sealer::seal_stripe`] made them).
    /// Whether they are what was made then is for the caller to know: wrong bytes give wrong answers.
    ///
    /// # Errors
    /// [`Error::Malformed`] if they cannot be the rows of this generation, [`Error::UnknownParams`].
    pub fn from_shared(info: &GenerationInfo, bytes: SharedBytes) -> Result<Encoded, Error> {
        let params = Params::by_id(info.params)?;
        let rows = info.shape.encoded_bytes(params) / storage::ROW_BYTES as u64;
        let rows = usize::try_from(rows).map_err(|_| Error::OutOfMemory { bytes: usize::MAX })?;
        Ok(Encoded {
            info: *info,
            digest: info.digest(),
            params,
            storage: Storage::shared(bytes, rows)?,
        })
    }

    fn in_memory(info: &GenerationInfo, params: &'static Params, rows: Rows) -> Self {
        Encoded {
            info: *info,
            digest: info.digest(),
            params,
            storage: Storage::Own(rows),
        }
    }

    /// The generation's public figures.
    #[must_use]
    pub fn info(&self) -> &GenerationInfo {
        &self.info
    }

    /// The encoded rows: what [`Encoded::from_shared`] takes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        bytemuck::cast_slice(self.storage.rows())
    }

    /// Computes the generation's hint: one pass over the encoded rows.
    #[must_use]
    pub fn hint(&self) -> Hint {
        let sealer = Sealer::of(self.info, self.params);
        let mut rows = vec![0; sealer.hint_bytes()];
        sealer.hint(self.storage.rows(), &mut rows);
        Hint::from_rows(self.info, rows)
    }

    /// Adds what this generation contributes to `answers`, one for each of `parts`, in one pass over its rows.
    ///
    /// # Errors
    /// [`Error::WrongStack`] if a part is not for this generation or does not belong to its answer;
    /// [`Error::AddedTwice`] if an answer already holds this generation. Nothing is changed then.
    pub fn accumulate(
        &self,
        parts: &[QueryPart],
        answers: &mut [PartialAnswer],
    ) -> Result<(), Error> {
        self.accumulate_with(Kernel::best(), parts, answers)
    }

    /// [`Encoded::accumulate`] with the kernel of the caller's choice, to compare them.
    ///
    /// # Errors
    /// As [`Encoded::accumulate`].
    pub fn accumulate_with(
        &self,
        kernel: Kernel,
        parts: &[QueryPart],
        answers: &mut [PartialAnswer],
    ) -> Result<(), Error> {
        if parts.len() != answers.len() {
            return Err(Error::Unpaired {
                queries: parts.len(),
                answers: answers.len(),
            });
        }
        let mut indexes = Vec::with_capacity(parts.len());
        for (part, answer) in parts.iter().zip(answers.iter()) {
            if part.generation != self.digest || part.stack != answer.stack {
                return Err(Error::WrongStack { what: "query" });
            }
            indexes.push(answer.vacancy(&self.digest)?);
        }
        scan::accumulate(
            kernel,
            &self.info.shape,
            self.params,
            self.storage.rows(),
            parts,
            answers,
        );
        for (answer, index) in answers.iter_mut().zip(indexes) {
            answer.hold(index);
        }
        Ok(())
    }
}

/// Answers queries over a stack whose generations are all in this process, each in one pass for all queries.
/// `encoded` may be in any order.
///
/// # Errors
/// As [`Query::part`], [`Encoded::accumulate`] and [`PartialAnswer::finish`].
pub fn answer(
    stack: &Stack,
    encoded: &[&Encoded],
    queries: &[Query],
) -> Result<Vec<Answer>, Error> {
    let mut answers: Vec<PartialAnswer> =
        queries.iter().map(|_| PartialAnswer::new(stack)).collect();
    for generation in encoded {
        let index = stack
            .index_of(&generation.digest)
            .ok_or(Error::WrongStack {
                what: "encoded generation",
            })?;
        let parts: Vec<QueryPart> = queries
            .iter()
            .map(|q| q.part(stack, index))
            .collect::<Result<_, _>>()?;
        generation.accumulate(&parts, &mut answers)?;
    }
    answers.into_iter().map(PartialAnswer::finish).collect()
}

#[cfg(test)]
mod tests;
