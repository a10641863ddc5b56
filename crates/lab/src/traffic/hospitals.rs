//! Hospitals: how large, of what specialty, and who refers to whom.

use std::time::Duration;

use harpo_protocol::time::Timestamp;
use rand_core::Rng;

use super::{BEGIN, DAY, Scenario, figures, law};

/// What kind of study.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Modality {
    /// Plain radiography.
    XRay,
    /// Mammography.
    Mammography,
    /// Ultrasound.
    Ultrasound,
    /// Computed tomography.
    Ct,
    /// Magnetic resonance.
    Mr,
    /// Fluoroscopy.
    Fluoroscopy,
}

impl Modality {
    /// In the order of [`figures::MIX`].
    pub const ALL: [Self; 6] = [
        Self::XRay,
        Self::Mammography,
        Self::Ultrasound,
        Self::Ct,
        Self::Mr,
        Self::Fluoroscopy,
    ];

    /// Bytes of a study of this kind when sealed.
    pub(super) fn sealed_bytes(self, rng: &mut impl Rng) -> f64 {
        const MB: f64 = 1e6;
        match self {
            Self::XRay => law::between((8.0, 20.0), rng) * MB / 3.4,
            Self::Mammography => law::between((25.0, 50.0), rng) * MB / 3.4,
            Self::Ct => law::between((300.0, 1000.0), rng) * 0.5 * MB / 4.8,
            Self::Mr => law::between((200.0, 600.0), rng) * 0.26 * MB / 3.7,
            Self::Ultrasound | Self::Fluoroscopy => law::between((5.0, 60.0), rng) * MB / 2.5,
        }
    }
}

/// A hospital.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hospital {
    /// Size.
    pub beds: f64,
    /// Studies that it puts into the network in a day, on average.
    pub studies_per_day: f64,
    /// Its share of each modality.
    pub mix: [f64; 6],
    /// When it works.
    pub hours: Hours,
}

/// When a hospital works: each has habits of its own.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hours {
    /// Share of a day's studies in each hour.
    pub day: [f64; 24],
    /// A day of the weekend beside a working day.
    pub weekend: f64,
}

impl Hours {
    /// The mean hospital's.
    pub const MEAN: Self = Self {
        day: figures::HOURS,
        weekend: figures::WEEKEND,
    };

    /// The mean hospital's, begun earlier or later, with more or less at night and at weekends.
    fn draw(rng: &mut impl Rng) -> Self {
        let most = figures::SHIFT_HOURS;
        let shift = law::between((-most, most), rng).rem_euclid(24.0);
        let night = law::between(figures::NIGHT, rng);
        let weekend = law::between(figures::WEEKENDS, rng);
        let at = |hour: usize| {
            let hour = hour % 24;
            let factor = if (7..19).contains(&hour) { 1.0 } else { night };
            figures::HOURS[hour] * factor
        };
        let (whole, part) = (shift.floor() as usize, shift.fract());
        let shifted = |hour: usize| {
            let from = hour + 24 - whole;
            (1.0 - part) * at(from) + part * at(from + 23)
        };
        let day: [f64; 24] = std::array::from_fn(shifted);
        let total: f64 = day.iter().sum();
        Self {
            day: day.map(|share| share / total),
            weekend,
        }
    }
}

pub(super) fn draw(scenario: &Scenario, rng: &mut impl Rng) -> Vec<Hospital> {
    (0..scenario.hospitals)
        .map(|_| {
            let (median, spread) = figures::BEDS;
            let (fewest, most) = figures::BEDS_RANGE;
            let beds = law::log_normal(median, spread, rng).clamp(fewest, most);
            let weights =
                figures::MIX.map(|share| share * law::gamma(figures::SPECIALTY_SHAPE, rng));
            let total: f64 = weights.iter().sum();
            Hospital {
                beds,
                studies_per_day: beds * scenario.studies_per_bed * scenario.shared,
                mix: weights.map(|weight| weight / total),
                hours: Hours::draw(rng),
            }
        })
        .collect()
}

/// Who sends patients to whom.
pub(super) struct Network {
    /// Studies a day.
    pub(super) volumes: Vec<f64>,
    pub(super) mixes: Vec<[f64; 6]>,
    hours: Vec<Hours>,
    /// By hospital: the weights of the others. Large ones attract, and each has its friends (assumed).
    partners: Vec<Vec<f64>>,
}

