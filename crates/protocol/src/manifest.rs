//! The manifest: what a producer says of a bundle, signed (docs/protocol.md 3.3).

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::Malformed;
use crate::fragment::MAX_FRAGMENTS;
use crate::id::{BundleId, Digest, PartyId};
use crate::pack::{MAX_INSTANCE_BYTES, MAX_INSTANCES};
use crate::sign::Statement;
use crate::time::Timestamp;

/// Attributes in the DICOM JSON model (PS3.18 annex F): tag as eight upper-case hexadecimal
/// digits, to `{"vr", "Value"}`. This crate does not interpret them.
pub type Attributes = BTreeMap<String, Value>;

/// Most bytes of a manifest as JSON.
pub const MAX_MANIFEST_BYTES: usize = 64 << 20;

/// What a bundle is, who made it, and the digests of everything in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The bundle.
    pub bundle: BundleId,
    /// The producer's party.
    pub origin: PartyId,
    /// Who sent it at the producer: a user's name or a calling AE title.
    pub creator: String,
    /// When the bundle was closed.
    pub created: Timestamp,
    /// The study and its instances, in pack order.
    pub study: Study,
    /// SHA-256 of every fragment, in order.
    pub fragments: Vec<Digest>,
}

impl Statement for Manifest {
    const KIND: &'static str = "manifest";
}

/// A study, or the part of it that one bundle holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Study {
    /// StudyInstanceUID (0020,000D).
    pub study_instance_uid: String,
    /// PatientID (0010,0020) as the producer issued it; may be empty.
    pub patient_id: String,
    /// Patient and study level attributes.
    pub attributes: Attributes,
    /// Its series.
    pub series: Vec<Series>,
}

/// A series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Series {
    /// SeriesInstanceUID (0020,000E).
    pub series_instance_uid: String,
    /// Series level attributes.
    pub attributes: Attributes,
    /// Its instances.
    pub instances: Vec<Instance>,
}

/// An instance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Instance {
    /// SOPInstanceUID (0008,0018).
    pub sop_instance_uid: String,
    /// SOPClassUID (0008,0016).
    pub sop_class_uid: String,
    /// Instance level attributes.
    pub attributes: Attributes,
    /// Length of the Part 10 file.
    pub bytes: u64,
    /// SHA-256 of the Part 10 file.
    pub sha256: Digest,
    /// SHA-256 of its data set, without preamble and meta header: the same for the same instance,
    /// whoever wrote the file around it.
    pub dataset_sha256: Digest,
}

impl Manifest {
    /// Instances in pack order.
    pub fn instances(&self) -> impl Iterator<Item = (&Series, &Instance)> {
        self.study
            .series
            .iter()
            .flat_map(|series| series.instances.iter().map(move |i| (series, i)))
    }

    /// Checks what holds of every honest manifest (docs/protocol.md 4.1): unique and well-formed
    /// UIDs, and the limits.
    pub fn validate(&self) -> Result<(), Malformed> {
        let complain = |why: String| Err(Malformed::new("manifest", why));
        if self.fragments.is_empty() || self.fragments.len() > MAX_FRAGMENTS as usize {
            return complain(format!(
                "{} fragments; it must be 1 to {MAX_FRAGMENTS}",
                self.fragments.len()
            ));
        }
        let mut seen = std::collections::BTreeSet::new();
        for (series, instance) in self.instances() {
            for uid in [
                &self.study.study_instance_uid,
                &series.series_instance_uid,
                &instance.sop_instance_uid,
                &instance.sop_class_uid,
            ] {
                if !is_uid(uid) {
                    return complain(format!("{uid:?} is not a DICOM UID"));
                }
            }
            if !seen.insert(instance.sop_instance_uid.as_str()) {
                return complain(format!(
                    "instance {} stands twice",
                    instance.sop_instance_uid
                ));
            }
            if instance.bytes > MAX_INSTANCE_BYTES {
                return complain(format!(
                    "instance {} is larger than {MAX_INSTANCE_BYTES} bytes",
                    instance.sop_instance_uid
                ));
            }
        }
        if seen.is_empty() || seen.len() > MAX_INSTANCES {
            return complain(format!(
                "{} instances; it must be 1 to {MAX_INSTANCES}",
                seen.len()
            ));
        }
        Ok(())
    }
}

/// Whether `text` has the form of a DICOM UID: digits and dots, 1 to 64 characters (PS3.5 9.1;
/// leading zeros of components are tolerated, hospitals have them).
pub fn is_uid(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || b == b'.')
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn manifest() -> Manifest {
        let instance = |uid: &str| Instance {
            sop_instance_uid: uid.into(),
            sop_class_uid: "1.2.840.10008.5.1.4.1.1.2".into(),
            attributes: Attributes::new(),
            bytes: 10,
            sha256: Digest([1; 32]),
            dataset_sha256: Digest([2; 32]),
        };
        Manifest {
            bundle: BundleId([1; 16]),
            origin: PartyId([2; 16]),
            creator: "CT1".into(),
            created: Timestamp(1),
            study: Study {
                study_instance_uid: "1.2.3".into(),
                patient_id: "p".into(),
                attributes: Attributes::new(),
                series: vec![Series {
                    series_instance_uid: "1.2.3.4".into(),
                    attributes: Attributes::new(),
                    instances: vec![instance("1.2.3.4.1"), instance("1.2.3.4.2")],
                }],
            },
            fragments: vec![Digest([0; 32])],
        }
    }

    #[test]
    fn dishonest_manifests_are_refused() {
        assert_eq!(manifest().validate(), Ok(()));
        type Spoil = fn(&mut Manifest);
        let cases: [(&str, Spoil); 6] = [
            ("no fragments", |m| m.fragments.clear()),
            ("no instances", |m| m.study.series.clear()),
            ("duplicate instance", |m| {
                m.study.series[0].instances[1].sop_instance_uid = "1.2.3.4.1".into()
            }),
            ("path in a UID", |m| {
                m.study.study_instance_uid = "../../etc".into()
            }),
            ("empty UID", |m| {
                m.study.series[0].series_instance_uid.clear()
            }),
            ("enormous instance", |m| {
                m.study.series[0].instances[0].bytes = u64::MAX
            }),
        ];
        for (name, spoil) in cases {
            let mut bad = manifest();
            spoil(&mut bad);
            assert!(bad.validate().is_err(), "{name}");
        }
    }

    #[test]
    fn an_instance_names_the_digest_of_its_data_set() {
        let mut json = serde_json::to_value(manifest()).unwrap();
        assert!(serde_json::from_value::<Manifest>(json.clone()).is_ok());
        let instance = &mut json["study"]["series"][0]["instances"][0];
        instance.as_object_mut().unwrap().remove("dataset_sha256");
        assert!(serde_json::from_value::<Manifest>(json).is_err());
    }
}
