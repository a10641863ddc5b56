use super::synthetic::{Leak, independent, naive};
use super::{Game, Options, Outcome, Trial, best, draw, play};
use crate::controls::{bit_found, nothing_known};
use crate::record::{Record, Why};

fn short() -> Options {
    Options {
        pairs: 3000,
        practice_pairs: 3000,
        identifications: 200,
        ..Options::default()
    }
}

fn table(outcomes: &[Outcome]) -> String {
    let line = |of: &Outcome| {
        format!(
            "{:?} {}: {:.3} [{:.3}, {:.3}] tpr {:.3} top-1 {:?} ({:?}) {:.2} bits, {} about {}\n",
            of.game,
            of.attack,
            of.auc,
            of.ci_low,
            of.ci_high,
            of.tpr_at_1e3,
            of.top1,
            of.prior_top1,
            of.entropy,
            of.trials,
            of.patients,
        )
    };
    outcomes.iter().map(line).collect()
}

#[test]
fn answers_are_right() {
    for record in [independent(Leak::None, 1), naive(1)] {
        let truth = &record.truth;
        let patients = |bundles: &[u32]| -> Vec<u32> {
            bundles
                .iter()
                .map(|&of| truth.bundles[of as usize].patient)
                .collect()
        };
        let share = |a: &[u32], b: &[u32]| patients(a).iter().any(|of| patients(b).contains(of));
        for (game, questions) in
            Game::ALL
                .into_iter()
                .zip(draw(&record, &Game::ALL, 500, 20, 60, 3))
        {
            // What hides nothing writes each bundle once, and hardly twice a day for one patient.
            let whole = record.view.seals.is_empty() && game.pairs_uploads();
            if !whole || game == Game::UploadsWholeLog {
                assert_eq!(questions.trials.len(), 1000, "{game:?}");
            }
            for (trial, &answer) in questions.trials.iter().zip(&questions.answers) {
                let right = match *trial {
                    Trial::Uploads(a, b) => {
                        assert_ne!(a, b);
                        share(&truth.uploads[a].bundles, &truth.uploads[b].bundles)
                    }
                    Trial::Retrievals(a, b) => {
                        assert_ne!(a, b);
                        share(&truth.fetches[a].bundles, &truth.fetches[b].bundles)
                    }
                    Trial::UploadBy(a, hospital) => truth.uploads[a]
                        .bundles
                        .iter()
                        .any(|&of| truth.bundles[of as usize].hospital == hospital),
                    Trial::RetrievalBy(a, hospital) => truth.fetches[a].hospital == hospital,
                    Trial::RetrievalOf(a, bundle) => truth.fetches[a].bundles.contains(&bundle),
                };
                assert_eq!(right, answer, "{game:?} {trial:?}");
            }
            for asked in &questions.identifications {
                let right = match asked.candidates[asked.truth] {
                    Trial::RetrievalOf(a, bundle) => truth.fetches[a].bundles.contains(&bundle),
                    Trial::RetrievalBy(a, hospital) => truth.fetches[a].hospital == hospital,
                    Trial::UploadBy(a, hospital) => truth.uploads[a]
                        .bundles
                        .iter()
                        .any(|&of| truth.bundles[of as usize].hospital == hospital),
                    _ => false,
                };
                assert!(right, "{game:?}");
            }
        }
    }
}

#[test]
fn questions_keep_to_their_definitions() {
    let record = independent(Leak::None, 2);
    let (view, truth) = (&record.view, &record.truth);
    let games = [
        Game::UploadsWithinEpoch,
        Game::UploadsOfDifferentStudies,
        Game::RetrievalsWithinWindow,
        Game::RetrievalsConsults,
        Game::RetrievalTarget,
    ];
    let drawn = draw(&record, &games, 400, 0, 60, 4);
    for (game, questions) in games.into_iter().zip(&drawn) {
        assert!(!questions.trials.is_empty());
        for pair in questions.trials.chunks_exact(2) {
            match *pair {
                [Trial::Uploads(a, b), Trial::Uploads(c, d)] => {
                    assert_eq!(a, c);
                    assert!(!truth.uploads[d].bundles.is_empty());
                    if game == Game::UploadsWithinEpoch {
                        let generations = [a, b, d].map(|of| view.uploads[of].generation);
                        assert!(generations.iter().all(|&of| of == generations[0]));
                    } else {
                        assert_ne!(truth.uploads[a].bundles, truth.uploads[b].bundles);
                    }
                }
                [Trial::Retrievals(a, b), Trial::Retrievals(c, d)] => {
                    assert_eq!(a, c);
                    let time = |of: usize| view.fetches[of].time.0;
                    assert_eq!(time(b) / 60_000, time(d) / 60_000, "the same round");
                    assert!(
                        truth.fetches[a].why != Why::Cover && truth.fetches[b].why != Why::Cover
                    );
                    let near = time(a).abs_diff(time(b)) < 3_600_000;
                    assert!(near || game != Game::RetrievalsWithinWindow);
                }
                [Trial::RetrievalOf(a, right), Trial::RetrievalOf(c, wrong)] => {
                    assert_eq!(a, c);
                    assert_ne!(right, wrong);
                    let deposited = truth.bundles[wrong as usize].deposited;
                    assert!(deposited < view.fetches[a].time);
                }
                _ => panic!("{pair:?} of {game:?}"),
            }
        }
    }
}

