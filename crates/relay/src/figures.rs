//! What a relay tells of itself (docs/metrics.md): how much it carries, never whose.

use std::sync::Arc;

use harpo_service::metrics::{Counter, Kind, Metric, Metrics, Observed, Observing};

use crate::places::Places;

pub(crate) const REQUESTS: &str = "harpo_relay_requests_total";
const UNDER_WAY: &str = "harpo_relay_requests_under_way";
const GATEWAYS: &str = "harpo_relay_gateways_under_way";
const RECEIVED: &str = "harpo_relay_received_bytes_total";
const SENT: &str = "harpo_relay_sent_bytes_total";
const CUT: &str = "harpo_relay_cut_total";

/// The table.
pub const METRICS: &[Metric] = &[
    Metric::new(
        UNDER_WAY,
        Kind::Gauge,
        "Requests that are carried now.",
    ),
    Metric::new(
        GATEWAYS,
        Kind::Gauge,
        "Gateways that they are of: among whom the cloud could guess.",
    ),
    Metric::new(
        RECEIVED,
        Kind::Counter,
        "Bytes of sealed requests that were carried to the cloud.",
    ),
    Metric::new(
        SENT,
        Kind::Counter,
        "Bytes of sealed answers that were carried to gateways.",
    ),
    Metric::new(
        CUT,
        Kind::Counter,
        "Requests and answers that broke off, were too large, or took too long.",
    ),
    Metric::new(
        REQUESTS,
        Kind::Counter,
        "Requests by outcome: ok, or the code of the refusal; what the cloud refuses inside is ok here.",
    )
    .by("code"),
];

/// What is counted of bodies.
#[derive(Clone, Debug)]
pub(crate) struct Carried {
    pub(crate) received: Counter,
    pub(crate) sent: Counter,
    pub(crate) cut: Counter,
}

impl Carried {
    pub(crate) fn new(metrics: &Metrics) -> Self {
        Self {
            received: metrics.counter(RECEIVED),
            sent: metrics.counter(SENT),
            cut: metrics.counter(CUT),
        }
    }
}

/// Reads the figures that are not counted.
pub(crate) struct Observer(pub(crate) Arc<Places>);

impl Observed for Observer {
    fn observe<'a>(&'a self, metrics: &'a Metrics) -> Observing<'a> {
        let (requests, gateways) = self.0.taken();
        metrics.gauge(UNDER_WAY).set(requests);
        metrics.gauge(GATEWAYS).set(gateways as f64);
        Box::pin(async { Ok(()) })
    }
}
