//! Errands: what trust wants brought back, with queries that nobody else needs (docs/protocol.md 5.7).

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use harpo_protocol::cell::{Layout, open_cell};
use harpo_protocol::fragment::MAX_FRAGMENTS;
use harpo_protocol::id::GenerationId;
use harpo_protocol::replacement::{Errand, ErrandSecrets};
use harpo_protocol::rounds::Urgency;
use harpo_protocol::stack::StackDescriptor;
use harpo_service::causes::in_one_line;
use tracing::{debug, info};

use super::super::{Consult, ConsultError, Inner, stream};
use super::{Waiting, Wanting};
use crate::blocking;
use crate::open::OpenError;

/// As long as its grant (5.7).
const LASTS: Duration = Duration::from_secs(6 * 3600);

/// An errand that waits for its slots.
struct Held {
    secrets: Arc<ErrandSecrets>,
    slots: Arc<Vec<(GenerationId, u32)>>,
    waiting: Waiting,
}

impl Consult {
    /// Takes an errand on, unless there are enough: its slots are wanted when this returns, and the rest is done in the
    /// background. Trust draws again what does not come back.
    pub(super) async fn accept(&self, errand: Errand, stack: &StackDescriptor) {
        let inner = &self.0;
        let Ok(place) = inner.rounds.errands.clone().try_acquire_owned() else {
            debug!("an errand was left: others are under way");
            return;
        };
        let bundle = errand.bundle;
        let held = match inner.hold(&errand, stack).await {
            Ok(held) => held,
            Err(error) => {
                info!(%bundle, error = %in_one_line(&error), "an errand cannot be run");
                return;
            }
        };
        let (this, stop) = (self.clone(), inner.shutdown.token());
        inner.shutdown.spawn("errand", async move {
            let clock = this.0.party.clock();
            let outcome = tokio::select! {
                () = stop.cancelled() => Err(ConsultError::Stopping),
                () = clock.sleep(LASTS) => Err(OpenError::Unfit("its grant has expired").into()),
                outcome = this.0.run(&errand, held) => outcome,
            };
            match outcome {
                Ok(()) => {
                    this.0.rounds.count(|counts| counts.errands += 1);
                    debug!(%bundle, "an errand is done");
                }
                Err(error) => {
                    info!(%bundle, error = %in_one_line(&error), "an errand failed; trust draws it again");
                }
            }
            drop(place);
        });
    }
}

impl Inner {
    async fn hold(&self, errand: &Errand, stack: &StackDescriptor) -> Result<Held, ConsultError> {
        let key = self.party.opening_key();
        let secrets = ErrandSecrets::unwrap(&errand.secrets, errand.bundle, errand.grant, key)
            .map_err(OpenError::Secrets)?;
        let layout = self.party.layout();
        let slots = slots(&secrets, stack, &layout)?;
        let bytes = slots.len() as u64 * u64::from(layout.slot_bytes());
        let dir = self.library.dir().to_owned();
        let besides = self.rounds.room();
        let file = blocking(move || stream::set_aside(&dir, bytes, besides)).await?;
        let waiting = self.rounds.want(Wanting {
            bundle: errand.bundle,
            urgency: Urgency::Errand,
            slots: slots.clone(),
            slot_bytes: layout.slot_bytes(),
            file,
            progress: None,
        });
        Ok(Held {
            secrets: Arc::new(secrets),
            slots: Arc::new(slots),
            waiting,
        })
    }

    async fn run(&self, errand: &Errand, mut held: Held) -> Result<(), ConsultError> {
        let file = held.waiting.arrival().await?;
        let (secrets, slots, layout) = (held.secrets, held.slots, self.party.layout());
        let fragments = secrets.placements.len() as u32;
        self.give(errand.bundle, errand.grant, fragments, |index| {
            let (secrets, slots, file) = (secrets.clone(), slots.clone(), file.clone());
            move || fragment(&secrets, &slots, &file, index, &layout)
        })
        .await
    }
}

/// The slots of an errand, each once, if they are of the stack.
fn slots(
    secrets: &ErrandSecrets,
    stack: &StackDescriptor,
    layout: &Layout,
) -> Result<Vec<(GenerationId, u32)>, OpenError> {
    if secrets.placements.is_empty() || secrets.placements.len() > MAX_FRAGMENTS as usize {
        return Err(OpenError::Unfit(
            "an errand has an impossible number of placements",
        ));
    }
    let fits = |at: &harpo_protocol::cell::CellAddress| {
        let generations = &stack.generations;
        let known = generations.iter().find(|g| g.generation == at.generation);
        known.is_some_and(|g| at.slot < g.figures.slots) && at.cell < layout.cells_per_slot
    };
    if !secrets
        .placements
        .iter()
        .all(|placement| fits(&placement.at))
    {
        return Err(OpenError::Unfit("a placement lies outside the stack"));
    }
    let places = secrets
        .placements
        .iter()
        .map(|p| (p.at.generation, p.at.slot));
    let slots: BTreeSet<_> = places.collect();
    Ok(slots.into_iter().collect())
}

/// Opens one cell, with the placement key alone. Blocks.
fn fragment(
    secrets: &ErrandSecrets,
    slots: &[(GenerationId, u32)],
    file: &File,
    index: u32,
    layout: &Layout,
) -> Result<Vec<u8>, ConsultError> {
    let bad = || OpenError::Fragment { index };
    let placement = secrets.placements.get(index as usize).ok_or_else(bad)?;
    let (at, cell_bytes) = (placement.at, u64::from(layout.cell_bytes));
    let slot = slots.binary_search(&(at.generation, at.slot));
    let slot = slot.map_err(|_| bad())? as u64;
    let mut cell = vec![0; layout.cell_bytes as usize];
    let offset = slot * u64::from(layout.slot_bytes()) + u64::from(at.cell) * cell_bytes;
    file.read_exact_at(&mut cell, offset)?;
    Ok(open_cell(&placement.key, at, &cell).map_err(|_| bad())?)
}
