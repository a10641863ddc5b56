//! Everything that a run found, as it is written to JSON. Rates are of 10^9 bytes a second.

use harpo_oblivious::Stack;
use serde::Serialize;

use super::plan::Plan;
use super::read_limit::Buffer;
use crate::clock::Samples;
use crate::machine::Machine;

/// One run. Where a figure has no `median` beside it or in its name, it is the best of its rounds.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Report {
    pub(crate) subject: &'static str,
    /// Whether rounds and sizes were cut to end within a minute.
    pub(crate) quick: bool,
    pub(crate) machine: Machine,
    pub(crate) shape: ShapeRow,
    pub(crate) memory: Memory,
    /// Sequential reading with the fewest threads: one, unless `--threads` says otherwise.
    pub(crate) read_limit_gb_per_s: f64,
    /// The same with every number of threads.
    pub(crate) read_limit: Vec<ReadLimit>,
    /// Plaintext scanned, times the queries answered, for each second of a pass.
    pub(crate) scan: Vec<ScanRow>,
    /// Encoding and hint, with the fewest threads likewise.
    pub(crate) seal_gb_per_s: f64,
    pub(crate) seal: Vec<SealRow>,
    /// Bytes of an answer for each byte of the slot.
    pub(crate) answer_ratio: f64,
    pub(crate) query_ms: f64,
    pub(crate) decode_ms: f64,
    pub(crate) client: Client,
    pub(crate) wire: Wire,
    pub(crate) peers: Vec<PeerRow>,
    pub(crate) growth: Vec<GrowthRow>,
}

/// The stack that was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct ShapeRow {
    pub(crate) slots: u32,
    pub(crate) slot_bytes: u32,
    pub(crate) interleave: u32,
    pub(crate) polys: u32,
    pub(crate) parameter_set: u16,
    pub(crate) plain_bytes: u64,
    pub(crate) encoded_bytes: u64,
}

impl ShapeRow {
    pub(crate) fn new(plan: &Plan, stack: &Stack) -> Self {
        ShapeRow {
            slots: plan.slots,
            slot_bytes: plan.slot_bytes,
            interleave: plan.interleave,
            polys: stack.polys(),
            parameter_set: stack.params().id.0,
            plain_bytes: plan.plain_bytes(),
            encoded_bytes: plan.encoded_bytes,
        }
    }
}

/// Bytes of memory; absent where the system does not say.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Memory {
    /// The encoded stack: what serving needs.
    pub(crate) encoded_bytes: u64,
    /// The most that sealing added to what was there before, the encoded stack included.
    pub(crate) sealing_peak_bytes: Option<u64>,
    /// The buffer of the read limit.
    pub(crate) read_buffer_bytes: u64,
    pub(crate) read_buffer_huge_pages: bool,
}

/// A rate in 10^9 bytes a second.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub(crate) best: f64,
    pub(crate) median: f64,
}

impl Rate {
    pub(crate) fn new(bytes: u64, samples: &Samples) -> Self {
        Rate {
            best: gb_per_s(bytes, samples.best()),
            median: gb_per_s(bytes, samples.median()),
        }
    }
}

