//! Who reads what when.

use harpo_protocol::time::Timestamp;
use rand_core::Rng;

use super::hospitals::{Moment, Network, in_hours, timestamp};
use super::patients::Study;
use super::{BEGIN, DAY, Deposit, Reading, Scenario, Urgency, figures, law};

/// Draws the readings of these studies, of which `deposits` are the bundles.
pub(super) fn draw(
    scenario: &Scenario,
    network: &Network,
    studies: &[Study],
    deposits: &[Deposit],
    rng: &mut impl Rng,
) -> Vec<Reading> {
    let mut of_patient: Vec<Vec<u32>> = Vec::new();
    for (bundle, study) in (0u32..).zip(studies) {
        let patient = study.patient as usize;
        if of_patient.len() <= patient {
            of_patient.resize_with(patient + 1, Vec::new);
        }
        of_patient[patient].push(bundle);
    }
    let mut desk = Desk {
        scenario,
        network,
        deposits,
        sessions: 0,
        readings: Vec::new(),
    };
    for (bundle, study) in (0u32..).zip(studies) {
        if !study.current {
            continue;
        }
        let priors: Vec<u32> = of_patient[study.patient as usize]
            .iter()
            .copied()
            .filter(|prior| studies[*prior as usize].made < study.made)
            .collect();
        desk.here(study, &priors, rng);
        if law::happens(figures::READ_ELSEWHERE, rng) {
            desk.elsewhere(bundle, study, &priors, rng);
        }
    }
    let end = scenario.end();
    let mut readings = desk.readings;
    readings.retain(|reading| reading.time < end);
    readings.sort_by_key(|reading| (reading.time, reading.session, reading.bundle));
    readings
}

struct Desk<'a> {
    scenario: &'a Scenario,
    network: &'a Network,
    deposits: &'a [Deposit],
    sessions: u32,
    readings: Vec<Reading>,
}

impl Desk<'_> {
    /// Where the study was made, its relevant priors are looked at beside it.
    fn here(&mut self, study: &Study, priors: &[u32], rng: &mut impl Rng) {
        let urgency = self.urgency(rng);
        let at = study.at + (law::between((120.0, 1800.0), rng) * 1000.0) as i64;
        self.session(study.hospital, at, urgency, None, priors, rng);
    }

    /// Where the patient was referred to (or came from), the study is read with its relevant priors.
    fn elsewhere(&mut self, bundle: u32, study: &Study, priors: &[u32], rng: &mut impl Rng) {
        let reader = match study.hospital == study.partner {
            true => study.home,
            false => study.partner,
        };
        let urgency = self.urgency(rng);
        let (unscheduled, emergency, spread) = figures::READ_AFTER_MINUTES;
        let minutes = |median: f64, rng: &mut _| {
            (law::log_normal(median, spread, rng).max(2.0) * 60_000.0) as i64
        };
        let at = match urgency {
            Kind::Scheduled => {
                let later = (1.0 + law::exponential(1.0, rng)) * DAY as f64;
                in_hours(study.at + later as i64, self.network.hours(reader), rng)
                    .max(study.at + 3_600_000)
            }
            Kind::Unscheduled => study.at + minutes(unscheduled, rng),
            Kind::Emergency => study.at + minutes(emergency, rng),
        };
        self.session(reader, at, urgency, Some(bundle), priors, rng);
    }

    /// One user, one patient, bundle after bundle: the current one first, then priors from the newest back.
    fn session(
        &mut self,
        hospital: u16,
        at: Moment,
        kind: Kind,
        current: Option<u32>,
        priors: &[u32],
        rng: &mut impl Rng,
    ) {
        let mut wanted: Vec<u32> = current.into_iter().collect();
        for prior in priors.iter().rev() {
            if law::happens(figures::RELEVANT, rng) {
                wanted.push(*prior);
            }
        }
        let mut time = timestamp(at);
        for bundle in wanted {
            let deposit = &self.deposits[bundle as usize];
            // What a hospital made is in its own archive; what the migration has not brought yet cannot be read.
            if deposit.hospital == hospital || deposit.time >= time {
                continue;
            }
            let urgency = match kind {
                Kind::Scheduled => Urgency::Scheduled {
                    known: a_day_before(time).max(deposit.time),
                },
                Kind::Unscheduled => Urgency::Unscheduled,
                Kind::Emergency => Urgency::Emergency,
            };
            self.readings.push(Reading {
                time,
                hospital,
                bundle,
                urgency,
                session: self.sessions,
            });
            let pause = law::between(figures::SESSION_GAP_SECONDS, rng);
            time = time.after(std::time::Duration::from_secs_f64(pause));
        }
        self.sessions += 1;
    }

    fn urgency(&self, rng: &mut impl Rng) -> Kind {
        let drawn = law::unit(rng);
        if drawn < self.scenario.scheduled {
            Kind::Scheduled
        } else if drawn < self.scenario.scheduled + self.scenario.emergencies {
            Kind::Emergency
        } else {
            Kind::Unscheduled
        }
    }
}

#[derive(Clone, Copy)]
enum Kind {
    Scheduled,
    Unscheduled,
    Emergency,
}

fn a_day_before(time: Timestamp) -> Timestamp {
    Timestamp(time.0.saturating_sub(DAY)).max(BEGIN)
}
