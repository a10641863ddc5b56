//! One prime and its tables. Everything here is public; times may depend on values.

use super::Factor;

/// A prime below 2^27 that is 1 modulo 2n, for one n.
#[derive(Debug)]
pub(crate) struct Prime {
    pub(crate) value: u32,
    /// 1, to bring any u32 below twice the prime.
    pub(crate) one: Factor,
    /// 2^32 modulo the prime.
    pub(crate) carry: Factor,
    /// floor(2^64 / prime).
    pub(crate) reciprocal: u64,
    /// The next 32 bits of 2^64 / prime.
    reciprocal_rest: u32,
    /// psi^bitreverse(i), psi a primitive 2n-th root of unity.
    pub(crate) roots: Vec<Factor>,
    /// Inverses of `roots`.
    pub(crate) inverse_roots: Vec<Factor>,
}

impl Prime {
    pub(crate) fn new(value: u32, n: usize) -> Self {
        let log = n.ilog2();
        let mut prime = Prime {
            value,
            one: factor(1, value),
            carry: factor(((1u64 << 32) % u64::from(value)) as u32, value),
            reciprocal: u64::MAX / u64::from(value),
            reciprocal_rest: ((1u128 << 96) / u128::from(value)) as u32,
            roots: Vec::new(),
            inverse_roots: Vec::new(),
        };
        let psi = prime.root_of_unity(n as u32);
        let powers: Vec<u32> = (0..n as u32)
            .map(|i| prime.power(psi, i.reverse_bits() >> (32 - log)))
            .collect();
        prime.inverse_roots = powers
            .iter()
            .map(|root| prime.factor(prime.invert(*root)))
            .collect();
        prime.roots = powers.into_iter().map(|root| prime.factor(root)).collect();
        prime
    }

    /// The 2n-th primitive root g^((prime - 1) / 2n) of the smallest g that gives one.
    fn root_of_unity(&self, n: u32) -> u32 {
        let exponent = (self.value - 1) / (2 * n);
        (2..self.value)
            .map(|g| self.power(g, exponent))
            .find(|root| self.power(*root, n) == self.value - 1)
            .unwrap_or(1)
    }

    pub(crate) fn factor(&self, value: u32) -> Factor {
        factor(value, self.value)
    }

    pub(crate) fn multiply(&self, a: u32, b: u32) -> u32 {
        (u64::from(a) * u64::from(b) % u64::from(self.value)) as u32
    }

    /// c / prime as a fraction of 2^64, less than two units of 2^-64 too small. Does not depend on c in time.
    #[inline(always)]
    pub(crate) fn fraction(&self, c: u32) -> u64 {
        let rest = (u64::from(c) * u64::from(self.reciprocal_rest)) >> 32;
        u64::from(c)
            .wrapping_mul(self.reciprocal)
            .wrapping_add(rest)
    }

    /// `value` modulo the prime.
    #[inline(always)]
    pub(crate) fn reduce(&self, value: u64) -> u32 {
        let quotient = (u128::from(value) * u128::from(self.reciprocal)) >> 64;
        // Below twice the prime, as the reciprocal is less than 1 too small.
        let rest = (value - quotient as u64 * u64::from(self.value)) as u32;
        rest.min(rest.wrapping_sub(self.value))
    }

    pub(crate) fn power(&self, base: u32, exponent: u32) -> u32 {
        (0..32).rev().fold(1, |result, bit| {
            let square = self.multiply(result, result);
            if exponent >> bit & 1 == 1 {
                self.multiply(square, base)
            } else {
                square
            }
        })
    }

    /// Inverse by Fermat's little theorem.
    pub(crate) fn invert(&self, value: u32) -> u32 {
        self.power(value, self.value - 2)
    }
}

fn factor(value: u32, prime: u32) -> Factor {
    Factor {
        value,
        quotient: ((u64::from(value) << 32) / u64::from(prime)) as u32,
    }
}
