//! Answers (oblivious-encoding 6).

use crate::ring::LANES;
use crate::{Error, Params, Stack, bits, wire};

/// The answer to one query: the coefficients of one slot, hidden under the query's secret and rounded.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    pub(crate) params: &'static Params,
    pub(crate) stack: [u8; 32],
    /// Rows of sixteen coefficients, packed.
    pub(crate) rows: Vec<u8>,
}

impl Answer {
    /// Bytes for the wire; [`Stack::answer_bytes`] of them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(wire::ANSWER_HEADER + self.rows.len());
        wire::put_header(&mut out, wire::ANSWER_MAGIC, self.params.id, &self.stack);
        out.extend_from_slice(&self.rows);
        out
    }

    /// Reads an answer to a query over `stack`.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless magic, version and length are right and what pads the last row is zero;
    /// [`Error::WrongStack`] if it answers a query over another stack.
    pub fn from_bytes(stack: &Stack, bytes: &[u8]) -> Result<Self, Error> {
        let body = wire::body(
            "answer",
            bytes,
            wire::ANSWER_MAGIC,
            stack.param_set(),
            &stack.digest(),
            stack.answer_bytes(),
        )?;
        let params = stack.params();
        let used = stack.shape().symbols(params) % LANES;
        let last = body.rchunks(wire::row_bytes(params.answer_bits)).next();
        if used > 0
            && let Some(last) = last
            && bits::unpack_row(last, params.answer_bits)[used..] != [0; LANES][used..]
        {
            return Err(Error::Malformed {
                what: "answer",
                reason: "padding is not zero",
            });
        }
        Ok(Answer {
            params,
            stack: stack.digest(),
            rows: body.to_vec(),
        })
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("bytes", &self.rows.len())
            .finish_non_exhaustive()
    }
}
