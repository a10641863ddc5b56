//! Queries (oblivious-encoding 4).

use crate::ring::{Batch, Coeff, Factors, Kernel, LANES, PRIME_BITS};
use crate::{Error, Params, Stack, bits, wire};

/// One query over a stack: a ring-LWE ciphertext b_j for each polynomial, which hides the choice.
#[derive(Clone, PartialEq, Eq)]
pub struct Query {
    params: &'static Params,
    stack: [u8; 32],
    /// For each polynomial n residues modulo the first prime, then n modulo the next.
    residues: Vec<u32>,
}

impl Query {
    /// An all-zero query that `client` fills in.
    pub(crate) fn zero(stack: &Stack) -> Self {
        Query {
            params: stack.params(),
            stack: stack.digest(),
            residues: vec![0; stack.polys() as usize * stack.params().ring().rows()],
        }
    }

    /// Stores the first `count` lanes of `batch` as polynomials `first..`.
    pub(crate) fn put(&mut self, first: usize, count: usize, batch: &Batch<Coeff>) {
        let rows = batch.ring.rows();
        let polys = self.residues[first * rows..]
            .chunks_exact_mut(rows)
            .take(count);
        for (lane, poly) in polys.enumerate() {
            for (prime, residues) in poly.chunks_exact_mut(batch.ring.n).enumerate() {
                for (residue, row) in residues.iter_mut().zip(batch.residues(prime)) {
                    *residue = row[lane];
                }
            }
        }
    }

    /// Bytes for the wire; [`Stack::query_bytes`] of them, whatever the choice.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let body = self.residues.len() / LANES * wire::row_bytes(PRIME_BITS);
        let mut out = Vec::with_capacity(wire::QUERY_HEADER + body);
        wire::put_header(&mut out, wire::QUERY_MAGIC, self.params.id, &self.stack);
        out.resize(wire::QUERY_HEADER + body, 0);
        bits::pack(&self.residues, PRIME_BITS, &mut out[wire::QUERY_HEADER..]);
        out
    }

    /// Reads a query over `stack`.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless magic, version and length are right and every residue is below its prime;
    /// [`Error::WrongStack`] if it was made for another stack.
    pub fn from_bytes(stack: &Stack, bytes: &[u8]) -> Result<Self, Error> {
        let body = wire::body(
            "query",
            bytes,
            wire::QUERY_MAGIC,
            stack.param_set(),
            &stack.digest(),
            stack.query_bytes(),
        )?;
        let mut query = Query::zero(stack);
        bits::unpack(body, PRIME_BITS, &mut query.residues);
        let params = stack.params();
        let polys = query.residues.chunks_exact(params.degree);
        for (residues, prime) in polys.zip(params.primes.iter().cycle()) {
            if residues.iter().any(|residue| residue >= prime) {
                return Err(Error::Malformed {
                    what: "query",
                    reason: "a residue is not below its prime",
                });
            }
        }
        Ok(query)
    }

    /// The query's part for one generation of its stack, in the form that [`crate::Encoded::accumulate`] takes.
    ///
    /// # Errors
    /// [`Error::WrongStack`] if the query is for another stack or the stack has no such generation.
    pub fn part(&self, stack: &Stack, generation: usize) -> Result<QueryPart, Error> {
        let wrong = Error::WrongStack { what: "query" };
        let info = stack.generations().get(generation).ok_or(wrong.clone())?;
        if self.stack != stack.digest() {
            return Err(wrong);
        }
        let polys = info.shape.polys() as usize;
        let offset = stack.offsets()[generation] as usize;
        let ring = self.params.ring();
        let mut factors = Factors::zero(ring, polys);
        for first in (0..polys).step_by(LANES) {
            let mut batch = Batch::zero(ring);
            let lanes = self.residues[(offset + first) * ring.rows()..]
                .chunks_exact(ring.rows())
                .take((polys - first).min(LANES));
            for (lane, poly) in lanes.enumerate() {
                for (index, residue) in poly.iter().enumerate() {
                    *batch.coefficient_mut(index / ring.n, index % ring.n, lane) = *residue;
                }
            }
            factors.put(first, &batch.into_ntt(Kernel::best()));
        }
        Ok(QueryPart {
            stack: self.stack,
            generation: stack.digests()[generation],
            factors,
        })
    }
}

impl std::fmt::Debug for Query {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Query")
            .field("polys", &(self.residues.len() / self.params.ring().rows()))
            .finish_non_exhaustive()
    }
}

/// What one query asks of one generation.
#[derive(Debug)]
pub struct QueryPart {
    pub(crate) stack: [u8; 32],
    pub(crate) generation: [u8; 32],
    pub(crate) factors: Factors,
}
