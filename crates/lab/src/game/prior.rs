//! Which bundle a retrieval is likely of before the log is read.

use super::{Identification, Trial};
use crate::attacks::Seen;
use crate::statistics::Calibration;

/// How much likelier bundles of each age are retrieved, and where the stack is known, those of a stack: one joint law,
/// since where a bundle lies follows from its age for the most part.
pub(super) struct Law {
    stack_known: bool,
    /// By [`Place`]: the logarithm of how much likelier right ones are there, and the law of ages among those there.
    places: [(f64, Calibration); 4],
}

/// Where a bundle was written first.
#[derive(Clone, Copy)]
enum Place {
    /// It is not known, or not asked.
    Unknown,
    Before,
    Inside,
    After,
}

/// Imagined candidates of each kind in every place.
const IMAGINED: f64 = 4.0;

impl Law {
    /// What questions with answers show.
    pub(super) fn of(lessons: &[Identification], seen: Seen<'_>, stack_known: bool) -> Self {
        // Some wrong candidates for each right one: as many ranges for the recent as for the old.
        const WRONG: usize = 3;
        let mut ages: [(Vec<f64>, Vec<bool>); 4] = Default::default();
        let mut totals = [0.0_f64; 2];
        for asked in lessons {
            let wrong = (0..asked.candidates.len()).filter(|&other| other != asked.truth);
            for candidate in wrong.take(WRONG).chain([asked.truth]) {
                let (trial, right) = (asked.candidates[candidate], candidate == asked.truth);
                let (numbers, answers) = &mut ages[place(seen, trial, stack_known) as usize];
                numbers.push(age(seen, trial));
                answers.push(right);
                totals[usize::from(right)] += 1.0;
            }
        }
        let balance = totals[0] / totals[1].max(1.0);
        let places = ages.map(|(numbers, answers)| {
            let right = answers.iter().filter(|&&right| right).count() as f64;
            let wrong = answers.len() as f64 - right;
            let ratio = (right * balance + IMAGINED) / (wrong + IMAGINED);
            (ratio.ln(), Calibration::fit(&numbers, &answers))
        });
        Self {
            stack_known,
            places,
        }
    }

    /// The logarithm of how much likelier the bundle is than any.
    pub(super) fn log_ratio(&self, seen: Seen<'_>, trial: Trial) -> f64 {
        let (place_ratio, ages) = &self.places[place(seen, trial, self.stack_known) as usize];
        place_ratio + ages.log_ratio(age(seen, trial))
    }
}

/// How old a bundle is when it may be retrieved, on the scale of the law of ages.
fn age(seen: Seen<'_>, trial: Trial) -> f64 {
    let Trial::RetrievalOf(item, bundle) = trial else {
        return f64::NAN;
    };
    let deposited = seen.outside.deposited[bundle as usize];
    (seen.view.fetches[item].time.since(deposited).as_secs_f64()).ln_1p()
}

/// Where a bundle was written first, against the stack that is retrieved from.
fn place(seen: Seen<'_>, trial: Trial, stack_known: bool) -> Place {
    let Trial::RetrievalOf(item, bundle) = trial else {
        return Place::Unknown;
    };
    let first = seen.outside.first_uploads(bundle).first();
    let Some(&first) = first.filter(|_| stack_known) else {
        return Place::Unknown;
    };
    let generation = seen.view.uploads[first as usize].generation;
    let fetch = &seen.view.fetches[item];
    match generation.checked_sub(fetch.stack) {
        None => Place::Before,
        Some(into) if into < fetch.generations => Place::Inside,
        Some(_) => Place::After,
    }
}

#[cfg(test)]
mod tests {
    use super::Law;
    use crate::attacks::{Outside, Seen};
    use crate::game::synthetic::{Leak, independent};
    use crate::game::{Identification, Trial};

    #[test]
    fn a_stack_that_follows_from_the_age_counts_once() {
        let mut record = independent(Leak::None, 62);
        // Everything is asked at the end, of the newer half of the generations.
        let item = record.view.fetches.len() - 1;
        record.view.fetches[item].stack = 24;
        let outside = Outside::of(&record);
        let seen = Seen {
            view: &record.view,
            outside: &outside,
        };
        // 3000 bundles in the order of their generations. Of five right ones four are of the newer half.
        let asked = |number: u32| {
            let old = number * 3 % 1500;
            let new = 1500 + number * 7 % 1500;
            let right = if number.is_multiple_of(5) { old } else { new };
            let wrong = [
                old + 1,
                new - 1,
                if number.is_multiple_of(2) {
                    old / 2
                } else {
                    new
                },
            ];
            let candidates = [right].into_iter().chain(wrong);
            Identification {
                candidates: candidates.map(|of| Trial::RetrievalOf(item, of)).collect(),
                truth: 0,
            }
        };
        let lessons: Vec<Identification> = (0..4000).map(asked).collect();
        let ratio = |stack_known: bool| {
            let law = Law::of(&lessons, seen, stack_known);
            let mean = |from: u32| {
                let bundles = (0..10).map(|number| from + number * 100);
                bundles
                    .map(|of| law.log_ratio(seen, Trial::RetrievalOf(item, of)))
                    .sum::<f64>()
                    / 10.0
            };
            mean(1700) - mean(200)
        };
        let (age_alone, both) = (ratio(false), ratio(true));
        assert!((age_alone - 4_f64.ln()).abs() < 0.5, "{age_alone}");
        assert!((both - age_alone).abs() < 0.3, "{both}, {age_alone}");
    }
}
