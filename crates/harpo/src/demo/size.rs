//! How large a stack the demo uses, and how its gateways ask.

use anyhow::{Result, bail};
use harpo_protocol::cell::Layout;
use harpo_protocol::rounds::Rule;

use super::screen::megabytes;
use super::study::Originals;

const MIB: u64 = 1 << 20;
const DEFAULT_STACK_MIB: u64 = 256;

/// Slots of 16 cells so that the stack has the size asked for, with at least 64 slots where it can.
pub(crate) fn layout(stack_mib: Option<u64>, originals: &Originals) -> Result<Layout> {
    let studies = originals.studies().len() as u64;
    let fit = |mib: u64| {
        let slot = (mib * MIB / 64)
            .next_power_of_two()
            .clamp(64 << 10, 4 << 20);
        let slots = (mib * MIB / slot).clamp(8, 1 << 14);
        // The end of each study may need a slot that nobody shares.
        let needed = originals.bytes() + originals.bytes() / 16 + studies * slot;
        (slots * slot >= needed).then_some((slot, slots))
    };
    let smallest = || {
        (0..16)
            .map(|power| 1 << power)
            .find(|mib| fit(*mib).is_some())
    };
    let chosen = match stack_mib {
        Some(mib) => fit(mib),
        None => smallest().and_then(|mib| fit(mib.max(DEFAULT_STACK_MIB))),
    };
    let Some((slot, slots)) = chosen else {
        bail!(
            "the stack is too small for {}; use --stack-mib {} or more",
            megabytes(originals.bytes()),
            smallest().unwrap_or(1 << 16),
        );
    };
    Ok(Layout {
        cell_bytes: (slot / 16) as u32,
        cells_per_slot: 16,
        slots: slots as u32,
    })
}

/// Rounds as short as a small machine can hold, with so many queries that one or a few of them bring the originals.
pub(crate) fn rule(layout: &Layout, originals: &Originals) -> Rule {
    /// Rounds that bring the originals, if sealing made nothing of them smaller.
    const ROUNDS: u64 = 4;
    /// What one round may bring of them anyway.
    const AT_ONCE: u64 = 8 * MIB;
    /// What the cloud works through of the stack for all queries, in bytes a second.
    const SCANNED: u64 = 4_000_000_000;
    let slot = u64::from(layout.slot_bytes());
    let slots = originals.bytes().div_ceil(slot);
    let queries = slots.div_ceil(ROUNDS).max(slots.min(AT_ONCE / slot));
    let queries = queries.next_power_of_two().clamp(4, 64);
    let work = 2 * queries * u64::from(layout.slots) * slot;
    Rule {
        seconds: work.div_ceil(SCANNED).clamp(1, 60) as u32,
        queries: queries as u32,
    }
}
