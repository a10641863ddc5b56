//! Arithmetic in Z_q\[X\]/(X^n + 1), q the product of two primes, on sixteen polynomials at a time.
//!
//! A polynomial is never handled alone: [`Batch`] holds one coefficient of sixteen polynomials in each row, so
//! that every step is the same operation on all lanes and nothing is ever shuffled between lanes.

mod prime;
mod rows;
mod simd;
mod transform;

use std::marker::PhantomData;
use std::sync::LazyLock;

use zeroize::Zeroize;

pub(crate) use prime::Prime;
pub(crate) use rows::Rows;
pub use simd::Kernel;
pub(crate) use simd::{Factor, LANES, Row, Simd, Task};
pub(crate) use transform::{add_rows, dot_tiles, forward, inverse};

/// log2 of n.
pub(crate) const LOG_N: u32 = 11;
/// n, coefficients of a polynomial.
pub(crate) const N: usize = 1 << LOG_N;
/// Bits of a residue.
pub(crate) const PRIME_BITS: u32 = 27;
/// The largest two primes below 2^27 that are 1 modulo 2n = 4096.
pub(crate) const PRIMES: [u32; 2] = [134_176_769, 134_111_233];
/// This many products of two residues fit a u64: 1024 · (2^27)^2 = 2^64.
pub(crate) const MAX_PRODUCTS: usize = 1024;

/// The ring's tables.
#[derive(Debug)]
pub(crate) struct Ring {
    pub(crate) primes: [Prime; 2],
    /// q.
    pub(crate) modulus: u64,
    /// (other prime)^-1 modulo each prime.
    cofactors: [u32; 2],
}

impl Ring {
    /// The one ring of all parameter sets so far.
    pub(crate) fn get() -> &'static Ring {
        static RING: LazyLock<Ring> = LazyLock::new(|| {
            let primes = PRIMES.map(Prime::new);
            let cofactors = [
                primes[0].invert(PRIMES[1] % PRIMES[0]),
                primes[1].invert(PRIMES[0]),
            ];
            Ring {
                primes,
                modulus: u64::from(PRIMES[0]) * u64::from(PRIMES[1]),
                cofactors,
            }
        });
        &RING
    }

    /// Scale for [`inverse`] that gives plain residues.
    pub(crate) fn plain_scale(&self, prime: usize) -> Factor {
        let p = &self.primes[prime];
        p.factor(p.invert(N as u32))
    }

    /// Scale for [`inverse`] that gives r · (other prime)^-1, what [`Ring::fraction`] and [`Ring::lift`] take.
    pub(crate) fn crt_scale(&self, prime: usize) -> Factor {
        let p = &self.primes[prime];
        p.factor(p.multiply(p.invert(N as u32), self.cofactors[prime]))
    }

    /// x / q as a fraction of 2^64, within 2^28 of it, from residues scaled by [`Ring::crt_scale`]:
    /// x / q = c1 / p1 + c2 / p2 modulo 1.
    #[inline(always)]
    pub(crate) fn fraction(&self, c1: u32, c2: u32) -> u64 {
        let term = |c: u32, prime: &Prime| u64::from(c).wrapping_mul(prime.reciprocal);
        term(c1, &self.primes[0]).wrapping_add(term(c2, &self.primes[1]))
    }

    /// x in [0, q), from residues scaled by [`Ring::crt_scale`]: x = c1 p2 + c2 p1 modulo q.
    #[inline(always)]
    pub(crate) fn lift(&self, c1: u32, c2: u32) -> u64 {
        let sum = u64::from(c1) * u64::from(PRIMES[1]) + u64::from(c2) * u64::from(PRIMES[0]);
        sum.min(sum.wrapping_sub(self.modulus))
    }
}

/// Coefficients of X^0 .. X^(n-1).
#[derive(Debug)]
pub(crate) enum Coeff {}
/// Values at the roots of X^n + 1, in bit-reversed order.
#[derive(Debug)]
pub(crate) enum Ntt {}

/// Sixteen polynomials: for each prime, n rows of residues, one lane per polynomial.
#[derive(Debug)]
pub(crate) struct Batch<Domain> {
    rows: Rows,
    domain: PhantomData<Domain>,
}

impl<Domain> Batch<Domain> {
    /// Residues modulo one prime, row by row.
    pub(crate) fn residues(&self, prime: usize) -> &[Row] {
        &self.rows.as_slice()[prime * N..(prime + 1) * N]
    }

