//! What a cloud tells of itself (docs/metrics.md): sums of what its event log has, and of what the log leaves out (refusals,
//! durations, what is waiting); no address.

use harpo_service::metrics::{Kind, Metric, Metrics, Observed, Observing};

use crate::Error;
use crate::cloud::Cloud;
use crate::scanner::Tally;

pub(crate) const REQUESTS: &str = "harpo_cloud_requests_total";
pub(crate) const EVENTS: &str = "harpo_cloud_events_total";
pub(crate) const RECEIVED: &str = "harpo_cloud_received_bytes_total";
pub(crate) const SENT: &str = "harpo_cloud_sent_bytes_total";
const GENERATIONS: &str = "harpo_cloud_sealed_generations";
const SLOTS: &str = "harpo_cloud_sealed_slots";
const RESIDENTS: &str = "harpo_cloud_resident_generations";
const RESIDENT_BYTES: &str = "harpo_cloud_resident_bytes";
const UNDER_WAY: &str = "harpo_cloud_retrievals_under_way";
const RECENT: &str = "harpo_cloud_recent_retrievals";
const WAITING: &str = "harpo_cloud_waiting_queries";
const QUERIES: &str = "harpo_cloud_queries_total";
const PASSES: &str = "harpo_cloud_pass_seconds";
const TICKETS: &str = "harpo_cloud_remembered_tickets";

/// The table.
pub const METRICS: &[Metric] = &[
    Metric::new(
        GENERATIONS,
        Kind::Gauge,
        "Sealed generations that were not retired.",
    ),
    Metric::new(
        SLOTS,
        Kind::Gauge,
        "Slots of sealed generations: what a retrieval may be for.",
    ),
    Metric::new(
        RESIDENTS,
        Kind::Gauge,
        "Encoded generations, by whether they can be read: ready, loading, failed.",
    )
    .by("state"),
    Metric::new(
        RESIDENT_BYTES,
        Kind::Gauge,
        "Memory set aside for encoded generations; 0 where they are mapped files.",
    ),
    Metric::new(
        UNDER_WAY,
        Kind::Gauge,
        "Retrievals and streams under way.",
    ),
    Metric::new(
        RECENT,
        Kind::Gauge,
        "Retrievals, resumptions and streams of the last minute and the last hour: the anonymity set in time.",
    )
    .by("window"),
    Metric::new(
        WAITING,
        Kind::Gauge,
        "Queries that were received and wait for a pass over their stack.",
    ),
    Metric::new(
        TICKETS,
        Kind::Gauge,
        "Spent tickets that are remembered, so that none is spent twice.",
    ),
    Metric::new(
        QUERIES,
        Kind::Counter,
        "Queries that passes over a stack were made for.",
    ),
    Metric::new(
        PASSES,
        Kind::Histogram(&[0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0]),
        "Passes over a stack, by how long each took.",
    ),
    Metric::new(
        EVENTS,
        Kind::Counter,
        "Events in the event log, by kind; spent tickets are retrieval, and stream.",
    )
    .by("event"),
    Metric::new(
        RECEIVED,
        Kind::Counter,
        "Bytes of slots, tickets and queries received, as in the event log.",
    ),
    Metric::new(
        SENT,
        Kind::Counter,
        "Bytes of hints, answers and streams sent, as in the event log.",
    ),
    Metric::new(
        REQUESTS,
        Kind::Counter,
        "Requests by outcome: ok, or the code of the refusal.",
    )
    .by("code"),
];

/// What the scanner counts.
pub(crate) fn of_passes(metrics: &Metrics) -> Tally {
    Tally {
        passes: metrics.histogram(PASSES),
        queries: metrics.counter(QUERIES),
    }
}

impl Observed for Cloud {
    fn observe<'a>(&'a self, metrics: &'a Metrics) -> Observing<'a> {
        Box::pin(async move { Ok(observe(self, metrics).await?) })
    }
}

async fn observe(cloud: &Cloud, metrics: &Metrics) -> Result<(), Error> {
    let (generations, slots) = cloud.store.sealed_counts().await?;
    metrics.gauge(GENERATIONS).set(generations as f64);
    metrics.gauge(SLOTS).set(slots as f64);
    let residents = cloud.residents.counts();
    metrics.gauge_of(RESIDENTS, "ready").set(residents.ready);
    metrics
        .gauge_of(RESIDENTS, "loading")
        .set(residents.loading);
    metrics.gauge_of(RESIDENTS, "failed").set(residents.failed);
    metrics.gauge(RESIDENT_BYTES).set(residents.bytes as f64);
    metrics.gauge(UNDER_WAY).set(cloud.gate.under_way() as f64);
    let (minute, hour) = cloud.events.recent(cloud.now());
    metrics.gauge_of(RECENT, "minute").set(minute as f64);
    metrics.gauge_of(RECENT, "hour").set(hour as f64);
    metrics.gauge(WAITING).set(cloud.scanner.waiting() as f64);
    let tickets = cloud.store.ticket_count().await?;
    metrics.gauge(TICKETS).set(tickets as f64);
    Ok(())
}
