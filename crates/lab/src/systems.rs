//! The systems under test: the product, the product with something taken away, what others build, and a control.

use serde::Serialize;

use crate::game::Game;
use crate::record::Record;
use crate::traffic::Scenario;
use crate::world::{self, Run, Settings, Summary, Way, WorldError};

mod baselines;
#[cfg(test)]
mod tests;

/// What a system is in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// What this project builds, as it is configured by default.
    Product,
    /// The same with something changed, to see what it is good for.
    Variant,
    /// What it must be better than.
    Baseline,
    /// Leaks on purpose: attacks must find it.
    Control,
}

/// A system under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum System {
    /// Rounds, re-placement, epoch shuffle, relay.
    Product,
    /// Without rounds.
    AtOnce,
    /// Without relay.
    NoRelay,
    /// Without re-placement.
    NoReplacement,
    /// With exponential mixing.
    Exponential,
    /// Plain sharing.
    Naive,
    /// The paper's trusted third party, without its cache.
    NoCache,
    /// The paper's exponential cache, read by index.
    CacheAlone,
    /// Private retrieval with as many queries as are needed.
    VariableQueries,
    /// Private retrieval from eight slots.
    SmallSets,
    /// The product with a bit of the patient's number showing.
    PlantedLeak,
}

impl System {
    /// All of them, in the order of the table.
    pub const ALL: [Self; 11] = [
        Self::Product,
        Self::AtOnce,
        Self::NoRelay,
        Self::NoReplacement,
        Self::Exponential,
        Self::Naive,
        Self::NoCache,
        Self::CacheAlone,
        Self::VariableQueries,
        Self::SmallSets,
        Self::PlantedLeak,
    ];

    /// As it stands in tables and is asked for.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Product => "product",
            Self::AtOnce => "at-once",
            Self::NoRelay => "no-relay",
            Self::NoReplacement => "no-replacement",
            Self::Exponential => "exponential",
            Self::Naive => "naive-sharing",
            Self::NoCache => "no-cache",
            Self::CacheAlone => "cache-alone",
            Self::VariableQueries => "variable-queries",
            Self::SmallSets => "small-sets",
            Self::PlantedLeak => "planted-leak",
        }
    }

    /// The system of this name.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|system| system.name() == name)
    }

    /// What it is, in a sentence.
    #[must_use]
    pub fn about(self) -> &'static str {
        match self {
            Self::Product => {
                "Every gateway retrieves once a minute through a relay, whatever is wanted; slots leave shuffled, and \
                 what was read or is old is placed anew."
            }
            Self::AtOnce => {
                "The product without rounds: gateways retrieve when somebody asks, with a padded number of queries."
            }
            Self::NoRelay => "The product without relay: the cloud sees gateways' addresses.",
            Self::NoReplacement => {
                "The product without re-placement: a bundle stays where it was written first."
            }
            Self::Exponential => {
                "The product with memoryless delays of four hours on average instead of a shuffle of each generation."
            }
            Self::Naive => {
                "Plain cloud sharing: hospitals log in, upload studies as they are made, download them by name."
            }
            Self::NoCache => {
                "A trusted third party without cache: slots of one size leave as they come, and are downloaded one \
                 by one by link."
            }
            Self::CacheAlone => {
                "The exponential cache alone: slots at random indexes after a memoryless delay of four hours on \
                 average, downloaded by index."
            }
            Self::VariableQueries => {
                "Private retrieval through a relay with exactly as many queries as are needed, at once."
            }
            Self::SmallSets => {
                "Private retrieval through a relay, at once, from the group of eight slots in which the wanted one lies."
            }
            Self::PlantedLeak => {
                "The product with one bit of the patient's number in slot indexes and in moments of retrievals."
            }
        }
    }

    /// What it is in the table.
    #[must_use]
    pub fn kind(self) -> Kind {
        match self {
            Self::Product => Kind::Product,
            Self::AtOnce | Self::NoRelay | Self::NoReplacement | Self::Exponential => Kind::Variant,
            Self::Naive
            | Self::NoCache
            | Self::CacheAlone
            | Self::VariableQueries
            | Self::SmallSets => Kind::Baseline,
            Self::PlantedLeak => Kind::Control,
        }
    }

    /// Whether attacks must win against it.
    #[must_use]
    pub fn is_baseline(self) -> bool {
        self.kind() == Kind::Baseline
    }

    /// The games that a baseline must lose, by what it shows itself: accounts and names, times, numbers of queries, small
    /// groups. If it does not, the attacks are too weak or the log too short.
    #[must_use]
    pub fn must_lose(self) -> &'static [Game] {
        match self {
            Self::Naive => &[
                Game::UploadOrigin,
                Game::RetrievalOrigin,
                Game::RetrievalTarget,
            ],
            Self::NoCache => &[
                Game::UploadsWithinEpoch,
                Game::RetrievalOrigin,
                Game::RetrievalTarget,
            ],
            Self::CacheAlone => &[Game::RetrievalOrigin, Game::RetrievalTarget],
            Self::VariableQueries | Self::SmallSets => &[Game::RetrievalTarget],
            Self::Product
            | Self::AtOnce
            | Self::NoRelay
            | Self::NoReplacement
            | Self::Exponential
            | Self::PlantedLeak => &[],
        }
    }

    /// What runs; nothing for systems that have neither trust's cache nor this cloud.
    #[must_use]
    pub fn settings(self) -> Option<Settings> {
        let mut settings = Settings::default();
        match self {
            Self::Product => {}
            Self::AtOnce => settings.way = Way::AtOnce,
            Self::NoRelay => settings.relay = false,
            Self::NoReplacement => leave_in_place(&mut settings),
            Self::Exponential => exponential(&mut settings),
            Self::CacheAlone => {
                exponential(&mut settings);
                leave_in_place(&mut settings);
                settings.way = Way::ByIndex;
                settings.relay = false;
            }
            Self::VariableQueries => {
                leave_in_place(&mut settings);
                settings.way = Way::Exact;
            }
            Self::SmallSets => {
                leave_in_place(&mut settings);
                settings.way = Way::Groups(8);
            }
            Self::PlantedLeak => settings.leak = true,
            Self::Naive | Self::NoCache => return None,
        }
        Some(settings)
    }

    /// Runs it over the traffic of a scenario, which is the same for every system.
    ///
    /// # Errors
    /// [`WorldError`].
    pub fn run(self, scenario: &Scenario, seed: u64) -> Result<Record, WorldError> {
        Ok(self.run_whole(scenario, seed)?.record)
    }

    /// The same, with what it cost. Baselines without this cloud have no costs.
    ///
    /// # Errors
    /// [`WorldError`].
    pub fn run_whole(self, scenario: &Scenario, seed: u64) -> Result<Run, WorldError> {
        match self.settings() {
            Some(settings) => world::simulate(&settings, scenario, seed, None),
            None => Ok(Run {
                record: baselines::run(self == Self::Naive, scenario, seed)?,
                summary: Summary::default(),
            }),
        }
    }
}

fn leave_in_place(settings: &mut Settings) {
    settings.trust.replacement.after_read = false;
    settings.trust.replacement.old_share = 0.0;
}

fn exponential(settings: &mut Settings) {
    settings.trust.mixing.mode = harpo_trust::config::Mode::Exponential;
    settings.trust.mixing.mean_delay_seconds = 4 * 3600;
}
