//! Health, on a listener of its own: `/-/healthy` answers as long as the process does, `/-/ready`
//! when every named condition holds.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::StatusCode;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::config::AdminConfig;
use crate::http::{Drained, Json, Limits, Server};

#[cfg(test)]
mod tests;

/// What must hold before a service wants requests: conditions with names. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Option<String>>>>);

/// One condition of a [`Readiness`].
#[derive(Clone, Debug)]
pub struct Condition {
    name: &'static str,
    readiness: Readiness,
}

impl Readiness {
    /// No conditions: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the condition `name` (words joined by `_`), which does not hold yet.
    #[must_use]
    pub fn condition(&self, name: &'static str) -> Condition {
        let condition = Condition {
            name,
            readiness: self.clone(),
        };
        condition.fails("starting");
        condition
    }

    /// The conditions that do not hold, each with the reason; empty when ready.
    #[must_use]
    pub fn not_ready(&self) -> BTreeMap<&'static str, String> {
        let conditions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        conditions
            .iter()
            .filter_map(|(name, reason)| Some((*name, reason.clone()?)))
            .collect()
    }

    fn set(&self, name: &'static str, reason: Option<String>) {
        let mut conditions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        conditions.insert(name, reason);
    }
}

impl Condition {
    /// It holds.
    pub fn holds(&self) {
        self.readiness.set(self.name, None);
    }

    /// It does not hold, for this reason (shown to whoever asks: nothing private).
    pub fn fails(&self, reason: impl Into<String>) {
        self.readiness.set(self.name, Some(reason.into()));
    }
}

/// The listener for health.
pub struct Admin {
    server: Server,
    readiness: Readiness,
}

impl Admin {
    /// Listens where `config` says.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn bind(config: &AdminConfig, readiness: Readiness) -> io::Result<Self> {
        let limits = Limits {
            max_connections: 32,
            drain_timeout: std::time::Duration::from_secs(1),
            ..Limits::default()
        };
        let server = Server::bind(config.listen, limits).await?;
        Ok(Self { server, readiness })
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Answers until `stop` is cancelled.
    pub async fn serve(self, stop: CancellationToken) -> Drained {
        let router = Router::new()
            .route("/-/healthy", get(healthy))
            .route("/-/ready", get(ready))
            .with_state(self.readiness);
        self.server.serve(router, stop).await
    }
}

#[derive(Serialize)]
struct Healthy {
    healthy: bool,
}

async fn healthy() -> Json<Healthy> {
    Json(Healthy { healthy: true })
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    not_ready: BTreeMap<&'static str, String>,
}

async fn ready(State(readiness): State<Readiness>) -> Response {
    let not_ready = readiness.not_ready();
    let ready = not_ready.is_empty();
    let status = if ready {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(Ready { ready, not_ready })).into_response()
}
