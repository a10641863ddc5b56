//! Slots on their way to the cloud (docs/protocol.md 5.3 to 5.6).

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use futures_util::stream::{self, FuturesUnordered, StreamExt as _};
use harpo_protocol::domain::sha256;
use harpo_protocol::id::Digest;
use harpo_protocol::placement::shuffle;
use harpo_service::http::Client;
use harpo_service::random;

use super::assemble;
use super::pace::{Ahead, Pace};
use crate::error::{TrustError, damaged};
use crate::serve::Trust;
use crate::store::generations::Generation;
use crate::store::slots::{self, Leaving};

/// Uploads at a time.
const AT_ONCE: usize = 4;

/// A slot that is ready to leave.
pub(super) struct Ready {
    slot: u32,
    bytes: Vec<u8>,
    digest: Digest,
}

/// The slots of a generation that are leaving, in the order in which they do. What is lost with it, in a
/// failure or a restart, is put together again, the same bytes.
pub(super) struct Departures {
    shuffled: bool,
    order: VecDeque<u32>,
    ahead: Ahead<Result<Ready, TrustError>>,
}

impl Departures {
    /// Begins to put them together. When a generation leaves as a whole it does so in random order (5.4, 5.5), before
    /// that in the order of their times (5.3), which is `leaving`'s.
    pub(super) fn begin(
        trust: &Arc<Trust>,
        generation: &Generation,
        leaving: &[Leaving],
        shuffled: bool,
    ) -> Self {
        let mut order: Vec<u32> = leaving.iter().map(|slot| slot.slot).collect();
        if shuffled {
            // What is left of a uniformly random order may be shuffled again: nothing need be remembered
            // over restarts.
            shuffle(&mut order, &mut random::system());
        }
        let (trust, of) = (Arc::clone(trust), generation.clone());
        let ready = stream::iter(order.clone()).then(move |slot| {
            let (trust, generation) = (Arc::clone(&trust), of.clone());
            async move { ready(&trust, &generation, slot).await }
        });
        Self {
            shuffled,
            order: order.into(),
            ahead: Ahead::of(ready),
        }
    }

    /// Whether it has these slots left, and no others, in an order of this kind.
    pub(super) fn fit(&self, leaving: &[Leaving], shuffled: bool) -> bool {
        let mine: BTreeSet<u32> = self.order.iter().copied().collect();
        self.shuffled == shuffled && mine == leaving.iter().map(|slot| slot.slot).collect()
    }

    /// How many are ready.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.ahead.waiting()
    }

    /// Sends the next `count`, one at a tick. After a failure the rest must be begun anew.
    pub(super) async fn send(
        &mut self,
        count: usize,
        pace: &Pace,
        to: &Destination<'_>,
    ) -> Result<(), TrustError> {
        let mut left = count;
        let mut uploads = FuturesUnordered::new();
        while left > 0 || !uploads.is_empty() {
            tokio::select! {
                Some(sent) = uploads.next() => sent?,
                next = pace.next(&mut self.ahead), if left > 0 && uploads.len() < AT_ONCE => {
                    let ready = next.ok_or_else(|| damaged("a slot"))??;
                    self.order.pop_front();
                    left -= 1;
                    uploads.push(to.upload(ready));
                }
            }
        }
        Ok(())
    }
}

async fn ready(trust: &Trust, generation: &Generation, slot: u32) -> Result<Ready, TrustError> {
    let bytes = assemble::slot(trust, generation, slot).await?;
    Ok(Ready {
        slot,
        digest: sha256(&bytes),
        bytes,
    })
}

/// Where slots go, and where their arrival is recorded.
pub(super) struct Destination<'a> {
    pub(super) trust: &'a Trust,
    pub(super) cloud: &'a Client,
    pub(super) generation: &'a Generation,
}

impl Destination<'_> {
    async fn upload(&self, ready: Ready) -> Result<(), TrustError> {
        let Ready {
            slot,
            bytes,
            digest,
        } = ready;
        let path = format!("/v1/generations/{}/slots/{slot}", self.generation.id);
        self.cloud.put(&path).bytes(bytes).send().await?;
        let mut tx = self.trust.store.db.begin("slot arrived").await?;
        slots::arrived(&mut tx, self.generation.number, slot, digest).await?;
        tx.commit().await?;
        Ok(())
    }
}
