//! From the upload cache to the cloud (docs/protocol.md 5, 6): slots leave when their time has come,
//! generations are sealed, and fragments stay until the cloud has confirmed what trust sent.
//!
//! Every step is decided and recorded in the database before it is taken, and taken again after a
//! failure or a restart until the cloud has confirmed it; repeats send the same bytes to the same place.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use harpo_protocol::placement::OpenGeneration;
use harpo_protocol::time::Timestamp;
use harpo_service::causes::causes;
use harpo_service::http::Client;
use harpo_service::random;
use harpo_service::retry::Backoff;
use sqlx::SqliteConnection;
use tokio_util::sync::CancellationToken;

use crate::deposit;
use crate::error::TrustError;
use crate::replacement;
use crate::serve::Trust;
use crate::store::generations::{self, Generation, State};
use crate::store::slots::Leaving;
use crate::store::{bundles, slots};

mod assemble;
mod departures;
mod pace;
mod proofs;
mod remedy;
mod retiring;
mod sealing;

use departures::{Departures, Destination};
use pace::Pace;
use remedy::remedy;

/// How often the state is looked at when nothing happens: the operator's wish to seal arrives through
/// the database.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Slots that are sent before everything is looked at again.
const BATCH: usize = 16;
/// How long before its drawn time a slot is closed (5.3), so that it can be put together ahead. Longer
/// than `LOOK_EVERY`.
pub const CLOSE_AHEAD: Duration = Duration::from_secs(5);

/// What a step came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing to do until time passes or something is deposited.
    Idle,
    /// There is more to do at once.
    More,
}

/// Drives placement's clock and the uploads. One for each data folder.
pub(crate) struct Mixer {
    trust: Arc<Trust>,
    cloud: Client,
    /// Failures in a row, by generation, and when to try again.
    failures: HashMap<i64, (u32, Timestamp)>,
    backoff: Backoff,
    /// Slots that are being put together, by generation.
    departures: HashMap<i64, Departures>,
    pace: Pace,
    /// When the next closed slot leaves, as the last step saw it.
    next_departure: Option<Timestamp>,
}

impl Mixer {
    pub(crate) fn new(trust: Arc<Trust>, cloud: Client) -> Self {
        Self {
            pace: Pace::new(trust.config.slot_interval()),
            departures: HashMap::new(),
            next_departure: None,
            trust,
            cloud,
            failures: HashMap::new(),
            backoff: Backoff {
                first: Duration::from_secs(1),
                longest: Duration::from_secs(60),
            },
        }
    }

