//! The consumer's work and what travels, one thread, one query at a time.

use anyhow::Result;
use harpo_oblivious::{Answer, QueryPart, Secret, StackHint, answer};
use rand_chacha::ChaCha20Rng;
use rayon::ThreadPool;

use super::engine::{self, Sealed};
use super::plan::Plan;
use super::report::{Client, Milliseconds, Wire};
use crate::clock::{Samples, timed};
use crate::progress::Progress;
use crate::records::{Records, spread};

/// What measuring the consumer leaves for the scan.
pub(crate) struct Asked {
    pub(crate) parts: Vec<QueryPart>,
    /// The parts' answers, which were decoded and compared with the records.
    pub(crate) answers: Vec<Answer>,
    pub(crate) sum: StackHint,
}

/// Rounds of the sum of hints, of which there is only one to make.
const SUMS: usize = 3;

/// Makes queries, reads them as the server does, and decodes their answers, timing each step.
pub(crate) fn measure(
    plan: &Plan,
    one_thread: &ThreadPool,
    sealed: &Sealed,
    records: Records<'_>,
    rng: &mut ChaCha20Rng,
    progress: &Progress,
) -> Result<(Asked, Client, Wire)> {
    progress.say("hints, queries, decoding");
    let stack = &sealed.stack;
    let hint_bytes = sealed.hint.to_bytes().len() as u64;
    let mut sums = Samples::default();
    let mut sum = sealed.sum()?;
    for _ in 0..SUMS {
        let (made, seconds) = timed(|| one_thread.install(|| sealed.sum()));
        sum = made?;
        sums.push(seconds);
    }
    // Distinct slots; where there are fewer than queries, some are asked for again.
    let wanted = spread(plan.slots, plan.queries() as u32);
    let wanted: Vec<u32> = wanted.into_iter().cycle().take(plan.queries()).collect();
    let mut asked = Questions::default();
    for slot in &wanted {
        one_thread.install(|| asked.ask(sealed, *slot, rng))?;
    }
    let answers = answer(stack, &[&sealed.encoded], &asked.queries)?;
    let mut decodes = Samples::default();
    let mut down = 0;
    for ((secret, answer), slot) in asked.secrets.into_iter().zip(&answers).zip(&wanted) {
        let bytes = answer.to_bytes();
        down = bytes.len() as u64;
        let (opened, seconds) =
            timed(|| one_thread.install(|| engine::open(stack, &sum, secret, &bytes)));
        engine::check("the ring engine", &opened?, records.record(*slot))?;
        decodes.push(seconds);
    }
    let client = Client {
        query: Milliseconds::of(&asked.making),
        server_reads_query: Milliseconds::of(&asked.reading),
        decode: Milliseconds::of(&decodes),
        hint_sum: Milliseconds::of(&sums),
    };
    let wire = Wire::new(plan, stack, asked.bytes_up, down, hint_bytes);
    let asked = Asked {
        parts: asked.parts,
        answers,
        sum,
    };
    Ok((asked, client, wire))
}

#[derive(Default)]
struct Questions {
    secrets: Vec<Secret>,
    queries: Vec<harpo_oblivious::Query>,
    parts: Vec<QueryPart>,
    bytes_up: u64,
    making: Samples,
    reading: Samples,
}

impl Questions {
    fn ask(&mut self, sealed: &Sealed, slot: u32, rng: &mut ChaCha20Rng) -> Result<()> {
        let stack = &sealed.stack;
        let (made, seconds) = timed(|| engine::ask(stack, slot, rng));
        let (secret, bytes) = made?;
        self.making.push(seconds);
        self.bytes_up = bytes.len() as u64;
        let (part, seconds) = timed(|| engine::read_query(stack, &bytes));
        self.reading.push(seconds);
        self.parts.push(part?);
        self.queries
            .push(harpo_oblivious::Query::from_bytes(stack, &bytes)?);
        self.secrets.push(secret);
        Ok(())
    }
}
