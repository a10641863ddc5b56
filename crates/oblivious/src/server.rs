//! The server: encoding a generation, its hint, and answering (oblivious-encoding 3, 5, 6).

mod scan;
mod seal;

use rayon::prelude::*;

use crate::ring::{Factors, Kernel, LANES, N, Rows};
use crate::{
    Answer, EncodeError, Error, GenerationInfo, Hint, Params, Query, QueryPart, Shape, Stack,
    sample,
};

/// One generation in memory, ready to be scanned: 3.4 times the size of its slots.
///
/// For each block of sixteen chunks, each prime, each root and each polynomial there is one row of sixteen residues,
/// so that one query's contribution to a coefficient is a sum of products over contiguous rows.
#[derive(Debug)]
pub struct Encoded {
    info: GenerationInfo,
    digest: [u8; 32],
    params: &'static Params,
    rows: Rows,
}

impl Encoded {
    /// Encodes a generation. `read_slot(i, bytes)` is called once for each slot, in order, to fill in its bytes.
    ///
    /// Besides the result this needs memory for t slots.
    ///
    /// # Errors
    /// [`EncodeError::Read`] with the first failure of `read_slot`, [`EncodeError::Refused`] if the parameter set is
    /// unknown.
    pub fn encode<E: std::error::Error + 'static>(
        info: &GenerationInfo,
        mut read_slot: impl FnMut(u32, &mut [u8]) -> Result<(), E>,
    ) -> Result<Encoded, EncodeError<E>> {
        let params = Params::by_id(info.params)?;
        let shape = info.shape;
        let block_rows = 2 * N * shape.polys() as usize;
        let mut rows = Rows::zero(shape.blocks(params) * block_rows);
        let mut group = seal::Group::new(&shape, params);
        for poly in 0..shape.polys() {
            let first = poly * shape.interleave();
            let count = (shape.slots() - first).min(shape.interleave());
            for (slot, bytes) in (first..first + count).zip(group.slots(count)) {
                read_slot(slot, bytes).map_err(|source| EncodeError::Read { slot, source })?;
            }
            let group = &group;
            rows.as_mut_slice()
                .par_chunks_mut(block_rows)
                .enumerate()
                .for_each_init(
                    || Rows::zero(2 * N),
                    |scratch, (block, rows)| group.encode(block, poly as usize, scratch, rows),
                );
        }
        Ok(Encoded {
            info: *info,
            digest: info.digest(),
            params,
            rows,
        })
    }

    /// The generation's public figures.
    #[must_use]
    pub fn info(&self) -> &GenerationInfo {
        &self.info
    }

    /// Computes the generation's hint: one pass over the encoded rows.
    #[must_use]
    pub fn hint(&self) -> Hint {
        let polys = self.info.shape.polys() as usize;
        let mut factors = Factors::zero(polys);
        for first in (0..polys).step_by(LANES) {
            let batch =
                sample::public_batch(&self.info.seed, first as u32, (polys - first).min(LANES));
            factors.put(first, &batch.into_ntt(Kernel::best()));
        }
        let mut coefficients = vec![0; self.info.shape.blocks(self.params) * N * LANES];
        coefficients
            .par_chunks_mut(N * LANES)
            .zip(self.rows.as_slice().par_chunks(2 * N * polys))
            .for_each_init(
                || Rows::zero(2 * N),
                |scratch, (coefficients, rows)| {
                    let scratch = scratch.as_mut_slice();
                    let drop = self.params.hint_drop;
                    Kernel::best().run(seal::BlockHint {
                        rows,
                        factors: &factors,
                        scratch,
                        coefficients,
                        drop,
                    });
                },
            );
        Hint::from_coefficients(self.info, coefficients)
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
            return Err(Error::Incomplete {
                what: "the list of answers",
                missing: parts.len().abs_diff(answers.len()),
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
            self.rows.as_slice(),
            parts,
            answers,
        );
        for (answer, index) in answers.iter_mut().zip(indexes) {
            answer.missing.swap_remove(index);
        }
        Ok(())
    }
}

/// An answer in the making: the sum over the generations added so far. Holds nothing about the choice.
#[derive(Debug)]
pub struct PartialAnswer {
    stack: [u8; 32],
    params: &'static Params,
    shape: Shape,
    /// Generations of the stack.
    total: usize,
    /// Digests of the generations that are not in the sum yet.
    missing: Vec<[u8; 32]>,
    /// For each block and prime n / t rows: values at the roots of the subring of X^t.
    rows: Rows,
}

impl PartialAnswer {
    /// The empty sum for one query over `stack`.
    #[must_use]
    pub fn new(stack: &Stack) -> Self {
        let (params, shape) = (stack.params(), stack.shape());
        let rows = Rows::zero(shape.blocks(params) * 2 * shape.rows_per_block(params));
        PartialAnswer {
            stack: stack.digest(),
            params,
            shape,
            total: stack.digests().len(),
            missing: stack.digests().to_vec(),
            rows,
        }
    }

    /// Adds a sum over other generations of the same stack, computed elsewhere.
    ///
    /// # Errors
    /// [`Error::WrongStack`] if it is of another stack, [`Error::AddedTwice`] if both hold a generation.
    pub fn merge(&mut self, other: &PartialAnswer) -> Result<(), Error> {
        if self.stack != other.stack {
            return Err(Error::WrongStack {
                what: "partial answer",
            });
        }
        let remaining: Vec<[u8; 32]> = self
            .missing
            .iter()
            .filter(|digest| other.missing.contains(digest))
            .copied()
            .collect();
        let added = self.missing.len() - remaining.len();
        // What the other holds must all be new here.
        if added != self.total - other.missing.len() {
            return Err(Error::AddedTwice {
                what: "the partial answer",
            });
        }
        self.missing = remaining;
        scan::add(
            &mut self.rows,
            &other.rows,
            self.shape.rows_per_block(self.params),
        );
        Ok(())
    }

    /// Rounds the sum to the answer.
    ///
    /// # Errors
    /// [`Error::Incomplete`] if a generation of the stack is missing.
    pub fn finish(mut self) -> Result<Answer, Error> {
        if !self.missing.is_empty() {
            return Err(Error::Incomplete {
                what: "the answer",
                missing: self.missing.len(),
            });
        }
        let symbols = scan::finish(Kernel::best(), &self.shape, self.params, &mut self.rows);
        Ok(Answer {
            params: self.params.id,
            stack: self.stack,
            symbols,
        })
    }

    /// Where in `missing` the generation is.
    fn vacancy(&self, digest: &[u8; 32]) -> Result<usize, Error> {
        self.missing
            .iter()
            .position(|d| d == digest)
            .ok_or(Error::AddedTwice {
                what: "the partial answer",
            })
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
