use harpo_trust::TrustConfig;

use super::law::{
    Slots, epoch_auc, exponential_auc, replaced_auc, stacks_auc, wait_in_rounds, wanted_within,
};
use super::*;

const LIMITS: Search = Search {
    max_wait_seconds: 300.0,
    max_older_wait_seconds: 86_400.0,
    max_delay_seconds: 86_400.0,
    prefer: Preference::Privacy,
};

const ALL: Chosen = Chosen {
    generation_slots: 256,
    stack_generations: None,
    seal_after_seconds: None,
    round_seconds: None,
    queries: None,
    old_share: None,
};

/// Uniform in 0 to 1, the same in every run.
struct Uniform(u64);

impl Uniform {
    fn next(&mut self) -> f64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[test]
fn the_law_of_exponential_delays_is_that_of_simulated_ones() {
    let mut uniform = Uniform(1);
    for delay in [0.05, 0.2] {
        let mut wins = 0;
        for _ in 0..200_000 {
            let mut wait = || -delay * (1.0 - uniform.next()).ln();
            let together = (wait() - wait()).abs();
            let apart = (uniform.next() - uniform.next()).abs();
            wins += u32::from(together < apart);
        }
        let measured = f64::from(wins) / 200_000.0;
        let law = exponential_auc(delay, 1.0);
        assert!((measured - law).abs() < 0.006, "{delay}: {measured}, {law}");
    }
    // docs/threat-model.md: an hour in a day.
    assert!((exponential_auc(1.0, 24.0) - 0.92).abs() < 0.005);
    assert!((exponential_auc(12.0, 24.0) - 0.5).abs() < 1e-9);
    assert!((exponential_auc(100.0, 24.0) - 0.5).abs() < 1e-9);
}

#[test]
fn waits_are_those_of_simulated_rounds() {
    let mut uniform = Uniform(2);
    for period in [1, 2, 6] {
        let mut waits: Vec<f64> = (0..100_000)
            .map(|_| {
                let now = uniform.next() * f64::from(period);
                let first = uniform.next();
                if first >= now {
                    first - now
                } else {
                    f64::from(period) + uniform.next() - now
                }
            })
            .collect();
        waits.sort_by(f64::total_cmp);
        let mean = waits.iter().sum::<f64>() / waits.len() as f64;
        let most = waits[95_000];
        let law = wait_in_rounds(period);
        assert!(
            (law.0 - mean).abs() < 0.02 * mean,
            "{period}: {law:?}, {mean}"
        );
        assert!(
            (law.1 - most).abs() < 0.02 * most,
            "{period}: {law:?}, {most}"
        );
    }
}

#[test]
fn epochs_and_re_placement_take_from_what_times_tell() {
    assert!((epoch_auc(1.0) - 0.5).abs() < 1e-12 && (epoch_auc(90.0) - 0.994).abs() < 1e-3);
    for slots in [Slots::OneStudy, Slots::DifferentStudies] {
        assert!((replaced_auc(0.9, 0.0, slots) - 0.9).abs() < 1e-12);
        assert!((replaced_auc(0.9, 1.0, slots) - 0.5).abs() < 1e-12);
    }
    assert!((stacks_auc(&[1.0]) - 0.5).abs() < 1e-12);
    assert!((stacks_auc(&[0.5, 0.25, 0.25]) - (1.0 - 0.375 / 2.0)).abs() < 1e-12);
}

/// Two bundles are deposited in one epoch, and each is placed anew `moves` times, in any epoch. Slots are drawn of all
/// that were written.
#[test]
fn the_law_of_re_placement_is_that_of_simulated_moves() {
    const EPOCHS: f64 = 10.0;
    const DRAWS: u32 = 200_000;
    let mut uniform = Uniform(4);
    for moves in [1, 3] {
        let share = f64::from(moves) / f64::from(moves + 1);
        for slots in [Slots::OneStudy, Slots::DifferentStudies] {
            let mut wins = 0.0;
            for _ in 0..DRAWS {
                let mut epoch = || (uniform.next() * EPOCHS).floor();
                let visit = epoch();
                let mut placed = || {
                    let mut places = vec![visit];
                    places.extend((0..moves).map(|_| epoch()));
                    places
                };
                let one = placed();
                let other = match slots {
                    Slots::OneStudy => one.clone(),
                    Slots::DifferentStudies => placed(),
                };
                let strangers = (epoch() - epoch()).abs();
                let mut any = || (uniform.next() * one.len() as f64) as usize;
                let gap = (one[any()] - other[any()]).abs();
                wins += f64::from(u8::from(gap < strangers));
                wins += f64::from(u8::from(gap == strangers)) / 2.0;
            }
            let measured = wins / f64::from(DRAWS);
            let law = replaced_auc(epoch_auc(EPOCHS), share, slots);
            assert!(
                (measured - law).abs() < 0.006,
                "{moves} {slots:?}: {measured}, {law}"
            );
        }
    }
}

#[test]
fn what_the_cache_answers_is_not_moved_and_only_errands_hide() {
    let configuration = Configuration {
        old_share: 0.0,
        ..Configuration::default()
    };
    let outlook = outlook(&Network::default(), &configuration).unwrap();
    assert!(outlook.from_cache > 0.01 && outlook.moved_writes > 0.0);
    let at_cloud = 1.0 - outlook.from_cache;
    let moved = at_cloud / (1.0 + at_cloud);
    assert!((outlook.moved_writes - moved).abs() < 1e-3, "{outlook:?}");
    assert!((outlook.upload_auc - outlook.upload_auc_unmoved).abs() < 1e-12);
}

#[test]
fn most_that_is_wanted_is_recent() {
    let week = wanted_within(7.0, 1e6);
    assert!((week - (0.25 + 0.75 * 0.72)).abs() < 0.01, "{week}");
    assert!((wanted_within(90.0, 90.0) - 1.0).abs() < 1e-12);
    assert!(wanted_within(0.0, 90.0).abs() < 1e-12);
}

#[test]
fn the_defaults_are_trusts() {
    let configuration = Configuration::default();
    let outlook = outlook(&Network::default(), &configuration).unwrap();
    // Eight generations of 256 slots of 4 MiB; docs/examples/trust.toml says 10.6 MB for a query.
    assert_eq!(outlook.stack_slots, 2048);
    assert_eq!(outlook.stack_bytes, 2048 * (4 << 20));
    assert!((outlook.query_bytes as f64 / 1e6 - 10.6).abs() < 0.05);
    // docs/performance.md 5: an answer is 1.063 of a slot.
    assert_eq!(outlook.answer_bytes, 4_456_488);
    // 24 gateways, each 8 queries over 8.6 GB a minute, 9 GB/s a core: and sealing.
    assert!((3.0..3.3).contains(&outlook.cores), "{}", outlook.cores);
    // 8 (10.6 + 4.46) MB a minute.
    assert!(
        (4.7..6.5).contains(&outlook.gateway_mbit_down),
        "{}",
        outlook.gateway_mbit_down
    );
    assert!((0.0..1.0).contains(&outlook.cover_writes));
}

#[test]
fn a_recommendation_keeps_its_limits_and_trust_reads_it() {
    let network = Network::default();
    let found = search(&network, &ALL, &LIMITS).unwrap();
    let best = found.best.unwrap();
    assert_eq!(LIMITS.breaks(&network, &best), []);
    assert!(found.all.len() > 1000 && found.nearest.is_none());
    let cheap = Search {
        prefer: Preference::Cost,
        ..LIMITS
    };
    let cheapest = search(&network, &ALL, &cheap).unwrap().best.unwrap();
    assert!(cheapest.cost_per_consult <= best.cost_per_consult);
    assert!(cheapest.upload_auc + 1e-9 >= best.upload_auc);
    for outlook in [best, cheapest] {
        let text = fragment(&outlook.configuration);
        let trust: TrustConfig = toml::from_str(&text).unwrap();
        trust.validate().unwrap();
        let ring = trust.ring;
        assert_eq!(
            ring.max_generations_per_stack,
            outlook.configuration.stack_generations
        );
        assert_eq!(
            trust.mixing.seal_after_seconds,
            outlook.configuration.seal_after_seconds
        );
    }
}

#[test]
fn where_nothing_fits_the_limit_that_binds_is_named() {
    let poor = Network {
        cores: 0.01,
        ..Network::default()
    };
    let found = search(&poor, &ALL, &LIMITS).unwrap();
    assert!(found.best.is_none() && found.nearest.is_some());
    assert_eq!(found.lifted.first().map(|l| l.0), Some(Binding::Cores));
    let narrow = Network {
        bandwidth_mbit: 0.01,
        ..Network::default()
    };
    let found = search(&narrow, &ALL, &LIMITS).unwrap();
    assert!(found.best.is_none());
    assert!(
        found
            .broken
            .iter()
            .any(|(b, n)| *b == Binding::Bandwidth && *n == found.all.len())
    );
}

#[test]
fn more_is_traded_for_less() {
    let network = Network::default();
    let at = |change: fn(&mut Configuration)| {
        let mut configuration = Configuration::default();
        change(&mut configuration);
        outlook(&network, &configuration).unwrap()
    };
    let default = at(|_| ());
    let slow = at(|c| c.round_seconds = 600);
    assert!(slow.wait_newest_seconds > default.wait_newest_seconds && slow.cores < default.cores);
    let still = at(|c| c.old_share = 0.0);
    assert!(still.upload_auc > default.upload_auc);
    let small = at(|c| c.stack_generations = 1);
    assert!(small.stack_slots < default.stack_slots && small.query_bytes < default.query_bytes);
}

#[test]
fn figures_that_cannot_be_are_refused() {
    for network in [
        Network {
            hospitals: 0,
            ..Network::default()
        },
        Network {
            studies_per_day: f64::NAN,
            ..Network::default()
        },
        Network {
            at_once_share: 1.5,
            ..Network::default()
        },
        Network {
            keep_days: -1.0,
            ..Network::default()
        },
    ] {
        assert!(outlook(&network, &Configuration::default()).is_err());
    }
    let configuration = Configuration {
        stack_generations: 1000,
        ..Configuration::default()
    };
    assert!(outlook(&Network::default(), &configuration).is_err());
}

#[test]
fn the_trade_is_drawn_and_told() {
    let network = Network::default();
    let outlook = outlook(&network, &Configuration::default()).unwrap();
    let svg = draw(&network, &outlook.configuration).unwrap();
    assert!(svg.starts_with("<svg") && svg.contains("older stacks, mean"));
    let text = table(&network, &LIMITS, &[("defaults", &outlook)]);
    assert!(
        text.contains("a gateway's line, down") && text.lines().all(|l| l.chars().count() < 140)
    );
}