impl Network {
    pub(super) fn new(hospitals: &[Hospital], rng: &mut impl Rng) -> Self {
        let partners = (0..hospitals.len())
            .map(|from| {
                let weight = |(to, hospital): (usize, &Hospital)| {
                    let affinity = law::gamma(0.5, rng);
                    if to == from {
                        0.0
                    } else {
                        hospital.beds * affinity
                    }
                };
                hospitals.iter().enumerate().map(weight).collect()
            })
            .collect();
        Self {
            volumes: hospitals.iter().map(|h| h.studies_per_day).collect(),
            mixes: hospitals.iter().map(|h| h.mix).collect(),
            hours: hospitals.iter().map(|h| h.hours).collect(),
            partners,
        }
    }

    /// Where a hospital's patient is referred to: never to itself.
    pub(super) fn partner(&self, of: u16, rng: &mut impl Rng) -> u16 {
        law::weighted(&self.partners[usize::from(of)], rng) as u16
    }

    pub(super) fn home(&self, rng: &mut impl Rng) -> u16 {
        law::weighted(&self.volumes, rng) as u16
    }

    pub(super) fn hours(&self, hospital: u16) -> &Hours {
        &self.hours[usize::from(hospital)]
    }

    pub(super) fn modality(&self, hospital: u16, rng: &mut impl Rng) -> Modality {
        Modality::ALL[law::weighted(&self.mixes[usize::from(hospital)], rng)]
    }
}

/// Milliseconds since [`BEGIN`]; what lies before is negative.
pub(super) type Moment = i64;

/// A moment of the day that holds `moment`, by a hospital's working hours; at weekends most are put on the Monday
/// or Friday beside it.
pub(super) fn in_hours(moment: Moment, hours: &Hours, rng: &mut impl Rng) -> Moment {
    let day = DAY as i64;
    let mut date = moment.div_euclid(day);
    let weekday = date.rem_euclid(7);
    if weekday >= 5 && !law::happens(hours.weekend, rng) {
        date += if weekday == 5 { -1 } else { 1 };
    }
    let hour = law::weighted(&hours.day, rng) as f64 + law::unit(rng);
    date * day + (hour * 3_600_000.0) as i64
}

/// As a time; what lies before the first day is at its beginning.
pub(super) fn timestamp(moment: Moment) -> Timestamp {
    BEGIN.after(Duration::from_millis(moment.max(0) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::traffic::stream;

    #[test]
    fn hours_and_weekends_follow_the_profile() {
        let mut rng = stream(1, 1);
        let (mut busiest, mut weekend) = (0, 0);
        let total = 70_000;
        for i in 0..total {
            let day = i % 7 * DAY as i64 + 5;
            let moment = in_hours(day, &Hours::MEAN, &mut rng);
            busiest += i64::from(moment.rem_euclid(DAY as i64) / 3_600_000 == 10);
            weekend += i64::from(moment.div_euclid(DAY as i64).rem_euclid(7) >= 5);
        }
        let share = busiest as f64 / total as f64;
        assert!((0.115..0.125).contains(&share), "{share}");
        // 2 · 0.4 of 7 days.
        let share = weekend as f64 / total as f64;
        assert!((0.105..0.125).contains(&share), "{share}");
        assert!((figures::HOURS.iter().sum::<f64>() - 1.0).abs() < 1e-9);
    }

    #[test]
    fn hospitals_keep_hours_of_their_own() {
        let hospitals = draw(&Scenario::default(), &mut stream(1, 1));
        let spread = |figure: fn(&Hospital) -> f64| {
            let mut values: Vec<f64> = hospitals.iter().map(figure).collect();
            values.sort_by(f64::total_cmp);
            values[values.len() - 1] - values[0]
        };
        // The mean hour of a day that is cut at four in the morning, when least is done.
        let mean = |h: &Hospital| (0..24).map(|i| h.hours.day[(i + 4) % 24] * i as f64).sum();
        let night = |h: &Hospital| h.hours.day[..5].iter().sum();
        assert!(spread(mean) > 1.5, "{}", spread(mean));
        assert!(spread(night) > 0.02, "{}", spread(night));
        assert!(spread(|h| h.hours.weekend) > 0.3);
        for hospital in &hospitals {
            assert!((hospital.hours.day.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        }
    }
}
