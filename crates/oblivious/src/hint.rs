//! Hints and their sum (oblivious-encoding 5).

use rayon::prelude::*;

use crate::ring::{Kernel, Prime, Ring, Row, Rows, Simd, Task, add_rows, forward};
use crate::{Error, GenerationInfo, ParamSetId, Params, Shape, Stack, bits, wire};

/// The hint of one generation: the sum of a_j D_j for each block of chunks, without its low bits. It depends on no
/// query and is the same for every consumer.
#[derive(Clone, PartialEq, Eq)]
pub struct Hint {
    info: GenerationInfo,
    /// Block by block, coefficient by coefficient, one row of sixteen chunks, packed.
    rows: Vec<u8>,
}

impl Hint {
    /// `info` was checked; there is a row for each coefficient of each block.
    pub(crate) fn from_rows(info: GenerationInfo, rows: Vec<u8>) -> Self {
        Hint { info, rows }
    }

    /// The generation that the hint belongs to.
    #[must_use]
    pub fn generation(&self) -> &GenerationInfo {
        &self.info
    }

    /// Bytes for the wire; [`GenerationInfo::hint_bytes`] of them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(wire::HINT_HEADER + self.rows.len());
        wire::put_header(
            &mut out,
            wire::HINT_MAGIC,
            self.info.params,
            &self.info.digest(),
        );
        out.extend_from_slice(&self.rows);
        out
    }

    /// Reads the hint of the generation `info`.
    ///
    /// # Errors
    /// [`Error::Malformed`] unless magic, version and length are right and every value is in range;
    /// [`Error::WrongStack`] if it belongs to another generation; [`Error::UnknownParams`].
    pub fn from_bytes(info: &GenerationInfo, bytes: &[u8]) -> Result<Self, Error> {
        let params = Params::by_id(info.params)?;
        let length = info.shape.hint_bytes(params);
        let body = wire::body(
            "hint",
            bytes,
            wire::HINT_MAGIC,
            info.params,
            &info.digest(),
            length,
        )?;
        let bits = params.hint_bits();
        let largest = ((params.modulus() - 1) >> params.hint_drop) as u64;
        let in_range = |row| {
            let values = bits::unpack_row(row, bits);
            values.iter().all(|value| *value <= largest)
        };
        let row_bytes = wire::row_bytes(bits);
        let in_range = body
            .par_chunks(row_bytes * params.degree)
            .all(|block| block.chunks_exact(row_bytes).all(in_range));
        if !in_range {
            return Err(Error::Malformed {
                what: "hint",
                reason: "a coefficient is out of range",
            });
        }
        Ok(Hint {
            info: *info,
            rows: body.to_vec(),
        })
    }
}

impl std::fmt::Debug for Hint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hint")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// The sum of the hints of several generations, kept ready for decoding (4 bytes for each coefficient and prime).
#[derive(Debug)]
pub struct StackHint {
    pub(crate) params: &'static Params,
    shape: Shape,
    param_set: ParamSetId,
    /// Digests of the generations in the sum, sorted.
    members: Vec<[u8; 32]>,
    /// For each block and prime the values at the roots.
    rows: Rows,
}

impl StackHint {
    /// The sum of no hints, for stacks like `stack`; add hints one by one as they arrive.
    #[must_use]
    pub fn empty(stack: &Stack) -> Self {
        let (params, shape) = (stack.params(), stack.shape());
        let rows = Rows::zero(shape.blocks(params) * params.ring().rows());
        StackHint {
            params,
            shape,
            param_set: stack.param_set(),
            members: Vec::new(),
            rows,
        }
    }

    /// The sum of the hints of a whole stack, in any order.
    ///
    /// # Errors
    /// [`Error::WrongStack`] if a hint is of no generation of the stack, [`Error::AddedTwice`] if one comes twice,
    /// [`Error::Incomplete`] if one is missing.
    pub fn sum(stack: &Stack, hints: &[Hint]) -> Result<Self, Error> {
        let mut sum = StackHint::empty(stack);
        for hint in hints {
            if stack.index_of(&hint.info.digest()).is_none() {
                return Err(Error::WrongStack { what: "hint" });
            }
            sum.add(hint)?;
        }
        match stack.generations().len() - sum.members.len() {
            0 => Ok(sum),
            missing => Err(Error::Incomplete {
                what: "the sum of hints",
                missing,
            }),
        }
    }

    /// Adds the hint of a generation, when a stack has grown.
    ///
    /// # Errors
    /// [`Error::WrongStack`] if its figures do not fit, [`Error::AddedTwice`] if it is already in the sum.
    pub fn add(&mut self, hint: &Hint) -> Result<(), Error> {
        let digest = self.check(hint)?;
        match self.members.binary_search(&digest) {
            Ok(_) => Err(Error::AddedTwice {
                what: "the sum of hints",
            }),
            Err(at) => {
                self.members.insert(at, digest);
                self.combine(hint, false);
                Ok(())
            }
        }
    }

