//! Handing a bundle to trust (docs/protocol.md 4).

use serde::{Deserialize, Serialize};

use crate::Rejected;
use crate::audit::AuditHead;
use crate::id::{BundleId, Digest, PartyId};
use crate::manifest::Manifest;
use crate::secret::ContentKey;
use crate::sign::{Signed, Statement};
use crate::time::Timestamp;
use crate::wrap::{OpeningKey, SealingKey, Wrapped};

const PURPOSE: &str = "content-key";

/// `POST /v1/deposits` (4.1).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepositRequest {
    /// What is deposited.
    pub manifest: Signed<Manifest>,
    /// The content key, wrapped to trust.
    pub content_key: Wrapped,
}

/// Trust's answer: what it still lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DepositStatus {
    /// Indexes of the fragments that are not stored yet, ascending.
    pub missing: Vec<u32>,
}

/// Trust's signed word that a bundle is in its hands (4.3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// The bundle.
    pub bundle: BundleId,
    /// [`Signed::digest`] of its manifest.
    pub manifest: Digest,
    /// Who deposited it.
    pub depositor: PartyId,
    /// When the deposit was complete.
    pub received: Timestamp,
    /// Head of the audit log with the deposit in it.
    pub audit: AuditHead,
}

impl Statement for Receipt {
    const KIND: &'static str = "receipt";
}

/// Wraps a content key to trust (3.4).
pub fn wrap_content_key(
    key: &ContentKey,
    bundle: BundleId,
    manifest: Digest,
    trust: &SealingKey,
    rng: &mut impl rand_core::CryptoRng,
) -> Result<Wrapped, Rejected> {
    trust.wrap(key.expose(), PURPOSE, &bound(bundle, manifest), rng)
}

/// Unwraps a content key at trust (3.4).
pub fn unwrap_content_key(
    wrapped: &Wrapped,
    bundle: BundleId,
    manifest: Digest,
    key: &OpeningKey,
) -> Result<ContentKey, Rejected> {
    let bytes = key.unwrap(wrapped, PURPOSE, &bound(bundle, manifest))?;
    ContentKey::from_slice(&bytes).ok_or(Rejected)
}

fn bound(bundle: BundleId, manifest: Digest) -> Vec<u8> {
    [bundle.0.as_slice(), &manifest.0].concat()
}
