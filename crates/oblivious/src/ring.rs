//! Arithmetic in Z_q\[X\]/(X^n + 1), q a product of primes, on sixteen polynomials at a time.
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

use crate::Params;
pub(crate) use prime::Prime;
pub(crate) use rows::Rows;
pub use simd::Kernel;
pub(crate) use simd::{Factor, LANES, Row, Simd, Task};
pub(crate) use transform::{Column, Single, add_rows, dot_tiles, forward, inverse, reduce_loosely};

/// Bits of a residue.
pub(crate) const PRIME_BITS: u32 = 27;
/// The largest two primes below 2^27 that are 1 modulo 2 · 2048.
pub(crate) const PRIMES_2048: &[u32] = &[134_176_769, 134_111_233];
/// The largest three primes below 2^27 that are 1 modulo 2 · 4096.
pub(crate) const PRIMES_4096: &[u32] = &[134_176_769, 134_111_233, 134_012_929];
/// This many products of two residues fit a u64: 1024 · (2^27)^2 = 2^64.
pub(crate) const MAX_PRODUCTS: usize = 1024;

/// A ring and its tables.
#[derive(Debug)]
pub(crate) struct Ring {
    /// n, coefficients of a polynomial.
    pub(crate) n: usize,
    pub(crate) primes: Vec<Prime>,
    /// q.
    modulus: u128,
    /// q divided by each prime.
    others: Vec<u128>,
    /// The inverse of that modulo the prime.
    cofactors: Vec<u32>,
}

impl Ring {
    /// The ring of a parameter set. Its tables are made once.
    pub(crate) fn of(params: &Params) -> &'static Ring {
        static SMALL: LazyLock<Ring> = LazyLock::new(|| Ring::new(2048, PRIMES_2048));
        static LARGE: LazyLock<Ring> = LazyLock::new(|| Ring::new(4096, PRIMES_4096));
        let ring = if params.degree == 2048 {
            &SMALL
        } else {
            &LARGE
        };
        debug_assert!(
            ring.primes
                .iter()
                .map(|p| p.value)
                .eq(params.primes.iter().copied())
        );
        ring
    }

    fn new(n: usize, primes: &[u32]) -> Self {
        let modulus: u128 = primes.iter().map(|p| u128::from(*p)).product();
        let others: Vec<u128> = primes.iter().map(|p| modulus / u128::from(*p)).collect();
        let primes: Vec<Prime> = primes.iter().map(|p| Prime::new(*p, n)).collect();
        let cofactors = primes
            .iter()
            .zip(&others)
            .map(|(prime, others)| prime.invert((others % u128::from(prime.value)) as u32))
            .collect();
        Ring {
            n,
            primes,
            modulus,
            others,
            cofactors,
        }
    }

    /// Rows of sixteen whole polynomials: n for each prime.
    pub(crate) fn rows(&self) -> usize {
        self.primes.len() * self.n
    }

    /// Scale for [`inverse`] that gives plain residues.
    pub(crate) fn plain_scale(&self, prime: usize) -> Factor {
        let p = &self.primes[prime];
        p.factor(p.invert(self.n as u32))
    }

    /// Scale for [`inverse`] that gives c = r · (q / prime)^-1, what [`Ring::fractions`] and [`Ring::lift`] take.
    pub(crate) fn crt_scale(&self, prime: usize) -> Factor {
        let p = &self.primes[prime];
        p.factor(p.multiply(p.invert(self.n as u32), self.cofactors[prime]))
    }

    /// x / q as a fraction of 2^64, less than two units of 2^-64 too small for each prime, for row `index` of a block:
    /// `rows` holds as many rows for each prime, scaled by [`Ring::crt_scale`]. x / q is the sum of c / p modulo 1.
    #[inline(always)]
    pub(crate) fn fractions(&self, rows: &[Row], index: usize) -> [u64; LANES] {
        let stride = rows.len() / self.primes.len();
        let mut sums = [0u64; LANES];
        for (k, prime) in self.primes.iter().enumerate() {
            let row = &rows[k * stride + index];
            for (sum, c) in sums.iter_mut().zip(row) {
                *sum = sum.wrapping_add(prime.fraction(*c));
            }
        }
        sums
    }

    /// x in [0, q), from one residue for each prime, scaled by [`Ring::crt_scale`]: x is the sum of c · q / p modulo q.
    #[inline(always)]
    pub(crate) fn lift(&self, residues: impl Iterator<Item = u32>) -> u128 {
        let sum: u128 = residues
            .zip(&self.others)
            .map(|(c, others)| u128::from(c) * others)
            .sum();
        (1..self.primes.len()).fold(sum, |sum, _| sum.min(sum.wrapping_sub(self.modulus)))
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
    pub(crate) ring: &'static Ring,
    rows: Rows,
    domain: PhantomData<Domain>,
}

