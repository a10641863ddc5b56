//! What a permit gives a consumer (docs/protocol.md 8.4, 8.5).

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Rejected;
use crate::access::{Obligation, Requester};
use crate::cell::CellAddress;
use crate::id::{BundleId, Nonce};
use crate::identity::Credential;
use crate::manifest::Manifest;
use crate::retrieval::Ticket;
use crate::secret::{ContentKey, PlacementKey, sealed_form};
use crate::sign::Signed;
use crate::stack::StackDescriptor;
use crate::wrap::{OpeningKey, SealingKey, Wrapped};

const PURPOSE: &str = "release";

/// `POST /v1/releases` (8.4).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleaseRequest {
    /// Who asks.
    pub requester: Requester,
    /// For which bundle.
    pub bundle: BundleId,
    /// The gateway holds the bytes already and asks for the decision only.
    pub held: bool,
}

/// A permit.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Release {
    /// The bundle.
    pub bundle: BundleId,
    /// By its producer.
    pub manifest: Signed<Manifest>,
    /// The producer's, by trust.
    pub origin: Signed<Credential>,
    /// What the permit demands.
    pub obligations: Vec<Obligation>,
    /// How to get it; none if it is held.
    pub access: Option<Access>,
}

/// How to get a bundle.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// Names this permit.
    pub grant: Nonce,
    /// [`Secrets`], wrapped to the consumer.
    pub secrets: Wrapped,
    /// Where it is.
    pub source: Source,
    /// Trust wants the fragments back when they were read (5.7).
    #[serde(default)]
    pub give_back: bool,
}

/// Where a bundle is.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "lowercase", deny_unknown_fields)]
pub enum Source {
    /// In trust's upload cache (8.5).
    Cache,
    /// In the cloud.
    Stack {
        /// Every query covers it.
        stack: Signed<StackDescriptor>,
        /// One for each retrieval, in order.
        tickets: Vec<Signed<Ticket>>,
    },
}

/// What only the consumer reads.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Secrets {
    /// Opens the fragments.
    #[serde(with = "sealed_form")]
    pub content_key: ContentKey,
    /// Where the fragments are, in fragment order; empty while they are in the cache.
    pub placements: Vec<Placement>,
}

/// The place of one fragment, and what opens it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placement {
    /// Its cell.
    pub at: CellAddress,
    /// The cell's key.
    #[serde(with = "sealed_form")]
    pub key: PlacementKey,
}

impl Secrets {
    /// Wraps to the consumer (8.4).
    pub fn wrap(
        &self,
        bundle: BundleId,
        grant: Nonce,
        to: &SealingKey,
        rng: &mut impl rand_core::CryptoRng,
    ) -> Result<Wrapped, Rejected> {
        let json = Zeroizing::new(serde_json::to_vec(self).map_err(|_| Rejected)?);
        to.wrap(&json, PURPOSE, &bound(bundle, grant), rng)
    }

    /// Unwraps at the consumer (8.4).
    pub fn unwrap(
        wrapped: &Wrapped,
        bundle: BundleId,
        grant: Nonce,
        key: &OpeningKey,
    ) -> Result<Self, Rejected> {
        let json = key.unwrap(wrapped, PURPOSE, &bound(bundle, grant))?;
        serde_json::from_slice(&json).map_err(|_| Rejected)
    }
}

fn bound(bundle: BundleId, grant: Nonce) -> Vec<u8> {
    [bundle.0.as_slice(), &grant.0].concat()
}

/// What happened to a party's own bundle (8.7).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// Ascending.
    pub number: u64,
    /// When.
    pub at: crate::time::Timestamp,
    /// Which bundle.
    pub bundle: BundleId,
    /// The hospital whose user saw it.
    pub consumer: String,
    /// The user, as that hospital named it.
    pub requester: Requester,
    /// What the permit demanded.
    pub obligations: Vec<Obligation>,
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::id::GenerationId;

    #[test]
    fn secrets_open_only_for_the_consumer_bundle_and_grant() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
        let (key, _) = OpeningKey::generate(&mut rng);
        let (stranger, _) = OpeningKey::generate(&mut rng);
        let secrets = Secrets {
            content_key: ContentKey::random(&mut rng),
            placements: vec![Placement {
                at: CellAddress {
                    generation: GenerationId([1; 16]),
                    slot: 2,
                    cell: 3,
                },
                key: PlacementKey::random(&mut rng),
            }],
        };
        let (bundle, grant) = (BundleId([4; 16]), Nonce([5; 16]));
        let wrapped = secrets
            .wrap(bundle, grant, &key.sealing_key(), &mut rng)
            .unwrap();
        assert_eq!(
            Secrets::unwrap(&wrapped, bundle, grant, &key).unwrap(),
            secrets
        );
        assert!(Secrets::unwrap(&wrapped, bundle, grant, &stranger).is_err());
        assert!(Secrets::unwrap(&wrapped, BundleId([6; 16]), grant, &key).is_err());
        assert!(Secrets::unwrap(&wrapped, bundle, Nonce([6; 16]), &key).is_err());
    }
}
