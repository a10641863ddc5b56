//! Sealing: from slot bytes to encoded rows (oblivious-encoding 3.2), and from those to the hint (5.1).
//!
//! A generation is sealed stripe by stripe. A stripe is a few neighbouring blocks: the same piece of every slot, a
//! contiguous part of the encoded rows, and a contiguous part of the hint. So memory is bounded by a stripe,
//! output is written from front to back, and what was interrupted goes on with the next stripe.

mod block;

use std::ops::Range;

use rayon::prelude::*;

use self::block::{BlockEncode, BlockHint};
use super::Encoded;
use super::storage::ROW_BYTES;
use crate::ring::{Factors, Kernel, LANES, Ring, Row, Rows};
use crate::{EncodeError, Error, GenerationInfo, Hint, Params, sample, wire};

/// Plaintext of a stripe, unless one block is larger: 5 MiB for each 64 polynomials with set 1, 16 MiB with set 2.
/// Sealing needs about five times as much memory, whatever the generation's size.
pub const STRIPE_BYTES: usize = 32 << 20;
/// Bytes that reading a symbol may touch beyond its row.
const SLACK: usize = size_of::<u32>();

/// Neighbouring blocks of a generation that are sealed together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stripe {
    /// Counted from 0.
    pub index: usize,
    /// The piece of every slot that it holds, in bytes. The last one ends with the slot.
    pub slot_range: Range<usize>,
    /// Its part of the encoded generation, in bytes.
    pub encoded_range: Range<u64>,
    blocks: Range<usize>,
}

/// Memory in which stripes are sealed: a stripe of plaintext, of encoded rows, and of the hint.
#[derive(Debug)]
pub struct Buffers {
    plain: Vec<u8>,
    rows: Rows,
    hint: Vec<u8>,
}

/// A sealed stripe.
#[derive(Debug)]
pub struct Sealed<'a> {
    /// Its part of the encoded generation.
    pub encoded: &'a [u8],
    /// Its part of the hint; [`Sealer::assemble_hint`] takes all of them.
    pub hint: &'a [u8],
}

/// Seals one generation.
#[derive(Debug)]
pub struct Sealer {
    info: GenerationInfo,
    params: &'static Params,
    ring: &'static Ring,
    /// a_j at the roots.
    factors: Factors,
    blocks_per_stripe: usize,
}

impl Sealer {
    /// Prepares to seal the generation.
    ///
    /// # Errors
    /// [`Error::UnknownParams`].
    pub fn new(info: &GenerationInfo) -> Result<Self, Error> {
        Ok(Self::of(*info, Params::by_id(info.params)?))
    }

    /// Cuts the generation into stripes of about as many bytes of plaintext, which bounds memory; at least one block.
    /// Whoever goes on with work that was interrupted must cut alike.
    #[must_use]
    pub fn with_stripe_bytes(mut self, bytes: usize) -> Self {
        let blocks = self.info.shape.blocks(self.params);
        self.blocks_per_stripe = (bytes / self.block_bytes()).clamp(1, blocks);
        self
    }

    pub(super) fn of(info: GenerationInfo, params: &'static Params) -> Self {
        let ring = params.ring();
        let polys = info.shape.polys() as usize;
        let mut factors = Factors::zero(ring, polys);
        for first in (0..polys).step_by(LANES) {
            let count = (polys - first).min(LANES);
            let batch = sample::public_batch(ring, &info.seed, first as u32, count);
            factors.put(first, &batch.into_ntt(Kernel::best()));
        }
        let sealer = Sealer {
            info,
            params,
            ring,
            factors,
            blocks_per_stripe: 1,
        };
        // Fixed by the shape, so that work begun on one machine can go on on another.
        sealer.with_stripe_bytes(STRIPE_BYTES)
    }

    /// Bytes of plaintext of a block, all slots together.
    fn block_bytes(&self) -> usize {
        self.info.shape.rows_per_block(self.params)
            * wire::row_bytes(self.params.plaintext_bits)
            * self.info.shape.slots() as usize
    }

