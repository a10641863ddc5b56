//! What a gateway writes down of every export (docs/protocol.md 10.3).

use serde::{Deserialize, Serialize};

use crate::access::Requester;
use crate::domain::hash;
use crate::id::{BundleId, Digest, Nonce, PartyId};
use crate::sign::Statement;
use crate::time::Timestamp;

/// Who took which bundle away, when and why. Signed by the gateway that it left, durable there
/// before its first byte leaves. [`crate::sign::Signed::digest`] of it names the export. The tracing
/// mark's codeword derives from [`Export::taker`] and the bundle's tracing key, so that whoever has the
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

impl Export {
    /// Names who took it: this user of this hospital, of this bundle. All exports of one bundle by one user
    /// have the same, so that somebody who takes it often has one codeword and is no coalition.
    pub fn taker(&self) -> Digest {
        let user = self.requester.user.as_bytes();
        hash("taker", &[&self.bundle.0, &self.consumer.0, user])
    }
}

impl Statement for Export {
    const KIND: &'static str = "export";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Purpose;

    #[test]
    fn a_taker_is_a_user_of_a_hospital_and_a_bundle_whenever_and_for_whatever() {
        let export = Export {
            consumer: PartyId([1; 16]),
            consumer_name: "Mercy Hospital".into(),
            requester: Requester {
                user: "grace".into(),
                role: "physician".into(),
                purpose: Purpose::Treat,
            },
            at: Timestamp(1),
            bundle: BundleId([2; 16]),
            study_instance_uid: "1.2".into(),
            traced: true,
            nonce: Nonce([3; 16]),
        };
        let changed = |change: fn(&mut Export)| {
            let mut other = export.clone();
            change(&mut other);
            other.taker()
        };
        let same = [
            changed(|e| e.at = Timestamp(2)),
            changed(|e| e.nonce = Nonce([4; 16])),
            changed(|e| e.requester.purpose = Purpose::Hoperat),
            changed(|e| e.requester.role = "nurse".into()),
        ];
        assert!(same.iter().all(|taker| *taker == export.taker()));
        let others = [
            changed(|e| e.consumer = PartyId([5; 16])),
            changed(|e| e.bundle = BundleId([5; 16])),
            changed(|e| e.requester.user = "eva".into()),
        ];
        assert!(others.iter().all(|taker| *taker != export.taker()));
    }
}
