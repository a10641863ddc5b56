//! How bytes, time and memory grow with N, R and k: smaller stacks, run for real.

use anyhow::Result;
use harpo_oblivious::{Secret, Stack};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use super::engine::{self, Sealed};
use super::plan::Plan;
use super::report::GrowthRow;
use crate::clock::{Samples, timed};
use crate::progress::Progress;
use crate::records::{Records, spread};

/// One row for each N, R and k, with all threads. `bytes` holds the records of the largest shape.
pub(crate) fn measure(
    plan: &Plan,
    bytes: &[u8],
    rng: &mut ChaCha20Rng,
    progress: &Progress,
) -> Result<Vec<GrowthRow>> {
    let mut rows = Vec::new();
    for &slot_bytes in &plan.growth_slot_bytes {
        for &slots in &plan.growth_slots {
            let Some(records) = Records::cut(bytes, slots, slot_bytes) else {
                continue;
            };
            progress.say(format!(
                "growth: N = {slots}, R = {} KiB",
                slot_bytes / 1024
            ));
            rows.extend(shape(plan, records, rng)?);
        }
    }
    Ok(rows)
}

/// The rows of one shape.
fn shape(plan: &Plan, records: Records<'_>, rng: &mut ChaCha20Rng) -> Result<Vec<GrowthRow>> {
    let (slots, slot_bytes) = (records.count(), records.record_bytes() as u32);
    let stack = engine::stack(slots, slot_bytes, plan.interleave)?;
    let (sealed, sealing) = seal(plan, &stack, records)?;
    let mut times = vec![[Samples::default(), Samples::default()]; plan.growth_ks.len()];
    let mut wire = vec![[0; 2]; times.len()];
    for _ in 0..plan.growth_rounds {
        for (index, &k) in plan.growth_ks.iter().enumerate() {
            if times[index][0].total() > plan.candidate_seconds / 4.0 {
                continue;
            }
            let wanted: Vec<u32> = spread(slots, k as u32)
                .into_iter()
                .cycle()
                .take(k)
                .collect();
            let took = retrieve(&sealed, records, &wanted, rng)?;
            times[index][0].push(took.server_seconds);
            times[index][1].push(took.client_seconds);
            wire[index] = [took.bytes_up, took.bytes_down];
        }
    }
    let hint_bytes = sealed.hint.to_bytes().len() as u64;
    let rows = plan.growth_ks.iter().zip(times).zip(wire);
    Ok(rows
        .map(
            |((&k, [server, client]), [bytes_up, bytes_down])| GrowthRow {
                slots,
                slot_bytes,
                k,
                bytes_up,
                bytes_down,
                hint_bytes,
                encoded_bytes: stack.encoded_bytes(),
                seal_ms: sealing.best() * 1e3,
                server_ms: server.best() * 1e3,
                client_ms: client.best() * 1e3,
            },
        )
        .collect())
}

/// Seals a few times, as far as that does not take long.
fn seal(plan: &Plan, stack: &Stack, records: Records<'_>) -> Result<(Sealed, Samples)> {
    let mut samples = Samples::default();
    let mut sealed = engine::seal(stack, records)?;
    samples.push(sealed.encode_seconds + sealed.hint_seconds);
    while samples.visits() < plan.growth_rounds && samples.total() < plan.candidate_seconds {
        // Two of them at once may not fit.
        drop(sealed);
        sealed = engine::seal(stack, records)?;
        samples.push(sealed.encode_seconds + sealed.hint_seconds);
    }
    Ok((sealed, samples))
}

/// What one retrieval took.
struct Took {
    bytes_up: u64,
    bytes_down: u64,
    server_seconds: f64,
    client_seconds: f64,
}

fn retrieve(
    sealed: &Sealed,
    records: Records<'_>,
    wanted: &[u32],
    rng: &mut ChaCha20Rng,
) -> Result<Took> {
    let stack = &sealed.stack;
    let sum = sealed.sum()?;
    let (asked, asking) = timed(|| {
        wanted
            .iter()
            .map(|slot| engine::ask(stack, *slot, rng))
            .collect::<Result<Vec<_>>>()
    });
    let (secrets, queries): (Vec<Secret>, Vec<Vec<u8>>) = asked?.into_iter().unzip();
    let borrowed: Vec<&[u8]> = queries.iter().map(Vec::as_slice).collect();
    let (answers, server_seconds) = timed(|| engine::serve(stack, &sealed.encoded, &borrowed));
    let answers = answers?;
    let pairs: Vec<(Secret, &[u8])> = secrets
        .into_iter()
        .zip(answers.iter().map(Vec::as_slice))
        .collect();
    let (opened, opening) = timed(|| {
        pairs
            .into_par_iter()
            .map(|(secret, answer)| engine::open(stack, &sum, secret, answer))
            .collect::<Result<Vec<_>>>()
    });
    for (slot, bytes) in wanted.iter().zip(opened?) {
        engine::check("the ring engine", &bytes, records.record(*slot))?;
    }
    Ok(Took {
        bytes_up: queries.iter().map(|bytes| bytes.len() as u64).sum(),
        bytes_down: answers.iter().map(|bytes| bytes.len() as u64).sum(),
        server_seconds,
        client_seconds: asking + opening,
    })
}
