//! Taking instances away (docs/protocol.md 10.3): decided at its own moment, checked, written down, marked.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::join_all;
use harpo_protocol::access::{Obligation, Requester};
use harpo_protocol::export::Export;
use harpo_protocol::id::{BundleId, Nonce};
use harpo_protocol::sign::Signed;
use tracing::info;

use super::{Consult, ConsultError, Inner};
use crate::archive::{Leaving, Selector, StoredInstance};
use crate::blocking;
use crate::content::export::{Exported, Tracing, untraceable};
use crate::store::CachedInstance;

/// Instances of one bundle that leave together.
struct Taken {
    bundle: BundleId,
    instances: Vec<CachedInstance>,
    /// The permit demands tracing marks.
    traced: bool,
    /// It is an export, and written down as one.
    noted: bool,
}

impl Consult {
    /// The instances, ready to leave; the exports are in the database when this returns.
    pub(super) async fn take_away(
        &self,
        who: &Requester,
        which: &Selector,
        leaving: Leaving,
    ) -> Result<Vec<Exported>, Arc<ConsultError>> {
        let bundles = self.0.locate(who, &which.study).await?;
        let taken = bundles.into_iter().map(|bundle| async move {
            let instances = self.bundle(who, bundle).await?;
            let remembered = self.0.decisions.get(&(who.clone(), bundle), self.0.now());
            let traced = match (leaving, remembered) {
                (Leaving::Traced, Some(Some(false))) => false,
                // What is taken away stays away, whatever is decided later: no remembered permit is good enough.
                _ => {
                    let obligations = self.0.permit(who, bundle).await?;
                    obligations.contains(&Obligation::TraceExport)
                }
            };
            Ok(Taken {
                bundle,
                instances,
                traced,
                noted: traced || leaving == Leaving::All,
            })
        });
        let taken: Result<Vec<Taken>, Arc<ConsultError>> =
            join_all(taken).await.into_iter().collect();
        let taken = chosen(taken?, which);
        let mut exports = Vec::new();
        let mut leaving = Vec::new();
        for taken in taken {
            let mark = match taken.noted {
                false => None,
                true => {
                    let (export, mark) = self.0.export(who, &which.study, &taken).await?;
                    exports.push(export);
                    mark
                }
            };
            let stored = taken.instances.into_iter().map(StoredInstance::from);
            leaving.extend(stored.map(|stored| Exported::new(stored, mark.clone())));
        }
        let leaving = blocking(move || untraceable(&leaving).map(|()| leaving))
            .await
            .map_err(|error| Arc::new(error.into()))?;
        self.0
            .store
            .add_exports(&exports)
            .await
            .map_err(|error| Arc::new(error.into()))?;
        for (export, signed) in &exports {
            info!(bundle = %export.bundle, export = %signed.digest(), traced = export.traced, "a bundle was exported");
        }
        Ok(leaving)
    }
}

impl Inner {
    /// The statement of an export, and the mark that it demands.
    async fn export(
        &self,
        who: &Requester,
        study: &str,
        taken: &Taken,
    ) -> Result<((Export, Signed<Export>), Option<Arc<Tracing>>), Arc<ConsultError>> {
        let export = Export {
            consumer: self.party.id(),
            consumer_name: self.party.name().to_owned(),
            requester: who.clone(),
            at: self.now(),
            bundle: taken.bundle,
            study_instance_uid: study.to_owned(),
            traced: taken.traced,
            nonce: Nonce::random(&mut self.party.rng()),
        };
        let signed = self.party.signing_key().sign(&export);
        let mark = match taken.traced {
            false => None,
            true => {
                let keys = self.store.bundle_keys(taken.bundle).await;
                let keys = keys.map_err(|error| Arc::new(error.into()))?;
                let keys = keys.ok_or_else(|| ConsultError::NoTraceKey(taken.bundle))?;
                Some(Arc::new(Tracing::new(&keys.trace_key, export.taker())))
            }
        };
        Ok(((export, signed), mark))
    }
}

/// Those that were asked for, each once: an instance that lies in two bundles leaves under the stricter
/// permit.
fn chosen(mut taken: Vec<Taken>, which: &Selector) -> Vec<Taken> {
    taken.sort_by_key(|taken| !taken.traced);
    let mut seen = BTreeSet::new();
    for taken in &mut taken {
        taken.instances.retain(|instance| {
            which.takes(&instance.series_instance_uid, &instance.sop_instance_uid)
                && seen.insert(instance.sop_instance_uid.clone())
        });
    }
    taken.retain(|taken| !taken.instances.is_empty());
    taken
}

#[cfg(test)]
mod tests {
    use harpo_protocol::id::Digest;

    use super::*;

    fn taken(bundle: u8, uids: &[&str], traced: bool) -> Taken {
        let instances = uids.iter().map(|uid| CachedInstance {
            sop_instance_uid: (*uid).to_owned(),
            sop_class_uid: "1.2".into(),
            series_instance_uid: "1.3".into(),
            path: format!("{bundle}/{uid}").into(),
            sha256: Digest([0; 32]),
        });
        Taken {
            bundle: BundleId([bundle; 16]),
            instances: instances.collect(),
            traced,
            noted: true,
        }
    }

    #[test]
    fn an_instance_leaves_once_and_under_the_stricter_permit() {
        let all = Selector {
            study: "1".into(),
            series: None,
            instance: None,
        };
        let both = || vec![taken(1, &["a", "b"], false), taken(2, &["b", "c"], true)];
        let left: Vec<_> = chosen(both(), &all)
            .into_iter()
            .flat_map(|t| {
                let traced = t.traced;
                t.instances.into_iter().map(move |i| (i.path, traced))
            })
            .collect();
        let expected = [("2/b", true), ("2/c", true), ("1/a", false)];
        assert_eq!(left, expected.map(|(path, traced)| (path.into(), traced)));
        let one = Selector {
            instance: Some("a".into()),
            ..all.clone()
        };
        let left = chosen(both(), &one);
        assert_eq!((left.len(), left[0].bundle), (1, BundleId([1; 16])));
        let other_series = Selector {
            series: Some("1.4".into()),
            ..all
        };
        assert!(chosen(both(), &other_series).is_empty());
    }
}
