use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::{Calibration, entropy, roc, top_1};

fn each_its_own(trials: usize) -> Vec<u32> {
    (0..trials as u32).collect()
}

/// Ratings of 58 normal and 51 abnormal images (Hanley and McNeil, Radiology 143, 1982, table I). Area and DeLong's
/// standard error as Stata's reference manual prints them for these data (`roctab`): 0.8932, 0.0307, 0.83295 to
/// 0.95339.
#[test]
fn the_area_and_interval_of_the_published_ratings() {
    let mut scores = Vec::new();
    let mut answers = Vec::new();
    for (answer, counts) in [(false, [33, 6, 6, 11, 2]), (true, [3, 2, 2, 11, 33])] {
        for (rating, count) in counts.into_iter().enumerate() {
            scores.extend(std::iter::repeat_n(rating as f64, count));
            answers.extend(std::iter::repeat_n(answer, count));
        }
    }
    let roc = roc(&scores, &answers, &[&each_its_own(109)]).unwrap();
    assert!((roc.auc - 0.8932).abs() < 5e-5, "{roc:?}");
    assert!((roc.ci_low - 0.83295).abs() < 5e-5, "{roc:?}");
    assert!((roc.ci_high - 0.95339).abs() < 5e-5, "{roc:?}");
    // Abnormal from rating 4: 44 of 51 and 13 of 58.
    assert!((roc.advantage - (44.0 / 51.0 - 13.0 / 58.0)).abs() < 1e-12);
    assert_eq!(roc.tpr_at_1e3, 0.0);
}

#[test]
fn areas_that_are_known() {
    type Case = (&'static str, [f64; 4], [bool; 4], f64, f64);
    let cases: [Case; 6] = [
        (
            "perfect",
            [1., 2., 3., 4.],
            [false, false, true, true],
            1.0,
            1.0,
        ),
        (
            "upside down",
            [4., 3., 2., 1.],
            [false, false, true, true],
            0.0,
            0.0,
        ),
        (
            "all equal",
            [7., 7., 7., 7.],
            [false, true, false, true],
            0.5,
            0.0,
        ),
        (
            "one pair wrong",
            [1., 3., 2., 4.],
            [false, false, true, true],
            0.75,
            0.5,
        ),
        (
            "a tie",
            [1., 2., 2., 3.],
            [false, false, true, true],
            0.875,
            0.5,
        ),
        (
            "no number is zero",
            [-1., f64::NAN, 0., 1.],
            [false, false, true, true],
            0.875,
            0.5,
        ),
    ];
    for (name, scores, answers, auc, advantage) in cases {
        let roc = roc(&scores, &answers, &[&each_its_own(4)]).unwrap();
        assert_eq!((roc.auc, roc.advantage), (auc, advantage), "{name}");
    }
    assert!(roc(&[1.0, 2.0], &[true, true], &[&[0, 1]]).is_none());
    assert!(roc(&[], &[], &[&[]]).is_none());
}

#[test]
fn the_area_is_the_share_of_pairs_ranked_rightly() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let answers: Vec<bool> = (0..301).map(|_| rng.next_u32().is_multiple_of(3)).collect();
    let scores: Vec<f64> = answers
        .iter()
        .map(|&answer| f64::from(rng.next_u32() % 8) + f64::from(u8::from(answer)))
        .collect();
    let (mut right, mut pairs) = (0.0, 0.0);
    for (a, _) in answers.iter().enumerate().filter(|&(_, &yes)| yes) {
        for (b, _) in answers.iter().enumerate().filter(|&(_, &yes)| !yes) {
            pairs += 1.0;
            right += match scores[a].total_cmp(&scores[b]) {
                std::cmp::Ordering::Greater => 1.0,
                std::cmp::Ordering::Equal => 0.5,
                std::cmp::Ordering::Less => 0.0,
            };
        }
    }
    let found = roc(&scores, &answers, &[&each_its_own(301)]).unwrap().auc;
    assert!((found - right / pairs).abs() < 1e-12);
}

