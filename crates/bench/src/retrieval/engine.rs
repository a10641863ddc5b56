//! The ring engine as the benchmark calls it: sealing, asking, serving, opening.

use std::convert::Infallible;

use anyhow::{Result, ensure};
use harpo_oblivious::{
    Answer, Choice, Encoded, GenerationInfo, Hint, Params, PartialAnswer, Query, QueryPart, Secret,
    Seed, Shape, Stack, StackHint, client,
};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use crate::clock::timed;
use crate::records::Records;

/// A sealed generation, alone in its stack, and how long sealing took.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) stack: Stack,
    pub(crate) encoded: Encoded,
    pub(crate) hint: Hint,
    pub(crate) encode_seconds: f64,
    pub(crate) hint_seconds: f64,
}

/// A stack of one generation of this shape. The seed is public and may be the same in every run.
pub(crate) fn stack(slots: u32, slot_bytes: u32, interleave: u32) -> Result<Stack> {
    Ok(Stack::new(vec![GenerationInfo {
        params: Params::DEFAULT.id,
        shape: Shape::new(slots, slot_bytes, interleave)?,
        seed: Seed([7; 32]),
    }])?)
}

/// Encodes the records as the stack's one generation and computes its hint.
pub(crate) fn seal(stack: &Stack, records: Records<'_>) -> Result<Sealed> {
    let info = stack.generations()[0];
    let (encoded, encode_seconds) = timed(|| {
        Encoded::encode::<Infallible>(&info, |slot, offset, bytes| {
            let record = &records.record(slot)[offset as usize..];
            bytes.copy_from_slice(&record[..bytes.len()]);
            Ok(())
        })
    });
    let encoded = encoded?;
    let (hint, hint_seconds) = timed(|| encoded.hint());
    Ok(Sealed {
        stack: stack.clone(),
        encoded,
        hint,
        encode_seconds,
        hint_seconds,
    })
}

impl Sealed {
    /// What a consumer keeps of the hint.
    pub(crate) fn sum(&self) -> Result<StackHint> {
        Ok(StackHint::sum(
            &self.stack,
            std::slice::from_ref(&self.hint),
        )?)
    }
}

/// A query for one slot, as bytes for the wire, and what opens its answer.
pub(crate) fn ask(stack: &Stack, slot: u32, rng: &mut ChaCha20Rng) -> Result<(Secret, Vec<u8>)> {
    let choice = Choice::Slot {
        generation: 0,
        slot,
    };
    let (secret, query) = client::query(stack, choice, rng)?;
    Ok((secret, query.to_bytes()))
}

/// What the server does with a query before it can scan.
pub(crate) fn read_query(stack: &Stack, bytes: &[u8]) -> Result<QueryPart> {
    Ok(Query::from_bytes(stack, bytes)?.part(stack, 0)?)
}

/// Answers queries in one pass: all that the server does between the two sockets.
pub(crate) fn serve(stack: &Stack, encoded: &Encoded, queries: &[&[u8]]) -> Result<Vec<Vec<u8>>> {
    let parts: Vec<QueryPart> = queries
        .par_iter()
        .map(|bytes| read_query(stack, bytes))
        .collect::<Result<_>>()?;
    let mut sums: Vec<PartialAnswer> = parts.iter().map(|_| PartialAnswer::new(stack)).collect();
    encoded.accumulate(&parts, &mut sums)?;
    sums.into_par_iter()
        .map(|sum| Ok(sum.finish()?.to_bytes()))
        .collect()
}

/// Reads and decodes one answer.
pub(crate) fn open(
    stack: &Stack,
    sum: &StackHint,
    secret: Secret,
    answer: &[u8],
) -> Result<Vec<u8>> {
    Ok(secret.decode(sum, &Answer::from_bytes(stack, answer)?)?)
}

/// Refuses a retrieval that did not bring what was asked for.
pub(crate) fn check(what: &str, got: &[u8], expected: &[u8]) -> Result<()> {
    ensure!(
        got == expected,
        "{what} returned other bytes than were stored; its time would mean nothing"
    );
    Ok(())
}
