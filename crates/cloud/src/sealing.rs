//! Encoding closed generations, one after the other, in the background: those whose sealing was asked for, and at
//! start all that are sealed, in the order of their sealing (docs/protocol.md 6.2).

use std::sync::Arc;
use std::time::Duration;

use harpo_oblivious::GenerationInfo;
use harpo_protocol::domain::sha256;
use harpo_protocol::id::GenerationId;
use harpo_protocol::stack::SealRequest;
use harpo_service::causes::in_one_line;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use self::encode::{Done, Failure, Fresh, encode};
use crate::Error;
use crate::cloud::Cloud;
use crate::events::Event;
use crate::residents::{self, Resident};
use crate::store::{Generation, HintRecord, Sealed, State};

mod encode;
pub(crate) mod kept;
mod reader;

/// Between attempts at a generation whose encoding failed for a reason that may pass.
const RETRY: Duration = Duration::from_secs(10);

/// Why a sealed generation cannot be used.
const OTHER_SLOTS: &str = "its slots are others than when it was sealed; restore database and objects from one backup, then restart";
const OTHER_HINT: &str = "its hint comes out differently than when it was sealed; use the program version that sealed it";

/// Sets memory aside for what is closed already, and says in which order to encode it.
pub(crate) async fn closed_at_start(cloud: &Cloud) -> Result<Vec<GenerationId>, Error> {
    let closed = cloud.store.closed().await?;
    for generation in &closed {
        reserve_or_fail(cloud, generation)?;
    }
    Ok(closed.iter().map(|generation| generation.id).collect())
}

/// Encodes what arrives on `queue` until `stop`. `first` are those to work through before the service is ready.
pub(crate) async fn run(
    cloud: Arc<Cloud>,
    first: Vec<GenerationId>,
    mut queue: mpsc::UnboundedReceiver<GenerationId>,
    stop: CancellationToken,
) {
    for id in first {
        if stop.is_cancelled() {
            return;
        }
        attempt(&cloud, id, &stop).await;
    }
    cloud.stack.holds();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            next = queue.recv() => match next {
                Some(id) => attempt(&cloud, id, &stop).await,
                None => return,
            },
        }
    }
}

/// Works on one generation, and comes back to it later if it failed for a reason that may pass.
async fn attempt(cloud: &Arc<Cloud>, id: GenerationId, stop: &CancellationToken) {
    let error = match process(cloud, id, stop).await {
        Ok(()) | Err(Error::Stopping) => return,
        Err(error) => error,
    };
    tracing::error!(generation = %id, error = in_one_line(&error), "encoding failed; trying again later");
    let (cloud, stop) = (Arc::clone(cloud), stop.clone());
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(RETRY) => cloud.enqueue(id),
        }
    });
}

async fn process(
    cloud: &Arc<Cloud>,
    id: GenerationId,
    stop: &CancellationToken,
) -> Result<(), Error> {
    // Retired while it waited.
    let Some(generation) = cloud.store.generation(id).await? else {
        return Ok(());
    };
    match &generation.state {
        State::Open | State::Retired => Ok(()),
        State::Sealing(request) => {
            let info = residents::info(&request.figures)?;
            cloud.residents.reserve(id, cloud.memory_for(&info)?)?;
            seal(cloud, id, request, info, stop).await
        }
        State::Sealed(request, sealed) => {
            if !reserve_or_fail(cloud, &generation)? {
                return Ok(());
            }
            let info = residents::info(&request.figures)?;
            load(cloud, id, info, *sealed, stop).await
        }
    }
}

/// Sets memory aside. A sealed generation for which there is none is marked: the configuration has changed.
fn reserve_or_fail(cloud: &Cloud, generation: &Generation) -> Result<bool, Error> {
    let (State::Sealing(request) | State::Sealed(request, _)) = &generation.state else {
        return Ok(false);
    };
    let bytes = cloud.memory_for(&residents::info(&request.figures)?)?;
    match cloud.residents.reserve(generation.id, bytes) {
        Ok(()) => Ok(true),
        Err(error) => {
            tracing::error!(generation = %generation.id, %error, "no memory for a generation");
            cloud.residents.failed(generation.id, error.to_string());
            Ok(false)
        }
    }
}

