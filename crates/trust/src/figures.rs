//! What trust tells of itself (docs/metrics.md): counts over everybody, never of one hospital, patient or bundle. They
//! tell how much of a generation is cover, which the cloud must not know.

use std::sync::Arc;

use harpo_protocol::time::Timestamp;
use harpo_service::metrics::{Kind, Metric, Metrics, Observed, Observing};
use tokio::sync::Mutex;

use crate::error::TrustError;
use crate::serve::Trust;
use crate::store::figures;

pub(crate) const REQUESTS: &str = "harpo_trust_requests_total";
const STACK_GENERATIONS: &str = "harpo_trust_stack_generations";
const STACK_SLOTS: &str = "harpo_trust_stack_slots";
const STACK_BUNDLES: &str = "harpo_trust_stack_live_bundles";
const OPEN_SLOTS: &str = "harpo_trust_open_slots";
const OPEN_HOSPITALS: &str = "harpo_trust_open_hospitals";
const OPEN_ERRANDS: &str = "harpo_trust_open_errand_slots";
const GIVE_BACKS: &str = "harpo_trust_give_backs_under_way";
const REPLACED: &str = "harpo_trust_replaced_bundles_total";
const CACHED_BUNDLES: &str = "harpo_trust_cached_bundles";
const CACHED_BYTES: &str = "harpo_trust_cached_bytes";
const DELAY: &str = "harpo_trust_delay_seconds";
const AUDIT: &str = "harpo_trust_audit_entries";

const MINUTE: f64 = 60.0;
const HOUR: f64 = 60.0 * MINUTE;

/// The table.
pub const METRICS: &[Metric] = &[
    Metric::new(
        STACK_SLOTS,
        Kind::Gauge,
        "Slots of each stack, the oldest is 1: the anonymity set of a retrieval.",
    )
    .by("stack"),
    Metric::new(
        STACK_BUNDLES,
        Kind::Gauge,
        "Bundles in each stack that were neither erased nor moved.",
    )
    .by("stack"),
    Metric::new(
        STACK_GENERATIONS,
        Kind::Gauge,
        "Sealed generations of each stack.",
    )
    .by("stack"),
    Metric::new(
        OPEN_SLOTS,
        Kind::Gauge,
        "Slots of the open generation: occupied, and cover if it were sealed now.",
    )
    .by("content"),
    Metric::new(
        OPEN_HOSPITALS,
        Kind::Gauge,
        "Hospitals whose bundles lie in the open generation: the anonymity set of a write's origin.",
    ),
    Metric::new(
        OPEN_ERRANDS,
        Kind::Gauge,
        "Slots of the open generation that errands opened; they leave room for deposits.",
    ),
    Metric::new(
        GIVE_BACKS,
        Kind::Gauge,
        "Bundles that gateways may give back now: after they were read, or on an errand.",
    )
    .by("reason"),
    Metric::new(
        REPLACED,
        Kind::Counter,
        "Bundles that were placed anew, since the beginning.",
    ),
    Metric::new(
        CACHED_BUNDLES,
        Kind::Gauge,
        "Bundles in the upload cache: receiving, waiting in the open generation, leaving, sealed a while ago.",
    )
    .by("state"),
    Metric::new(
        CACHED_BYTES,
        Kind::Gauge,
        "Fragments in the upload cache; of a bundle that is being received, those announced.",
    )
    .by("state"),
    Metric::new(
        DELAY,
        Kind::Histogram(&[
            1.0,
            10.0,
            MINUTE,
            10.0 * MINUTE,
            HOUR,
            3.0 * HOUR,
            6.0 * HOUR,
            12.0 * HOUR,
            24.0 * HOUR,
            72.0 * HOUR,
        ]),
        "From a bundle's deposit to its generation's sealing, of the newest 16 generations at the start and those since.",
    ),
    Metric::new(AUDIT, Kind::Gauge, "Entries of the audit log."),
    Metric::new(
        REQUESTS,
        Kind::Counter,
        "Requests by outcome: ok, or the code of the refusal.",
    )
    .by("code"),
];

/// Generations whose delays are told from the start.
const GENERATIONS: u32 = 16;

/// Reads the figures.
pub(crate) struct Observer {
    pub(crate) trust: Arc<Trust>,
    /// When the newest generation was sealed whose delays were counted.
    pub(crate) counted: Mutex<Option<Timestamp>>,
}

impl Observed for Observer {
    fn observe<'a>(&'a self, metrics: &'a Metrics) -> Observing<'a> {
        Box::pin(async move { Ok(self.all(metrics).await?) })
    }
}

impl Observer {
    async fn all(&self, metrics: &Metrics) -> Result<(), TrustError> {
        let db = self.trust.store.db.read();
        for stack in figures::stacks(db).await? {
            let set = |name, value: i64| metrics.gauge_of(name, stack.number).set(value as f64);
            set(STACK_GENERATIONS, stack.generations);
            set(STACK_SLOTS, stack.slots);
            set(STACK_BUNDLES, stack.live);
        }
        let open = figures::open(db).await?;
        let slots = |content, count: i64| metrics.gauge_of(OPEN_SLOTS, content).set(count as f64);
        slots("occupied", open.occupied);
        slots("cover", open.slots - open.occupied);
        metrics.gauge(OPEN_HOSPITALS).set(open.hospitals as f64);
        metrics.gauge(OPEN_ERRANDS).set(open.brought as f64);
        let replacements = figures::replacements(db, self.trust.store.now()).await?;
        let under_way = |reason, count: i64| metrics.gauge_of(GIVE_BACKS, reason).set(count as f64);
        under_way("read", replacements.read);
        under_way("errand", replacements.errands);
        let done = replacements.done.unsigned_abs();
        metrics.counter(REPLACED).absolute(done);
        let audited = figures::audited(db).await?;
        metrics.gauge(AUDIT).set(audited as f64);
        self.cached(metrics).await?;
        self.delays(metrics).await
    }

    async fn cached(&self, metrics: &Metrics) -> Result<(), TrustError> {
        let fragment = self.trust.config.layout().fragment_bytes() as i64;
        let rows = figures::cached(self.trust.store.db.read()).await?;
        for state in figures::CACHED {
            let row = rows.iter().find(|(of, _, _)| of == state);
            let (bundles, fragments) =
                row.map_or((0, 0), |(_, bundles, fragments)| (*bundles, *fragments));
            metrics.gauge_of(CACHED_BUNDLES, state).set(bundles as f64);
            let bytes = fragments * fragment;
            metrics.gauge_of(CACHED_BYTES, state).set(bytes as f64);
        }
        Ok(())
    }

    async fn delays(&self, metrics: &Metrics) -> Result<(), TrustError> {
        let histogram = metrics.histogram(DELAY);
        let mut counted = self.counted.lock().await;
        let most = counted.map_or(GENERATIONS, |_| u32::MAX);
        let (delays, newest) = figures::delays(self.trust.store.db.read(), *counted, most).await?;
        for delay in delays {
            histogram.record(delay.max(0) as f64 / 1000.0);
        }
        *counted = newest;
        Ok(())
    }
}
