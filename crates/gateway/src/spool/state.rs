//! What the spool remembers of its files, so that it need not look.

use std::collections::HashMap;

use super::{Instances, OpenStudy, Waiting};
use crate::dicom::Header;

/// Where an instance is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Being written: not acknowledged yet.
    Arriving,
    /// Durable in an open study.
    Open,
    /// Durable in a closed bundle.
    Closed(String),
}

/// An instance.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) study: String,
    pub(super) digest: [u8; 32],
    pub(super) place: Place,
}

/// Whose study it is: Patient ID and its issuer.
pub(super) type PatientKey = (String, String);

#[derive(Debug)]
pub(super) struct Open {
    pub(super) patient: PatientKey,
    pub(super) last_ms: u64,
    pub(super) durable: usize,
    pub(super) arriving: usize,
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct Closed {
    pub(super) study: String,
    pub(super) patient: PatientKey,
    pub(super) instances: usize,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) instances: Instances,
    pub(super) open: HashMap<String, Open>,
    pub(super) closed: HashMap<String, Closed>,
}

pub(super) fn patient_key(header: &Header) -> PatientKey {
    (header.patient.id.clone(), header.patient.issuer.clone())
}

impl State {
    /// Whether the study's instances, as far as they are here, are of the same patient.
    pub(super) fn same_patient(&self, header: &Header) -> bool {
        let study = &header.study_instance_uid;
        let patient = patient_key(header);
        self.open
            .get(study)
            .is_none_or(|open| open.patient == patient)
            && self
                .closed
                .values()
                .all(|c| c.study != *study || c.patient == patient)
    }

    /// Notes an instance that is being written; whether none of its study is durable yet.
    pub(super) fn arriving(&mut self, header: &Header, digest: [u8; 32]) -> bool {
        let study = header.study_instance_uid.clone();
        let known = Known {
            study: study.clone(),
            digest,
            place: Place::Arriving,
        };
        self.instances
            .insert(header.sop_instance_uid.clone(), known);
        let open = self
            .open
            .entry(study)
            .or_insert_with(|| Open::of(patient_key(header)));
        open.arriving += 1;
        open.durable == 0
    }

    pub(super) fn arrived(&mut self, study: &str, instance: &str, now_ms: u64, bytes: u64) {
        if let Some(known) = self.instances.get_mut(instance) {
            known.place = Place::Open;
        }
        if let Some(open) = self.open.get_mut(study) {
            open.arriving -= 1;
            open.add(now_ms, bytes);
        }
    }

    pub(super) fn failed(&mut self, study: &str, instance: &str) {
        self.instances.remove(instance);
        if let Some(open) = self.open.get_mut(study) {
            open.arriving -= 1;
            if open.arriving == 0 && open.durable == 0 {
                self.open.remove(study);
            }
        }
    }

    pub(super) fn quiet_since(&self, study: &str) -> Option<u64> {
        let open = self.open.get(study)?;
        (open.arriving == 0 && open.durable > 0).then_some(open.last_ms)
    }

    pub(super) fn open_studies(&self) -> Vec<OpenStudy> {
        let mut studies: Vec<_> = self
            .open
            .iter()
            .filter(|(_, open)| open.durable > 0)
            .map(|(study, open)| OpenStudy {
                study_instance_uid: study.clone(),
                last_ms: open.last_ms,
                instances: open.durable,
                bytes: open.bytes,
            })
            .collect();
        studies.sort_by(|a, b| {
            (a.last_ms, &a.study_instance_uid).cmp(&(b.last_ms, &b.study_instance_uid))
        });
        studies
    }

    pub(super) fn closed_bundles(&self) -> Vec<Waiting> {
        let mut bundles: Vec<_> = self
            .closed
            .iter()
            .map(|(id, closed)| Waiting {
                id: id.clone(),
                study_instance_uid: closed.study.clone(),
                instances: closed.instances,
            })
            .collect();
        bundles.sort_by(|a, b| a.id.cmp(&b.id));
        bundles
    }

    /// Instances that are durable and not deposited.
    pub(super) fn waiting(&self) -> usize {
        let open: usize = self.open.values().map(|open| open.durable).sum();
        open + self.closed.values().map(|c| c.instances).sum::<usize>()
    }

    pub(super) fn rename(&mut self, from: &str, to: &str) {
        if let Some(closed) = self.closed.remove(from) {
            self.closed.insert(to.to_owned(), closed);
        }
        for known in self.instances.values_mut() {
            if matches!(&known.place, Place::Closed(bundle) if bundle == from) {
                known.place = Place::Closed(to.to_owned());
            }
        }
    }

    /// Closes a study; how many instances it has.
    pub(super) fn close(&mut self, study: &str, bundle: &str) -> usize {
        let Some(open) = self.open.remove(study) else {
            return 0;
        };
        self.closed.insert(
            bundle.to_owned(),
            Closed {
                study: study.to_owned(),
                patient: open.patient,
                instances: open.durable,
            },
        );
        for known in self.instances.values_mut() {
            if known.study == study && known.place == Place::Open {
                known.place = Place::Closed(bundle.to_owned());
            }
        }
        open.durable
    }

    pub(super) fn forget(&mut self, bundle: &str) {
        self.closed.remove(bundle);
        self.instances
            .retain(|_, known| !matches!(&known.place, Place::Closed(b) if b == bundle));
    }
}

impl Open {
    pub(super) fn of(patient: PatientKey) -> Self {
        Self {
            patient,
            last_ms: 0,
            durable: 0,
            arriving: 0,
            bytes: 0,
        }
    }

    pub(super) fn add(&mut self, now_ms: u64, bytes: u64) {
        self.durable += 1;
        self.bytes += bytes;
        self.last_ms = self.last_ms.max(now_ms);
    }
}
