//! What a gateway writes down of every export (docs/protocol.md 10.3).

use serde::{Deserialize, Serialize};

use crate::access::Requester;
use crate::id::{BundleId, Nonce, PartyId};
use crate::sign::Statement;
use crate::time::Timestamp;

/// Who took which bundle away, when and why. Signed by the gateway that it left, durable there
/// before its first byte leaves. [`crate::sign::Signed::digest`] of it names the export: the tracing
/// mark's codeword derives from that digest and the bundle's tracing key, so that whoever has the
/// key and the list of exports can tell whose copy a picture was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The hospital that it left.
    pub consumer: PartyId,
    /// Its name.
    pub consumer_name: String,
    /// The user, as that hospital vouches for it.
    pub requester: Requester,
    /// When.
    pub at: Timestamp,
    /// Which bundle.
    pub bundle: BundleId,
    /// Its study.
    pub study_instance_uid: String,
    /// Whether the images carry the tracing mark.
    pub traced: bool,
    /// Makes every export's digest another, also of the same user in the same millisecond.
    pub nonce: Nonce,
}

impl Statement for Export {
    const KIND: &'static str = "export";
}
