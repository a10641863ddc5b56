//! What a gateway's folder holds that marks are judged with; readable while the gateway runs.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use harpo_protocol::export::Export;
use harpo_protocol::id::{BundleId, Digest};
use harpo_protocol::identity::Credential;
use harpo_protocol::sign::{Signed, VerifyingKey};
use serde::{Deserialize, Serialize};

use super::judge::VerifyKey;
use super::leak::{Candidates, Originals};
use super::picture::Picture;
use crate::party::{self, PartyError};
use crate::store::marks::BundleKeys;
use crate::store::{Store, StoreError};

/// Why records cannot be had.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Keys and credential.
    #[error(transparent)]
    Party(#[from] PartyError),
    /// An original cannot be read.
    #[error("{} cannot be read", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Too much at once.
    #[error(
        "the originals have too many pixels to be searched at once; name the likely ones with --original"
    )]
    TooLarge,
    /// Not what a producer attested.
    #[error(
        "{} is not an original of this study as a producer here attested it: its data set has another digest, and \
         nothing can be proven with it",
        path.display()
    )]
    NotOriginal {
        /// Which.
        path: PathBuf,
    },
    /// A list does not verify.
    #[error(
        "the list of exports was not signed by the hospital that it names, or by none of this network"
    )]
    List,
}

/// Exports of one hospital, as it hands them to another that traces a leak.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportList {
    /// The hospital's, by trust.
    pub hospital: Signed<Credential>,
    /// By the hospital, newest first.
    pub exports: Vec<Signed<Export>>,
}

impl ExportList {
    /// The exports, with the digests of their statements.
    ///
    /// # Errors
    /// [`RecordError::List`] if a signature is not trust's or the hospital's.
    pub fn verify(&self, trust: &VerifyingKey) -> Result<Vec<(Digest, Export)>, RecordError> {
        let hospital = self.hospital.verify(trust).map_err(|_| RecordError::List)?;
        self.exports
            .iter()
            .map(|signed| {
                let export = signed.verify(&hospital.keys.signing);
                let export = export.map_err(|_| RecordError::List)?;
                if export.consumer != hospital.party {
                    return Err(RecordError::List);
                }
                Ok((signed.digest(), export.into_inner()))
            })
            .collect()
    }
}

/// See the module.
#[derive(Debug)]
pub struct Records {
    store: Store,
    cache: PathBuf,
    hospital: Signed<Credential>,
    trust: VerifyingKey,
}

impl Records {
    /// Those of a gateway's data folder.
    ///
    /// # Errors
    /// If it is not enrolled, or its database cannot be opened.
    pub async fn open(data: &Path) -> Result<Self, RecordError> {
        let (hospital, trust) = party::credential(data)?;
        Ok(Self {
            store: Store::open(&data.join("gateway.db")).await?,
            cache: data.join("cache"),
            hospital,
            trust,
        })
    }

    /// The key that vouches for hospitals.
    #[must_use]
    pub fn trust_key(&self) -> &VerifyingKey {
        &self.trust
    }

    /// The keys of a bundle, if it was sealed or opened here.
    ///
    /// # Errors
    /// Database.
    pub async fn keys(&self, bundle: BundleId) -> Result<Option<BundleKeys>, RecordError> {
        Ok(self.store.bundle_keys(bundle).await?)
    }

    /// The keys of all bundles of a study.
    ///
    /// # Errors
    /// Database.
    pub async fn keys_of(&self, study: &str) -> Result<Vec<BundleKeys>, RecordError> {
        Ok(self.store.bundle_keys_of(study).await?)
    }

    /// The exports of this gateway, newest first.
    ///
    /// # Errors
    /// Database, or an entry that this hospital did not sign.
    pub async fn list(&self) -> Result<ExportList, RecordError> {
        Ok(ExportList {
            hospital: self.hospital.clone(),
            exports: self.store.exports().await?,
        })
    }

    /// The exports of the bundles of a study: this gateway's own and those of `lists`.
    ///
    /// # Errors
    /// Database, or an entry that its hospital did not sign.
    pub async fn candidates(
        &self,
        study: &str,
        lists: &[ExportList],
    ) -> Result<BTreeMap<BundleId, Candidates>, RecordError> {
        let mut all = BTreeMap::new();
        for keys in self.keys_of(study).await? {
            let own = ExportList {
                hospital: self.hospital.clone(),
                exports: self.store.exports_of(keys.bundle).await?,
            };
            let mut exports = own.verify(&self.trust)?;
            for list in lists {
                exports.extend(list.verify(&self.trust)?);
            }
            exports.retain(|(_, export)| export.bundle == keys.bundle && export.traced);
            exports.sort_by_key(|(id, _)| *id);
            exports.dedup_by_key(|(id, _)| *id);
            all.insert(
                keys.bundle,
                Candidates {
                    key: keys.trace_key,
                    exports,
                },
            );
        }
        Ok(all)
    }

    /// The studies of the exports that carry tracing marks, here and in `lists`, the newest first.
    ///
    /// # Errors
    /// Database, or an entry that this hospital did not sign.
    pub async fn exported_studies(&self, lists: &[ExportList]) -> Result<Vec<String>, RecordError> {
        let mut exports = self.list().await?.verify(&self.trust)?;
        for list in lists {
            exports.extend(list.verify(&self.trust)?);
        }
        exports.sort_by_key(|(_, export)| std::cmp::Reverse(export.at));
        let mut studies = Vec::new();
        for (_, export) in exports {
            if export.traced && !studies.contains(&export.study_instance_uid) {
                studies.push(export.study_instance_uid);
            }
        }
        Ok(studies)
    }

    /// The originals of a study that are in the local cache.
    ///
    /// # Errors
    /// Database, disk, and [`RecordError::TooLarge`].
    pub async fn originals(&self, study: &str) -> Result<Originals, RecordError> {
        let mut originals = Originals::default();
        for keys in self.keys_of(study).await? {
            let dir = self.cache.join(keys.bundle.to_string());
            let held = self.store.cached(keys.bundle, &dir).await?;
            for instance in held.unwrap_or_default() {
                add(&mut originals, keys.bundle, &read(&instance.path)?)?;
            }
        }
        Ok(originals)
    }

    /// Originals of a study from elsewhere, of whichever of its bundles attests them.
    ///
    /// # Errors
    /// Database, disk, [`RecordError::NotOriginal`] for what no bundle attests, and [`RecordError::TooLarge`].
    pub async fn originals_from(
        &self,
        study: &str,
        files: &[PathBuf],
    ) -> Result<Originals, RecordError> {
        let mut originals = Originals::default();
        let bundles = self.keys_of(study).await?;
        let keys: Vec<VerifyKey> = bundles
            .iter()
            .filter_map(|k| VerifyKey::new(k).ok())
            .collect();
        for path in files {
            let file = read(path)?;
            let refused = || RecordError::NotOriginal { path: path.clone() };
            let picture = Picture::find(&file).map_err(|_| refused())?;
            let attesting = keys.iter().filter(|key| key.attests(&picture, &file));
            let mut attested = false;
            for key in attesting {
                add(&mut originals, key.bundle(), &file)?;
                attested = true;
            }
            if !attested {
                return Err(refused());
            }
        }
        Ok(originals)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RecordError> {
    fs::read(path).map_err(|source| RecordError::Read {
        path: path.to_owned(),
        source,
    })
}

fn add(originals: &mut Originals, bundle: BundleId, file: &[u8]) -> Result<(), RecordError> {
    match originals.add(bundle, file) {
        true => Ok(()),
        false => Err(RecordError::TooLarge),
    }
}
