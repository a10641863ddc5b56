//! Retiring closed stacks of which nothing is left to read (docs/protocol.md 5.7, 6.4).

use std::time::Duration;

use harpo_protocol::placement::below;
use harpo_protocol::time::Timestamp;
use harpo_service::random;
use rand_core::Rng;

use super::{Mixer, log};
use crate::audit::Event;
use crate::error::TrustError;
use crate::store::{generations, stacks};

/// How long nothing has been in a stack, as it is noted, before it goes: whoever was given a place in it has read it by
/// then, or has a ticket that is too old.
const AFTER: Duration = Duration::from_secs(DAY_SECONDS);
const DAY_SECONDS: u64 = 24 * 3600;

/// What is noted as the time at which a stack was emptied: a moment of the day after, drawn uniformly. The cloud, which
/// sees when it is to delete, learns of the moment at which the last bundle left no more than the day.
fn noted(now: Timestamp, rng: &mut impl Rng) -> Timestamp {
    let day = DAY_SECONDS * 1000;
    let midnight = (now.0 / day + 1) * day;
    Timestamp(midnight + u64::from(below(day as u32, rng)))
}

impl Mixer {
    /// Takes closed stacks without bundles from the list, in the end, and has the cloud delete what was in them.
    pub(super) async fn retire(&mut self) -> Result<(), TrustError> {
        let store = &self.trust.store;
        let now = store.now();
        for (stack, emptied) in stacks::without_bundles(store.db.read()).await? {
            if emptied.is_some_and(|emptied| now < emptied.after(AFTER)) {
                continue;
            }
            // Nothing is ever added to a closed stack: what was seen stays true.
            let mut tx = store.db.begin("retire").await?;
            if emptied.is_none() {
                let at = noted(now, &mut random::system());
                stacks::emptied(&mut tx, stack, at).await?;
            } else {
                for generation in stacks::retire(&mut tx, stack).await? {
                    tracing::info!(%generation, "retired: all of its bundles were placed anew or erased");
                    store.audit(&mut tx, Event::Retired { generation }).await?;
                }
            }
            tx.commit().await?;
        }
        for (number, id) in generations::undeleted(self.trust.store.db.read()).await? {
            let failed = self.failures.get(&number);
            if failed.is_some_and(|(_, until)| now < *until) {
                continue;
            }
            let asked = self.cloud.delete(&format!("/v1/generations/{id}"));
            match asked.send().await {
                Err(error) if error.code() != Some("not_found") => {
                    let what = format!("generation {id} is retired and the cloud still has it");
                    log(&what, &error.into());
                    self.put_off(number)?;
                }
                // Gone before, if an answer was lost.
                _ => {
                    let mut tx = self.trust.store.db.begin("deleted").await?;
                    generations::deleted(&mut tx, number).await?;
                    tx.commit().await?;
                    self.failures.remove(&number);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn when_a_stack_goes_tells_the_day_and_not_the_hour() {
        let day = DAY_SECONDS * 1000;
        let drawn = |into: u64| {
            let now = Timestamp(20_000 * day + into);
            (0..400)
                .map(|_| noted(now, &mut random::system()).0 - 20_001 * day)
                .collect::<Vec<_>>()
        };
        for into in [0, 1, day / 2, day - 1] {
            let drawn = drawn(into);
            assert!(drawn.iter().all(|at| *at < day));
            // All four quarters of the day, whatever the hour was.
            for quarter in 0..4 {
                let count = drawn.iter().filter(|at| **at * 4 / day == quarter).count();
                assert!(count > 40, "{count} of 400 in quarter {quarter}");
            }
        }
    }
}