    /// The stripes, in order.
    pub fn stripes(&self) -> impl ExactSizeIterator<Item = Stripe> + use<> {
        let (shape, params, per) = (self.info.shape, self.params, self.blocks_per_stripe);
        let blocks = shape.blocks(params);
        let piece = shape.rows_per_block(params) * wire::row_bytes(params.plaintext_bits);
        let encoded = (self.block_rows() * ROW_BYTES) as u64;
        (0..blocks.div_ceil(per)).map(move |index| {
            let blocks = index * per..blocks.min((index + 1) * per);
            let slot_bytes = shape.slot_bytes() as usize;
            Stripe {
                index,
                slot_range: blocks.start * piece..slot_bytes.min(blocks.end * piece),
                encoded_range: blocks.start as u64 * encoded..blocks.end as u64 * encoded,
                blocks,
            }
        })
    }

    /// Most bytes of plaintext that a stripe needs in memory.
    #[must_use]
    pub fn stripe_bytes(&self) -> usize {
        let pitch = self.stripes().map(|stripe| self.pitch(&stripe)).max();
        pitch.unwrap_or(0) * self.info.shape.slots() as usize
    }

    /// Memory to seal stripes in, one after the other.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn buffers(&self) -> Result<Buffers, Error> {
        let blocks = self.blocks_per_stripe;
        Ok(Buffers {
            plain: vec![0; self.stripe_bytes()],
            rows: pages(blocks * self.block_rows())?,
            hint: vec![0; blocks * self.block_hint_bytes()],
        })
    }

    /// Seals one stripe. `read(slot, offset, bytes)` fills in its piece of every slot, in order.
    ///
    /// # Errors
    /// [`EncodeError::Read`] with the first failure of `read`.
    pub fn seal_stripe<'a, E: std::error::Error + 'static>(
        &self,
        stripe: &Stripe,
        buffers: &'a mut Buffers,
        read: impl FnMut(u32, u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<Sealed<'a>, EncodeError<E>> {
        self.read(stripe, &mut buffers.plain, read)?;
        let blocks = stripe.blocks.len();
        let rows = &mut buffers.rows.as_mut_slice()[..blocks * self.block_rows()];
        let hint = &mut buffers.hint[..blocks * self.block_hint_bytes()];
        self.encode_rows(stripe, &buffers.plain, rows);
        self.hint(rows, hint);
        Ok(Sealed {
            encoded: bytemuck::cast_slice(rows),
            hint,
        })
    }

    /// A stripe's part of the hint, from its encoded bytes: for work that goes on after an interruption.
    ///
    /// # Errors
    /// [`Error::Malformed`] if the bytes are not as many as the stripe's, or not aligned.
    pub fn hint_of(&self, stripe: &Stripe, encoded: &[u8]) -> Result<Vec<u8>, Error> {
        let blocks = stripe.blocks.len();
        let rows: &[Row] = bytemuck::try_cast_slice(encoded)
            .ok()
            .filter(|rows: &&[Row]| rows.len() == blocks * self.block_rows())
            .ok_or(Error::Malformed {
                what: "encoded stripe",
                reason: "its bytes are not the stripe's rows",
            })?;
        let mut hint = vec![0; blocks * self.block_hint_bytes()];
        self.hint(rows, &mut hint);
        Ok(hint)
    }

    /// The generation's hint, from the parts of all stripes in order.
    ///
    /// # Errors
    /// [`Error::Malformed`] if they are not as many bytes as all stripes give.
    pub fn assemble_hint(&self, parts: Vec<u8>) -> Result<Hint, Error> {
        if parts.len() == self.hint_bytes() {
            Ok(Hint::from_rows(self.info, parts))
        } else {
            Err(Error::Malformed {
                what: "hint",
                reason: "stripes are missing",
            })
        }
    }

    /// Bytes of the hint's rows.
    pub(super) fn hint_bytes(&self) -> usize {
        self.info.shape.blocks(self.params) * self.block_hint_bytes()
    }

    /// The part of the hint's rows that belongs to a stripe.
    pub(super) fn hint_range(&self, stripe: &Stripe) -> Range<usize> {
        let bytes = self.block_hint_bytes();
        stripe.blocks.start * bytes..stripe.blocks.end * bytes
    }

    /// Encodes the whole generation in memory; `done` gets each stripe with its rows.
    pub(super) fn encode<E: std::error::Error + 'static>(
        &self,
        mut read: impl FnMut(u32, u64, &mut [u8]) -> Result<(), E>,
        mut done: impl FnMut(&Stripe, &[Row]),
    ) -> Result<Encoded, EncodeError<E>> {
        let rows = self.info.shape.blocks(self.params) * self.block_rows();
        let mut encoded = pages(rows)?;
        let mut plain = vec![0; self.stripe_bytes()];
        let mut rest = encoded.as_mut_slice();
        for stripe in self.stripes() {
            let rows;
            (rows, rest) = rest.split_at_mut(stripe.blocks.len() * self.block_rows());
            self.read(&stripe, &mut plain, &mut read)?;
            self.encode_rows(&stripe, &plain, rows);
            done(&stripe, rows);
        }
        Ok(Encoded::in_memory(&self.info, self.params, encoded))
    }

    /// Fills `plain` with the stripe's piece of every slot.
    fn read<E: std::error::Error + 'static>(
        &self,
        stripe: &Stripe,
        plain: &mut [u8],
        mut read: impl FnMut(u32, u64, &mut [u8]) -> Result<(), E>,
    ) -> Result<(), EncodeError<E>> {
        let range = &stripe.slot_range;
        let pieces = plain.chunks_mut(self.pitch(stripe));
        for (slot, piece) in (0..self.info.shape.slots()).zip(pieces) {
            let (bytes, rest) = piece.split_at_mut(range.len());
            read(slot, range.start as u64, bytes)
                .map_err(|source| EncodeError::Read { slot, source })?;
            // Symbols after the slot's end are zero, whatever the buffer held before.
            rest.fill(0);
        }
        Ok(())
    }

    /// Bytes from one slot's piece to the next: whole rows, and what reading a symbol may touch beyond.
    fn pitch(&self, stripe: &Stripe) -> usize {
        let row = wire::row_bytes(self.params.plaintext_bits);
        stripe.slot_range.len().next_multiple_of(row) + SLACK
    }

    fn encode_rows(&self, stripe: &Stripe, plain: &[u8], rows: &mut [Row]) {
        let (shape, params) = (self.info.shape, self.params);
        let first = stripe.blocks.start;
        let pitch = self.pitch(stripe);
        rows.par_chunks_mut(self.block_rows())
            .enumerate()
            .for_each_init(
                || Rows::zero(self.ring.rows()),
                |scratch, (index, rows)| {
                    Kernel::best().run(BlockEncode {
                        ring: self.ring,
                        shape: &shape,
                        params,
                        plain,
                        pitch,
                        skip: index,
                        block: first + index,
                        scratch: scratch.as_mut_slice(),
                        rows,
                    });
                },
            );
    }

    /// Computes the hint's rows of neighbouring blocks, given their encoded rows.
    pub(super) fn hint(&self, rows: &[Row], hint: &mut [u8]) {
        hint.par_chunks_mut(self.block_hint_bytes())
            .zip(rows.par_chunks(self.block_rows()))
            .for_each_init(
                || Rows::zero(self.ring.rows()),
                |scratch, (packed, rows)| {
                    Kernel::best().run(BlockHint {
                        ring: self.ring,
                        params: self.params,
                        rows,
                        factors: &self.factors,
                        scratch: scratch.as_mut_slice(),
                        packed,
                    });
                },
            );
    }

    fn block_rows(&self) -> usize {
        self.ring.rows() * self.info.shape.polys() as usize
    }

    fn block_hint_bytes(&self) -> usize {
        self.ring.n * wire::row_bytes(self.params.hint_bits())
    }
}

/// Zero rows in pages of their own.
fn pages(rows: usize) -> Result<Rows, Error> {
    Rows::in_pages(rows).ok_or(Error::OutOfMemory {
        bytes: rows.saturating_mul(ROW_BYTES),
    })
}
