//! k-out-of-N oblivious transfer with the cloud (docs/protocol.md 9).
//!
//! All tickets are spent and all answers received, into a file, before any is decoded; then the
//! connection is closed. What lies between two tickets is making queries, which takes the same work
//! whatever is asked for. A connection that breaks is made anew, and the retrieval goes on where it was
//! (9.5): with the very bytes that were sent before, and because of the transport alone.
//!
//! # Memory
//!
//! Queries and answers are in files that have no name and go with their last use: the queries of one
//! ticket until all its answers are here, the answers until all are decoded. In memory are, at a time,
//! only the queries being made and the answers being decoded, each at most 128 MiB for each retrieval
//! (but always one of them): a query takes three times its size while it is made, an answer four times
//! while it is decoded. With slots of 4 MiB that is seven answers at once. Besides, 1 MiB of what is sent.
//! Secrets (16 KiB each with set 1, 48 KiB with set 2) are wiped as soon as their answer is decoded, and in any case when the
//! retrieval ends. The sum of the hints is shared by all.

pub(super) mod ask;
mod request;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use harpo_oblivious as oblivious;
use harpo_protocol::id::GenerationId;
use harpo_protocol::retrieval::Ticket;
use harpo_protocol::sign::Signed;
use harpo_service::clock::Clock;
use harpo_service::http::ClientError;
use harpo_service::retry::Backoff;
use oblivious::{Answer, Choice, Secret, StackHint};
use rand_core::CryptoRng;
use rayon::prelude::*;

use self::ask::{Asking, Region};
use self::request::Requests;
use super::progress::{Phase, Progress};
use super::{ConsultError, plan};
use crate::blocking;
use crate::cloud_client::{CloudClient, ConnectError};
use crate::hints::HeldStack;
use crate::seal::scratch_file;
use crate::within::{Pace, TooSlow};

/// For queries being made, and for answers being decoded.
const WORKING_MEMORY: u64 = 128 << 20;
/// What a query takes while it is made, in its own sizes: its bytes, its residues, and what they are
/// computed from.
const MAKING: u64 = 3;
/// What an answer takes while it is decoded, in its own sizes: its bytes, its symbols, the slot.
const DECODING: u64 = 4;

/// Why slots could not be retrieved.
#[derive(Debug, thiserror::Error)]
pub enum RetrieveError {
    /// The cloud refused or is away.
    #[error("the cloud did not answer the retrieval")]
    Cloud(#[source] ClientError),
    /// The cloud answers, but so slowly that it would keep us for ever.
    #[error("the cloud's answer trickles")]
    TooSlow(#[source] TooSlow),
    /// The connection broke and could not be made anew.
    #[error("the connection to the cloud broke and could not be made anew")]
    Reconnect(#[source] ConnectError),
    /// Its answers are not answers to what was asked.
    #[error("the cloud's answer does not fit the query")]
    Answer(#[from] oblivious::Error),
    /// A place is not in the stack that we hold hints of.
    #[error("a slot lies outside the stack")]
    OutsideStack,
    /// The queries or answers could not be kept.
    #[error("keeping the queries or answers failed")]
    Io(#[from] io::Error),
}

/// What a retrieval moved over the wire, bodies only.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Wire {
    /// Queries, dummies included.
    pub queries: u64,
    /// Bytes to the cloud.
    pub up: u64,
    /// Bytes from it.
    pub down: u64,
    /// How often it was interrupted and went on.
    pub resumed: u64,
}

/// Makes the connection to the cloud anew, with a pass of its own.
pub type Reconnect<'a> = dyn Fn() -> BoxFuture<'a, Result<CloudClient, ConnectError>> + Sync + 'a;

/// How patient a retrieval is. Nothing of it depends on what is asked for or was decoded.
#[derive(Debug, Clone)]
pub struct Patience {
    /// How often one ticket's retrieval goes on after its connection broke (the cloud allows eight).
    pub resumptions: u32,
    /// How long it waits before.
    pub backoff: Backoff,
    /// How often a cloud that is busy, and has spent nothing yet, is asked again.
    pub busy_tries: u32,
    /// How long it waits before, unless the cloud says.
    pub busy_pause: Duration,
    /// How long what the cloud sends may take as a whole; what takes longer counts as broken off.
    pub pace: Pace,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            resumptions: 8,
            backoff: Backoff {
                first: Duration::from_millis(500),
                longest: Duration::from_secs(20),
            },
            busy_tries: 20,
            busy_pause: Duration::from_secs(2),
            pace: Pace::default(),
        }
    }
}

/// Where a retrieval happens.
pub struct Place<'a> {
    /// How the connection is made anew.
    pub reconnect: &'a Reconnect<'a>,
    /// Folder for the files.
    pub scratch: &'a Path,
    /// For pauses.
    pub clock: &'a Clock,
    /// How often, how long.
    pub patience: &'a Patience,
    /// Whom to tell how far it is.
    pub progress: &'a Progress,
}

/// What is retrieved.
pub struct Wanted<'a> {
    /// From where.
    pub held: &'a Arc<HeldStack>,
    /// Slots.
    pub slots: &'a [(GenerationId, u32)],
    /// Tickets, with the number of queries of each; enough for the slots.
    pub tickets: &'a [(Signed<Ticket>, u32)],
}

