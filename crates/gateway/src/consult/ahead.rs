//! What is known to be needed later is asked for ahead (docs/protocol.md 9.7): each bundle of a study in a round of its
//! own, drawn between now and then, so that nobody waits, and what belongs together is not asked for together.
//!
//! Releases are asked for when the round has come, not when somebody says what will be needed: placements are then
//! fresh, and the policy decides anew, in the name of who asked.

use std::sync::Arc;

use harpo_protocol::access::Requester;
use harpo_protocol::rounds::{Rule, Urgency, ahead};
use harpo_protocol::time::Timestamp;
use harpo_service::causes::in_one_line;
use serde::{Deserialize, Serialize};
use tracing::{debug, info, warn};

use super::{Consult, ConsultError, lock};
use crate::store::ahead::Ahead;

/// Bundles of which the fetch is begun at a time.
const BEGUN_AT_ONCE: u32 = 64;
/// Most bundles that are noted.
const NOTED: u64 = 100_000;

/// What became of asking ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Planned {
    /// Bundles that are asked for until then.
    pub planned: u32,
    /// Bundles that are here already.
    pub here: u32,
}

impl Consult {
    /// Has the bundles of a study here at `by`, if the policy permits `who` to see them then; at once, where there are no
    /// rounds or the purpose does not wait for them.
    pub async fn ahead(
        &self,
        who: &Requester,
        study_instance_uid: &str,
        by: Timestamp,
    ) -> Result<Planned, Arc<ConsultError>> {
        let inner = &self.0;
        let (now, rule) = (inner.now(), inner.rule_for(who));
        let mut planned = Vec::new();
        let mut here = 0;
        let noted = inner.store.ahead().await.map_err(shared)?;
        for bundle in inner.locate(who, study_instance_uid).await? {
            if inner.library.get(bundle, now).await?.is_some() {
                here += 1;
                continue;
            }
            if noted + planned.len() as u64 >= NOTED {
                return Err(Arc::new(ConsultError::TooMuchAhead));
            }
            let due = rule.map_or(now, |rule| draw(&rule, now, by, &mut inner.party.rng()));
            planned.push(Ahead {
                bundle,
                requester: who.clone(),
                due,
                by,
            });
        }
        inner.store.add_ahead(&planned).await.map_err(shared)?;
        if rule.is_none() {
            self.begin_ahead(now).await;
        }
        Ok(Planned {
            planned: planned.len() as u32,
            here,
        })
    }

    /// Begins to fetch what is due at `now`.
    pub(super) async fn begin_ahead(&self, now: Timestamp) {
        let due = match self.0.store.ahead_due(now, BEGUN_AT_ONCE).await {
            Ok(due) => due,
            Err(error) => {
                warn!(error = %in_one_line(&error), "what was asked for ahead is not known");
                return;
            }
        };
        for ahead in due {
            if lock(&self.0.begun).insert(ahead.bundle) {
                self.begin(ahead, now);
            }
        }
    }

    fn begin(&self, ahead: Ahead, now: Timestamp) {
        let this = self.clone();
        self.0.shutdown.spawn("fetching ahead", async move {
            let inner = &this.0;
            let bundle = ahead.bundle;
            let urgency = match inner.rule_for(&ahead.requester) {
                Some(rule) => Urgency::Ahead {
                    round: rule.number(now),
                },
                None => Urgency::Reader,
            };
            let fetched = match inner.library.get(bundle, inner.now()).await {
                Ok(Some(_)) => Ok(()),
                _ => {
                    let (flight, _) = this.flight(&ahead.requester, bundle, urgency);
                    flight.outcome.await
                }
            };
            lock(&inner.begun).remove(&bundle);
            match fetched {
                Ok(()) => debug!(%bundle, "here ahead of its time"),
                // It is begun again at the next start.
                Err(error) if matches!(*error, ConsultError::Stopping) => return,
                Err(error) => {
                    info!(%bundle, error = %in_one_line(&*error), "what was asked for ahead could not be had");
                }
            }
            if let Err(error) = inner.store.remove_ahead(bundle).await {
                warn!(error = %in_one_line(&error), "what was asked for ahead could not be forgotten");
            }
        });
    }
}

/// The beginning of the round that is drawn.
fn draw(
    rule: &Rule,
    now: Timestamp,
    by: Timestamp,
    rng: &mut impl rand_core::CryptoRng,
) -> Timestamp {
    match ahead(rule, now, by, rng) {
        Urgency::Ahead { round } => rule.begins(round),
        Urgency::Reader | Urgency::Errand => now,
    }
}

fn shared(error: impl Into<ConsultError>) -> Arc<ConsultError> {
    Arc::new(error.into())
}
