//! What a gateway says of itself to its own users: `/api/status`, `/api/stack`, `/api/fetches` and
//! `/api/notices`.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use harpo_service::http::ApiError;
use serde::{Deserialize, Serialize};

use crate::consult::progress::Underway;
use crate::hints::Hints;
use crate::spool::Spool;
use crate::store::notices::NoticeRow;
use crate::store::{FetchRow, Store};

/// Rows of `/api/fetches` and `/api/notices`.
const ROWS: u32 = 1000;

/// `GET /api/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The hospital.
    pub name: String,
    /// Instances acknowledged to senders and not deposited yet.
    pub waiting_instances: usize,
    /// Bundles whose receipt is here.
    pub deposited_bundles: u64,
    /// Bundles that trust refused for good; their instances are in the spool.
    pub refused_bundles: u64,
    /// Sealed generations whose hints are here.
    pub stack_generations: usize,
    /// Bytes of hints that came from the cloud since the start, bodies only.
    pub hint_bytes_received: u64,
}

/// A row of `GET /api/stack`: the public figures of a sealed generation whose hint is here
/// (docs/oblivious-encoding.md 3.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationRow {
    /// Parameter set.
    pub parameter_set: u16,
    /// Slots.
    pub slots: u32,
    /// Bytes of a slot.
    pub slot_bytes: u32,
    /// Slots that share a polynomial.
    pub interleave: u32,
    /// Bytes of the hint.
    pub hint_bytes: u64,
}

/// What the interface reads.
#[derive(Debug, Clone)]
pub struct About {
    /// The hospital.
    pub name: String,
    /// Arrivals.
    pub spool: Arc<Spool>,
    /// Receipts and fetches.
    pub store: Store,
    /// Hints.
    pub hints: Arc<Hints>,
    /// Fetches that go on.
    pub underway: Arc<Underway>,
}

/// The routes, to be put behind authentication.
pub fn routes(about: About) -> Router {
    Router::new()
        .route("/api/status", get(status))
        .route("/api/stack", get(stack))
        .route("/api/fetches", get(fetches))
        .route("/api/notices", get(notices))
        .with_state(about)
}

async fn status(State(about): State<About>) -> Result<Json<Status>, ApiError> {
    let (deposited_bundles, refused_bundles) = about
        .store
        .deposits()
        .await
        .map_err(|e| ApiError::internal(&e))?;
    Ok(Json(Status {
        name: about.name,
        waiting_instances: about.spool.waiting_instances(),
        deposited_bundles,
        refused_bundles,
        stack_generations: about.hints.ready().len(),
        hint_bytes_received: about.hints.received(),
    }))
}

/// Oldest first.
async fn stack(State(about): State<About>) -> Json<Vec<GenerationRow>> {
    let ready = about.hints.ready();
    let rows = ready.iter().map(|generation| GenerationRow {
        parameter_set: generation.figures.parameter_set,
        slots: generation.figures.slots,
        slot_bytes: generation.figures.slot_bytes,
        interleave: generation.figures.interleave,
        hint_bytes: generation.hint_bytes,
    });
    Json(rows.collect())
}

/// Those that go on first, then those that are over, the latest first.
async fn fetches(State(about): State<About>) -> Result<Json<Vec<FetchRow>>, ApiError> {
    let mut rows = about.underway.rows();
    let over = about.store.fetches(ROWS).await;
    rows.extend(over.map_err(|e| ApiError::internal(&e))?);
    Ok(Json(rows))
}

async fn notices(State(about): State<About>) -> Result<Json<Vec<NoticeRow>>, ApiError> {
    about
        .store
        .notices(ROWS)
        .await
        .map(Json)
        .map_err(|e| ApiError::internal(&e))
}
