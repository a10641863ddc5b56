//! The attestation: what a producer says of the instances of a bundle before it packs them
//! (docs/protocol.md 3.6).
//!
//! The manifest commits to the sealed bytes and can be signed only when they are there. Marks lie
//! inside these bytes, so they name this statement, which is signed before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::Malformed;
use crate::id::{BundleId, Digest, PartyId};
use crate::manifest::Manifest;
use crate::sign::Statement;
use crate::time::Timestamp;

/// Which instances a bundle holds, by what they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Attestation {
    /// The bundle.
    pub bundle: BundleId,
    /// The producer's party.
    pub origin: PartyId,
    /// When the bundle was closed: as in the manifest.
    pub created: Timestamp,
    /// SOPInstanceUID (0008,0018), to the SHA-256 of the instance's data set.
    pub instances: BTreeMap<String, Digest>,
}

impl Statement for Attestation {
    const KIND: &'static str = "attestation";
}

impl Attestation {
    /// The attestation of what `manifest` describes; its fragments and lengths do not matter.
    #[must_use]
    pub fn of(manifest: &Manifest) -> Self {
        Self {
            bundle: manifest.bundle,
            origin: manifest.origin,
            created: manifest.created,
            instances: manifest
                .instances()
                .map(|(_, i)| (i.sop_instance_uid.clone(), i.dataset_sha256))
                .collect(),
        }
    }

    /// Checks that it says the same as the manifest of the bundle (docs/protocol.md 10.1).
    ///
    /// # Errors
    /// [`Malformed`] if it is of anything else.
    pub fn agrees(&self, manifest: &Manifest) -> Result<(), Malformed> {
        if *self == Self::of(manifest) {
            return Ok(());
        }
        let why = "it does not name what the manifest names";
        Err(Malformed::new("attestation", why))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::tests::manifest;

    #[test]
    fn it_agrees_with_its_own_manifest_alone() {
        let honest = manifest();
        let attestation = Attestation::of(&honest);
        assert_eq!(attestation.instances.len(), 2);
        assert_eq!(attestation.agrees(&honest), Ok(()));
        type Change = fn(&mut Manifest);
        let changes: [Change; 5] = [
            |m| m.bundle.0[0] ^= 1,
            |m| m.origin.0[0] ^= 1,
            |m| m.created.0 += 1,
            |m| m.study.series[0].instances[1].dataset_sha256.0[0] ^= 1,
            |m| drop(m.study.series[0].instances.pop()),
        ];
        for change in changes {
            let mut other = manifest();
            change(&mut other);
            assert!(attestation.agrees(&other).is_err());
        }
    }
}
