//! What the web interface asks of the platform: searching and opening studies.
//!
//! The consulting side implements [`Archive`]: it asks trust, fetches obliviously where it must,
//! and leaves local files behind. The web interface knows nothing of how.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::future::BoxFuture;
use harpo_protocol::access::Requester;
use harpo_protocol::search::Level;

use crate::content::export::Exported;
use crate::dicom::json::Dataset;

/// A search as QIDO-RS puts it (PS3.18 section 10.6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchQuery {
    /// What the rows are.
    pub level: Level,
    /// Matching keys: tag as eight upper-case hexadecimal digits, to the value to match by the
    /// rules of PS3.4 C.2.2.2. Keys from the request's path are among them.
    pub matching: BTreeMap<String, String>,
    /// Attributes wanted beside the default ones, as tags; rows may hold more.
    pub include: Vec<String>,
    /// At most this many rows.
    pub limit: u32,
    /// Rows to leave out first.
    pub offset: u32,
}

/// The answer to a search.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SearchPage {
    /// Attributes of each, in the DICOM JSON model; rows of series and instances hold those of the
    /// levels above, too.
    pub rows: Vec<Dataset>,
    /// Whether more would follow.
    pub more: bool,
}

/// Which instances are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selector {
    /// Study Instance UID.
    pub study: String,
    /// Series Instance UID; all series if `None`.
    pub series: Option<String>,
    /// SOP Instance UID; all instances if `None`.
    pub instance: Option<String>,
}

impl Selector {
    /// Whether an instance of the study is among them.
    #[must_use]
    pub fn takes(&self, series: &str, instance: &str) -> bool {
        let fits = |wanted: &Option<String>, uid| wanted.as_ref().is_none_or(|w| w == uid);
        fits(&self.series, series) && fits(&self.instance, instance)
    }
}

/// What of the instances that are handed out is an export.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leaving {
    /// All of them.
    All,
    /// Those whose permit demands tracing marks on what is exported; the others are exact, and not written down.
    Traced,
}

/// An instance that lies in a local file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredInstance {
    /// SOP Instance UID.
    pub sop_instance_uid: String,
    /// Series Instance UID.
    pub series_instance_uid: String,
    /// SOP Class UID.
    pub sop_class_uid: String,
    /// The Part 10 file.
    pub path: PathBuf,
}

/// Why the platform did not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// Nothing there that this requester may know of.
    #[error("nothing found under these identifiers for you and this purpose")]
    NotFound,
    /// The policy says no.
    #[error("access is denied: {reason}")]
    Denied {
        /// In words for the user.
        reason: String,
    },
    /// Trust or the cloud cannot be reached, or asks to wait.
    #[error("the platform is not available now; try again in {} s", retry_after.as_secs())]
    Unavailable {
        /// When to try again.
        retry_after: Duration,
        /// The cause.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// It is being fetched, and comes with the network's rounds (docs/protocol.md 9.7).
    #[error("it is being fetched, with the network's next rounds; ask again in {} s", retry_after.as_secs())]
    Pending {
        /// When to ask again.
        retry_after: Duration,
    },
    /// What came back was not what was deposited. It was not delivered.
    #[error("what came back is damaged and was not delivered: {what}; tell your administrator")]
    Corrupt {
        /// What failed to verify.
        what: String,
    },
    /// The disk has no room for what must be fetched.
    #[error("{why}")]
    NoRoom {
        /// How much is needed and free, and what helps.
        why: String,
    },
    /// The policy permits taking it away with a tracing mark only, which it cannot carry. Nothing left.
    #[error("{why}")]
    Untraceable {
        /// Which instances, why, and what helps.
        why: String,
    },
    /// A fault of ours.
    #[error("the gateway failed; see its log")]
    Internal(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// See the module.
pub trait Archive: Send + Sync {
    /// The rows that match and that the policy lets `who` see.
    fn search<'a>(
        &'a self,
        who: &'a Requester,
        query: SearchQuery,
    ) -> BoxFuture<'a, Result<SearchPage, ArchiveError>>;

    /// The instances, fetched if they are not here yet, to be looked at. Files stay readable while they are open.
    fn open<'a>(
        &'a self,
        who: &'a Requester,
        which: Selector,
    ) -> BoxFuture<'a, Result<Vec<StoredInstance>, ArchiveError>>;

    /// The same to be taken away: decided anew, written down before this returns, and carrying a tracing
    /// mark where the permit demands it (docs/protocol.md 10.3).
    fn export<'a>(
        &'a self,
        who: &'a Requester,
        which: Selector,
        leaving: Leaving,
    ) -> BoxFuture<'a, Result<Vec<Exported>, ArchiveError>>;
}
