//! k-out-of-N oblivious transfer with the cloud (docs/protocol.md 9).
//!
//! All tickets are spent and all answers received, into a file, before any is decoded; then the
//! connection is closed. What lies between two tickets is making queries, which takes the same work
//! whatever is asked for.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::time::Duration;

use harpo_oblivious as oblivious;
use harpo_protocol::id::GenerationId;
use harpo_protocol::retrieval::{self, Ticket};
use harpo_protocol::sign::Signed;
use harpo_service::clock::Clock;
use harpo_service::http::ClientError;
use oblivious::{Answer, Choice, Secret, StackHint};
use rand_core::CryptoRng;
use rayon::prelude::*;

use super::{ConsultError, plan};
use crate::blocking;
use crate::cloud_client::CloudClient;
use crate::hints::HeldStack;

/// Answers decoded at once.
const DECODED_AT_ONCE: usize = 8;
/// How often a cloud that is busy, and has spent nothing yet, is asked again.
const BUSY_TRIES: u32 = 20;
/// Unless the cloud says when.
const BUSY_PAUSE: Duration = Duration::from_secs(2);

/// Why slots could not be retrieved.
#[derive(Debug, thiserror::Error)]
pub enum RetrieveError {
    /// The cloud refused or is away.
    #[error("the cloud did not answer the retrieval")]
    Cloud(#[source] ClientError),
    /// Its answers are not answers to what was asked.
    #[error("the cloud's answer does not fit the query")]
    Answer(#[from] oblivious::Error),
    /// A place is not in the stack that we hold hints of.
    #[error("a slot lies outside the stack")]
    OutsideStack,
    /// The answers could not be kept.
    #[error("keeping the answers failed")]
    Io(#[from] io::Error),
}

/// What a retrieval moved over the wire, bodies only.
#[derive(Debug, Clone, Copy, Default)]
pub struct Wire {
    /// Queries, dummies included.
    pub queries: u64,
    /// Bytes to the cloud.
    pub up: u64,
    /// Bytes from it.
    pub down: u64,
}

/// Answers that have arrived and are not decoded, and the secrets that decode them.
#[derive(Debug)]
pub struct Answers {
    file: File,
    asks: Vec<(plan::Choice, Secret)>,
    /// What they cost.
    pub wire: Wire,
}

/// Asks for `slots` with `tickets`, and receives all answers into `scratch`.
pub async fn retrieve<R: CryptoRng + Send + 'static>(
    cloud: CloudClient,
    held: Arc<HeldStack>,
    slots: &[(GenerationId, u32)],
    tickets: &[(Signed<Ticket>, u32)],
    scratch: File,
    clock: &Clock,
    mut rng: R,
) -> Result<Answers, RetrieveError> {
    let choices: Vec<Choice> = slots
        .iter()
        .map(|(generation, slot)| held.choice(*generation, *slot))
        .collect::<Option<_>>()
        .ok_or(RetrieveError::OutsideStack)?;
    let queries: Vec<u32> = tickets.iter().map(|(_, queries)| *queries).collect();
    let plan = plan::plan(slots.len(), &queries, &mut rng);

    let mut answers = Answers {
        file: scratch,
        asks: Vec::new(),
        wire: Wire::default(),
    };
    for ((ticket, _), asks) in tickets.iter().zip(plan) {
        let (held, ticket, choices) = (held.clone(), ticket.clone(), choices.clone());
        let answer_bytes = held.answer_bytes() as u64;
        let (prepared, back) =
            blocking(move || (prepare(&held, &ticket, asks, &choices, &mut rng), rng)).await;
        rng = back;
        let (body, asks) = prepared?;
        let expected = answer_bytes * asks.len() as u64;
        answers.wire.queries += asks.len() as u64;
        answers.wire.up += body.len() as u64;
        ask(&cloud, body, expected, &answers.file, clock).await?;
        answers.wire.down += expected;
        answers.asks.extend(asks);
    }
    Ok(answers)
}

/// One request; repeated only while the cloud says that it is busy, before it spends the ticket.
async fn ask(
    cloud: &CloudClient,
    body: Vec<u8>,
    expected: u64,
    file: &File,
    clock: &Clock,
) -> Result<(), RetrieveError> {
    let body = bytes::Bytes::from(body);
    let mut tries = 0;
    loop {
        let keep = |piece: &[u8]| (&*file).write_all(piece);
        match cloud.retrieve(body.clone(), expected, keep).await {
            Err(error) if error.code() == Some("busy") && tries < BUSY_TRIES => {
                tries += 1;
                clock.sleep(error.retry_after().unwrap_or(BUSY_PAUSE)).await;
            }
            other => return other.map_err(RetrieveError::Cloud),
        }
    }
}

type Prepared = (Vec<u8>, Vec<(plan::Choice, Secret)>);

fn prepare(
    held: &HeldStack,
    ticket: &Signed<Ticket>,
    asks: Vec<plan::Choice>,
    choices: &[Choice],
    rng: &mut impl CryptoRng,
) -> Result<Prepared, oblivious::Error> {
    let mut body = retrieval::head(ticket);
    let mut secrets = Vec::with_capacity(asks.len());
    for ask in asks {
        let choice = ask.map_or(Choice::Dummy, |index| choices[index]);
        let (secret, query) = oblivious::client::query(&held.stack, choice, rng)?;
        body.extend_from_slice(&query.to_bytes());
        secrets.push((ask, secret));
    }
    Ok((body, secrets))
}

impl Answers {
    /// Decodes all, dummies too, and hands each real slot to `take` with its place in the list that was
    /// asked for. Blocks.
    pub fn decode(
        self,
        held: &HeldStack,
        mut take: impl FnMut(usize, Vec<u8>) -> Result<(), ConsultError>,
    ) -> Result<(), ConsultError> {
        let hint: &StackHint = &held.hint;
        let size = held.answer_bytes();
        let mut asks = self.asks.into_iter();
        let mut at = 0;
        loop {
            let batch: Vec<_> = asks.by_ref().take(DECODED_AT_ONCE).collect();
            if batch.is_empty() {
                return Ok(());
            }
            let mut bytes = vec![0; size * batch.len()];
            self.file.read_exact_at(&mut bytes, at)?;
            at += bytes.len() as u64;
            let slots: Vec<(plan::Choice, Vec<u8>)> = batch
                .into_par_iter()
                .zip(bytes.par_chunks(size))
                .map(|((ask, secret), bytes)| {
                    let answer = Answer::from_bytes(&held.stack, bytes)?;
                    Ok((ask, secret.decode(hint, &answer)?))
                })
                .collect::<Result<_, oblivious::Error>>()
                .map_err(RetrieveError::from)?;
            for (ask, slot) in slots {
                if let Some(index) = ask {
                    take(index, slot)?;
                }
            }
        }
    }
}