impl<Domain> Batch<Domain> {
    /// Residues modulo one prime, row by row.
    pub(crate) fn residues(&self, prime: usize) -> &[Row] {
        &self.rows.as_slice()[prime * self.ring.n..][..self.ring.n]
    }

    fn residues_mut(&mut self, prime: usize) -> &mut [Row] {
        let n = self.ring.n;
        &mut self.rows.as_mut_slice()[prime * n..][..n]
    }

    fn into_domain<Other>(self) -> Batch<Other> {
        Batch {
            ring: self.ring,
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
    pub(crate) fn zero(ring: &'static Ring) -> Self {
        Batch {
            ring,
            rows: Rows::zero(ring.rows()),
            domain: PhantomData,
        }
    }

    /// Residue modulo `prime` of coefficient `index` of polynomial `lane`.
    pub(crate) fn coefficient_mut(&mut self, prime: usize, index: usize, lane: usize) -> &mut u32 {
        &mut self.rows.as_mut_slice()[prime * self.ring.n + index][lane]
    }

    /// To values at the roots.
    pub(crate) fn into_ntt(mut self, kernel: Kernel) -> Batch<Ntt> {
        for (index, prime) in self.ring.primes.iter().enumerate() {
            kernel.run(transform::Forward {
                prime,
                rows: self.residues_mut(index),
            });
        }
        self.into_domain()
    }
}

impl Batch<Ntt> {
    /// Values at the roots from as many rows as [`Ring::rows`].
    #[cfg(test)]
    pub(crate) fn from_rows(ring: &'static Ring, source: &[Row]) -> Self {
        let mut rows = Rows::zero(ring.rows());
        rows.as_mut_slice().copy_from_slice(source);
        Batch {
            ring,
            rows,
            domain: PhantomData,
        }
    }

    /// To coefficients.
    pub(crate) fn into_coeff(mut self, kernel: Kernel) -> Batch<Coeff> {
        for (index, prime) in self.ring.primes.iter().enumerate() {
            let scale = self.ring.plain_scale(index);
            kernel.run(transform::Inverse {
                prime,
                rows: self.residues_mut(index),
                scale,
            });
        }
        self.into_domain()
    }

    /// Multiplies all sixteen polynomials by `other`, given by its values at the roots for each prime.
    /// Work and memory access do not depend on any value.
    pub(crate) fn multiply(&mut self, kernel: Kernel, other: &Values) {
        for (index, prime) in self.ring.primes.iter().enumerate() {
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
pub(crate) struct Values {
    #[zeroize(skip)]
    n: usize,
    words: Vec<u32>,
}

impl Values {
    /// The polynomial in lane 0 of a batch.
    pub(crate) fn first_of(batch: &Batch<Ntt>) -> Self {
        Values {
            n: batch.ring.n,
            words: batch.rows.as_slice().iter().map(|row| row[0]).collect(),
        }
    }

    pub(crate) fn residues(&self, prime: usize) -> &[u32] {
        &self.words[prime * self.n..][..self.n]
    }
}

/// A sequence of polynomials as factors for a scan: for each prime and each root, the residues of all polynomials.
#[derive(Debug)]
pub(crate) struct Factors {
    words: Vec<u32>,
    n: usize,
    polys: usize,
}

impl Factors {
    pub(crate) fn zero(ring: &Ring, polys: usize) -> Self {
        Factors {
            words: vec![0; ring.rows() * polys],
            n: ring.n,
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
        let one = self.n * self.polys;
        &self.words[prime * one..][..one]
    }
}

#[cfg(test)]
mod tests;