/// A retrieval every three minutes for two hours, then none for two; and then one every quarter of an hour.
#[test]
fn a_no_is_near_its_yes_or_the_pair_is_given_up() {
    let mut record = naive(5);
    let hour = 3_600_000;
    for (number, fetch) in (0_u64..).zip(&mut record.view.fetches) {
        let into = match number {
            0..3000 => number / 40 * 4 * hour + number % 40 * (hour / 20) + number % 7 * 20_000,
            _ => 300 * hour + (number - 3000) * hour / 4,
        };
        fetch.time.0 = 1_767_571_200_000 + into;
    }
    let games = [Game::RetrievalsWithinWindow, Game::RetrievalsWholeLog];
    for (game, questions) in games.into_iter().zip(draw(&record, &games, 400, 0, 60, 4)) {
        assert!(questions.trials.len() > 100, "{game:?}");
        for pair in questions.trials.chunks_exact(2) {
            let [Trial::Retrievals(a, b), Trial::Retrievals(_, other)] = *pair else {
                panic!("{pair:?}");
            };
            let gap = |x: usize, y: usize| {
                let fetches = &record.view.fetches;
                fetches[x].time.0.abs_diff(fetches[y].time.0)
            };
            assert!(gap(b, other) <= hour / 6, "{game:?}");
            let window = game == Game::RetrievalsWithinWindow;
            assert!(!window || gap(a, b).max(gap(a, other)) < hour);
        }
    }
}

#[test]
fn nobody_knows_anything_of_a_run_where_all_is_independent() {
    let outcomes = play(
        &independent(Leak::None, 10),
        &independent(Leak::None, 11),
        &short(),
    );
    println!("{}", table(&outcomes));
    // Deposits are sealed in order, so that time tells of uploads over the whole log and recency of nothing else.
    let promised: Vec<Outcome> = outcomes
        .into_iter()
        .filter(|outcome| outcome.game.promised())
        .collect();
    assert!(promised.len() > 60);
    assert!(nothing_known(&promised), "{}", table(&promised));
    for outcome in best(&promised) {
        assert!((outcome.auc - 0.5).abs() < 0.05, "{}", table(&promised));
        if let (Some(top1), Some(prior)) = (outcome.top1, outcome.prior_top1) {
            assert!(top1 <= prior + 0.06, "{}", table(&promised));
        }
    }
}

#[test]
fn everything_is_known_of_a_run_that_hides_nothing() {
    let outcomes = play(&naive(20), &naive(21), &short());
    println!("{}", table(&outcomes));
    for outcome in best(&outcomes) {
        assert!(outcome.auc > 0.85, "{}", table(&outcomes));
        if outcome.game.identifies() && outcome.game != Game::UploadOriginWithinEpoch {
            assert!(outcome.top1.unwrap() > 0.95, "{}", table(&outcomes));
            assert!(outcome.entropy < outcome.prior_entropy);
        }
    }
}

#[test]
fn a_planted_bit_is_found_and_shuffled_answers_hide_it() {
    let options = Options {
        games: vec![Game::UploadsWithinEpoch, Game::RetrievalsWholeLog],
        ..short()
    };
    let (practice, attacked) = (independent(Leak::Bit, 30), independent(Leak::Bit, 31));
    let outcomes = play(&practice, &attacked, &options);
    println!("{}", table(&outcomes));
    for outcome in best(&outcomes) {
        assert!(bit_found(outcome), "{}", table(&outcomes));
    }
    let learned = |outcome: &&Outcome| outcome.attack == "learned" && bit_found(outcome);
    assert_eq!(
        outcomes.iter().filter(learned).count(),
        2,
        "{}",
        table(&outcomes)
    );
    let shuffled = play(
        &practice,
        &attacked,
        &Options {
            shuffled: true,
            ..options
        },
    );
    assert!(nothing_known(&shuffled), "{}", table(&shuffled));
    assert!(!nothing_known(&outcomes));
}

#[test]
fn the_same_seed_plays_the_same() {
    let options = Options {
        games: vec![Game::RetrievalOrigin, Game::RetrievalTarget],
        pairs: 300,
        practice_pairs: 300,
        identifications: 10,
        ..Options::default()
    };
    let (practice, attacked) = (independent(Leak::None, 40), independent(Leak::None, 41));
    let once = play(&practice, &attacked, &options);
    assert!(!once.is_empty());
    assert_eq!(once, play(&practice, &attacked, &options));
}

#[test]
fn a_run_without_events_has_no_questions() {
    let empty = Record::default();
    assert!(play(&empty, &empty, &Options::default()).is_empty());
    let full = independent(Leak::None, 50);
    assert!(play(&full, &empty, &short()).is_empty());
}