/// Sealing proper: encode, store the hint, make it known.
async fn seal(
    cloud: &Arc<Cloud>,
    id: GenerationId,
    request: &SealRequest,
    info: GenerationInfo,
    stop: &CancellationToken,
) -> Result<(), Error> {
    tracing::info!(generation = %id, slots = request.figures.slots, "sealing");
    let (resident, fresh) = match encode(cloud, id, info, false, stop).await {
        Ok(Done { resident, fresh }) => (resident, fresh.ok_or(Error::TaskLost)?),
        Err(Failure::Damaged(slots)) => {
            tracing::error!(generation = %id, damaged = slots.len(), "slots are damaged; they must be written again");
            cloud.forget_encoded(id)?;
            cloud.store.reopen(id, &slots).await?;
            cloud.residents.remove(id);
            return Ok(());
        }
        Err(Failure::Other(error)) => return Err(error),
    };
    let Fresh { hint, read_back } = fresh;
    if read_back != request.slots {
        // Trust hears of it when it asks again: what is recorded now is another digest than its request's.
        tracing::error!(generation = %id, %read_back, requested = %request.slots, "what is stored is not what was to be sealed");
        // Before it is open: nothing of an open generation is kept.
        cloud.forget_encoded(id)?;
        cloud.store.reopen(id, &[]).await?;
        cloud.residents.remove(id);
        return Ok(());
    }
    let record = HintRecord {
        digest: sha256(&hint),
        bytes: hint.len() as u64,
    };
    cloud.slots.keep_hint(id, hint).await?;
    // Before the change itself: after a crash in between it is recorded twice, never not at all.
    cloud.events.record(&Event::Seal {
        time: cloud.now(),
        generation: id,
        slots: request.figures.slots,
        slot_bytes: request.figures.slot_bytes,
        hint_bytes: record.bytes,
    })?;
    let sealed = Sealed {
        read_back,
        hint: record,
    };
    if cloud.store.finish_seal(id, sealed).await? {
        cloud.residents.ready(id, resident);
        tracing::info!(generation = %id, "sealed");
    } else {
        // Retired meanwhile.
        cloud.residents.remove(id);
        cloud.forget_encoded(id)?;
        cloud.slots.remove(id).await?;
    }
    Ok(())
}

/// Brings a sealed generation back into service. What is kept of it may not be what was sealed: then it is made once
/// more from the slots.
async fn load(
    cloud: &Arc<Cloud>,
    id: GenerationId,
    info: GenerationInfo,
    sealed: Sealed,
    stop: &CancellationToken,
) -> Result<(), Error> {
    let mut brought = bring(cloud, id, info, sealed, stop).await?;
    if let (Err(why), Some(_)) = (&brought, &cloud.kept) {
        tracing::warn!(generation = %id, why, "what is kept is not what was sealed; trying once more from the slots");
        cloud.forget_encoded(id)?;
        brought = bring(cloud, id, info, sealed, stop).await?;
    }
    match brought {
        Ok(resident) => {
            cloud.residents.ready(id, resident);
            tracing::info!(generation = %id, "loaded");
        }
        Err(why) => {
            tracing::error!(generation = %id, why, "a sealed generation cannot be used");
            // Else the next start would take it without looking at the slots.
            cloud.forget_encoded(id)?;
            cloud.residents.failed(id, why);
        }
    }
    Ok(())
}

/// What a sealed generation answers from, with its hint stored; or why it cannot be used.
async fn bring(
    cloud: &Cloud,
    id: GenerationId,
    info: GenerationInfo,
    sealed: Sealed,
    stop: &CancellationToken,
) -> Result<Result<Resident, String>, Error> {
    let Done { resident, fresh } = match encode(cloud, id, info, true, stop).await {
        Ok(done) => done,
        Err(Failure::Damaged(damaged)) => {
            return Ok(Err(format!(
                "{} of its slots are missing or damaged, the first is {}; restore the objects from a backup, then restart",
                damaged.len(),
                damaged.first().copied().unwrap_or_default(),
            )));
        }
        Err(Failure::Other(error)) => return Err(error),
    };
    if let Some(fresh) = &fresh
        && fresh.read_back != sealed.read_back
    {
        return Ok(Err(OTHER_SLOTS.to_owned()));
    }
    let stored = cloud.slots.has_hint(id, sealed.hint).await?;
    let (resident, hint) = match fresh {
        Some(fresh) => (resident, Some(fresh.hint)),
        None if stored => (resident, None),
        None => hint_of(resident).await?,
    };
    if let Some(hint) = hint {
        if sha256(&hint) != sealed.hint.digest {
            return Ok(Err(OTHER_HINT.to_owned()));
        }
        if !stored {
            tracing::warn!(generation = %id, "the stored hint was missing or damaged; written again");
            cloud.slots.keep_hint(id, hint).await?;
        }
    }
    Ok(Ok(resident))
}

/// Computes a hint from the encoded rows.
async fn hint_of(resident: Resident) -> Result<(Resident, Option<Vec<u8>>), Error> {
    tokio::task::spawn_blocking(move || {
        let hint = resident.0.hint().to_bytes();
        (resident, Some(hint))
    })
    .await
    .map_err(|_| Error::TaskLost)
}
