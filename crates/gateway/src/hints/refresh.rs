//! Keeping up with the stacks: every hint for itself, so that one that cannot be had keeps none of the others away.

use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use futures_util::future::BoxFuture;
use harpo_protocol::stack::{SealedGeneration, StackDescriptor};
use harpo_protocol::time::Timestamp;
use harpo_service::causes::in_one_line;
use harpo_service::clock::Clock;
use harpo_service::retry::Backoff;
use rand_core::Rng;
use tracing::{info, warn};

use super::{HintError, Hints};
use crate::blocking;
use crate::cloud_client::{CloudClient, ConnectError};
use crate::within::Pace;

/// How long a hint that was wrong is not asked for again: it may be large, and is unlikely to get better by itself.
const WRONG: Backoff = Backoff {
    first: Duration::from_secs(120),
    longest: Duration::from_secs(2 * 3600),
};

/// A hint that was not the one that trust names.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wrong {
    /// How often in a row.
    times: u32,
    /// Not asked for before.
    until: Timestamp,
}

/// Where hints come from.
pub struct Source<'a> {
    /// Makes a connection to the cloud, with a pass of its own.
    pub connect: &'a (dyn Fn() -> BoxFuture<'a, Result<CloudClient, ConnectError>> + Sync + 'a),
    /// For pauses.
    pub clock: &'a Clock,
    /// How long each may take.
    pub pace: Pace,
}

impl Hints {
    /// Fetches the hints of `stacks` that are missing, as far as they can be had, and removes those of other
    /// generations.
    ///
    /// # Errors
    /// [`HintError::Missing`] if some are not here; each has been logged.
    pub async fn refresh(
        self: &Arc<Self>,
        stacks: &[StackDescriptor],
        source: Source<'_>,
        rng: &mut (impl Rng + Send),
    ) -> Result<(), HintError> {
        let mut failed = Vec::new();
        self.note_ready(stacks);
        for stack in stacks {
            self.refresh_stack(stack, &source, rng, &mut failed).await;
        }
        // The newest stack is read most: have its sum at hand.
        if let Some(newest) = stacks.last()
            && !newest.generations.is_empty()
            && self.missing(newest).is_empty()
        {
            let (hints, newest) = (self.clone(), newest.clone());
            if let Err(error) = blocking(move || hints.held(&newest)).await {
                note(error, &mut failed);
            }
        }
        let all: Vec<_> = stacks.iter().flat_map(|stack| &stack.generations).collect();
        if let Err(error) = self.keep_only(&all) {
            note(error.into(), &mut failed);
        }
        self.forget_wrong(&all);
        self.note_ready(stacks);
        let count = failed.len();
        match failed.into_iter().next() {
            None => Ok(()),
            Some(first) => Err(HintError::Missing {
                count,
                first: Box::new(first),
            }),
        }
    }

    async fn refresh_stack(
        &self,
        stack: &StackDescriptor,
        source: &Source<'_>,
        rng: &mut (impl Rng + Send),
        failed: &mut Vec<HintError>,
    ) {
        let mut cloud = None;
        for generation in self.missing(stack) {
            if let Err(error) = self.held_off(generation, source.clock.now()) {
                note(error, failed);
                continue;
            }
            let cloud = match &mut cloud {
                Some(cloud) => cloud,
                none => match (source.connect)().await {
                    Ok(new) => none.insert(new),
                    // The others would not fare better.
                    Err(error) => return note(error.into(), failed),
                },
            };
            let fetched = self
                .fetch(cloud, generation, source.clock, source.pace)
                .await;
            match fetched {
                Ok(()) => {
                    info!(generation = %generation.generation, bytes = generation.hint_bytes, "hint fetched");
                }
                Err(error) => {
                    if let HintError::Digest(_) = error {
                        self.hold_off(generation, source.clock.now(), rng);
                    }
                    note(error, failed);
                }
            }
        }
    }

    /// Notes for which generations everything is here.
    fn note_ready(&self, stacks: &[StackDescriptor]) {
        let all = stacks.iter().flat_map(|stack| &stack.generations);
        let here = all.filter(|generation| self.path(generation).exists());
        self.set_ready(here.cloned().collect());
    }

    /// Whether it may be asked for.
    fn held_off(&self, generation: &SealedGeneration, now: Timestamp) -> Result<(), HintError> {
        let wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        match wrong.get(&self.path(generation)) {
            Some(wrong) if now < wrong.until => Err(HintError::HeldOff {
                generation: generation.generation,
                times: wrong.times,
            }),
            _ => Ok(()),
        }
    }

    fn hold_off(&self, generation: &SealedGeneration, now: Timestamp, rng: &mut impl Rng) {
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        let entry = wrong.entry(self.path(generation)).or_insert(Wrong {
            times: 0,
            until: now,
        });
        entry.times = entry.times.saturating_add(1);
        entry.until = now.after(WRONG.pause(entry.times, rng));
    }

    /// Forgets those that came right, or are of generations that are no more.
    fn forget_wrong(&self, all: &[&SealedGeneration]) {
        let awaited = |path: &PathBuf| all.iter().any(|generation| self.path(generation) == *path);
        let mut wrong = self.wrong.lock().unwrap_or_else(PoisonError::into_inner);
        wrong.retain(|path, _| awaited(path) && !path.exists());
    }
}

fn note(error: HintError, failed: &mut Vec<HintError>) {
    warn!(error = %in_one_line(&error), "a hint is not here; the others are fetched all the same");
    failed.push(error);
}
