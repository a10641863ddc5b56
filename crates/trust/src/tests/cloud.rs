//! A cloud that stores slots and says "sealed", with faults on demand. It computes no hints.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::{get, post, put};
use harpo_protocol::domain::sha256;
use harpo_protocol::id::{Digest, GenerationId};
use harpo_protocol::identity::Role;
use harpo_protocol::stack::{
    GenerationStatus, SealRequest, SlotProofRequest, SlotProofs, slot_proof, slots_digest,
};
use harpo_service::http::{ApiError, Json, Peer, Raw};
use tokio::time::Instant;

#[derive(Default)]
pub(super) struct Cloud {
    pub(super) generations: Mutex<HashMap<GenerationId, Stored>>,
    /// Every slot that arrived, in order; repeats too.
    pub(super) log: Mutex<Vec<(GenerationId, u32)>>,
    /// When each of them arrived.
    times: Mutex<Vec<Instant>>,
    /// Requests, answered or not.
    pub(super) asked: AtomicU32,
    /// Everything is answered by 503.
    pub(super) down: AtomicBool,
    /// So many slots are stored and then answered by 500.
    pub(super) lose_answers: AtomicU32,
    /// The digest that it reports is not that of its slots.
    pub(super) lie: AtomicBool,
    /// It refuses to seal: its records say other slots.
    pub(super) refuse: AtomicBool,
    /// It stays with "sealing" for so many questions.
    pub(super) slow: AtomicU32,
    /// It has no memory to seal anything.
    pub(super) full: AtomicBool,
    /// What it has of each slot is the digest alone.
    pub(super) hollow: AtomicBool,
    /// It says that slots are damaged when it should prove them.
    pub(super) damaged: AtomicBool,
    /// What it was asked to prove.
    pub(super) asked_to_prove: Mutex<Vec<SlotProofRequest>>,
}

#[derive(Clone, Default)]
pub(super) struct Stored {
    pub(super) slots: BTreeMap<u32, Vec<u8>>,
    pub(super) request: Option<SealRequest>,
}

pub(super) const HINT: Digest = Digest([0x48; 32]);

impl Cloud {
    pub(super) fn router(self: &Arc<Self>) -> Router {
        Router::new()
            .route("/v1/generations/{generation}", get(status).delete(retire))
            .route("/v1/generations/{generation}/slots/{index}", put(slot))
            .route("/v1/generations/{generation}/seal", post(seal))
            .route("/v1/generations/{generation}/proofs", post(prove))
            .with_state(Arc::clone(self))
    }

    pub(super) fn stored(&self, generation: GenerationId) -> Stored {
        let generations = self.generations.lock().unwrap();
        generations.get(&generation).cloned().unwrap_or_default()
    }

    pub(super) fn arrivals(&self) -> Vec<(GenerationId, u32)> {
        self.log.lock().unwrap().clone()
    }

    pub(super) fn times(&self) -> Vec<Instant> {
        self.times.lock().unwrap().clone()
    }

    fn check(&self, peer: &Peer) -> Result<(), ApiError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        peer.require(Role::Trust)?;
        if self.down.load(Ordering::SeqCst) {
            return Err(ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "unavailable",
                "down",
            ));
        }
        Ok(())
    }

    fn take(counter: &AtomicU32) -> bool {
        counter
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
            .is_ok()
    }

    fn report(&self, stored: &Stored) -> GenerationStatus {
        if stored.request.is_none() {
            let slots = stored.slots.len() as u32;
            return GenerationStatus::Open { slots };
        }
        if Self::take(&self.slow) {
            return GenerationStatus::Sealing;
        }
        let slots = if self.lie.load(Ordering::SeqCst) {
            Digest([0; 32])
        } else {
            slots_digest(stored.slots.values().map(|bytes| sha256(bytes)))
        };
        GenerationStatus::Sealed {
            slots,
            hint: HINT,
            hint_bytes: 7,
        }
    }
}

async fn slot(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
    Path((generation, index)): Path<(String, u32)>,
    Raw(body): Raw,
) -> Result<StatusCode, ApiError> {
    cloud.check(&peer)?;
    let generation: GenerationId = generation.parse().unwrap();
    let mut generations = cloud.generations.lock().unwrap();
    let stored = generations.entry(generation).or_default();
    if stored
        .slots
        .get(&index)
        .is_some_and(|known| known != &body[..])
    {
        return Err(ApiError::conflict("conflict", "other bytes"));
    }
    if stored.request.is_some() {
        return Err(ApiError::conflict("conflict", "sealed"));
    }
    stored.slots.insert(index, body.to_vec());
    cloud.log.lock().unwrap().push((generation, index));
    cloud.times.lock().unwrap().push(Instant::now());
    if Cloud::take(&cloud.lose_answers) {
        return Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal",
            "lost",
        ));
    }
    Ok(StatusCode::NO_CONTENT)
}

async fn status(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
    Path(generation): Path<String>,
) -> Result<Json<GenerationStatus>, ApiError> {
    cloud.check(&peer)?;
    let stored = cloud.stored(generation.parse().unwrap());
    Ok(Json(cloud.report(&stored)))
}

async fn retire(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
    Path(generation): Path<String>,
) -> Result<StatusCode, ApiError> {
    cloud.check(&peer)?;
    let mut generations = cloud.generations.lock().unwrap();
    match generations.remove(&generation.parse().unwrap()) {
        Some(_) => Ok(StatusCode::NO_CONTENT),
        None => Err(ApiError::not_found("not_found", "no such generation")),
    }
}

async fn seal(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
    Path(generation): Path<String>,
    Raw(body): Raw,
) -> Result<Json<GenerationStatus>, ApiError> {
    cloud.check(&peer)?;
    if cloud.refuse.load(Ordering::SeqCst) {
        return Err(ApiError::conflict("conflict", "other slots"));
    }
    if cloud.full.load(Ordering::SeqCst) {
        return Err(ApiError::new(
            StatusCode::INSUFFICIENT_STORAGE,
            "memory_full",
            "no memory",
        ));
    }
    let request: SealRequest = serde_json::from_slice(&body).unwrap();
    let mut generations = cloud.generations.lock().unwrap();
    let stored = generations.entry(generation.parse().unwrap()).or_default();
    if stored.slots.len() as u32 != request.figures.slots {
        return Err(ApiError::conflict("incomplete", "slots are missing"));
    }
    stored.request = Some(request);
    Ok(Json(cloud.report(stored)))
}

async fn prove(
    State(cloud): State<Arc<Cloud>>,
    peer: Peer,
    Path(generation): Path<String>,
    Raw(body): Raw,
) -> Result<Json<SlotProofs>, ApiError> {
    cloud.check(&peer)?;
    let generation: GenerationId = generation.parse().unwrap();
    let request: SlotProofRequest = serde_json::from_slice(&body).unwrap();
    cloud.asked_to_prove.lock().unwrap().push(request.clone());
    if cloud.damaged.load(Ordering::SeqCst) {
        return Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "damaged",
            "a slot is damaged",
        ));
    }
    let stored = cloud.stored(generation);
    let hollow = cloud.hollow.load(Ordering::SeqCst);
    let proof = |slot: &u32| {
        let bytes = &stored.slots[slot];
        let digest = sha256(bytes);
        let has = if hollow { &digest.0 } else { &bytes[..] };
        slot_proof(request.nonce, generation, *slot, has)
    };
    Ok(Json(SlotProofs {
        proofs: request.slots.iter().map(proof).collect(),
    }))
}