#[test]
fn trials_that_are_copied_do_not_shrink_the_interval() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let scores: Vec<f64> = (0..400).map(|_| f64::from(rng.next_u32() >> 8)).collect();
    let answers: Vec<bool> = (0..400).map(|trial| trial % 2 == 0).collect();
    let once = roc(&scores, &answers, &[&each_its_own(400)]).unwrap();
    let copied = |values: usize| values / 10;
    let many_scores: Vec<f64> = (0..4000).map(|trial| scores[copied(trial)]).collect();
    let many_answers: Vec<bool> = (0..4000).map(|trial| answers[copied(trial)]).collect();
    let clusters: Vec<u32> = (0..4000).map(|trial| copied(trial) as u32).collect();
    let clustered = roc(&many_scores, &many_answers, &[&clusters]).unwrap();
    let careless = roc(&many_scores, &many_answers, &[&each_its_own(4000)]).unwrap();
    let width = |roc: &super::Roc| roc.ci_high - roc.ci_low;
    assert!((width(&clustered) / width(&once) - 1.0).abs() < 1e-6);
    assert!(width(&careless) < width(&once) / 3.0);
    // A clustering inside another adds nothing to it; a single cluster says nothing.
    let both = roc(
        &many_scores,
        &many_answers,
        &[&each_its_own(4000), &clusters],
    )
    .unwrap();
    assert!((width(&both) - width(&clustered)).abs() < 1e-9);
    let alone = roc(&scores, &answers, &[&vec![0; 400]]).unwrap();
    assert_eq!((alone.ci_low, alone.ci_high), (0.0, 1.0));
}

#[test]
fn intervals_hold_the_truth_as_often_as_they_say() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut held = 0;
    for _ in 0..400 {
        // 40 patients of 10 trials, each patient's scores moved together: without knowledge, but not independent.
        let (mut scores, mut answers, mut clusters) = (Vec::new(), Vec::new(), Vec::new());
        for patient in 0..40 {
            let moved = f64::from(rng.next_u32()) / 2_f64.powi(32);
            let answer = rng.next_u32().is_multiple_of(2);
            for _ in 0..10 {
                scores.push(moved + f64::from(rng.next_u32()) / 2_f64.powi(33));
                answers.push(answer);
                clusters.push(patient);
            }
        }
        let Some(roc) = roc(&scores, &answers, &[&clusters]) else {
            continue;
        };
        held += u32::from(roc.ci_low <= 0.5 && 0.5 <= roc.ci_high);
    }
    // 95 % of 400 is 380; with 40 clusters the normal approximation holds a little less.
    assert!((360..=396).contains(&held), "{held}");
}

/// 30 patients in each of 30 periods. Answers lean on both, and scores on both apart from that: no knowledge.
fn crossed(rng: &mut ChaCha20Rng) -> (Vec<f64>, Vec<bool>, [Vec<u32>; 2]) {
    let mut uniform = || f64::from(rng.next_u32()) / 2_f64.powi(32) - 0.5;
    let [lean, moved]: [[Vec<f64>; 2]; 2] =
        std::array::from_fn(|_| std::array::from_fn(|_| (0..30).map(|_| uniform()).collect()));
    let (mut scores, mut answers) = (Vec::new(), Vec::new());
    let (mut patients, mut periods) = (Vec::new(), Vec::new());
    for patient in 0..30 {
        for period in 0..30 {
            answers.push(lean[0][patient] + lean[1][period] + uniform() / 4.0 > 0.0);
            scores.push(moved[0][patient] + moved[1][period] + uniform() / 4.0);
            patients.push(patient as u32);
            periods.push(period as u32);
        }
    }
    (scores, answers, [patients, periods])
}

