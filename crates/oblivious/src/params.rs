//! The parameter sets, in one table (oblivious-encoding 2), and the noise analysis (oblivious-encoding 8).

use crate::Error;
use crate::ring::{PRIME_BITS, PRIMES_2048, PRIMES_4096, Ring};

/// The number of a parameter set as it appears on the wire (u16, little endian).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParamSetId(pub u16);

/// Estimated hardness of the ring-LWE instance behind one query (oblivious-encoding 9). A test recomputes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Security {
    /// Smallest BKZ block size b with which the primal attack succeeds.
    pub block_size: u32,
    /// log2 of its classical cost, 2^(0.292 b + 16.4) for each of 8 d calls: the model of the Homomorphic Encryption
    /// Security Standard (2018), whose table 1 allows log q up to 54 at n = 2048 for 128 bits.
    pub classical_bits: u32,
    /// The same with quantum sieving, 2^(0.265 b + 16.4).
    pub quantum_bits: u32,
}

/// One row of the parameter table.
///
/// The modulus q is the product of the primes; polynomials are elements of Z_q\[X\]/(X^n + 1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Params {
    /// Number on the wire.
    pub id: ParamSetId,
    /// n, the number of coefficients of a polynomial.
    pub degree: usize,
    /// The primes, all below 2^27 and congruent to 1 modulo 2n.
    pub primes: &'static [u32],
    /// log2 of the plaintext modulus p: bits of a slot that one coefficient carries.
    pub plaintext_bits: u32,
    /// Errors are centred binomial: the difference of two sums of `eta` fair bits, variance `eta`/2.
    pub eta: u32,
    /// Low bits that a hint leaves out of each coefficient.
    pub hint_drop: u32,
    /// Bits to which an answer rounds each coefficient.
    pub answer_bits: u32,
    /// Most polynomials in a stack.
    pub max_polys: u32,
    /// Estimated security of one query.
    pub security: Security,
}

const TABLE: &[Params] = &[
    Params {
        id: ParamSetId(1),
        degree: 2048,
        primes: PRIMES_2048,
        plaintext_bits: 19,
        eta: 21,
        hint_drop: 24,
        answer_bits: 21,
        max_polys: 1024,
        security: Security {
            block_size: 337,
            classical_bits: 129,
            quantum_bits: 120,
        },
    },
    Params {
        id: ParamSetId(2),
        degree: 4096,
        primes: PRIMES_4096,
        plaintext_bits: 32,
        eta: 21,
        hint_drop: 37,
        answer_bits: 34,
        max_polys: 1024,
        security: Security {
            block_size: 500,
            classical_bits: 178,
            quantum_bits: 164,
        },
    },
    // Fails on purpose: the tests show that the noise analysis says so and that decoding agrees.
    #[cfg(test)]
    Params {
        id: ParamSetId(0xFFFF),
        degree: 2048,
        primes: PRIMES_2048,
        plaintext_bits: 24,
        eta: 21,
        hint_drop: 24,
        answer_bits: 26,
        max_polys: 1024,
        security: Security {
            block_size: 337,
            classical_bits: 129,
            quantum_bits: 120,
        },
    },
];

// What the code that works on symbols, errors and answers takes for granted of every row.
const _: () = {
    let mut row = 0;
    while row < TABLE.len() {
        let params = &TABLE[row];
        assert!(params.degree == 2048 || params.degree == 4096);
        assert!(params.plaintext_bits <= 25 || params.plaintext_bits == 32);
        assert!(params.plaintext_bits < params.answer_bits && params.answer_bits <= 57);
        // Errors are made of six bytes; products of 1024 polynomials fit their sums.
        assert!(2 * params.eta <= 48 && params.max_polys <= 1024);
        row += 1;
    }
};

/// Bundles of up to 64 slots of 4 MiB have fewer than 2^27 symbols.
const SYMBOLS_PER_BUNDLE_LOG2: f64 = 27.0;
/// A bundle may fail to decode with a probability of at most 2^-40.
const BUNDLE_FAILURE_LOG2: f64 = -40.0;

impl Params {
    /// The parameter set that new generations use.
    pub const DEFAULT: &'static Params = &TABLE[1];

