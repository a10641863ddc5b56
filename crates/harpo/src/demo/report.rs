//! The demo's report: one JSON object.

use std::collections::BTreeMap;

use harpo_lab::report::RealLog;
use serde::Serialize;

use super::expected::Retrieval;
use super::marks::Marks;
use super::rounds::Rounds;
use super::screen::megabytes;

/// `--report FILE`. Seconds are wall-clock time; bytes of the wire are those of message bodies.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    /// Instances that the producer's gateway acknowledged.
    pub instances_sent: usize,
    /// Instances that came back from the cloud and were compared.
    pub instances_received: usize,
    /// Files that could not be sent, with the reason.
    pub skipped: Vec<Skipped>,
    /// Whether every instance came back byte for byte, from the upload cache and from the cloud.
    pub bit_exact: bool,
    /// Size of the instances sent.
    pub study_bytes: u64,
    /// Fragments of their bundles.
    pub fragments: u64,
    /// Size of the sealed bundles, padding included.
    pub sealed_bytes: u64,
    /// `study_bytes` by `sealed_bytes`.
    pub bundle_ratio: f64,
    /// What reliability and tracing marks did.
    pub marks: Marks,
    /// Fetches from the cloud by each engine: `ring` or `stream`.
    pub engines: BTreeMap<String, u64>,
    /// Queries of the rounds that were for the study's slots; none where the whole stack was streamed.
    pub queries: u64,
    /// Size of the stack that every query covered.
    pub stack_bytes: u64,
    /// Size of its hints, fetched once, before.
    pub hint_bytes: u64,
    /// Bytes to the cloud of all retrievals of both gateways.
    pub wire_bytes_up: u64,
    /// Bytes from the cloud.
    pub wire_bytes_down: u64,
    /// What the cloud's log has of rounds.
    pub rounds: Rounds,
    /// What the laboratory says of the cloud's log (`harpo lab`).
    pub laboratory: RealLog,
    /// The bytes of the retrievals beside those that the documentation's formulas give.
    pub retrieval: Retrieval,
    /// From the first C-STORE to the last receipt.
    pub outsource_seconds: f64,
    /// From asking to the last instance, through the upload cache.
    pub cache_consult_seconds: f64,
    /// From asking to the last instance, obliviously from the cloud.
    pub consult_seconds: f64,
    /// Event kinds in the cloud's log, with counts.
    pub cloud_saw: BTreeMap<String, u64>,
    /// The same while the bundles were in the upload cache only.
    pub cloud_saw_before_sealing: BTreeMap<String, u64>,
}

impl Report {
    /// What the retrievals showed to the cloud, in words.
    pub(crate) fn shown(&self) -> String {
        let Rounds {
            seconds, queries, ..
        } = self.rounds;
        let stack = megabytes(self.stack_bytes);
        let every = match seconds {
            1 => "every second".to_owned(),
            _ => format!("every {seconds} s"),
        };
        match self.engines.contains_key("stream") {
            true => format!(
                "{every} each gateway takes all of {stack}, which costs less than asking: what of it was kept, \
                 if any, it cannot tell"
            ),
            false => format!(
                "{every} each gateway asks {queries} queries, each over all of {stack}: which slots, real or \
                 dummy, read or not, it cannot tell"
            ),
        }
    }
}

/// A file that was not sent.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Skipped {
    /// Its path.
    pub file: String,
    /// Why.
    pub reason: String,
}