    fn residues_mut(&mut self, prime: usize) -> &mut [Row] {
        &mut self.rows.as_mut_slice()[prime * N..(prime + 1) * N]
    }

    fn into_domain<Other>(self) -> Batch<Other> {
        Batch {
            rows: self.rows,
            domain: PhantomData,
        }
    }

    /// Overwrites the memory, for batches that held a secret.
    pub(crate) fn wipe(&mut self) {
        self.rows.zeroize();
    }
}

impl Batch<Coeff> {
    /// Sixteen zero polynomials.
    pub(crate) fn zero() -> Self {
        Batch {
            rows: Rows::zero(2 * N),
            domain: PhantomData,
        }
    }

    /// Residue modulo `prime` of coefficient `index` of polynomial `lane`.
    pub(crate) fn coefficient_mut(&mut self, prime: usize, index: usize, lane: usize) -> &mut u32 {
        &mut self.rows.as_mut_slice()[prime * N + index][lane]
    }

    /// To values at the roots.
    pub(crate) fn into_ntt(mut self, kernel: Kernel) -> Batch<Ntt> {
        for (index, prime) in Ring::get().primes.iter().enumerate() {
            kernel.run(transform::Forward {
                prime,
                rows: self.residues_mut(index),
            });
        }
        self.into_domain()
    }
}

impl Batch<Ntt> {
    /// Values at the roots from 2 n rows.
    #[cfg(test)]
    pub(crate) fn from_rows(source: &[Row]) -> Self {
        let mut rows = Rows::zero(2 * N);
        rows.as_mut_slice().copy_from_slice(source);
        Batch {
            rows,
            domain: PhantomData,
        }
    }

    /// To coefficients.
    pub(crate) fn into_coeff(mut self, kernel: Kernel) -> Batch<Coeff> {
        let ring = Ring::get();
        for (index, prime) in ring.primes.iter().enumerate() {
            kernel.run(transform::Inverse {
                prime,
                rows: self.residues_mut(index),
                scale: ring.plain_scale(index),
            });
        }
        self.into_domain()
    }

    /// Multiplies all sixteen polynomials by `other`, given by its values at the roots for each prime.
    /// Work and memory access do not depend on any value.
    pub(crate) fn multiply(&mut self, kernel: Kernel, other: &Values) {
        for (index, prime) in Ring::get().primes.iter().enumerate() {
            let values = other.residues(index);
            kernel.run(transform::Multiply {
                prime,
                rows: self.residues_mut(index),
                values,
            });
        }
    }
}

/// One polynomial at the roots: n residues for each prime. Wiped when dropped, as it may be a secret.
#[derive(zeroize::ZeroizeOnDrop)]
pub(crate) struct Values(Vec<u32>);

impl Values {
    /// The polynomial in lane 0 of a batch.
    pub(crate) fn first_of(batch: &Batch<Ntt>) -> Self {
        Values(batch.rows.as_slice().iter().map(|row| row[0]).collect())
    }

    pub(crate) fn residues(&self, prime: usize) -> &[u32] {
        &self.0[prime * N..(prime + 1) * N]
    }
}

/// A sequence of polynomials as factors for a scan: for each prime and each root, the residues of all polynomials.
#[derive(Debug)]
pub(crate) struct Factors {
    words: Vec<u32>,
    polys: usize,
}

impl Factors {
    pub(crate) fn zero(polys: usize) -> Self {
        Factors {
            words: vec![0; 2 * N * polys],
            polys,
        }
    }

    pub(crate) fn polys(&self) -> usize {
        self.polys
    }

    /// Puts the first lanes of `batch` at polynomials `first..`, as many as there are.
    pub(crate) fn put(&mut self, first: usize, batch: &Batch<Ntt>) {
        let count = (self.polys - first).min(LANES);
        for (at, row) in self
            .words
            .chunks_exact_mut(self.polys)
            .zip(batch.rows.as_slice())
        {
            at[first..first + count].copy_from_slice(&row[..count]);
        }
    }

    /// Residues modulo `prime`: root by root, all polynomials.
    pub(crate) fn residues(&self, prime: usize) -> &[u32] {
        let half = N * self.polys;
        &self.words[prime * half..(prime + 1) * half]
    }
}

#[cfg(test)]
mod tests;