    /// Takes the hint of a generation out again, when it was retired.
    ///
    /// # Errors
    /// [`Error::WrongStack`] if it is not in the sum.
    pub fn remove(&mut self, hint: &Hint) -> Result<(), Error> {
        let digest = self.check(hint)?;
        let at = self
            .members
            .binary_search(&digest)
            .map_err(|_| Error::WrongStack { what: "hint" })?;
        self.members.remove(at);
        self.combine(hint, true);
        Ok(())
    }

    /// Whether the sum holds exactly the generations of `stack`.
    #[must_use]
    pub fn covers(&self, stack: &Stack) -> bool {
        let mut digests = stack.digests().to_vec();
        digests.sort_unstable();
        self.covers_sorted(&digests)
    }

    pub(crate) fn covers_sorted(&self, digests: &[[u8; 32]]) -> bool {
        self.members == digests
    }

    /// Values of all blocks: n rows for each prime.
    pub(crate) fn rows(&self) -> &[Row] {
        self.rows.as_slice()
    }

    fn check(&self, hint: &Hint) -> Result<[u8; 32], Error> {
        let shape = hint.info.shape;
        let fits = hint.info.params == self.param_set
            && shape.slot_bytes() == self.shape.slot_bytes()
            && shape.interleave() == self.shape.interleave();
        if fits {
            Ok(hint.info.digest())
        } else {
            Err(Error::WrongStack { what: "hint" })
        }
    }

    fn combine(&mut self, hint: &Hint, subtract: bool) {
        let params = self.params;
        let ring = params.ring();
        let packed = hint
            .rows
            .par_chunks(wire::row_bytes(params.hint_bits()) * ring.n);
        self.rows
            .as_mut_slice()
            .par_chunks_mut(ring.rows())
            .zip(packed)
            .for_each_init(
                || Rows::zero(ring.rows()),
                |scratch, (rows, packed)| {
                    let scratch = scratch.as_mut_slice();
                    Kernel::best().run(Combine {
                        ring,
                        params,
                        rows,
                        packed,
                        scratch,
                        subtract,
                    });
                },
            );
    }
}

/// Adds one block of a hint to the values of a sum, or subtracts it.
struct Combine<'a> {
    ring: &'static Ring,
    params: &'static Params,
    rows: &'a mut [Row],
    packed: &'a [u8],
    /// As many rows as `rows`.
    scratch: &'a mut [Row],
    subtract: bool,
}

impl Task for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let (n, bits) = (self.ring.n, self.params.hint_bits());
        let expand = Expand::all(self.ring, self.params.hint_drop);
        let packed = self.packed.chunks_exact(wire::row_bytes(bits));
        for (coefficient, packed) in packed.enumerate() {
            let values = bits::unpack_row(packed, bits);
            for (index, (prime, expand)) in self.ring.primes.iter().zip(&expand).enumerate() {
                let row = &mut self.scratch[index * n + coefficient];
                for (residue, value) in row.iter_mut().zip(values) {
                    *residue = expand.residue(prime, value, self.subtract);
                }
            }
        }
        let sums = self.rows.chunks_exact_mut(n);
        let terms = self.scratch.chunks_exact_mut(n);
        for ((prime, sums), terms) in self.ring.primes.iter().zip(sums).zip(terms) {
            forward(simd, prime, terms);
            for (sum, row) in sums.iter_mut().zip(terms.iter()) {
                let total = add_rows(simd, prime, simd.load(sum), simd.load(row));
                simd.store(total, sum);
            }
        }
    }
}

/// What brings a hint's coefficient back to the middle of what it stands for, v 2^drop + 2^(drop - 1), modulo a prime.
struct Expand {
    /// 2^drop.
    weight: u64,
    /// 2^(drop - 1).
    middle: u64,
}

impl Expand {
    #[inline(always)]
    fn all(ring: &Ring, drop: u32) -> Vec<Self> {
        let one = |prime: &Prime| Expand {
            weight: u64::from(prime.reduce(1 << drop)),
            middle: u64::from(prime.reduce(1 << (drop - 1))),
        };
        ring.primes.iter().map(one).collect()
    }

    /// Below the prime, or the prime itself for the negative of zero.
    #[inline(always)]
    fn residue(&self, prime: &Prime, value: u64, subtract: bool) -> u32 {
        let value = u64::from(prime.reduce(value));
        let residue = prime.reduce(value * self.weight + self.middle);
        if subtract {
            prime.value - residue
        } else {
            residue
        }
    }
}
