//! Who asks, why, and what a permit demands (docs/protocol.md 8.1).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::Malformed;

/// Why somebody wants to see something: HL7 v3 PurposeOfUse codes.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "UPPERCASE")]
pub enum Purpose {
    /// Treatment.
    #[default]
    Treat,
    /// Emergency treatment.
    Etreat,
    /// Break the glass: access against the ordinary rules, at the user's own responsibility.
    Btg,
    /// Healthcare research.
    Hresch,
    /// Healthcare operations.
    Hoperat,
    /// At the patient's request.
    Patrqt,
}

impl Purpose {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Treat,
        Self::Etreat,
        Self::Btg,
        Self::Hresch,
        Self::Hoperat,
        Self::Patrqt,
    ];

    /// The code.
    pub fn code(self) -> &'static str {
        match self {
            Self::Treat => "TREAT",
            Self::Etreat => "ETREAT",
            Self::Btg => "BTG",
            Self::Hresch => "HRESCH",
            Self::Hoperat => "HOPERAT",
            Self::Patrqt => "PATRQT",
        }
    }
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl FromStr for Purpose {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::ALL
            .into_iter()
            .find(|p| p.code() == text)
            .ok_or_else(|| {
                let known = Self::ALL.map(Self::code).join(", ");
                Malformed::new("purpose of use", format!("{text:?} is none of {known}"))
            })
    }
}

/// A user, as the user's hospital vouches for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Requester {
    /// Name of the user at the hospital.
    pub user: String,
    /// Role there, as the policy names it: `physician`, `radiologist`, …
    pub role: String,
    /// Purpose of use.
    pub purpose: Purpose,
}

/// What a permit demands of the consumer or of trust.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Obligation {
    /// The producer is told.
    NotifyOrigin,
    /// A second person reviews the access afterwards.
    SecondReview,
    /// Exported images carry a tracing mark.
    TraceExport,
}

impl FromStr for Obligation {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text {
            "notify-origin" => Ok(Self::NotifyOrigin),
            "second-review" => Ok(Self::SecondReview),
            "trace-export" => Ok(Self::TraceExport),
            _ => Err(Malformed::new(
                "obligation",
                format!("{text:?} is none of notify-origin, second-review, trace-export"),
            )),
        }
    }
}