    /// All parameter sets, oldest first.
    #[must_use]
    pub fn table() -> &'static [Params] {
        TABLE
    }

    /// The row with this number.
    ///
    /// # Errors
    /// [`Error::UnknownParams`] if this version has no such row.
    pub fn by_id(id: ParamSetId) -> Result<&'static Params, Error> {
        TABLE
            .iter()
            .find(|row| row.id == id)
            .ok_or(Error::UnknownParams(id.0))
    }

    /// q.
    #[must_use]
    pub fn modulus(&self) -> u128 {
        self.primes.iter().map(|p| u128::from(*p)).product()
    }

    /// Bits of one coefficient of a hint.
    #[must_use]
    pub fn hint_bits(&self) -> u32 {
        (self.modulus() - 1).ilog2() + 1 - self.hint_drop
    }

    /// Delta = floor(q / p): what one unit of plaintext weighs.
    #[must_use]
    pub fn delta(&self) -> u128 {
        self.modulus() >> self.plaintext_bits
    }

    /// Bytes of one polynomial of a query: residues modulo each prime.
    #[must_use]
    pub const fn poly_bytes(&self) -> usize {
        self.primes.len() * self.residue_bytes()
    }

    /// Bytes of a polynomial's residues modulo one prime.
    pub(crate) const fn residue_bytes(&self) -> usize {
        self.degree * PRIME_BITS as usize / 8
    }

    pub(crate) fn ring(&self) -> &'static Ring {
        Ring::of(self)
    }

    /// The noise of an answer over `polys` polynomials in `generations` generations (oblivious-encoding 8).
    #[must_use]
    pub fn noise(&self, polys: u32, generations: usize) -> Noise {
        let n = self.degree as f64;
        let q = self.modulus() as f64;
        let p = f64::from(self.plaintext_bits).exp2();
        let query = f64::from(self.eta) / 2.0 * n * f64::from(polys) * p * p / 12.0;
        let dropped = f64::from(self.hint_drop).exp2();
        let hint = generations as f64 * n * (2.0 / 3.0) * dropped * dropped / 12.0;
        let rounding = q / f64::from(self.answer_bits + 1).exp2();
        // q is no multiple of p: one unit of plaintext weighs up to 1 less than q / p.
        let floor = p;
        Noise {
            query_variance: query,
            hint_variance: hint,
            limit: q / (2.0 * p) - rounding - floor,
        }
    }
}

/// Expected noise of a decoded coefficient, in units of 1 of Z_q.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Noise {
    /// Variance from the query's errors, for uniformly distributed slot bytes.
    pub query_variance: f64,
    /// Variance from what the hints leave out.
    pub hint_variance: f64,
    /// Largest noise that is certainly decoded right, after the answer's rounding.
    pub limit: f64,
}

impl Noise {
    /// Standard deviation of the sum.
    #[must_use]
    pub fn deviation(&self) -> f64 {
        (self.query_variance + self.hint_variance).sqrt()
    }

    /// How many standard deviations fit under the limit.
    #[must_use]
    pub fn margin(&self) -> f64 {
        self.limit / self.deviation()
    }

    /// log2 of a bound on the probability that one coefficient decodes wrongly: all noise terms are
    /// sub-Gaussian with their variance as the parameter, so it is at most 2 exp(-margin² / 2).
    #[must_use]
    pub fn symbol_failure_log2(&self) -> f64 {
        let margin = self.margin().max(0.0);
        (1.0 - margin * margin / 2.0 * std::f64::consts::LOG2_E).min(0.0)
    }

    /// log2 of a bound on the probability that a bundle of 64 slots of 4 MiB does not decode.
    #[must_use]
    pub fn bundle_failure_log2(&self) -> f64 {
        (self.symbol_failure_log2() + SYMBOLS_PER_BUNDLE_LOG2).min(0.0)
    }

    /// Whether a bundle fails with a probability of at most 2^-40.
    #[must_use]
    pub fn is_acceptable(&self) -> bool {
        self.bundle_failure_log2() <= BUNDLE_FAILURE_LOG2
    }
}

#[cfg(test)]
mod tests;
