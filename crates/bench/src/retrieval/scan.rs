//! The scan and sealing, against the read limit.

use anyhow::{Result, ensure};
use harpo_oblivious::{Answer, Kernel, PartialAnswer, QueryPart};
use rayon::ThreadPool;

use super::engine::{self, Sealed};
use super::plan::Plan;
use super::read_limit::Buffer;
use super::report::{Rate, ReadLimit, ScanRow, SealRow};
use crate::clock::{Samples, timed};
use crate::machine;
use crate::progress::Progress;
use crate::records::Records;

/// A thread pool and its number of threads.
pub(crate) type Pool = (usize, ThreadPool);

/// Seals the records again and again, with every number of threads in turn; returns the last result and the rates.
pub(crate) fn seal(
    plan: &Plan,
    pools: &[Pool],
    records: Records<'_>,
    progress: &Progress,
) -> Result<(Sealed, Vec<SealRow>)> {
    let stack = plan.stack()?;
    let mut times = vec![[Samples::default(), Samples::default(), Samples::default()]; pools.len()];
    let mut peaks = vec![None; pools.len()];
    let mut last = None;
    for round in 0..plan.seal_rounds {
        for (index, (threads, pool)) in pools.iter().enumerate() {
            progress.say(format!("sealing, {threads} thread(s), round {}", round + 1));
            // Two encoded generations at once may not fit.
            drop(last.take());
            let before = machine::forget_peak()
                .then(machine::resident_bytes)
                .flatten();
            let sealed = pool.install(|| engine::seal(&stack, records))?;
            let peak = machine::peak_bytes().zip(before);
            peaks[index] = peaks[index].max(peak.map(|(peak, before)| peak.saturating_sub(before)));
            let seconds = [sealed.encode_seconds, sealed.hint_seconds];
            times[index][0].push(seconds[0] + seconds[1]);
            times[index][1].push(seconds[0]);
            times[index][2].push(seconds[1]);
            last = Some(sealed);
        }
    }
    let bytes = records.bytes().len() as u64;
    let rows = pools.iter().zip(&times).zip(peaks);
    let rows = rows.map(
        |(((threads, _), [both, encode, hint]), peak_bytes)| SealRow {
            threads: *threads,
            gb_per_s: Rate::new(bytes, both).best,
            median_gb_per_s: Rate::new(bytes, both).median,
            encode_gb_per_s: Rate::new(bytes, encode).best,
            hint_gb_per_s: Rate::new(bytes, hint).best,
            peak_bytes,
        },
    );
    let rows = rows.collect();
    last.map(|sealed| (sealed, rows))
        .ok_or_else(|| anyhow::anyhow!("nothing was sealed: there is no round or no thread"))
}

/// One row of the scan before its figures are known.
struct Candidate {
    kernel: Kernel,
    k: usize,
    samples: Samples,
}

/// Reads plain memory and scans, in rounds that visit every candidate in turn. `parts` are the queries and
/// `expected` their answers, which every measured scan must give, bit for bit.
pub(crate) fn scan(
    plan: &Plan,
    pools: &[Pool],
    sealed: &Sealed,
    parts: &[QueryPart],
    expected: &[Answer],
    progress: &Progress,
) -> Result<(Vec<ReadLimit>, Vec<ScanRow>)> {
    progress.say("filling memory for the read limit");
    let buffer = Buffer::new(plan.read_buffer_bytes)?;
    let mut limits = vec![Samples::default(); pools.len()];
    let mut candidates: Vec<Vec<Candidate>> = pools.iter().map(|_| candidates(plan)).collect();
    for round in 0..plan.scan_rounds {
        for (index, (threads, pool)) in pools.iter().enumerate() {
            for candidate in &mut candidates[index] {
                // Beside every kernel: the limit drifts, too.
                if candidate.k == plan.ks[0] {
                    progress.say(format!("reading memory, {threads} thread(s)"));
                    limits[index].push(pool.install(|| buffer.read())?);
                }
                if candidate.samples.total() > plan.candidate_seconds {
                    continue;
                }
                progress.say(format!(
                    "scan: {}, {threads} thread(s), K = {}, round {} of {}",
                    candidate.kernel.name(),
                    candidate.k,
                    round + 1,
                    plan.scan_rounds
                ));
                let seconds = pool.install(|| visit(sealed, candidate, parts, expected))?;
                candidate.samples.push(seconds);
            }
        }
    }
    let limits: Vec<ReadLimit> = pools
        .iter()
        .zip(&limits)
        .map(|((threads, _), samples)| ReadLimit::new(*threads, &buffer, samples))
        .collect();
    let rows = candidates
        .iter()
        .zip(&limits)
        .flat_map(|(candidates, limit)| candidates.iter().map(|c| row(plan, c, limit)));
    let rows = rows.collect();
    Ok((limits, rows))
}

fn candidates(plan: &Plan) -> Vec<Candidate> {
    let kernels = Kernel::available().into_iter();
    kernels
        .flat_map(|kernel| {
            plan.ks.iter().map(move |&k| Candidate {
                kernel,
                k,
                samples: Samples::default(),
            })
        })
        .collect()
}

/// Times one pass for K queries; setting up and rounding the sums is not the scan's.
fn visit(
    sealed: &Sealed,
    candidate: &Candidate,
    parts: &[QueryPart],
    expected: &[Answer],
) -> Result<f64> {
    let parts = &parts[..candidate.k];
    let mut sums: Vec<PartialAnswer> = parts
        .iter()
        .map(|_| PartialAnswer::new(&sealed.stack))
        .collect();
    let (done, seconds) = timed(|| {
        sealed
            .encoded
            .accumulate_with(candidate.kernel, parts, &mut sums)
    });
    done?;
    for (sum, expected) in sums.into_iter().zip(expected) {
        ensure!(
            sum.finish()? == *expected,
            "kernel {} gives another answer than the one that decoded right",
            candidate.kernel.name()
        );
    }
    Ok(seconds)
}

fn row(plan: &Plan, candidate: &Candidate, limit: &ReadLimit) -> ScanRow {
    let rate = Rate::new(plan.plain_bytes() * candidate.k as u64, &candidate.samples);
    let read = Rate::new(plan.encoded_bytes, &candidate.samples);
    ScanRow {
        kernel: candidate.kernel.name(),
        threads: limit.threads,
        k: candidate.k,
        gb_per_s: rate.best,
        median_gb_per_s: rate.median,
        read_gb_per_s: read.best,
        read_limit_fraction: read.best / limit.gb_per_s,
        visits: candidate.samples.visits(),
    }
}