    /// Works until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            let outcome = tokio::select! {
                () = stop.cancelled() => return,
                outcome = self.step() => outcome,
            };
            match outcome {
                Ok(Progress::More) => continue,
                Ok(Progress::Idle) => {}
                Err(error) => log("mixing failed; it is tried again", &error),
            }
            let store = &self.trust.store;
            let pause = self
                .next_departure
                .map_or(LOOK_EVERY, |at| at.since(store.now()).min(LOOK_EVERY));
            tokio::select! {
                () = stop.cancelled() => return,
                () = store.clock.sleep(pause) => {}
                () = self.trust.wake.notified() => {}
            }
        }
    }

    /// Does what is due. What fails with one generation is put off, and does not hold up the others.
    pub(crate) async fn step(&mut self) -> Result<Progress, TrustError> {
        self.next_departure = None;
        self.decide().await?;
        let mut progress = Progress::Idle;
        for generation in generations::unsealed(self.trust.store.db.read()).await? {
            let now = self.trust.store.now();
            let failed = self.failures.get(&generation.number).copied();
            if failed.is_some_and(|(_, until)| now < until) {
                continue;
            }
            match self.advance(&generation).await {
                Ok(made) => {
                    if made == Progress::More {
                        progress = made;
                        self.failures.remove(&generation.number);
                    }
                }
                Err(error) => {
                    let what = format!("generation {} waits", generation.id);
                    log(&what, &error);
                    self.put_off(generation.number)?;
                }
            }
        }
        self.clear_cache().await?;
        self.retire().await?;
        Ok(progress)
    }

    /// How many slots are ready to leave.
    #[cfg(test)]
    pub(crate) fn waiting(&self) -> usize {
        self.departures.values().map(Departures::waiting).sum()
    }

    fn put_off(&mut self, number: i64) -> Result<(), TrustError> {
        let failures = self.failures.get(&number).map_or(0, |f| f.0) + 1;
        let pause = self.backoff.pause(failures, &mut random::system());
        let until = self.trust.store.now().after(pause);
        self.failures.insert(number, (failures, until));
        self.departures.remove(&number);
        // Pooled connections may be what failed, or show a certificate that was renewed meanwhile.
        self.cloud = self.cloud.fresh()?;
        Ok(())
    }

    /// Closes slots whose time is near (5.3), and the open generation when it should be sealed (5.5).
    async fn decide(&self) -> Result<(), TrustError> {
        let trust = &self.trust;
        let db = trust.store.db.read();
        let Some((_, due, seal)) = self.due(&mut *db.acquire().await?).await? else {
            return Ok(());
        };
        if due.is_empty() && !seal {
            return Ok(());
        }
        // Again under the write lock: a deposit may have come in between.
        let mut tx = trust.store.db.begin("close slots").await?;
        if let Some((generation, due, seal)) = self.due(&mut tx).await? {
            let rng = &mut random::system();
            if seal {
                tracing::info!(generation = %generation.id, "sealing");
                deposit::begin_sealing(trust, &mut tx, &generation).await?;
                let now = trust.store.now();
                generations::open(&mut tx, trust.config.layout(), now, rng).await?;
            } else {
                slots::close(&mut tx, generation.number, due, rng).await?;
            }
        }
        tx.commit().await?;
        Ok(())
    }

    /// The open generation, its slots that must be closed, and whether it should be sealed.
    async fn due(
        &self,
        db: &mut SqliteConnection,
    ) -> Result<Option<(Generation, Vec<u32>, bool)>, TrustError> {
        let open = generations::unsealed(&mut *db)
            .await?
            .into_iter()
            .find(|generation| generation.state == State::Open);
        let Some(generation) = open else {
            return Ok(None);
        };
        let config = &self.trust.config;
        let state = OpenGeneration::new(
            generation.layout,
            config.mixing(),
            config.seal_rule(),
            generation.first_deposit,
            slots::occupied(db, generation.number).await?,
        );
        let now = self.trust.store.now();
        let asked = generation.asked && generation.first_deposit.is_some();
        let seal = asked || state.should_seal(now);
        Ok(Some((generation, state.due(now.after(CLOSE_AHEAD)), seal)))
    }

    async fn advance(&mut self, generation: &Generation) -> Result<Progress, TrustError> {
        match generation.state {
            State::Open | State::Sealing => self.send_slots(generation).await,
            State::Encoding => self.look_at_sealing(generation).await,
            State::Sealed | State::Retired => Ok(Progress::Idle),
        }
    }

    /// Sends some of the slots whose time has come: all of them when the generation leaves as a whole, else those
    /// whose drawn time is there; the others are put together meanwhile.
    async fn send_slots(&mut self, generation: &Generation) -> Result<Progress, TrustError> {
        let number = generation.number;
        let known = self.departures.remove(&number);
        let mut leaving = slots::leaving(self.trust.store.db.read(), number).await?;
        let now = self.trust.store.now();
        let whole = leaves_as_a_whole(generation, now);
        if !whole {
            // Those without a time of their own wait for that moment.
            leaving.retain(|slot| slot.at.is_some());
            self.wake_at(generation.leaves);
        }
        if leaving.is_empty() {
            return match whole {
                true => self.begin_encoding(generation).await,
                false => Ok(Progress::Idle),
            };
        }
        let mut departures = known
            .filter(|known| known.fit(&leaving, whole))
            .unwrap_or_else(|| Departures::begin(&self.trust, generation, &leaving, whole));
        let later = |slot: &&Leaving| !whole && slot.at.is_some_and(|at| at > now);
        self.wake_at(leaving.iter().find(later).and_then(|slot| slot.at));
        let due = leaving.len() - leaving.iter().filter(later).count();
        if due > 0 {
            let to = Destination {
                trust: &self.trust,
                cloud: &self.cloud,
                generation,
            };
            departures.send(due.min(BATCH), &self.pace, &to).await?;
        }
        self.departures.insert(number, departures);
        Ok(if due > 0 {
            Progress::More
        } else {
            Progress::Idle
        })
    }

    /// Looks again at this time, if nothing comes before.
    fn wake_at(&mut self, at: Option<Timestamp>) {
        self.next_departure = self.next_departure.into_iter().chain(at).min();
    }

    /// Removes fragments that nobody needs here any more: of generations that have been sealed for a while, and of
    /// erased bundles.
    async fn clear_cache(&self) -> Result<(), TrustError> {
        let (store, cache) = (&self.trust.store, &self.trust.cache);
        let until = store.now() - self.trust.config.cache_grace();
        for number in generations::cached(store.db.read(), until).await? {
            // First said, then done: no release names the cache for what is half gone. After a crash in between, the
            // rest is removed as what nobody wants.
            let mut tx = store.db.begin("clear cache").await?;
            generations::no_longer_cached(&mut tx, number).await?;
            tx.commit().await?;
            for bundle in bundles::of_generation(store.db.read(), number).await? {
                // It may be on its way back already (5.7).
                replacement::remove_unwanted(&self.trust, bundle).await?;
            }
        }
        for bundle in bundles::erased_without_cells(store.db.read()).await? {
            cache.remove(bundle).await?;
            let mut tx = store.db.begin("erased bundle cleared").await?;
            bundles::cleared(&mut tx, bundle).await?;
            tx.commit().await?;
        }
        Ok(())
    }
}

/// Whether all slots of a generation leave now, in random order (5.5).
fn leaves_as_a_whole(generation: &Generation, now: Timestamp) -> bool {
    generation.state == State::Sealing && generation.leaves.is_none_or(|at| at <= now)
}

fn log(what: &str, error: &TrustError) {
    let why: Vec<String> = causes(error).map(ToString::to_string).collect();
    match remedy(error) {
        Some(remedy) => tracing::error!(error = why.join(": "), remedy, "{what}"),
        None => tracing::warn!(error = why.join(": "), "{what}"),
    }
}
