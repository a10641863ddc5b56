//! What one run does: options completed, sizes worked out, memory asked for before it is used.

use std::path::PathBuf;

use anyhow::{Result, bail, ensure};
use clap::Args;
use harpo_oblivious::Stack;

use super::engine;
use crate::machine;

/// Options of the retrieval benchmark.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Slots in the stack, N [default: 512; 64 with --quick]
    #[arg(long, value_name = "N")]
    pub(crate) slots: Option<u32>,
    /// Size of a slot, R, in KiB
    #[arg(long, value_name = "R", default_value_t = 4096)]
    pub(crate) slot_kib: u32,
    /// Slots that share a polynomial, a power of two
    #[arg(long, value_name = "T", default_value_t = 8)]
    pub(crate) interleave: u32,
    /// Queries that one pass answers
    #[arg(
        long,
        value_name = "LIST",
        value_delimiter = ',',
        default_value = "1,2,4,8,16"
    )]
    pub(crate) k: Vec<u32>,
    /// Numbers of threads [default: 1, 2, 4, ... and all cores]
    #[arg(long, value_name = "LIST", value_delimiter = ',')]
    pub(crate) threads: Vec<usize>,
    /// Records that one retrieval wants when engines are compared
    #[arg(long, value_name = "K", default_value_t = 8)]
    pub(crate) wanted: u32,
    /// A small stack and few rounds: within a minute
    #[arg(long)]
    pub(crate) quick: bool,
    /// Write all figures to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Draw the figures to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) svg: Option<PathBuf>,
}

/// A run in figures.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) slots: u32,
    pub(crate) slot_bytes: u32,
    pub(crate) interleave: u32,
    pub(crate) ks: Vec<usize>,
    pub(crate) threads: Vec<usize>,
    pub(crate) wanted: u32,
    pub(crate) quick: bool,
    pub(crate) encoded_bytes: u64,
    pub(crate) read_buffer_bytes: u64,
    pub(crate) seal_rounds: usize,
    pub(crate) scan_rounds: usize,
    pub(crate) peer_rounds: usize,
    pub(crate) growth_rounds: usize,
    /// A candidate that took longer than this in all is not visited again.
    pub(crate) candidate_seconds: f64,
    /// Most bytes of plaintext that Spiral is given; it needs eight times as much memory.
    pub(crate) spiral_bytes: u64,
    pub(crate) growth_slots: Vec<u32>,
    pub(crate) growth_slot_bytes: Vec<u32>,
    pub(crate) growth_ks: Vec<usize>,
}

const MIB: u64 = 1 << 20;
/// Memory for queries, answers, hints and their sums, and what others may take meanwhile.
const MARGIN_BYTES: u64 = 768 * MIB;
/// A read limit needs a buffer far larger than the caches.
const LEAST_READ_BUFFER: u64 = 512 * MIB;

impl Plan {
    /// Completes the options.
    ///
    /// # Errors
    /// If a list is empty or holds zero, the shape is refused, or memory does not suffice.
    pub(crate) fn new(options: &Options) -> Result<Self> {
        let plan = Self::without_memory(options)?;
        match machine::available_bytes() {
            Some(available) => plan.fit(available),
            None => Ok(plan),
        }
    }

    fn without_memory(options: &Options) -> Result<Self> {
        let quick = options.quick;
        ensure!(
            !options.k.is_empty() && !options.k.contains(&0),
            "--k needs numbers of queries, at least 1 each"
        );
        ensure!(
            !options.threads.contains(&0),
            "--threads needs at least 1 each"
        );
        ensure!(options.wanted > 0, "--wanted needs at least 1");
        let Some(slot_bytes) = options.slot_kib.checked_mul(1024) else {
            bail!("--slot-kib is too large");
        };
        let slots = options.slots.unwrap_or(if quick { 64 } else { 512 });
        let stack = engine::stack(slots, slot_bytes, options.interleave)?;
        let mut threads = options.threads.clone();
        if threads.is_empty() {
            threads = doubling(machine::cores());
        }
        let small = |list: &[u32], limit| list.iter().copied().filter(|x| *x <= limit).collect();
        let growth: (&[u32], &[u32]) = if quick {
            (&[16, 32, 64], &[64 << 10, 256 << 10, 1 << 20])
        } else {
            (&[64, 128, 256, 512], &[256 << 10, 1 << 20, 4 << 20])
        };
        Ok(Plan {
            slots,
            slot_bytes,
            interleave: options.interleave,
            ks: sorted(options.k.iter().map(|k| *k as usize)),
            threads: sorted(threads.into_iter()),
            wanted: options.wanted.min(slots),
            quick,
            encoded_bytes: stack.encoded_bytes(),
            read_buffer_bytes: stack.encoded_bytes(),
            seal_rounds: if quick { 2 } else { 3 },
            scan_rounds: if quick { 2 } else { 4 },
            peer_rounds: if quick { 1 } else { 3 },
            growth_rounds: if quick { 1 } else { 2 },
            candidate_seconds: if quick { 0.5 } else { 4.0 },
            spiral_bytes: if quick { 16 * MIB } else { 128 * MIB },
            growth_slots: small(growth.0, slots),
            growth_slot_bytes: small(growth.1, slot_bytes),
            growth_ks: vec![1, 2, 4, 8, 16],
        })
    }

    /// Makes the read buffer smaller where memory is short, and refuses where that does not help.
    fn fit(mut self, available: u64) -> Result<Self> {
        let fixed = self.plain_bytes() + self.encoded_bytes + MARGIN_BYTES;
        let least = self.encoded_bytes.min(LEAST_READ_BUFFER);
        if fixed + least > available {
            let per_slot = (self.plain_bytes() + self.encoded_bytes) / u64::from(self.slots);
            let slots = available.saturating_sub(MARGIN_BYTES + LEAST_READ_BUFFER) / per_slot;
            bail!(
                "this stack needs {} MiB of memory and {} MiB are available: use --slots {} or fewer",
                (fixed + least) / MIB,
                available / MIB,
                slots.max(1)
            );
        }
        self.read_buffer_bytes = self.encoded_bytes.min(available - fixed);
        // Spiral comes when the read buffer is gone, and takes its place.
        self.spiral_bytes = self.spiral_bytes.min(self.read_buffer_bytes / 10);
        Ok(self)
    }

    pub(crate) fn stack(&self) -> Result<Stack> {
        engine::stack(self.slots, self.slot_bytes, self.interleave)
    }

    /// Bytes of all records.
    pub(crate) fn plain_bytes(&self) -> u64 {
        u64::from(self.slots) * u64::from(self.slot_bytes)
    }

    /// Queries that the largest pass needs.
    pub(crate) fn queries(&self) -> usize {
        self.ks.iter().copied().max().unwrap_or(1)
    }
}

/// 1, 2, 4, ... below `cores`, and `cores`.
fn doubling(cores: usize) -> Vec<usize> {
    let powers = std::iter::successors(Some(1usize), |power| power.checked_mul(2));
    powers
        .take_while(|power| *power < cores)
        .chain([cores])
        .collect()
}

fn sorted(numbers: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut numbers: Vec<usize> = numbers.collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

#[cfg(test)]
mod tests;
