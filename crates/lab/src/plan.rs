//! What a network would cost and hide under a configuration, from the formulas and constants of the real parties, and
//! the configuration to recommend (docs/unlinkability.md 7).
//!
//! Sizes are exact: they come from the ring engine's own shapes. Rates are those by which gateways choose engines
//! ([`harpo_oblivious::engine`]), below what was measured. Times assume that arrivals are spread evenly; the
//! laboratory's runs are what shows how they bunch.

mod chart;
mod fragment;
pub mod law;
mod outlook;
mod search;
mod text;

use serde::Serialize;

pub use chart::draw;
pub use fragment::fragment;
pub use outlook::{Outlook, outlook};
pub use search::{Binding, Chosen, Found, Preference, Search, advice, generations, search};
pub use text::table;

#[cfg(test)]
mod tests;

/// What is given: hospitals and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Network {
    /// Hospitals, each with one gateway.
    pub hospitals: u32,
    /// Studies that all of them together deposit in a day.
    pub studies_per_day: f64,
    /// Mean size of a study when it is sealed, in bytes.
    pub study_bytes: f64,
    /// How often a study is consulted from another hospital, on average.
    pub reads_per_study: f64,
    /// Of consults, the share whose purpose does not wait for a round.
    pub at_once_share: f64,
    /// How long studies are kept.
    pub keep_days: f64,
    /// Cores of the cloud.
    pub cores: f64,
    /// What the platform may use of each hospital's line, in Mbit/s, in each direction.
    pub bandwidth_mbit: f64,
    /// What leaves the cloud, for each 10^9 bytes.
    pub price_per_gb: f64,
    /// An hour of a core.
    pub price_per_core_hour: f64,
}

impl Default for Network {
    /// About the laboratory's default scenario ([`crate::traffic`]).
    fn default() -> Self {
        Self {
            hospitals: 24,
            studies_per_day: 300.0,
            study_bytes: 14e6,
            reads_per_study: 1.0,
            at_once_share: 0.02,
            keep_days: 90.0,
            cores: 16.0,
            bandwidth_mbit: 200.0,
            price_per_gb: 0.05,
            price_per_core_hour: 0.04,
        }
    }
}

/// What is chosen: the keys of trust's configuration that make the trade.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Configuration {
    /// `[layout] slots_per_generation`.
    pub generation_slots: u32,
    /// `[ring] max_generations_per_stack`; the bound of polynomials follows.
    pub stack_generations: u32,
    /// `[mixing] seal_after_seconds`.
    pub seal_after_seconds: u64,
    /// `[retrieval] round_seconds`.
    pub round_seconds: u32,
    /// `[retrieval] queries`.
    pub queries: u32,
    /// `[replacement] old_share`.
    pub old_share: f64,
}

impl Default for Configuration {
    /// The real defaults, with the stack that they lead to.
    fn default() -> Self {
        let trust = harpo_trust::TrustConfig::default();
        let polynomials = trust
            .layout
            .slots_per_generation
            .div_ceil(trust.interleave());
        let ring = trust.ring;
        Self {
            generation_slots: trust.layout.slots_per_generation,
            stack_generations: ring
                .max_generations_per_stack
                .min(ring.max_polynomials_per_stack / polynomials.max(1)),
            seal_after_seconds: trust.mixing.seal_after_seconds,
            round_seconds: trust.retrieval.round_seconds,
            queries: trust.retrieval.queries,
            old_share: trust.replacement.old_share,
        }
    }
}

/// A configuration that cannot be, or a network that asks for nothing.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// A figure of the network or of a limit.
    #[error("{name} is {value}; it must be {wanted}")]
    Figure {
        /// Which.
        name: &'static str,
        /// What was given.
        value: f64,
        /// What can be.
        wanted: &'static str,
    },
    /// Trust would refuse it.
    #[error("trust would refuse this configuration")]
    Refused(#[source] harpo_protocol::Malformed),
    /// The ring engine would.
    #[error("such a stack cannot be")]
    Stack(#[source] harpo_oblivious::Error),
}

impl Network {
    /// Checks what the types do not.
    ///
    /// # Errors
    /// [`PlanError::Figure`].
    pub fn validate(&self) -> Result<(), PlanError> {
        let positive = [
            ("hospitals", f64::from(self.hospitals)),
            ("studies a day", self.studies_per_day),
            ("the size of a study", self.study_bytes),
            ("consults of a study", self.reads_per_study),
            ("days kept", self.keep_days),
            ("cores", self.cores),
            ("bandwidth", self.bandwidth_mbit),
        ];
        for (name, value) in positive {
            if !(value.is_finite() && value > 0.0) {
                let wanted = "above 0";
                return Err(PlanError::Figure {
                    name,
                    value,
                    wanted,
                });
            }
        }
        let others = [
            ("the share at once", self.at_once_share, 1.0),
            ("the price of a GB", self.price_per_gb, f64::MAX),
            (
                "the price of a core-hour",
                self.price_per_core_hour,
                f64::MAX,
            ),
        ];
        for (name, value, most) in others {
            if !(0.0..=most).contains(&value) {
                let wanted = "0 or more (a share: at most 1)";
                return Err(PlanError::Figure {
                    name,
                    value,
                    wanted,
                });
            }
        }
        Ok(())
    }
}
