//! What a gateway says of itself to its own users: `/api/status`, `/api/stack`, `/api/fetches` and
//! `/api/notices`.

use std::sync::Arc;

use axum::extract::State;
use axum::routing::get;
use axum::{Json, Router};
use harpo_service::http::ApiError;
use serde::{Deserialize, Serialize};

use crate::consult::progress::Underway;
use crate::consult::rounds::{Rounds, RoundsStatus};
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
    /// The network's rounds (docs/protocol.md 9.7), if it has any.
    #[serde(default)]
    pub rounds: Option<RoundsStatus>,
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
    /// What waits for rounds.
    pub rounds: Arc<Rounds>,
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
        rounds: about.rounds.status(),
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::Request;
    use http_body_util::BodyExt as _;
    use tower::ServiceExt as _;

    use super::*;
    use crate::consult::progress::{Phase, Progress, RUNNING};
    use crate::consult::retrieve::Wire;
    use crate::store::Fetch;
    use crate::testing::NOW;
    use harpo_protocol::id::BundleId;
    use harpo_service::clock::Clock;

    async fn ask<T: serde::de::DeserializeOwned>(about: &About, path: &str) -> (T, String) {
        let request = Request::get(path).body(axum::body::Body::empty()).unwrap();
        let answer = routes(about.clone()).oneshot(request).await.unwrap();
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        (serde_json::from_str(&text).unwrap(), text)
    }

    #[tokio::test]
    async fn what_goes_on_is_told_first_and_no_bundle_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let about = About {
            name: "St. Luke's".into(),
            spool: Spool::open(&dir.path().join("spool")).unwrap(),
            store: Store::open(&dir.path().join("gateway.db")).await.unwrap(),
            hints: Arc::new(Hints::open(dir.path().join("hints")).unwrap()),
            underway: Arc::default(),
            rounds: Arc::new(Rounds::new(&Clock::manual(NOW))),
        };
        let clock = Clock::manual(NOW);
        let bundle = BundleId([0xab; 16]);
        let over = Fetch {
            bundle,
            source: "stack",
            engine: Some(harpo_oblivious::Engine::Ring),
            at: NOW,
            took: Duration::from_secs(1),
            fragments: 7,
            stack_bytes: 1 << 30,
            hint_bytes: 1 << 20,
            wire: Wire {
                queries: 8,
                up: 100,
                down: 200,
                resumed: 2,
            },
            authentic: 0,
            unmarked: 0,
            outcome: "opened".into(),
        };
        about.store.add_fetch(&over).await.unwrap();
        let progress = Progress::new(&over, &clock);
        about.underway.show(&progress);
        progress.enter(Phase::Receiving, 1000);
        progress.step(10);

        let (rows, text): (Vec<FetchRow>, _) = ask(&about, "/api/fetches").await;
        assert!(!text.contains(&bundle.to_string()));
        let [running, ended] = rows.as_slice() else {
            panic!("{text}")
        };
        assert_eq!(running.outcome, RUNNING);
        let how_far = running.progress.unwrap();
        assert_eq!((how_far.phase, how_far.done), (Phase::Receiving, 10));
        assert_eq!((ended.number, ended.progress), (Some(1), None));
        assert_eq!((ended.queries, ended.resumed), (8, 2));
        assert_eq!((ended.bytes_up, ended.bytes_down), (100, 200));

        progress.end();
        let (rows, _): (Vec<FetchRow>, _) = ask(&about, "/api/fetches").await;
        assert_eq!(rows.len(), 1);
        let (stack, _): (Vec<GenerationRow>, _) = ask(&about, "/api/stack").await;
        assert_eq!(stack, []);
    }
}
