use super::*;

fn traffic() -> (Scenario, Traffic) {
    let scenario = Scenario::default();
    let traffic = Traffic::generate(&scenario, &Layout::DEFAULT, 7);
    (scenario, traffic)
}

#[test]
fn the_traffic_has_the_published_figures() {
    let (scenario, traffic) = traffic();
    let a_day: f64 = traffic.hospitals.iter().map(|h| h.studies_per_day).sum();
    let fresh = a_day * f64::from(scenario.days);
    let total = traffic.deposits.len() as f64;
    // With the backlog.
    assert!((fresh..1.6 * fresh).contains(&total), "{total} of {fresh}");
    for (modality, share) in Modality::ALL.iter().zip(figures::MIX) {
        let count = traffic.deposits.iter().filter(|d| d.modality == *modality);
        let found = count.count() as f64 / total;
        // Hospitals' specialties differ, and the largest weigh most.
        assert!(
            (found - share).abs() < 0.08,
            "{modality:?}: {found} for {share}"
        );
    }
    assert!(
        traffic
            .hospitals
            .iter()
            .all(|h| (80.0..=900.0).contains(&h.beds))
    );
    let scheduled = traffic
        .readings
        .iter()
        .filter(|reading| matches!(reading.urgency, Urgency::Scheduled { .. }));
    let share = scheduled.count() as f64 / traffic.readings.len() as f64;
    assert!((0.6..0.8).contains(&share), "{share}");
}

#[test]
fn priors_have_the_published_number_and_age() {
    let mut rng = stream(3, 3);
    let draws = 200_000;
    let counts: Vec<f64> = (0..draws)
        .map(|_| law::count(figures::PRIORS, &mut rng).into())
        .collect();
    let mean = counts.iter().sum::<f64>() / f64::from(draws);
    let variance = counts.iter().map(|c| (c - mean) * (c - mean)).sum::<f64>() / f64::from(draws);
    assert!((7.4..7.8).contains(&mean), "{mean}");
    assert!(
        (12.0..12.6).contains(&variance.sqrt()),
        "{}",
        variance.sqrt()
    );
    let gaps: Vec<f64> = (0..draws).map(|_| law::gap_days(&mut rng)).collect();
    let mean = gaps.iter().sum::<f64>() / f64::from(draws);
    assert!((198.0..208.0).contains(&mean), "{mean}");
    let week = gaps.iter().filter(|gap| **gap <= 7.0).count() as f64 / f64::from(draws);
    assert!((0.715..0.73).contains(&week), "{week}");
}

#[test]
fn everything_is_in_order_and_nobody_reads_what_is_not_there() {
    let (scenario, traffic) = traffic();
    assert!(traffic.deposits.is_sorted_by_key(|deposit| deposit.time));
    assert!(traffic.readings.is_sorted_by_key(|reading| reading.time));
    let end = scenario.end();
    for (number, deposit) in (0u32..).zip(&traffic.deposits) {
        assert_eq!(deposit.bundle, number);
        assert!(deposit.time >= BEGIN && deposit.time < end);
        assert!(deposit.patient < traffic.patients && deposit.fragments > 0);
        assert!(deposit.fragments <= Layout::DEFAULT.capacity());
    }
    for reading in &traffic.readings {
        let deposit = &traffic.deposits[reading.bundle as usize];
        assert!(deposit.time < reading.time && reading.time < end);
        assert_ne!(deposit.hospital, reading.hospital);
        if let Urgency::Scheduled { known } = reading.urgency {
            assert!(deposit.time <= known && known <= reading.time);
        }
    }
}

#[test]
fn a_seed_fixes_everything_and_another_changes_it() {
    let scenario = Scenario::quick();
    let one = Traffic::generate(&scenario, &Layout::DEFAULT, 1);
    assert_eq!(one, Traffic::generate(&scenario, &Layout::DEFAULT, 1));
    let other = Traffic::generate(&scenario, &Layout::DEFAULT, 2);
    assert_ne!(one.deposits, other.deposits);
    assert_eq!(one.hospitals, other.hospitals);
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    assert_eq!(Scenario::default().validate(), Ok(()));
    assert_eq!(Scenario::quick().validate(), Ok(()));
    let refused = |change: fn(&mut Scenario), error| {
        let mut scenario = Scenario::default();
        change(&mut scenario);
        assert_eq!(scenario.validate(), Err(error));
    };
    refused(|s| s.hospitals = 1, ScenarioError::Hospitals);
    refused(|s| s.days = 0, ScenarioError::Days);
    let large = |s: &mut Scenario| (s.hospitals, s.days) = (1000, 21);
    refused(large, ScenarioError::Size(1000, 21));
    let most = Scenario {
        hospitals: 1000,
        days: 20,
        ..Scenario::default()
    };
    assert_eq!(most.validate(), Ok(()));
    refused(|s| s.shared = f64::NAN, ScenarioError::Shares);
    refused(|s| s.scheduled = 0.99, ScenarioError::Shares);
    refused(|s| s.studies_per_bed = 0.0, ScenarioError::Studies);
}