#[test]
fn variances_of_patients_and_of_periods_add() {
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let (mut held, mut held_by_the_wider) = (0, 0);
    for _ in 0..200 {
        let (scores, answers, [patients, periods]) = crossed(&mut rng);
        let with = |clusterings: &[&[u32]]| roc(&scores, &answers, clusterings).unwrap();
        let half = |roc: &super::Roc| roc.ci_high - roc.auc;
        let (patient, period) = (with(&[&patients]), with(&[&periods]));
        let both = with(&[&patients, &periods]);
        let (one, other, own) = (
            half(&patient),
            half(&period),
            half(&with(&[&each_its_own(900)])),
        );
        let wider = one.max(other);
        let rule = (one * one + other * other - own * own).sqrt().max(wider);
        assert!(both.ci_high == 1.0 || (half(&both) - rule).abs() < 1e-9);
        held += u32::from(both.ci_low <= 0.5 && 0.5 <= both.ci_high);
        held_by_the_wider += u32::from((both.auc - 0.5).abs() <= wider);
    }
    // 95 % of 200 is 190; the wider of the two alone holds it clearly less often.
    assert!(
        held >= 178 && held > held_by_the_wider + 8,
        "{held}, {held_by_the_wider}"
    );
}

#[test]
fn a_low_false_positive_rate_needs_clean_top_scores() {
    // 2000 no's: two false positives are allowed.
    let mut scores: Vec<f64> = (0..2000).map(f64::from).collect();
    let mut answers = vec![false; 2000];
    for yes in 0..10 {
        scores.push(1996.5 + f64::from(yes / 5) * 5.0);
        answers.push(true);
    }
    let clusters = each_its_own(scores.len());
    // Five yes's above all, five above all but three.
    assert_eq!(
        roc(&scores, &answers, &[&clusters]).unwrap().tpr_at_1e3,
        0.5
    );
}

#[test]
fn a_calibration_finds_the_ratio_and_says_nothing_of_nothing() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    let answers: Vec<bool> = (0..20_000).map(|trial| trial % 2 == 0).collect();
    // One in four of yes, one in sixteen of no.
    let values: Vec<f64> = answers
        .iter()
        .map(|&yes| f64::from(u8::from(rng.next_u32() % 16 < if yes { 4 } else { 1 })))
        .collect();
    let calibration = Calibration::fit(&values, &answers);
    assert!((calibration.log_ratio(1.0).exp() - 4.0).abs() < 0.5);
    assert!((calibration.log_ratio(0.0).exp() - 0.8).abs() < 0.05);
    assert!((calibration.probability(1.0) - 0.8).abs() < 0.03);
    assert_eq!(calibration.log_ratio(f64::NAN), 0.0);
    assert_eq!(Calibration::fit(&[], &[]).log_ratio(3.0), 0.0);
    // A value between that is likelier yes, as no single threshold tells.
    let values: Vec<f64> = (0..20_000)
        .map(|trial| {
            f64::from(if trial % 2 == 0 {
                1
            } else {
                2 * (rng.next_u32() % 2)
            })
        })
        .collect();
    let calibration = Calibration::fit(&values, &answers);
    assert!(calibration.log_ratio(1.0) > 5.0 && calibration.log_ratio(0.0) < -5.0);
    assert!(calibration.log_ratio(2.0) < -5.0);
}

#[test]
fn identification() {
    assert_eq!(entropy(&[1.0; 8]), 3.0);
    assert_eq!(entropy(&[0.0, 2.0, 0.0]), 0.0);
    assert_eq!(entropy(&[]), 0.0);
    assert!((entropy(&[0.5, 0.25, 0.25]) - 1.5).abs() < 1e-12);
    assert_eq!(top_1(&[0.1, 0.7, 0.2], 1), 1.0);
    assert_eq!(top_1(&[0.1, 0.7, 0.2], 2), 0.0);
    assert_eq!(top_1(&[0.5, 0.5, 0.2], 0), 0.5);
    assert_eq!(top_1(&[], 0), 0.0);
}
