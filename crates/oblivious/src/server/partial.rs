//! Answers in the making: sums over some of a stack's generations (oblivious-encoding 6).

use super::scan;
use crate::ring::{Kernel, LANES, PRIME_BITS, Rows};
use crate::{Answer, Error, Params, Shape, Stack, bits, wire};

/// An answer in the making: the sum over the generations added so far. Holds nothing about the choice.
#[derive(Debug)]
pub struct PartialAnswer {
    pub(super) stack: [u8; 32],
    params: &'static Params,
    shape: Shape,
    /// Digests of the stack's generations, in order.
    members: Vec<[u8; 32]>,
    /// Which of them are in the sum.
    held: Vec<bool>,
    /// For each block and prime n / t rows: values at the roots of the subring of X^t.
    pub(super) rows: Rows,
}

impl PartialAnswer {
    /// The empty sum for one query over `stack`.
    #[must_use]
    pub fn new(stack: &Stack) -> Self {
        let (params, shape) = (stack.params(), stack.shape());
        let rows = Rows::zero(rows(&shape, params));
        PartialAnswer {
            stack: stack.digest(),
            params,
            shape,
            members: stack.digests().to_vec(),
            held: vec![false; stack.digests().len()],
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
        let both = self.held.iter().zip(&other.held).any(|(a, b)| *a && *b);
        if both {
            return Err(Error::AddedTwice {
                what: "the partial answer",
            });
        }
        for (mine, others) in self.held.iter_mut().zip(&other.held) {
            *mine |= others;
        }
        scan::add(
            &mut self.rows,
            &other.rows,
            self.params.ring(),
            self.shape.rows_per_block(self.params),
        );
        Ok(())
    }

    /// Rounds the sum to the answer.
    ///
    /// # Errors
    /// [`Error::Incomplete`] if a generation of the stack is missing.
    pub fn finish(mut self) -> Result<Answer, Error> {
        let missing = self.held.iter().filter(|held| !**held).count();
        if missing > 0 {
            return Err(Error::Incomplete {
                what: "the answer",
                missing,
            });
        }
        let rows = scan::finish(Kernel::best(), &self.shape, self.params, &mut self.rows);
        Ok(Answer {
            params: self.params,
            stack: self.stack,
            rows,
        })
    }

    /// Where the generation stands in the stack, if it is not in the sum yet.
    pub(super) fn vacancy(&self, digest: &[u8; 32]) -> Result<usize, Error> {
        self.members
            .iter()
            .zip(&self.held)
            .position(|(member, held)| member == digest && !held)
            .ok_or(Error::AddedTwice {
                what: "the partial answer",
            })
    }

    /// Notes that a generation was added.
    pub(super) fn hold(&mut self, index: usize) {
        self.held[index] = true;
    }

    /// Bytes for the wire (oblivious-encoding 6.4), for a machine that adds up what several computed. Their number
    /// depends on the stack alone.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = self.rows.as_slice().len() * wire::row_bytes(PRIME_BITS);
        let start = wire::PARTIAL_HEADER + self.held.len();
        let mut out = Vec::with_capacity(start + body);
        wire::put_header(&mut out, wire::PARTIAL_MAGIC, self.params.id, &self.stack);
        out.extend(self.held.iter().map(|held| u8::from(*held)));
        out.resize(start + body, 0);
        let rows = self.rows.as_slice().as_flattened();
        bits::pack(rows, PRIME_BITS, &mut out[start..]);
        out
    }

    /// Reads a sum over some generations of `stack`.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless magic, version and length are right, each generation is marked as held or not, and
    /// every residue is below its prime; [`Error::WrongStack`] if it is of another stack.
    pub fn from_bytes(stack: &Stack, bytes: &[u8]) -> Result<Self, Error> {
        let what = "partial answer";
        let mut partial = PartialAnswer::new(stack);
        let body = partial.rows.as_slice().len() * wire::row_bytes(PRIME_BITS);
        let length = wire::PARTIAL_HEADER + partial.held.len() + body;
        let bytes = wire::body(
            what,
            bytes,
            wire::PARTIAL_MAGIC,
            stack.param_set(),
            &stack.digest(),
            length as u64,
        )?;
        let (held, packed) = bytes.split_at(partial.held.len());
        for (held, mark) in partial.held.iter_mut().zip(held) {
            *held = match mark {
                0 => false,
                1 => true,
                _ => {
                    let reason = "a generation is marked neither as held nor as missing";
                    return Err(Error::Malformed { what, reason });
                }
            };
        }
        let params = stack.params();
        let residues = partial.rows.as_mut_slice().as_flattened_mut();
        bits::unpack(packed, PRIME_BITS, residues);
        let per_prime = stack.shape().rows_per_block(params) * LANES;
        let primes = params.primes.iter().cycle();
        let in_range = residues
            .chunks(per_prime)
            .zip(primes)
            .all(|(residues, prime)| residues.iter().all(|residue| residue < prime));
        if !in_range {
            let reason = "a residue is not below its prime";
            return Err(Error::Malformed { what, reason });
        }
        Ok(partial)
    }
}

/// Rows of a sum: n / t for each block and prime.
fn rows(shape: &Shape, params: &Params) -> usize {
    shape.blocks(params) * params.primes.len() * shape.rows_per_block(params)
}
