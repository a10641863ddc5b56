//! When gateways retrieve, and what goes back into the open generation (docs/protocol.md 5.7, 9.7).

use harpo_protocol::access::Purpose;
use harpo_protocol::{Malformed, replacement, rounds};
use serde::Deserialize;

/// When gateways retrieve.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Each gateway once in every round, whatever is wanted.
    #[default]
    Rounds,
    /// When somebody wants something: the provider sees when, and how much.
    AtOnce,
}

/// `[retrieval]`: gateways are told.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Retrieval {
    /// `"rounds"` or `"at-once"`.
    pub schedule: Schedule,
    /// Length of a round.
    pub round_seconds: u32,
    /// Queries of each retrieval in a round: a power of two, at most 64.
    pub queries: u32,
    /// Codes of the purposes that do not wait for a round.
    pub at_once_for: Vec<Purpose>,
}

impl Default for Retrieval {
    fn default() -> Self {
        Self {
            schedule: Schedule::default(),
            round_seconds: 60,
            queries: 8,
            at_once_for: vec![Purpose::Etreat, Purpose::Btg],
        }
    }
}

impl Retrieval {
    /// The network's rule, if it has one.
    #[must_use]
    pub fn rule(&self) -> Option<rounds::Rule> {
        (self.schedule == Schedule::Rounds).then_some(rounds::Rule {
            seconds: self.round_seconds,
            queries: self.queries,
        })
    }

    pub(super) fn validate(&self) -> Result<(), Malformed> {
        self.rule().map_or(Ok(()), |rule| rule.validate())
    }
}

/// `[replacement]`.
#[derive(Clone, Copy, Debug, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Replacement {
    /// Whether gateways give back what they read from a stack.
    pub after_read: bool,
    /// Share of a generation's slots that old bundles may fill, from 0 (none) to below 1.
    pub old_share: f64,
}

impl Default for Replacement {
    fn default() -> Self {
        Self {
            after_read: true,
            old_share: 0.5,
        }
    }
}

impl Replacement {
    /// How much that is old goes back.
    #[must_use]
    pub fn rule(&self) -> replacement::Rule {
        replacement::Rule {
            old_share: self.old_share,
        }
    }

    pub(super) fn validate(&self) -> Result<(), Malformed> {
        if (0.0..1.0).contains(&self.old_share) {
            return Ok(());
        }
        let why = format!(
            "replacement.old_share is {}; it must be at least 0 and below 1",
            self.old_share
        );
        Err(Malformed::new("configuration", why))
    }
}

#[cfg(test)]
mod tests {
    use crate::TrustConfig;

    #[test]
    fn a_network_without_rounds_has_no_rule() {
        let config = |text: &str| -> TrustConfig { toml::from_str(text).unwrap() };
        let rounds = config("[retrieval]\nschedule = \"rounds\"\nround_seconds = 30\nqueries = 4");
        let rule = rounds.retrieval.rule().unwrap();
        assert_eq!((rule.seconds, rule.queries), (30, 4));
        let at_once = config("[retrieval]\nschedule = \"at-once\"");
        assert_eq!(at_once.retrieval.rule(), None);
    }

    #[test]
    fn impossible_rounds_and_shares_are_refused() {
        for bad in [
            "[retrieval]\nschedule = \"rounds\"\nround_seconds = 0",
            "[retrieval]\nschedule = \"rounds\"\nqueries = 3",
            "[retrieval]\nschedule = \"rounds\"\nqueries = 128",
            "[replacement]\nold_share = 1.0",
            "[replacement]\nold_share = -0.1",
            "[replacement]\nold_share = nan",
        ] {
            let config: TrustConfig = toml::from_str(bad).unwrap();
            assert!(config.validate().is_err(), "{bad}");
        }
        for bad in [
            "[retrieval]\nschedule = \"hourly\"",
            "[retrieval]\nat_once_for = [\"SOON\"]",
            "[replacement]\nafter = true",
        ] {
            assert!(toml::from_str::<TrustConfig>(bad).is_err(), "{bad}");
        }
    }
}
