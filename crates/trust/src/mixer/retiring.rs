//! Retiring closed stacks of which nothing is left to read (docs/protocol.md 5.7, 6.4).

use std::time::Duration;

use super::{Mixer, log};
use crate::audit::Event;
use crate::error::TrustError;
use crate::store::{generations, stacks};

/// How long nothing has been in a stack before it goes: whoever was given a place in it has read it by then, or has a
/// ticket that is too old.
const AFTER: Duration = Duration::from_secs(24 * 3600);

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
                stacks::emptied(&mut tx, stack, now).await?;
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
