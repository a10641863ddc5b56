//! The public figures of one sealed generation (oblivious-encoding 3).

use aws_lc_rs::digest::{Context, SHA256};

use crate::ring::LANES;
use crate::{Error, ParamSetId, Params, wire};

/// Fixes the public polynomials a_j of one generation. Public, and never used for two generations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Seed(pub [u8; 32]);

/// The sizes of one generation. Only valid shapes exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Shape {
    slots: u32,
    slot_bytes: u32,
    interleave: u32,
}

/// Most slots that share a polynomial, with every parameter set.
const MAX_INTERLEAVE: u32 = 2048;
/// Most polynomials of a generation, with every parameter set.
const MAX_POLYS: u32 = 1024;
/// Largest slot, in bytes (256 MiB).
const MAX_SLOT_BYTES: u32 = 1 << 28;

/// Queries that a consumer makes for each download of the hints, where nothing better is known; weighs upload against
/// hint in [`Shape::recommended_interleave`].
pub const QUERIES_PER_HINT: u64 = 64;

impl Shape {
    /// A generation of `slots` slots of `slot_bytes` bytes, `interleave` (t) of which share a polynomial.
    ///
    /// # Errors
    /// [`Error::BadShape`] if a figure is zero, a slot is over 256 MiB, t is no power of two or is over 2048, or there are
    /// more polynomials than any parameter set allows.
    pub fn new(slots: u32, slot_bytes: u32, interleave: u32) -> Result<Self, Error> {
        if slots == 0 || slot_bytes == 0 {
            return Err(Error::BadShape("slots and slot bytes must not be zero"));
        }
        if slot_bytes > MAX_SLOT_BYTES {
            return Err(Error::BadShape("a slot has at most 256 MiB"));
        }
        if !interleave.is_power_of_two() || interleave > MAX_INTERLEAVE {
            return Err(Error::BadShape(
                "the interleaving must be a power of two, at most 2048",
            ));
        }
        let shape = Shape {
            slots,
            slot_bytes,
            interleave,
        };
        if shape.polys() > MAX_POLYS {
            return Err(Error::BadShape(
                "too many polynomials; use a larger interleaving or fewer slots",
            ));
        }
        Ok(shape)
    }

    /// Slots in the generation.
    #[must_use]
    pub fn slots(&self) -> u32 {
        self.slots
    }

    /// Bytes of a slot.
    #[must_use]
    pub fn slot_bytes(&self) -> u32 {
        self.slot_bytes
    }

    /// t, the number of slots that share a polynomial.
    #[must_use]
    pub fn interleave(&self) -> u32 {
        self.interleave
    }

    /// Polynomials that a query has for this generation: ceil(slots / t).
    #[must_use]
    pub fn polys(&self) -> u32 {
        self.slots.div_ceil(self.interleave)
    }

    /// Symbols (groups of `plaintext_bits` bits) of a slot.
    pub(crate) fn symbols(&self, params: &Params) -> usize {
        (self.slot_bytes as usize * 8).div_ceil(params.plaintext_bits as usize)
    }

    /// Rows of sixteen symbols that a slot fills.
    pub(crate) fn symbol_rows(&self, params: &Params) -> usize {
        self.symbols(params).div_ceil(LANES)
    }

    /// Coefficients of one polynomial that belong to one slot: n / t.
    pub(crate) fn rows_per_block(&self, params: &Params) -> usize {
        params.degree / self.interleave as usize
    }

    /// Blocks of sixteen chunks that a slot is cut into.
    pub(crate) fn blocks(&self, params: &Params) -> usize {
        self.symbol_rows(params)
            .div_ceil(self.rows_per_block(params))
    }

    /// Bytes that this generation adds to each query.
    #[must_use]
    pub fn query_bytes(&self, params: &Params) -> u64 {
        u64::from(self.polys()) * params.poly_bytes() as u64
    }

    /// Exact bytes of one answer, header included.
    #[must_use]
    pub fn answer_bytes(&self, params: &Params) -> u64 {
        (wire::ANSWER_HEADER + self.symbol_rows(params) * wire::row_bytes(params.answer_bits))
            as u64
    }

    /// Exact bytes of the generation's hint, header included.
    #[must_use]
    pub fn hint_bytes(&self, params: &Params) -> u64 {
        (wire::HINT_HEADER
            + self.blocks(params) * params.degree * wire::row_bytes(params.hint_bits()))
            as u64
    }

    /// Bytes of the encoded generation in memory.
    #[must_use]
    pub fn encoded_bytes(&self, params: &Params) -> u64 {
        self.blocks(params) as u64
            * params.primes.len() as u64
            * params.degree as u64
            * u64::from(self.polys())
            * size_of::<crate::ring::Row>() as u64
    }

    /// The interleaving of one generation of `slots` slots that costs a consumer the fewest bytes: what its hint and its
    /// part of `queries` queries cost together, which is what a consumer is expected to make while it keeps the hint
    /// ([`QUERIES_PER_HINT`] where nothing is known). Depends on public figures only. A stack of equal generations has as many
    /// hints as parts of a query, and every consumer pays for both: neither number changes the choice.
    #[must_use]
    pub fn recommended_interleave(
        params: &Params,
        slots: u32,
        slot_bytes: u32,
        queries: u64,
    ) -> u32 {
        let largest = slots
            .checked_next_power_of_two()
            .unwrap_or(1 << 31)
            .clamp(1, MAX_INTERLEAVE);
        let mut best = (u128::MAX, largest);
        for interleave in (0..=largest.ilog2()).map(|log| 1u32 << log) {
            if let Ok(shape) = Shape::new(slots, slot_bytes, interleave) {
                let uploads = u128::from(queries) * u128::from(shape.query_bytes(params));
                let cost = uploads + u128::from(shape.hint_bytes(params));
                best = best.min((cost, interleave));
            }
        }
        best.1
    }
}

/// The public figures of one sealed generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct GenerationInfo {
    /// Parameter set.
    pub params: ParamSetId,
    /// Sizes.
    pub shape: Shape,
    /// Public seed, fresh for each generation.
    pub seed: Seed,
}

impl GenerationInfo {
    /// SHA-256 over the public figures (oblivious-encoding 3.4); names the generation in hints.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        let mut context = Context::new(&SHA256);
        context.update(b"harpocrates/1/oblivious-generation\0");
        context.update(&self.params.0.to_le_bytes());
        for figure in [
            self.shape.slots,
            self.shape.slot_bytes,
            self.shape.interleave,
        ] {
            context.update(&figure.to_le_bytes());
        }
        context.update(&self.seed.0);
        wire::finish_digest(context)
    }

    /// Exact bytes of this generation's hint.
    ///
    /// # Errors
    /// [`Error::UnknownParams`].
    pub fn hint_bytes(&self) -> Result<u64, Error> {
        Ok(self.shape.hint_bytes(Params::by_id(self.params)?))
    }

    /// Bytes of this generation in memory when encoded.
    ///
    /// # Errors
    /// [`Error::UnknownParams`].
    pub fn encoded_bytes(&self) -> Result<u64, Error> {
        Ok(self.shape.encoded_bytes(Params::by_id(self.params)?))
    }
}

#[cfg(test)]
mod tests;
