//! Health and figures, on a listener of their own: `/-/healthy` answers as long as the process does, `/-/ready`
//! when every named condition holds, `/-/metrics` with the service's figures as Prometheus reads them.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::causes::in_one_line;
use crate::config::AdminConfig;
use crate::http::{ApiError, Drained, Json, Limits, Server};
use crate::metrics::{Metrics, Observed};

#[cfg(test)]
mod tests;

/// How often what was measured is added up, whether somebody reads it or not.
const UPKEEP_EVERY: Duration = Duration::from_secs(30);
/// The text format of Prometheus.
const METRICS_TYPE: HeaderValue =
    HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

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

/// The listener for health and figures.
pub struct Admin {
    server: Server,
    readiness: Readiness,
    figures: Option<Figures>,
}

/// What `/-/metrics` tells.
#[derive(Clone)]
struct Figures {
    metrics: Metrics,
    observed: Arc<dyn Observed>,
    /// One reader at a time: some figures are read from a database.
    one: Arc<tokio::sync::Mutex<()>>,
}

impl Admin {
    /// Listens where `config` says.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub async fn bind(config: &AdminConfig, readiness: Readiness) -> io::Result<Self> {
        let limits = Limits {
            max_connections: 32,
            drain_timeout: Duration::from_secs(1),
            ..Limits::default()
        };
        let server = Server::bind(config.listen, limits).await?;
        Ok(Self {
            server,
            readiness,
            figures: None,
        })
    }

    /// Tells these figures, too. Before they are told, `observed` says those that are not counted as they happen.
    #[must_use]
    pub fn telling(mut self, metrics: Metrics, observed: Arc<dyn Observed>) -> Self {
        self.figures = Some(Figures {
            metrics,
            observed,
            one: Arc::default(),
        });
        self
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Answers until `stop` is cancelled.
    pub async fn serve(self, stop: CancellationToken) -> Drained {
        let mut router = Router::new()
            .route("/-/healthy", get(healthy))
            .route("/-/ready", get(ready))
            .with_state(self.readiness);
        let metrics = self.figures.as_ref().map(|figures| figures.metrics.clone());
        if let Some(figures) = self.figures {
            let told = Router::new().route("/-/metrics", get(tell));
            router = router.merge(told.with_state(figures));
        }
        let upkeep = async move {
            loop {
                tokio::time::sleep(UPKEEP_EVERY).await;
                if let Some(metrics) = &metrics {
                    metrics.add_up();
                }
            }
        };
        tokio::select! {
            drained = self.server.serve(router, stop) => drained,
            () = upkeep => Drained { cut: 0 },
        }
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

async fn tell(State(figures): State<Figures>) -> Response {
    let _one = figures.one.lock().await;
    if let Err(error) = figures.observed.observe(&figures.metrics).await {
        let cause = in_one_line(&*error);
        tracing::warn!(cause, "the figures could not be read");
        let message = "the figures could not be read; the service's log says why";
        return ApiError::unavailable("busy", message, UPKEEP_EVERY).into_response();
    }
    let text = figures.metrics.text();
    ([(header::CONTENT_TYPE, METRICS_TYPE)], text).into_response()
}
