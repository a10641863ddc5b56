//! Answers (oblivious-encoding 6).

use crate::ring::LANES;
use crate::{Error, ParamSetId, Params, Stack, bits, wire};

/// The answer to one query: the coefficients of one slot, hidden under the query's secret and rounded.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    pub(crate) params: ParamSetId,
    pub(crate) stack: [u8; 32],
    /// Rows of sixteen coefficients.
    pub(crate) symbols: Vec<u32>,
}

impl Answer {
    /// Bytes for the wire; [`Stack::answer_bytes`] of them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let bits = Params::by_id(self.params)
            .unwrap_or(Params::DEFAULT)
            .answer_bits;
        let body = self.symbols.len() / LANES * wire::row_bytes(bits);
        let mut out = Vec::with_capacity(wire::ANSWER_HEADER + body);
        wire::put_header(&mut out, wire::ANSWER_MAGIC, self.params, &self.stack);
        out.resize(wire::ANSWER_HEADER + body, 0);
        bits::pack(&self.symbols, bits, &mut out[wire::ANSWER_HEADER..]);
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
        let mut symbols = vec![0; stack.shape().symbol_rows(params) * LANES];
        bits::unpack(body, params.answer_bits, &mut symbols);
        if symbols[stack.shape().symbols(params)..]
            .iter()
            .any(|symbol| *symbol != 0)
        {
            return Err(Error::Malformed {
                what: "answer",
                reason: "padding is not zero",
            });
        }
        Ok(Answer {
            params: params.id,
            stack: stack.digest(),
            symbols,
        })
    }
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Answer")
            .field("symbols", &self.symbols.len())
            .finish_non_exhaustive()
    }
}
