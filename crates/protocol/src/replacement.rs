//! Re-placement: what was read, and a random share of what is old, goes back through the upload cache into the open
//! generation, under new placement keys (docs/protocol.md 5.7).
//!
//! A gateway that retrieved a bundle still has its sealed fragments and gives them back to trust; one that has queries
//! left in its round runs an [`Errand`] of trust. Trust compares each fragment with the producer's manifest.

use rand_core::Rng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Rejected;
use crate::id::{BundleId, Nonce};
use crate::placement::below;
use crate::release::Placement;
use crate::wrap::{OpeningKey, SealingKey, Wrapped};

const PURPOSE: &str = "errand";

/// A bundle that trust wants back. It opens cells, not what is in them: there is no content key.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Errand {
    /// Which.
    pub bundle: BundleId,
    /// Names this errand when fragments come back.
    pub grant: Nonce,
    /// [`ErrandSecrets`], wrapped to the gateway.
    pub secrets: Wrapped,
}

/// What only the gateway reads.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrandSecrets {
    /// Where the fragments are, in fragment order.
    pub placements: Vec<Placement>,
}

impl ErrandSecrets {
    /// Wraps to the gateway (5.7).
    ///
    /// # Errors
    /// [`Rejected`] for a sealing key that is none.
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

    /// Unwraps at the gateway (5.7).
    ///
    /// # Errors
    /// [`Rejected`] if it is not for this key, bundle and errand.
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

/// How much that is old goes back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rule {
    /// Share of a generation's slots that errands may fill, from 0 (none are run) to below 1.
    pub old_share: f64,
}

impl Rule {
    /// Whether the open generation, of `slots` slots, has room for an errand that brings `more` slots, where errands
    /// have brought `brought` and `under_way` are expected of others.
    #[must_use]
    pub fn allows(&self, slots: u32, brought: u32, under_way: u32, more: u32) -> bool {
        let wanted = f64::from(brought) + f64::from(under_way) + f64::from(more);
        wanted <= self.old_share * f64::from(slots)
    }
}

/// The open generation, as errands see it, in slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Room {
    /// All of its slots.
    pub slots: u32,
    /// Those that errands have opened in it.
    pub brought: u32,
    /// Those that errands under way bring at most.
    pub under_way: u32,
}

/// Draws the bundle of the next errand, uniformly from the candidates: each what names it, and the slots that it takes.
/// None if there is none, or if the one that was drawn finds no room: another one is not drawn instead, since then small
/// bundles would go back more often than large ones do.
#[must_use]
pub fn draw<T: Copy>(
    rule: &Rule,
    room: Room,
    candidates: &[(T, u32)],
    rng: &mut impl Rng,
) -> Option<T> {
    let count = u32::try_from(candidates.len()).unwrap_or(u32::MAX);
    if count == 0 {
        return None;
    }
    let (drawn, slots) = candidates[below(count, rng) as usize];
    rule.allows(room.slots, room.brought, room.under_way, slots)
        .then_some(drawn)
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;
    use crate::cell::CellAddress;
    use crate::id::GenerationId;
    use crate::secret::PlacementKey;

    #[test]
    fn an_errand_opens_for_its_gateway_alone() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
        let (key, _) = OpeningKey::generate(&mut rng);
        let (stranger, _) = OpeningKey::generate(&mut rng);
        let secrets = ErrandSecrets {
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
        let to = key.sealing_key();
        let wrapped = secrets.wrap(bundle, grant, &to, &mut rng).unwrap();
        let opened = ErrandSecrets::unwrap(&wrapped, bundle, grant, &key);
        assert_eq!(opened.unwrap(), secrets);
        assert!(ErrandSecrets::unwrap(&wrapped, bundle, grant, &stranger).is_err());
        assert!(ErrandSecrets::unwrap(&wrapped, BundleId([6; 16]), grant, &key).is_err());
        assert!(ErrandSecrets::unwrap(&wrapped, bundle, Nonce([6; 16]), &key).is_err());
        // A release of the same bundle under the same grant is something else.
        assert!(crate::release::Secrets::unwrap(&wrapped, bundle, grant, &key).is_err());
    }

    #[test]
    fn errands_stay_within_their_share() {
        let half = Rule { old_share: 0.5 };
        assert!(half.allows(256, 100, 20, 8));
        assert!(!half.allows(256, 100, 20, 9));
        assert!(!Rule { old_share: 0.0 }.allows(256, 0, 0, 1));
    }

    #[test]
    fn errands_are_drawn_uniformly_and_only_where_there_is_room() {
        let rng = &mut rand_chacha::ChaCha20Rng::from_seed([2; 32]);
        let half = Rule { old_share: 0.5 };
        let room = Room {
            slots: 16,
            brought: 2,
            under_way: 2,
        };
        let candidates = [("a", 1), ("b", 4), ("c", 5)];
        let mut drawn = std::collections::BTreeMap::new();
        for _ in 0..3000 {
            *drawn
                .entry(draw(&half, room, &candidates, rng))
                .or_insert(0) += 1;
        }
        assert_eq!(
            drawn.keys().collect::<Vec<_>>(),
            [&None, &Some("a"), &Some("b")]
        );
        // A thousand each; five standard deviations.
        assert!(
            drawn
                .values()
                .all(|count: &i32| (870..1130).contains(count)),
            "{drawn:?}"
        );
        assert_eq!(draw::<u8>(&half, room, &[], rng), None);
    }
}