/// Answers that have arrived and are not decoded, and the secrets that decode them. Which of them are real does not
/// show.
#[derive(Debug)]
pub struct Answers {
    file: File,
    asks: Vec<(plan::Choice, Secret)>,
}

/// Asks for the wanted slots over `cloud`, and receives all answers.
pub async fn retrieve<R: CryptoRng + Send + 'static>(
    cloud: CloudClient,
    wanted: Wanted<'_>,
    place: Place<'_>,
    mut rng: R,
) -> Result<Answers, RetrieveError> {
    let (held, progress) = (wanted.held, place.progress);
    let choices: Arc<[Choice]> = wanted
        .slots
        .iter()
        .map(|(generation, slot)| held.choice(*generation, *slot))
        .collect::<Option<_>>()
        .ok_or(RetrieveError::OutsideStack)?;
    let queries: Vec<u32> = wanted.tickets.iter().map(|(_, queries)| *queries).collect();
    let plan = plan::plan(wanted.slots.len(), &queries, &mut rng);
    let all = queries.iter().copied().map(u64::from).sum();
    let heads = wanted.tickets.iter();
    let heads: u64 = heads.map(|(ticket, _)| request::head_bytes(ticket)).sum();
    progress.asks(all);
    progress.expect_more(heads + all * (held.stack.query_bytes() + held.stack.answer_bytes()));

    let mut answers = Answers {
        file: scratch_file(place.scratch)?,
        asks: Vec::new(),
    };
    let size = held.answer_bytes() as u64;
    let mut asking = Asking::new(cloud, &place);
    for ((ticket, queries), asks) in wanted.tickets.iter().zip(plan) {
        progress.enter(Phase::Asking, u64::from(*queries));
        let file = scratch_file(place.scratch)?;
        let (held, ticket, choices) = (held.clone(), ticket.clone(), choices.clone());
        let progress = progress.clone();
        let (made, back) = blocking(move || {
            let made = Requests::make(&held, &ticket, asks, &choices, file, &progress, &mut rng);
            (made, rng)
        })
        .await;
        rng = back;
        let (request, asks) = made?;
        let region = Region {
            file: &answers.file,
            start: answers.asks.len() as u64 * size,
            part_bytes: size,
        };
        asking.ask(&request, region, &mut rng).await?;
        answers.asks.extend(asks);
    }
    Ok(answers)
}

/// How many things of `bytes` bytes fit the working memory, if each takes `factor` times its size.
fn at_once(bytes: u64, factor: u64) -> usize {
    let fits = WORKING_MEMORY / (bytes * factor).max(1);
    usize::try_from(fits).unwrap_or(usize::MAX).max(1)
}

impl Answers {
    /// Decodes all, dummies too, and hands each real slot to `take` with its place in the list that was
    /// asked for. Blocks.
    pub fn decode(
        self,
        held: &HeldStack,
        progress: &Progress,
        mut take: impl FnMut(usize, Vec<u8>) -> Result<(), ConsultError>,
    ) -> Result<(), ConsultError> {
        let hint: &StackHint = &held.hint;
        let size = held.answer_bytes();
        let at_once = at_once(size as u64, DECODING);
        progress.enter(Phase::Decoding, self.asks.len() as u64);
        let mut asks = self.asks.into_iter();
        let mut at = 0;
        loop {
            let batch: Vec<_> = asks.by_ref().take(at_once).collect();
            if batch.is_empty() {
                return Ok(());
            }
            let first = at;
            at += (batch.len() * size) as u64;
            let slots: Vec<(plan::Choice, Vec<u8>)> = batch
                .into_par_iter()
                .enumerate()
                .map(|(index, (ask, secret))| {
                    let mut bytes = vec![0; size];
                    self.file
                        .read_exact_at(&mut bytes, first + (index * size) as u64)?;
                    let answer = Answer::from_bytes(&held.stack, &bytes)?;
                    drop(bytes);
                    let slot = secret.decode(hint, &answer)?;
                    progress.step(1);
                    Ok((ask, slot))
                })
                .collect::<Result<_, RetrieveError>>()?;
            for (ask, slot) in slots {
                if let Some(index) = ask.index() {
                    take(index, slot)?;
                }
            }
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
