//! Which query asks for what (docs/protocol.md 9.1, 9.3).

use harpo_protocol::placement::shuffle;
use rand_core::CryptoRng;
use zeroize::Zeroize as _;

/// What one query asks for: an entry of the list of wanted slots, or nothing. Which queries are real is nobody else's to
/// know: not shown, and wiped when dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct Choice(Option<usize>);

impl Choice {
    /// An entry of the list, or nothing.
    #[must_use]
    pub fn new(index: Option<usize>) -> Self {
        Self(index)
    }

    /// Which entry, if any.
    #[must_use]
    pub fn index(&self) -> Option<usize> {
        self.0
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl std::fmt::Debug for Choice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Choice(..)")
    }
}

/// Spreads `wanted` slots over retrievals of the given numbers of queries: real choices fill the
/// retrievals in order, the rest are dummies, and within each retrieval the order is uniformly random.
pub fn plan(wanted: usize, queries: &[u32], rng: &mut impl CryptoRng) -> Vec<Vec<Choice>> {
    let mut next = 0..wanted;
    queries
        .iter()
        .map(|count| {
            let mut choices: Vec<Choice> = (0..*count).map(|_| Choice(next.next())).collect();
            shuffle(&mut choices, rng);
            choices
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use harpo_protocol::retrieval::classes;
    use rand_chacha::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn every_wanted_slot_is_asked_for_once() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for wanted in 1..200 {
            let classes = classes(wanted as u32);
            let plan = plan(wanted, &classes, &mut rng);
            let shape: Vec<u32> = plan.iter().map(|c| c.len() as u32).collect();
            assert_eq!(shape, classes);
            let mut asked: Vec<usize> = plan.iter().flatten().filter_map(Choice::index).collect();
            asked.sort_unstable();
            assert_eq!(asked, (0..wanted).collect::<Vec<_>>());
        }
    }

    #[test]
    fn dummies_stand_anywhere() {
        let mut rng = ChaCha20Rng::seed_from_u64(2);
        let mut dummy_first = 0;
        for _ in 0..3000 {
            dummy_first += u32::from(plan(5, &[8], &mut rng)[0][0].index().is_none());
        }
        // Expected 3 of 8 of 3000 = 1125, standard deviation 27.
        assert!((1000..1250).contains(&dummy_first), "{dummy_first}");
    }

    #[test]
    fn what_is_real_does_not_show() {
        let (real, dummy) = (Choice::new(Some(3)), Choice::new(None));
        assert_eq!(format!("{real:?}"), format!("{dummy:?}"));
    }
}
