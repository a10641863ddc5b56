//! Patients and their studies.

use harpo_protocol::cell::Layout;
use rand_core::Rng;

use super::hospitals::{Modality, Moment, Network, in_hours, timestamp};
use super::{DAY, Deposit, Scenario, figures, law};

/// A study of a patient that lies in the network.
#[derive(Clone, Copy, Debug)]
pub(super) struct Study {
    pub(super) patient: u32,
    /// When trust has it.
    pub(super) at: Moment,
    /// When it was made; differs for the backlog.
    pub(super) made: Moment,
    pub(super) hospital: u16,
    /// The first hospital, and the one that the patient was referred to.
    pub(super) home: u16,
    pub(super) partner: u16,
    pub(super) modality: Modality,
    /// A study with which somebody works now: not one of the priors that a patient came with.
    pub(super) current: bool,
}

/// All patients' studies up to the end of the run, by time of deposit, and how many patients there are.
pub(super) fn draw(
    scenario: &Scenario,
    network: &Network,
    rng: &mut impl Rng,
) -> (u32, Vec<Study>) {
    let end = i64::from(scenario.days) * DAY as i64;
    let lead = days(figures::LEAD_DAYS);
    let a_day: f64 = network.volumes.iter().sum();
    let wanted = (a_day * f64::from(scenario.days)).ceil() as usize;
    let mut studies = Vec::new();
    let (mut fresh, mut patients) = (0, 0);
    while fresh < wanted {
        let before = studies.len();
        patient(patients, (-lead, end), network, rng, &mut studies);
        fresh += studies[before..]
            .iter()
            .filter(|study| study.made >= 0)
            .count();
        patients += 1;
    }
    studies.sort_by_key(|study| (study.at, study.patient, study.made));
    (patients, studies)
}

/// One patient: an index study anywhere in the time, what came before and what follows.
fn patient(
    number: u32,
    (begin, end): (Moment, Moment),
    network: &Network,
    rng: &mut impl Rng,
    studies: &mut Vec<Study>,
) {
    let home = network.home(rng);
    let partner = network.partner(home, rng);
    let day = begin + (law::unit(rng) * (end - begin) as f64) as i64;
    let index = in_hours(day, network.hours(home), rng);
    let mut add = |made: Moment, hospital: u16, current: bool, rng: &mut _| {
        let oldest = -days(figures::BACKLOG_DAYS.0);
        if made < oldest || made >= end {
            return;
        }
        // The backlog comes day and night.
        let at = match made < 0 {
            true => (law::unit(rng) * days(figures::BACKLOG_DAYS.1) as f64) as i64,
            false => made,
        };
        if at < end {
            studies.push(Study {
                patient: number,
                at,
                made,
                hospital,
                home,
                partner,
                modality: network.modality(hospital, rng),
                current: current && made >= 0,
            });
        }
    };
    for _ in 0..law::count(figures::PRIORS, rng) {
        if law::happens(figures::PRIORS_IN_NETWORK, rng) {
            let hospital = whereabouts(home, partner, network, rng);
            let day = index - days(law::gap_days(rng));
            let made = in_hours(day, network.hours(hospital), rng);
            add(made.min(index - 1), hospital, false, rng);
        }
    }
    add(index, home, true, rng);
    let mut last = index;
    while law::happens(figures::FOLLOWED, rng) && last < end {
        let hospital = whereabouts(home, partner, network, rng);
        let day = last + days(law::gap_days(rng));
        last = in_hours(day, network.hours(hospital), rng).max(last + 60_000);
        add(last, hospital, true, rng);
    }
}

/// Where a patient's other studies are made.
fn whereabouts(home: u16, partner: u16, network: &Network, rng: &mut impl Rng) -> u16 {
    let (at_home, at_partner) = figures::WHERE;
    let drawn = law::unit(rng);
    if drawn < at_home {
        home
    } else if drawn < at_home + at_partner {
        partner
    } else {
        network.home(rng)
    }
}

/// The deposits of these studies, which are in the order of time: bundle numbers are places in that order.
pub(super) fn deposits(studies: &[Study], layout: &Layout, rng: &mut impl Rng) -> Vec<Deposit> {
    let chunk = layout.chunk_bytes() as f64;
    (0u32..)
        .zip(studies)
        .map(|(bundle, study)| Deposit {
            time: timestamp(study.at),
            hospital: study.hospital,
            patient: study.patient,
            bundle,
            modality: study.modality,
            fragments: (study.modality.sealed_bytes(rng) / chunk).ceil().max(1.0) as u32,
        })
        .collect()
}

fn days(days: f64) -> Moment {
    (days * DAY as f64) as i64
}
