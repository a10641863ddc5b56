//! Controls: what the games must find, and what they must not.

use harpo_protocol::placement;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::game::{Outcome, Questions, best};

/// The area that one planted bit gives: it agrees in every yes, and in every other no. Scoring agreement, a yes is
/// above half
/// of the no's and equal to the other half.
pub const PLANTED_BIT_AUC: f64 = 0.75;

/// Nobody knows anything by less: where nearly all scores are equal, intervals are narrower than a few questions.
const SLACK: f64 = 0.01;

/// So many questions are needed for intervals to mean what they say.
const QUESTIONS: usize = 500;

/// The null control: deals the answers out anew at random. Whoever scores other than 0.50 now, does so by a fault of
/// the
/// laboratory.
pub fn shuffle(questions: &mut Questions, seed: u64) {
    let mut rng = ChaCha20Rng::seed_from_u64(seed.wrapping_add(0x6e75_6c6c));
    placement::shuffle(&mut questions.answers, &mut rng);
    for asked in &mut questions.identifications {
        asked.truth = placement::below(asked.candidates.len() as u32, &mut rng) as usize;
    }
}

/// Whether outcomes of one run agree with nobody knowing anything: of the best attack of each game no more intervals of
/// 95 % miss 0.50 than chance makes them in one of a thousand laboratories, and no area of any attack is further from it
/// than five standard errors. Attacks on one game answer the same questions, so that their misses come together: games
/// are counted, not attacks. Intervals are for many questions, and games with few are left out.
#[must_use]
pub fn nothing_known(outcomes: &[Outcome]) -> bool {
    let misses =
        |outcome: &&&Outcome| outcome.ci_low > 0.5 + SLACK || 0.5 - SLACK > outcome.ci_high;
    let far = |outcome: &Outcome| {
        // A quarter of the interval is a standard error.
        let error = (outcome.ci_high - outcome.ci_low) / 4.0;
        (outcome.auc - 0.5).abs() > 5.0 * error + SLACK
    };
    let many = |outcome: &&Outcome| outcome.trials >= QUESTIONS;
    let outcomes: Vec<Outcome> = outcomes.iter().filter(many).cloned().collect();
    let best = best(&outcomes);
    let missed = best.iter().filter(misses).count();
    missed <= misses_by_chance(best.len()) && !outcomes.iter().any(far)
}

/// So many of as many intervals of 95 % may miss: more do with a chance of less than one in a thousand.
fn misses_by_chance(outcomes: usize) -> usize {
    const MISS: f64 = 0.05;
    const CHANCE: f64 = 1e-3;
    let all = outcomes as f64;
    let mut exactly = (1.0 - MISS).powf(all);
    let mut more = 1.0 - exactly;
    let mut misses = 0;
    while more >= CHANCE && misses < outcomes {
        let before = misses as f64;
        exactly *= (all - before) / (before + 1.0) * MISS / (1.0 - MISS);
        more -= exactly;
        misses += 1;
    }
    misses
}

/// Whether an outcome shows a planted bit: its interval reaches the area that the bit gives, less what is lost where an
/// item is about several patients.
#[must_use]
pub fn bit_found(outcome: &Outcome) -> bool {
    /// Share of items that are about one patient alone, at least.
    const ALONE: f64 = 0.8;
    outcome.ci_high >= 0.5 + ALONE * (PLANTED_BIT_AUC - 0.5) && outcome.ci_low > 0.55
}

#[cfg(test)]
mod tests {
    use super::misses_by_chance;

    #[test]
    fn misses_are_bounded_by_the_binomial_law() {
        // Quantiles of the binomial distribution at 0.999.
        for (outcomes, most) in [(0, 0), (1, 1), (20, 5), (60, 9), (150, 17), (200, 21)] {
            assert_eq!(misses_by_chance(outcomes), most, "{outcomes}");
        }
    }
}
