//! Oblivious retrieval, measured: `cargo xtask bench retrieval`.

mod chart;
mod consumer;
mod engine;
mod growth;
mod peers;
mod plan;
mod read_limit;
mod report;
mod scan;
mod table;

use std::fs;

use anyhow::{Context, Result};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::machine::Machine;
use crate::progress::Progress;
use crate::records::{Records, random_bytes};

pub(crate) use plan::Options;
use plan::Plan;
use report::{Memory, Report, ShapeRow};

/// Measures, prints, and writes the files that were asked for.
///
/// # Errors
/// If memory does not suffice, an option is nonsense, anything returned wrong bytes, or a file cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = measure(&Plan::new(options)?)?;
    print!("{}", table::render(&report));
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(file, json + "\n").with_context(|| format!("cannot write {}", file.display()))?;
        println!("figures: {}", file.display());
    }
    if let Some(file) = &options.svg {
        fs::write(file, chart::draw(&report)?)
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("drawing: {}", file.display());
    }
    Ok(())
}

/// Everything, in one process and one go.
fn measure(plan: &Plan) -> Result<Report> {
    let progress = Progress::new();
    progress.say("making records");
    let bytes = random_bytes(usize::try_from(plan.plain_bytes())?);
    let records = Records::cut(&bytes, plan.slots, plan.slot_bytes)
        .context("the records are shorter than the plan")?;
    // Fixed, so that a run can be repeated: what is hidden here is not worth hiding.
    let mut rng = ChaCha20Rng::seed_from_u64(2016);
    let pools = plan
        .threads
        .iter()
        .map(|&threads| Ok((threads, pool(threads)?)))
        .collect::<Result<Vec<_>>>()?;
    let one = pool(1)?;
    let (sealed, seal) = scan::seal(plan, &pools, records, &progress)?;
    let (asked, client, wire) =
        consumer::measure(plan, &one, &sealed, records, &mut rng, &progress)?;
    let (read_limit, scan) = scan::scan(
        plan,
        &pools,
        &sealed,
        &asked.parts,
        &asked.answers,
        &progress,
    )?;
    let peers = peers::measure(plan, &sealed, &asked.sum, records, &mut rng, &progress)?;
    let stack = sealed.stack.clone();
    drop((sealed, asked));
    let growth = growth::measure(plan, &bytes, &mut rng, &progress)?;
    Ok(Report {
        subject: "retrieval",
        quick: plan.quick,
        machine: Machine::read(),
        shape: ShapeRow::new(plan, &stack),
        memory: Memory {
            encoded_bytes: plan.encoded_bytes,
            sealing_peak_bytes: seal.iter().filter_map(|row| row.peak_bytes).max(),
            read_buffer_bytes: plan.read_buffer_bytes,
            read_buffer_huge_pages: read_limit.iter().all(|row| row.huge_pages),
        },
        read_limit_gb_per_s: read_limit[0].gb_per_s,
        read_limit,
        scan,
        seal_gb_per_s: seal[0].gb_per_s,
        seal,
        answer_ratio: wire.answer_ratio,
        query_ms: client.query.best,
        decode_ms: client.decode.best,
        client,
        wire,
        peers,
        growth,
    })
}

fn pool(threads: usize) -> Result<rayon::ThreadPool> {
    rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .build()
        .with_context(|| format!("cannot start {threads} threads"))
}

#[cfg(test)]
mod tests;
