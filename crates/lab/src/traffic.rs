//! What hospitals do: who deposits what when, and who reads it, from published figures (docs/unlinkability.md).
//!
//! Patients are the cause of everything. One comes to a hospital of the network (the index study), has older studies
//! behind it and follow-ups before it, and is referred to a second hospital, which reads. What lies before the first
//! day is the backlog: hospitals bring it in during the first week, day and night, as a migration would.

use std::time::Duration;

use harpo_protocol::cell::Layout;
use harpo_protocol::time::Timestamp;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use serde::{Deserialize, Serialize};

pub mod figures;
mod hospitals;
mod law;
mod patients;
mod readings;
#[cfg(test)]
mod tests;

pub use hospitals::{Hospital, Hours, Modality};

/// The first day of every scenario, a Monday: 2026-01-05T00:00:00Z.
pub const BEGIN: Timestamp = Timestamp(1_767_571_200_000);
/// Hospitals times days of the largest run: 29 million rounds of a minute, some GB.
const MOST_HOSPITAL_DAYS: u32 = 20_000;
/// Milliseconds of a day.
pub(crate) const DAY: u64 = 86_400_000;

/// A network and how much goes on in it. The defaults are a year in the life, from which a season is shown.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scenario {
    /// Hospitals, at least two.
    pub hospitals: u16,
    /// Days that are simulated.
    pub days: u32,
    /// Fixes the hospitals; what happens there is fixed by it and the run's own seed.
    pub seed: u64,
    /// Share of a hospital's studies that goes through the network.
    pub shared: f64,
    /// Share of readings that is known a day ahead.
    pub scheduled: f64,
    /// Share of readings that is an emergency.
    pub emergencies: f64,
    /// Studies of a bed and day.
    pub studies_per_bed: f64,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            hospitals: 24,
            days: 90,
            seed: 1,
            shared: figures::SHARED,
            scheduled: figures::SCHEDULED,
            emergencies: figures::EMERGENCIES,
            studies_per_bed: figures::STUDIES_PER_BED,
        }
    }
}

/// Why a scenario cannot be simulated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// Linking needs somebody to confuse with.
    #[error("a network has 2 to 1000 hospitals: set `hospitals` accordingly")]
    Hospitals,
    /// A simulation takes memory for every round.
    #[error("a run lasts 1 to 400 days: set `days` accordingly")]
    Days,
    /// A simulation keeps every round of every hospital.
    #[error(
        "{0} hospitals for {1} days are too much for one run: hospitals times days is at most 20,000; set fewer `hospitals` or `days`"
    )]
    Size(u16, u32),
    /// Shares lie between 0 and 1.
    #[error(
        "`shared`, `scheduled` and `emergencies` are shares from 0 to 1, the last two together at most 1"
    )]
    Shares,
    /// Nobody has so many.
    #[error("`studies_per_bed` is a number above 0, at most 10")]
    Studies,
}

impl Scenario {
    /// A small one, for a first look.
    #[must_use]
    pub fn quick() -> Self {
        Self {
            hospitals: 10,
            days: 16,
            ..Self::default()
        }
    }

    /// Checks what the types do not.
    ///
    /// # Errors
    /// The first figure that is out of bounds.
    pub fn validate(&self) -> Result<(), ScenarioError> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        if !(2..=1000).contains(&self.hospitals) {
            return Err(ScenarioError::Hospitals);
        }
        if !(1..=400).contains(&self.days) {
            return Err(ScenarioError::Days);
        }
        if u32::from(self.hospitals) * self.days > MOST_HOSPITAL_DAYS {
            return Err(ScenarioError::Size(self.hospitals, self.days));
        }
        if ![self.shared, self.scheduled, self.emergencies]
            .into_iter()
            .all(share)
            || self.scheduled + self.emergencies > 1.0
        {
            return Err(ScenarioError::Shares);
        }
        if !(self.studies_per_bed > 0.0 && self.studies_per_bed <= 10.0) {
            return Err(ScenarioError::Studies);
        }
        Ok(())
    }

    /// When the run ends.
    #[must_use]
    pub fn end(&self) -> Timestamp {
        BEGIN.after(Duration::from_millis(u64::from(self.days) * DAY))
    }
}

/// A bundle arrives at trust: what one study brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deposit {
    /// When trust has all of it.
    pub time: Timestamp,
    /// Who made it.
    pub hospital: u16,
    /// Of whom.
    pub patient: u32,
    /// Its number: its place in [`Traffic::deposits`].
    pub bundle: u32,
    /// What kind of study.
    pub modality: Modality,
    /// Fragments of its sealed pack.
    pub fragments: u32,
}

/// How long a reading can wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// It was in the diary at this time: the gateway asks ahead.
    Scheduled {
        /// Since when.
        known: Timestamp,
    },
    /// Somebody sits and waits.
    Unscheduled,
    /// Purposes that do not wait for rounds.
    Emergency,
}

/// Somebody opens a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// When.
    pub time: Timestamp,
    /// At which hospital.
    pub hospital: u16,
    /// Which, deposited before.
    pub bundle: u32,
    /// What it waits for.
    pub urgency: Urgency,
    /// Readings of one user and one patient within minutes share a number.
    pub session: u32,
}

/// All of it, in the order of time.
#[derive(Clone, Debug, PartialEq)]
pub struct Traffic {
    /// By number.
    pub hospitals: Vec<Hospital>,
    /// How many patients there are.
    pub patients: u32,
    /// By time; [`Deposit::bundle`] counts up.
    pub deposits: Vec<Deposit>,
    /// By time.
    pub readings: Vec<Reading>,
}

impl Traffic {
    /// Draws what happens. The scenario's seed fixes the hospitals, `seed` what happens there: two runs of one
    /// scenario are two seasons of the same network.
    #[must_use]
    pub fn generate(scenario: &Scenario, layout: &Layout, seed: u64) -> Self {
        let mut rng = stream(scenario.seed, u64::MAX);
        let hospitals = hospitals::draw(scenario, &mut rng);
        let network = hospitals::Network::new(&hospitals, &mut rng);
        let mut rng = stream(scenario.seed, seed);
        let (patients, studies) = patients::draw(scenario, &network, &mut rng);
        let deposits = patients::deposits(&studies, layout, &mut rng);
        let readings = readings::draw(scenario, &network, &studies, &deposits, &mut rng);
        Self {
            hospitals,
            patients,
            deposits,
            readings,
        }
    }
}

/// Randomness of a run: two numbers fix it.
pub(crate) fn stream(scenario: u64, run: u64) -> ChaCha20Rng {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&scenario.to_le_bytes());
    seed[8..16].copy_from_slice(&run.to_le_bytes());
    ChaCha20Rng::from_seed(seed)
}
