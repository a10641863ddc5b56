//! What is wanted of whom.

use serde::Serialize;

use super::{Row, Verdict};
use crate::game::Game;

/// How far from a half the product's AUC may be, and how much over its priors an attack may name the right one; and
/// half the width of the 95 % interval at most, or there are too few questions to say.
pub(crate) const TOLERANCE: f64 = 0.02;
/// A baseline has lost a game in which the best attack surely has more than this.
pub(crate) const LOST: f64 = 0.60;

/// What became of a game.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mark {
    /// The best attack gets no more than a half, where that is promised, and there are enough questions to say so.
    Met,
    /// The product promises that, and the attack surely gets more.
    Missed,
    /// There are too few questions to say, or none was asked.
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

/// A figure of which a promise speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Within what is promised, to within [`TOLERANCE`].
    Within,
    /// Perhaps.
    Open,
    /// Its interval is outside.
    Outside,
}

impl Standing {
    /// An area, which is to be a half.
    fn of_area(row: &Row) -> Self {
        let half = (row.ci_high - row.ci_low) / 2.0;
        if row.ci_low > 0.5 + TOLERANCE || row.ci_high < 0.5 - TOLERANCE {
            Self::Outside
        } else if (row.auc - 0.5).abs() <= TOLERANCE && half <= TOLERANCE {
            Self::Within
        } else {
            Self::Open
        }
    }

    /// How often the right one is named, which is to be no more than by priors alone.
    fn of_names(row: &Row) -> Self {
        match over_priors(row) {
            Some((over, half)) if over - half > TOLERANCE => Self::Outside,
            Some((over, half)) if over <= TOLERANCE && half <= TOLERANCE => Self::Within,
            _ => Self::Open,
        }
    }
}

/// How much oftener the attack names the right one than priors do, and half of the 95 % interval of that.
fn over_priors(row: &Row) -> Option<(f64, f64)> {
    let (top1, prior) = row.top1.zip(row.prior_top1)?;
    let half = row.gain_half?;
    (row.identifications > 0).then_some((top1 - prior, half))
}

impl Verdict {
    /// What a best attack means.
    pub(super) fn of(row: &Row) -> Self {
        let mut standing = Standing::of_area(row);
        // Which bundle is asked of candidates, where priors alone are right now and then.
        if row.numeral == "v" {
            standing = standing.max(Standing::of_names(row));
        }
        let mark = match (row.kind.as_str(), standing) {
            ("baseline", _) if row.ci_low > LOST => Mark::Loses,
            ("baseline", _) => Mark::Holds,
            _ if !row.promised => Mark::Context,
            (_, Standing::Within) => Mark::Met,
            (_, Standing::Open) => Mark::Unclear,
            ("product", Standing::Outside) => Mark::Missed,
            (_, Standing::Outside) => Mark::Loses,
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
        if let Some((over, half)) = over_priors(row) {
            says.push_str(&format!(" ({over:+.3} ± {half:.3})"));
        }
        Self {
            system: row.system.clone(),
            game: row.game.clone(),
            mark,
            says,
        }
    }

    /// A promise about which nothing was asked.
    pub(super) fn not_played(system: &str, game: Game) -> Self {
        Self {
            system: system.to_owned(),
            game: crate::run::name(game),
            mark: Mark::Unclear,
            says: "not played".to_owned(),
        }
    }
}