/// 10^9 bytes a second.
pub(crate) fn gb_per_s(bytes: u64, seconds: f64) -> f64 {
    bytes as f64 / seconds / 1e9
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ReadLimit {
    pub(crate) threads: usize,
    pub(crate) gb_per_s: f64,
    pub(crate) median_gb_per_s: f64,
    #[serde(skip)]
    pub(crate) huge_pages: bool,
}

impl ReadLimit {
    pub(crate) fn new(threads: usize, buffer: &Buffer, samples: &Samples) -> Self {
        let rate = Rate::new(buffer.bytes(), samples);
        ReadLimit {
            threads,
            gb_per_s: rate.best,
            median_gb_per_s: rate.median,
            huge_pages: buffer.huge_pages(),
        }
    }
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct ScanRow {
    pub(crate) kernel: &'static str,
    pub(crate) threads: usize,
    pub(crate) k: usize,
    /// K times the plaintext for each second.
    pub(crate) gb_per_s: f64,
    pub(crate) median_gb_per_s: f64,
    /// Encoded bytes that went through the processor.
    pub(crate) read_gb_per_s: f64,
    /// That beside the read limit of as many threads.
    pub(crate) read_limit_fraction: f64,
    pub(crate) visits: usize,
}

#[derive(Debug, Clone, Serialize)]
pub(crate) struct SealRow {
    pub(crate) threads: usize,
    pub(crate) gb_per_s: f64,
    pub(crate) median_gb_per_s: f64,
    pub(crate) encode_gb_per_s: f64,
    pub(crate) hint_gb_per_s: f64,
    /// The most memory that it took, the result included.
    pub(crate) peak_bytes: Option<u64>,
}

/// Best and median.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Milliseconds {
    pub(crate) best: f64,
    pub(crate) median: f64,
}

impl Milliseconds {
    pub(crate) fn of(samples: &Samples) -> Self {
        Milliseconds {
            best: samples.best() * 1e3,
            median: samples.median() * 1e3,
        }
    }
}

/// Milliseconds of each step around the scan, one thread, one query.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Client {
    /// Making a query, to the bytes that travel.
    pub(crate) query: Milliseconds,
    /// The server's work on those bytes before it can scan.
    pub(crate) server_reads_query: Milliseconds,
    /// From the bytes of an answer to those of the slot.
    pub(crate) decode: Milliseconds,
    /// Preparing the hint, once for each generation.
    pub(crate) hint_sum: Milliseconds,
}

/// Bytes of one query: measured on what would travel, and by the documentation's formulas.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Wire {
    pub(crate) bytes_up: u64,
    pub(crate) bytes_up_formula: u64,
    pub(crate) bytes_down: u64,
    pub(crate) bytes_down_formula: u64,
    /// Once for each consumer and generation.
    pub(crate) hint_bytes: u64,
    pub(crate) hint_bytes_formula: u64,
    pub(crate) answer_ratio: f64,
}

impl Wire {
    pub(crate) fn new(plan: &Plan, stack: &Stack, up: u64, down: u64, hint: u64) -> Self {
        Wire {
            bytes_up: up,
            bytes_up_formula: stack.query_bytes(),
            bytes_down: down,
            bytes_down_formula: stack.answer_bytes(),
            hint_bytes: hint,
            hint_bytes_formula: stack.hint_bytes(),
            answer_ratio: down as f64 / f64::from(plan.slot_bytes),
        }
    }
}

/// One way to get `k` records out of the same memory.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct PeerRow {
    pub(crate) name: &'static str,
    /// All records that the choice hides among, once, for each second of `seconds`.
    pub(crate) gb_per_s: f64,
    /// From the consumer to the server for the whole retrieval.
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    /// What the two exchange once, before any retrieval.
    pub(crate) bytes_once: u64,
    /// The server's work and the transfer over loopback, for the whole retrieval.
    pub(crate) seconds: f64,
    pub(crate) median_seconds: f64,
    /// The consumer's own work: asking and opening.
    pub(crate) client_seconds: f64,
    /// What a user would wait on a line of 1 Gbit/s: both sides' seconds, and those of the bytes.
    pub(crate) seconds_on_1_gbit_per_s: f64,
    /// Messages there and back.
    pub(crate) rounds: u32,
    pub(crate) k: usize,
    pub(crate) records: u32,
    pub(crate) record_bytes: u64,
    pub(crate) database_bytes: u64,
    pub(crate) note: &'static str,
}

/// How the costs grow: one shape, one k.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct GrowthRow {
    pub(crate) slots: u32,
    pub(crate) slot_bytes: u32,
    pub(crate) k: usize,
    pub(crate) bytes_up: u64,
    pub(crate) bytes_down: u64,
    pub(crate) hint_bytes: u64,
    pub(crate) encoded_bytes: u64,
    /// Encoding and hint.
    pub(crate) seal_ms: f64,
    /// Reading k queries, one pass, k answers.
    pub(crate) server_ms: f64,
    /// Making k queries and decoding k answers.
    pub(crate) client_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_powers_of_ten() {
        let mut samples = Samples::default();
        samples.push(2.0);
        samples.push(4.0);
        let rate = Rate::new(6_000_000_000, &samples);
        assert!((rate.best - 3.0).abs() < 1e-12);
        assert!((rate.median - 2.0).abs() < 1e-12);
        assert!((Milliseconds::of(&samples).best - 2000.0).abs() < 1e-9);
    }
}
