//! Finding studies (docs/protocol.md 8.2, 8.3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::access::Requester;
use crate::id::{BundleId, PartyId};
use crate::manifest::Attributes;

/// Most rows of one answer.
pub const MAX_ROWS: u32 = 1000;

/// Which things are searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Studies.
    Study,
    /// Series.
    Series,
    /// Instances.
    Instance,
}

/// `POST /v1/search` (8.2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchRequest {
    /// Who searches.
    pub requester: Requester,
    /// For what.
    pub level: Level,
    /// Matching keys: tag as eight upper-case hexadecimal digits, to the value to match by the
    /// rules of PS3.4 C.2.2.2 (single value, list of UIDs separated by `\` or `,`, wildcards, range).
    pub matching: BTreeMap<String, String>,
    /// At most this many rows, at most [`MAX_ROWS`].
    pub limit: u32,
    /// Rows to leave out first.
    pub offset: u32,
}

/// The rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SearchResponse {
    /// Attributes of each; series and instance rows hold those of the levels above, too.
    pub rows: Vec<Attributes>,
    /// Whether more would follow.
    pub more: bool,
}

/// `POST /v1/locate` (8.3).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocateRequest {
    /// Who asks.
    pub requester: Requester,
    /// Of which study.
    pub study_instance_uid: String,
}

/// Its bundles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LocateResponse {
    /// Oldest first.
    pub bundles: Vec<Located>,
}

/// One bundle of a study.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Located {
    /// The bundle.
    pub bundle: BundleId,
    /// Who deposited it.
    pub origin: PartyId,
    /// How many instances it holds.
    pub instances: u32,
}
