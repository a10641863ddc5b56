//! k-out-of-N oblivious transfer with the cloud (docs/protocol.md 9).

use std::sync::Arc;

use harpo_oblivious as oblivious;
use harpo_protocol::id::GenerationId;
use harpo_protocol::retrieval::{self, Ticket};
use harpo_protocol::sign::Signed;
use harpo_service::http::ClientError;
use oblivious::{Answer, Choice, Secret, StackHint};
use rand_core::CryptoRng;
use rayon::prelude::*;

use super::plan;
use crate::blocking;
use crate::cloud_client::CloudClient;
use crate::hints::HeldStack;

/// Why slots could not be retrieved.
#[derive(Debug, thiserror::Error)]
pub enum RetrieveError {
    /// The cloud refused or is away.
    #[error("the cloud did not answer the retrieval")]
    Cloud(#[source] ClientError),
    /// Its answers are not answers to what was asked.
    #[error("the cloud's answer does not fit the query")]
    Answer(#[source] oblivious::Error),
    /// A place is not in the stack that we hold hints of.
    #[error("a slot lies outside the stack")]
    OutsideStack,
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

/// One retrieval ready to go: what is sent, and the secrets that read the answers.
struct Prepared {
    body: Vec<u8>,
    asks: Vec<(plan::Choice, Secret)>,
}

/// Fetches `slots` with `tickets`, handing each to `take` with its place in the list. What `take`
/// makes of it changes nothing about what is sent: every retrieval is made and read to its end.
pub async fn retrieve<R: CryptoRng + Send + 'static>(
    cloud: &CloudClient,
    stack: Arc<HeldStack>,
    slots: &[(GenerationId, u32)],
    tickets: &[(Signed<Ticket>, u32)],
    mut rng: R,
    mut take: impl FnMut(usize, Vec<u8>) + Send,
) -> Result<Wire, RetrieveError> {
    let choices: Vec<Choice> = slots
        .iter()
        .map(|(generation, slot)| stack.choice(*generation, *slot))
        .collect::<Option<_>>()
        .ok_or(RetrieveError::OutsideStack)?;
    let queries: Vec<u32> = tickets.iter().map(|(_, queries)| *queries).collect();
    let plan = plan::plan(slots.len(), &queries, &mut rng);

    let mut wire = Wire::default();
    for ((ticket, _), asks) in tickets.iter().zip(plan) {
        let prepared = {
            let (stack, ticket, choices) = (stack.clone(), ticket.clone(), choices.clone());
            let (prepared, back) =
                blocking(move || (prepare(&stack, &ticket, &asks, &choices, &mut rng), rng)).await;
            rng = back;
            prepared.map_err(RetrieveError::Answer)?
        };
        wire.queries += prepared.asks.len() as u64;
        wire.up += prepared.body.len() as u64;
        let answer_bytes = stack.answer_bytes();
        let expected = answer_bytes * prepared.asks.len();
        let answers = cloud
            .retrieve(prepared.body, expected)
            .await
            .map_err(RetrieveError::Cloud)?;
        wire.down += answers.len() as u64;
        let decoded = {
            let stack = stack.clone();
            blocking(move || decode(&stack, prepared.asks, &answers, answer_bytes)).await
        };
        for (index, slot) in decoded.map_err(RetrieveError::Answer)? {
            take(index, slot);
        }
    }
    Ok(wire)
}

fn prepare(
    stack: &HeldStack,
    ticket: &Signed<Ticket>,
    asks: &[plan::Choice],
    choices: &[Choice],
    rng: &mut impl CryptoRng,
) -> Result<Prepared, oblivious::Error> {
    let mut body = retrieval::head(ticket);
    let mut secrets = Vec::with_capacity(asks.len());
    for ask in asks {
        let choice = ask.map_or(Choice::Dummy, |index| choices[index]);
        let (secret, query) = oblivious::client::query(&stack.stack, choice, rng)?;
        body.extend_from_slice(&query.to_bytes());
        secrets.push((*ask, secret));
    }
    Ok(Prepared {
        body,
        asks: secrets,
    })
}

/// Decodes real answers and dummies alike.
fn decode(
    stack: &HeldStack,
    asks: Vec<(plan::Choice, Secret)>,
    answers: &[u8],
    answer_bytes: usize,
) -> Result<Vec<(usize, Vec<u8>)>, oblivious::Error> {
    let hint: &StackHint = &stack.hint;
    let decoded: Vec<(plan::Choice, Vec<u8>)> = asks
        .into_par_iter()
        .zip(answers.par_chunks(answer_bytes))
        .map(|((ask, secret), bytes)| {
            let answer = Answer::from_bytes(&stack.stack, bytes)?;
            Ok((ask, secret.decode(hint, &answer)?))
        })
        .collect::<Result<_, oblivious::Error>>()?;
    Ok(decoded
        .into_iter()
        .filter_map(|(ask, slot)| Some((ask?, slot)))
        .collect())
}
