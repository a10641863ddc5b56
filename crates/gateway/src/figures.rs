//! What a gateway tells of itself (docs/metrics.md), to its own hospital: no patient, study, bundle or user.

use harpo_service::metrics::{Kind, Metric, Metrics, Observed, Observing};

use crate::status::About;
use crate::store::StoreError;

pub(crate) const REQUESTS: &str = "harpo_gateway_requests_total";
const WAITING: &str = "harpo_gateway_waiting_instances";
const DEPOSITED: &str = "harpo_gateway_deposited_bundles";
const REFUSED: &str = "harpo_gateway_refused_bundles";
const HINTS: &str = "harpo_gateway_hint_generations";
const HINT_BYTES: &str = "harpo_gateway_hint_received_bytes_total";
const UNDER_WAY: &str = "harpo_gateway_fetches_under_way";
const FETCHES: &str = "harpo_gateway_fetches_total";
const FAILED: &str = "harpo_gateway_failed_fetches_total";
const SENT: &str = "harpo_gateway_fetch_sent_bytes_total";
const ROUNDS: &str = "harpo_gateway_rounds_total";
const ROUND_QUERIES: &str = "harpo_gateway_round_queries_total";
const WANTED: &str = "harpo_gateway_waiting_slots";
const MOVED: &str = "harpo_gateway_moved_bundles_total";
const RECEIVED: &str = "harpo_gateway_fetch_received_bytes_total";

/// The table.
pub const METRICS: &[Metric] = &[
    Metric::new(
        WAITING,
        Kind::Gauge,
        "Instances acknowledged to senders and not deposited yet.",
    ),
    Metric::new(
        DEPOSITED,
        Kind::Gauge,
        "Bundles whose receipt is here.",
    ),
    Metric::new(
        REFUSED,
        Kind::Gauge,
        "Bundles that trust refused for good; their instances are in the spool.",
    ),
    Metric::new(
        HINTS,
        Kind::Gauge,
        "Sealed generations whose hints are here.",
    ),
    Metric::new(
        HINT_BYTES,
        Kind::Counter,
        "Bytes of hints received from the cloud.",
    ),
    Metric::new(UNDER_WAY, Kind::Gauge, "Fetches under way."),
    Metric::new(
        FETCHES,
        Kind::Counter,
        "Fetches that ended, since this gateway was enrolled: from trust's cache, or from a stack of the cloud.",
    )
    .by("source"),
    Metric::new(
        FAILED,
        Kind::Counter,
        "Of these, such as did not bring the bundle.",
    )
    .by("source"),
    Metric::new(
        SENT,
        Kind::Counter,
        "Bytes that fetches sent, since this gateway was enrolled.",
    )
    .by("source"),
    Metric::new(
        RECEIVED,
        Kind::Counter,
        "Bytes that fetches received, since this gateway was enrolled.",
    )
    .by("source"),
    Metric::new(
        ROUNDS,
        Kind::Counter,
        "Rounds by outcome: answered, skipped, failed.",
    )
    .by("outcome"),
    Metric::new(
        ROUND_QUERIES,
        Kind::Counter,
        "Queries of answered rounds: for a slot that was wanted, or a dummy.",
    )
    .by("purpose"),
    Metric::new(
        WANTED,
        Kind::Gauge,
        "Slots that wait for a round.",
    ),
    Metric::new(
        MOVED,
        Kind::Counter,
        "Bundles whose fragments went back to trust: after they were read, or on an errand.",
    )
    .by("reason"),
    Metric::new(
        REQUESTS,
        Kind::Counter,
        "Requests of the hospital's own programs and people by outcome: ok, or the code of the refusal.",
    )
    .by("code"),
];

impl Observed for About {
    fn observe<'a>(&'a self, metrics: &'a Metrics) -> Observing<'a> {
        Box::pin(async move { Ok(observe(self, metrics).await?) })
    }
}

async fn observe(about: &About, metrics: &Metrics) -> Result<(), StoreError> {
    let (deposited, refused) = about.store.deposits().await?;
    metrics.gauge(DEPOSITED).set(deposited as f64);
    metrics.gauge(REFUSED).set(refused as f64);
    let waiting = about.spool.waiting_instances();
    metrics.gauge(WAITING).set(waiting as f64);
    let hints = about.hints.ready().len();
    metrics.gauge(HINTS).set(hints as f64);
    metrics.counter(HINT_BYTES).absolute(about.hints.received());
    let under_way = about.underway.rows().len();
    metrics.gauge(UNDER_WAY).set(under_way as f64);
    for source in ["cache", "stack"] {
        let sums = about.store.fetch_sums(source).await?;
        let set = |name, value| metrics.counter_of(name, source).absolute(value);
        set(FETCHES, sums.fetches);
        set(FAILED, sums.failed);
        set(SENT, sums.bytes_up);
        set(RECEIVED, sums.bytes_down);
    }
    let rounds = about.rounds.status().unwrap_or_default();
    let counts = rounds.counts;
    let set = |name, value: &'static str, count| metrics.counter_of(name, value).absolute(count);
    set(ROUNDS, "answered", counts.rounds);
    set(ROUNDS, "skipped", counts.skipped);
    set(ROUNDS, "failed", counts.failed);
    set(ROUND_QUERIES, "wanted", counts.slots);
    set(ROUND_QUERIES, "dummy", counts.queries - counts.slots);
    set(MOVED, "read", counts.given_back);
    set(MOVED, "errand", counts.errands);
    metrics.gauge(WANTED).set(rounds.slots_waiting as f64);
    Ok(())
}
