//! Figures that a service tells of itself, in the text format of Prometheus, at `/-/metrics` of its admin listener
//! (docs/metrics.md).
//!
//! Each service has [`Metrics`] of its own, made from a table: a process may hold several services, and each tells
//! only of itself. No figure has a label with a name, an address or an identifier: what the parties hide from each
//! other must not come out here.

use std::error::Error;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{Next, from_fn};
use futures_util::future::BoxFuture;
pub use metrics::{Counter, Gauge, Histogram};
use metrics::{Key, Label, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::http::code;

#[cfg(test)]
mod tests;

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// What a figure is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Kind {
    /// A level: it rises and falls.
    Gauge,
    /// Counted since the start of the process: it only rises.
    Counter,
    /// How values are spread: counts up to each of these bounds, ascending.
    Histogram(&'static [f64]),
}

/// A row of a service's table.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// `harpo_PARTY_WHAT_UNIT`; a counter ends in `_total`.
    pub name: &'static str,
    /// What it is.
    pub kind: Kind,
    /// The label that tells its series apart, if it has several.
    pub label: Option<&'static str>,
    /// One sentence, for people.
    pub help: &'static str,
}

impl Metric {
    /// A figure of one series.
    #[must_use]
    pub const fn new(name: &'static str, kind: Kind, help: &'static str) -> Self {
        Self {
            name,
            kind,
            label: None,
            help,
        }
    }

    /// A figure with a series for each value of `label`, of which there are few.
    #[must_use]
    pub const fn by(mut self, label: &'static str) -> Self {
        self.label = Some(label);
        self
    }
}

/// A service whose figures are told.
pub trait Observed: Send + Sync + 'static {
    /// Sets the figures that are not counted as they happen.
    ///
    /// # Errors
    /// Whatever keeps them from being read; the listener answers `busy` then.
    fn observe<'a>(&'a self, metrics: &'a Metrics) -> Observing<'a>;
}

/// What [`Observed::observe`] returns.
pub type Observing<'a> = BoxFuture<'a, Result<(), Box<dyn Error + Send + Sync>>>;

/// The figures of one service. Clones share them.
#[derive(Clone, Debug)]
pub struct Metrics(Arc<Registry>);

#[derive(Debug)]
struct Registry {
    table: &'static [Metric],
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Metrics {
    /// None of the figures of `table` has a value yet.
    ///
    /// # Panics
    /// If a histogram of the table has no bounds.
    #[must_use]
    pub fn new(table: &'static [Metric]) -> Self {
        let mut builder = PrometheusBuilder::new();
        for metric in table {
            if let Kind::Histogram(bounds) = metric.kind {
                let name = Matcher::Full(metric.name.to_owned());
                #[expect(
                    clippy::expect_used,
                    reason = "tables are constants, and tests make them all"
                )]
                let with = builder
                    .set_buckets_for_metric(name, bounds)
                    .expect("a histogram has bounds");
                builder = with;
            }
        }
        let recorder = builder.build_recorder();
        for metric in table {
            let (name, help) = (metric.name.into(), metric.help.into());
            match metric.kind {
                Kind::Gauge => recorder.describe_gauge(name, None, help),
                Kind::Counter => recorder.describe_counter(name, None, help),
                Kind::Histogram(_) => recorder.describe_histogram(name, None, help),
            }
        }
        let handle = recorder.handle();
        Self(Arc::new(Registry {
            table,
            recorder,
            handle,
        }))
    }

    /// The counter of this name, to be kept and counted with.
    ///
    /// # Panics
    /// Here and below: in debug builds, if the table has no such figure.
    pub fn counter(&self, name: &'static str) -> Counter {
        let key = self.key(name, None);
        self.0.recorder.register_counter(&key, &METADATA)
    }

    /// The counter of one value of its label.
    pub fn counter_of(&self, name: &'static str, value: impl ToString) -> Counter {
        let key = self.key(name, Some(value.to_string()));
        self.0.recorder.register_counter(&key, &METADATA)
    }

    /// The gauge of this name.
    pub fn gauge(&self, name: &'static str) -> Gauge {
        let key = self.key(name, None);
        self.0.recorder.register_gauge(&key, &METADATA)
    }

    /// The gauge of one value of its label.
    pub fn gauge_of(&self, name: &'static str, value: impl ToString) -> Gauge {
        let key = self.key(name, Some(value.to_string()));
        self.0.recorder.register_gauge(&key, &METADATA)
    }

    /// The histogram of this name.
    pub fn histogram(&self, name: &'static str) -> Histogram {
        let key = self.key(name, None);
        self.0.recorder.register_histogram(&key, &METADATA)
    }

    /// Adds up what histograms were told, so that it takes no more memory.
    pub fn add_up(&self) {
        self.0.handle.run_upkeep();
    }

    /// All figures that have a value, in the text format of Prometheus.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.handle.render()
    }

    /// Counts the answers of `router` in the counter `name`, by the label's value `ok` or the code of the refusal
    /// (docs/protocol.md 13).
    pub fn count_answers(&self, name: &'static str, router: Router) -> Router {
        let metrics = self.clone();
        router.layer(from_fn(move |request: Request, next: Next| {
            let metrics = metrics.clone();
            async move {
                let answer = next.run(request).await;
                metrics.counter_of(name, code(&answer)).increment(1);
                answer
            }
        }))
    }

    fn key(&self, name: &'static str, value: Option<String>) -> Key {
        let metric = self.0.table.iter().find(|metric| metric.name == name);
        let label = metric.and_then(|metric| metric.label);
        debug_assert!(metric.is_some(), "{name} is not in the table");
        debug_assert_eq!(label.is_some(), value.is_some(), "the label of {name}");
        match (label, value) {
            (Some(label), Some(value)) => Key::from_parts(name, vec![Label::new(label, value)]),
            _ => Key::from_static_name(name),
        }
    }
}
