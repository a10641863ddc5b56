//! What is wanted of whom.

use serde::Serialize;

use super::{Row, Verdict};

/// How far from a half the product's AUC may be, and how much over its priors an attack may name the right one.
pub(crate) const TOLERANCE: f64 = 0.02;
/// A baseline has lost a game in which the best attack surely has more than this.
pub(crate) const LOST: f64 = 0.60;

/// What became of a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The best attack gets no more than a half, where that is promised.
    Met,
    /// The product promises that, and the attack gets more.
    Missed,
    /// It may: the interval reaches into what is promised, there are too few questions to say.
    Unclear,
    /// A baseline lost, as it must somewhere; or what was taken from the product is missing here.
    Loses,
    /// A baseline did not lose this one.
    Holds,
    /// No promise: a figure to know.
    Context,
}

impl Mark {
    /// A sign for tables.
    #[must_use]
    pub fn sign(self) -> &'static str {
        match self {
            Self::Met => "✓",
            Self::Missed => "✗",
            Self::Unclear => "?",
            Self::Loses => "!",
            Self::Holds | Self::Context => " ",
        }
    }
}

impl Verdict {
    /// What a best attack means.
    pub(super) fn of(row: &Row) -> Self {
        let over = match (row.top1, row.prior_top1) {
            (Some(top1), Some(prior)) => top1 - prior,
            _ => 0.0,
        };
        let area = (row.auc - 0.5).abs() <= TOLERANCE;
        let near = row.ci_low <= 0.5 + TOLERANCE && row.ci_high >= 0.5 - TOLERANCE;
        // Which bundle is asked of candidates, where priors alone are right now and then.
        let names = row.numeral != "v" || over <= TOLERANCE;
        let mark = match row.kind.as_str() {
            "baseline" if row.ci_low > LOST => Mark::Loses,
            "baseline" => Mark::Holds,
            _ if !row.promised => Mark::Context,
            _ if area && names => Mark::Met,
            _ if near && names => Mark::Unclear,
            "product" => Mark::Missed,
            _ => Mark::Loses,
        };
        let mut says = format!(
            "{}: {:.3} ({:.3} to {:.3})",
            row.attack, row.auc, row.ci_low, row.ci_high
        );
        if let (Some(top1), Some(prior)) = (row.top1, row.prior_top1) {
            says.push_str(&format!(
                ", names the right one {top1:.3}, priors {prior:.3}"
            ));
        }
        Self {
            system: row.system.clone(),
            game: row.game.clone(),
            mark,
            says,
        }
    }
}
