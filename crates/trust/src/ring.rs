//! The ring engine's public figures (docs/oblivious-encoding.md), as far as trust plans with them: what interleaving
//! new generations get, and how much a stack may hold.

/// Most polynomials of a stack (oblivious-encoding 3.5).
pub(crate) const MAX_POLYS: u32 = 1024;
/// What the hint of one generation costs as noise, in polynomials, with every parameter set (oblivious-encoding 8.4).
pub(crate) const HINT_NOISE: u64 = 65;
/// Most slots that share a polynomial.
pub(crate) const MAX_INTERLEAVE: u32 = 2048;

/// A row of the table of parameter sets (oblivious-encoding 2).
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParameterSet {
    pub(crate) number: u16,
    /// Bytes of one polynomial of a query (oblivious-encoding 4.1).
    poly_bytes: u64,
    /// Bytes of a hint for each byte of one slot and each slot that shares a polynomial, in thousandths
    /// (oblivious-encoding 5.1).
    hint_thousandths: u64,
    /// Where the noise bound lies: polynomials + [`HINT_NOISE`] · generations (oblivious-encoding 8.4).
    pub(crate) max_noise: u64,
}

const SETS: [ParameterSet; 2] = [
    ParameterSet {
        number: 1,
        poly_bytes: 2 * 2048 * 27 / 8,
        hint_thousandths: 1579,
        max_noise: 3559,
    },
    ParameterSet {
        number: 2,
        poly_bytes: 3 * 4096 * 27 / 8,
        hint_thousandths: 1375,
        max_noise: 7100,
    },
];

impl ParameterSet {
    /// The set with this number, if there is one.
    pub(crate) fn by_number(number: u16) -> Option<&'static Self> {
        SETS.iter().find(|set| set.number == number)
    }

    /// Slots that share a polynomial: the power of two that costs a consumer the fewest bytes over `queries` queries,
    /// where each query sends ⌈slots / t⌉ polynomials, at most `polynomials`, and the hint, downloaded once, grows with
    /// t. Depends on public figures only.
    pub(crate) fn interleave(
        &self,
        slots: u32,
        slot_bytes: u32,
        queries: u64,
        polynomials: u32,
    ) -> u32 {
        let largest = slots.next_power_of_two().min(MAX_INTERLEAVE);
        (0..=largest.ilog2())
            .map(|log| 1u32 << log)
            .filter(|t| slots.div_ceil(*t) <= polynomials.min(MAX_POLYS))
            .min_by_key(|t| {
                let polys = u64::from(slots.div_ceil(*t));
                let upload = u128::from(queries) * u128::from(polys * self.poly_bytes);
                let hint = u64::from(*t) * u64::from(slot_bytes) * self.hint_thousandths / 1000;
                (upload + u128::from(hint), *t)
            })
            .unwrap_or(largest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interleaving_follows_sizes_and_use() {
        let small = ParameterSet::by_number(1).unwrap();
        let large = ParameterSet::by_number(2).unwrap();
        assert_eq!(small.interleave(64, 4 << 20, 64, MAX_POLYS), 4);
        assert_eq!(small.interleave(512, 4 << 20, 64, MAX_POLYS), 8);
        assert_eq!(small.interleave(1, 4 << 20, 64, MAX_POLYS), 1);
        assert_eq!(small.interleave(16_384, 4 << 20, 64, MAX_POLYS), 64);
        // Uploads weigh three times as much.
        assert_eq!(large.interleave(512, 4 << 20, 64, MAX_POLYS), 16);
        assert_eq!(large.interleave(256, 4 << 20, 64, MAX_POLYS), 8);
        // A smaller stack needs more of it.
        assert_eq!(large.interleave(4096, 4 << 20, 64, 64), 64);
        // Who reads more saves more with a larger hint.
        assert!(large.interleave(512, 4 << 20, 1000, MAX_POLYS) > 32);
        assert!(large.interleave(512, 4 << 20, 4, MAX_POLYS) < 8);
        for slots in [1, 2, 3, 100, 65_536] {
            for queries in [1, 64, u64::MAX] {
                let t = large.interleave(slots, 1024, queries, MAX_POLYS);
                assert!(t.is_power_of_two() && t <= MAX_INTERLEAVE);
                assert!(slots.div_ceil(t) <= MAX_POLYS);
            }
        }
    }
}
