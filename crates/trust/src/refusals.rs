//! Refusals in the audit log, without letting whoever is refused fill it: the first ones of a minute are written as they
//! come, the rest as one entry that counts them. What was counted and not written is lost if the service is killed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use harpo_protocol::id::{BundleId, PartyId};
use harpo_protocol::time::Timestamp;
use harpo_service::http::{ApiError, bounded};
use tokio_util::sync::CancellationToken;

use crate::audit::Event;
use crate::error::TrustError;
use crate::serve::Trust;

const MINUTE: Duration = Duration::from_secs(60);
/// Entries a minute for each hospital; strangers have one, all together.
const OF_A_PARTY: u32 = 20;

/// Somebody was refused something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// A depositor, or a stranger who wanted to enrol.
    party: Option<PartyId>,
    bundle: Option<BundleId>,
    /// Code and message.
    reason: String,
    /// How many times; `bundle` and `reason` are of the last.
    count: u64,
}

impl Refusal {
    pub(crate) fn new(
        party: Option<PartyId>,
        bundle: Option<BundleId>,
        refusal: &ApiError,
    ) -> Self {
        Self {
            party,
            bundle,
            reason: bounded(&format!("{}: {}", refusal.code, refusal.message)),
            count: 1,
        }
    }

    fn event(self) -> Event {
        let Self { reason, count, .. } = self;
        match self.party {
            None => Event::EnrolmentRefused { reason, count },
            Some(party) => Event::DepositRefused {
                party,
                bundle: self.bundle,
                reason,
                count,
            },
        }
    }
}

/// What was refused within the last minute, by party.
#[derive(Default)]
pub(crate) struct Refusals(Mutex<BTreeMap<Option<PartyId>, Window>>);

struct Window {
    began: Timestamp,
    written: u32,
    held: Option<Refusal>,
}

impl Refusals {
    /// What should be written now, if anything.
    fn note(&self, refusal: Refusal, now: Timestamp) -> Option<Refusal> {
        let most = refusal.party.map_or(1, |_| OF_A_PARTY);
        let mut windows = self.windows();
        let window = windows.entry(refusal.party).or_insert(Window {
            began: now,
            written: 0,
            held: None,
        });
        if is_over(window, now) {
            let held = window.held.take().map_or(0, |held| held.count);
            *window = Window {
                began: now,
                written: 1,
                held: None,
            };
            return Some(Refusal {
                count: refusal.count + held,
                ..refusal
            });
        }
        if window.written < most {
            window.written += 1;
            return Some(refusal);
        }
        let held = window.held.take().map_or(0, |held| held.count);
        window.held = Some(Refusal {
            count: refusal.count + held,
            ..refusal
        });
        None
    }

    /// What was held back and is due, or everything that was.
    fn due(&self, now: Timestamp, everything: bool) -> Vec<Refusal> {
        let mut windows = self.windows();
        windows.retain(|_, window| window.held.is_some() || !is_over(window, now));
        let mut due = Vec::new();
        for window in windows.values_mut() {
            if (everything || is_over(window, now))
                && let Some(held) = window.held.take()
            {
                due.push(held);
                window.began = now;
                window.written = 1;
            }
        }
        due
    }

    fn windows(&self) -> MutexGuard<'_, BTreeMap<Option<PartyId>, Window>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_over(window: &Window, now: Timestamp) -> bool {
    now.since(window.began) >= MINUTE || now < window.began
}

/// Writes a refusal into the audit log, or counts it for later.
pub(crate) async fn note(trust: &Trust, refusal: Refusal) -> Result<(), TrustError> {
    if let Some(refusal) = trust.refusals.note(refusal, trust.store.now()) {
        trust.store.audit_alone(refusal.event()).await?;
    }
    Ok(())
}

/// Writes what was counted, every minute and at the end.
pub(crate) async fn keep(trust: Arc<Trust>, stop: CancellationToken) {
    loop {
        tokio::select! {
            () = stop.cancelled() => {}
            () = trust.store.clock.sleep(MINUTE) => {}
        }
        let ends = stop.is_cancelled();
        if let Err(error) = write_due(&trust, ends).await {
            tracing::error!(%error, "refusals could not be written into the audit log");
        }
        if ends {
            return;
        }
    }
}

pub(crate) async fn write_due(trust: &Trust, everything: bool) -> Result<(), TrustError> {
    for refusal in trust.refusals.due(trust.store.now(), everything) {
        trust.store.audit_alone(refusal.event()).await?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(party: Option<PartyId>, reason: &str) -> Refusal {
        Refusal::new(party, None, &ApiError::bad_request("malformed", reason))
    }

    #[test]
    fn nothing_that_is_refused_goes_uncounted_and_entries_are_few() {
        let refusals = Refusals::default();
        for party in [None, Some(PartyId([1; 16]))] {
            let (mut entries, mut counted) = (0u64, 0);
            let mut write = |written: Option<Refusal>| {
                entries += u64::from(written.is_some());
                counted += written.map_or(0, |written| written.count);
            };
            // An hour of ten refusals a second, with a look at what is due every minute.
            for tenth in 0..36_000u64 {
                let now = Timestamp(5_000_000 + tenth * 100);
                write(refusals.note(refusal(party, "no"), now));
                if tenth % 600 == 599 {
                    refusals
                        .due(now, false)
                        .into_iter()
                        .map(Some)
                        .for_each(&mut write);
                }
            }
            let end = Timestamp(5_000_000 + 3_600_000);
            refusals
                .due(end, true)
                .into_iter()
                .map(Some)
                .for_each(&mut write);
            assert_eq!(counted, 36_000);
            let most = party.map_or(1, |_| u64::from(OF_A_PARTY));
            assert!(entries <= 61 * most, "{entries} entries");
        }
    }

    #[test]
    fn reasons_are_short_and_quiet_parties_are_forgotten() {
        let refusals = Refusals::default();
        let long = refusal(None, &"x".repeat(100_000));
        assert!(long.reason.len() <= 200 && long.reason.starts_with("malformed: xxx"));
        refusals.note(long, Timestamp(0));
        assert_eq!(refusals.due(Timestamp(60_000), false), []);
        assert!(refusals.windows().is_empty());
    }
}
