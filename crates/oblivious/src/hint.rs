//! Hints and their sum (oblivious-encoding 5).

use rayon::prelude::*;

use crate::ring::{Kernel, LANES, N, Prime, Ring, Row, Rows, Simd, Task, add_rows, forward};
use crate::{Error, GenerationInfo, ParamSetId, Params, Shape, Stack, bits, wire};

/// The hint of one generation: the sum of a_j D_j for each block of chunks, without its low bits. It depends on no
/// query and is the same for every consumer.
#[derive(Clone, PartialEq, Eq)]
pub struct Hint {
    info: GenerationInfo,
    /// Block by block, coefficient by coefficient, sixteen chunks.
    coefficients: Vec<u32>,
}

impl Hint {
    /// `info` was checked; there is a value for each coefficient of each block.
    pub(crate) fn from_coefficients(info: GenerationInfo, coefficients: Vec<u32>) -> Self {
        Hint { info, coefficients }
    }

    /// The generation that the hint belongs to.
    #[must_use]
    pub fn generation(&self) -> &GenerationInfo {
        &self.info
    }

    /// Bytes for the wire; [`GenerationInfo::hint_bytes`] of them.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let bits = Params::by_id(self.info.params)
            .unwrap_or(Params::DEFAULT)
            .hint_bits();
        let row_bytes = wire::row_bytes(bits);
        let body = self.coefficients.len() / LANES * row_bytes;
        let mut out = Vec::with_capacity(wire::HINT_HEADER + body);
        wire::put_header(
            &mut out,
            wire::HINT_MAGIC,
            self.info.params,
            &self.info.digest(),
        );
        out.resize(wire::HINT_HEADER + body, 0);
        out[wire::HINT_HEADER..]
            .par_chunks_mut(row_bytes * N)
            .zip(self.coefficients.par_chunks(LANES * N))
            .for_each(|(packed, block)| bits::pack(block, bits, packed));
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
        let largest = ((params.modulus() - 1) >> params.hint_drop) as u32;
        let mut coefficients = vec![0; info.shape.blocks(params) * N * LANES];
        let in_range = coefficients
            .par_chunks_mut(LANES * N)
            .zip(body.par_chunks(wire::row_bytes(bits) * N))
            .map(|(block, packed)| {
                bits::unpack(packed, bits, block);
                block.iter().all(|value| *value <= largest)
            })
            .reduce(|| true, |a, b| a && b);
        if !in_range {
            return Err(Error::Malformed {
                what: "hint",
                reason: "a coefficient is out of range",
            });
        }
        Ok(Hint {
            info: *info,
            coefficients,
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

/// The sum of the hints of several generations, kept ready for decoding (8 bytes for each coefficient).
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
        let rows = Rows::zero(shape.blocks(params) * 2 * N);
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

    /// Values of all blocks: 2 n rows each.
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
        let drop = self.params.hint_drop;
        self.rows
            .as_mut_slice()
            .par_chunks_mut(2 * N)
            .zip(hint.coefficients.par_chunks(LANES * N))
            .for_each(|(rows, coefficients)| {
                Kernel::best().run(Combine {
                    rows,
                    coefficients: coefficients.as_chunks().0,
                    drop,
                    subtract,
                });
            });
    }
}

/// Adds one block of a hint to the values of a sum, or subtracts it.
struct Combine<'a> {
    rows: &'a mut [Row],
    coefficients: &'a [Row],
    drop: u32,
    subtract: bool,
}

impl Task for Combine<'_> {
    type Output = ();

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) {
        let mut scratch = Rows::zero(N);
        let scratch = scratch.as_mut_slice();
        for (prime, sums) in Ring::get().primes.iter().zip(self.rows.chunks_exact_mut(N)) {
            for (row, coefficients) in scratch.iter_mut().zip(self.coefficients) {
                for (residue, coefficient) in row.iter_mut().zip(coefficients) {
                    *residue = expand(prime, *coefficient, self.drop, self.subtract);
                }
            }
            forward(simd, prime, scratch);
            for (sum, row) in sums.iter_mut().zip(scratch.iter()) {
                let total = add_rows(simd, prime, simd.load(sum), simd.load(row));
                simd.store(total, sum);
            }
        }
    }
}

/// The middle of what a hint's coefficient stands for, or its negative, modulo a prime.
#[inline(always)]
fn expand(prime: &Prime, coefficient: u32, drop: u32, subtract: bool) -> u32 {
    let value = u64::from(coefficient) << drop | 1 << (drop - 1);
    let residue = prime.reduce(value);
    if subtract {
        prime.value - residue
    } else {
        residue
    }
}
