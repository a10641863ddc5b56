//! Retrievals (docs/protocol.md 9.2): the ticket first, then the queries, all of them read and parsed before the
//! ticket is spent; then the answers. An interrupted one is resumed with the same ticket and the same queries (9.5).

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use harpo_oblivious::{Query, Stack};
use harpo_protocol::domain::sha256;
use harpo_protocol::id::{Digest, Nonce, PartyId};
use harpo_protocol::retrieval::{MAX_QUERIES, Ticket, ticket_length};
use harpo_protocol::sign::{Signed, Verified};
use tokio::time::Instant;

use self::answers::{Answers, Guards};
use crate::Error;
use crate::body::BodyReader;
use crate::cloud::Cloud;
use crate::config::Limits;
use crate::events::Event;
use crate::gate::Entered;
use crate::residents::Loaded;
use crate::sending::{self, at_slowest, patience};
use crate::store::Bought;

mod answers;

/// Bytes of the length before the ticket.
const HEAD_BYTES: usize = 4;

/// Who asks, as far as the cloud can tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    /// `None` through the relay (9.8).
    pub(crate) pass: Option<PartyId>,
    /// Of the gateway, or of the relay.
    pub(crate) address: std::net::SocketAddr,
}

/// What a request says before its body comes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    /// The first answer, or slot of a stream, that is asked for; `None` means the first, and never resumes (9.5, 9.6).
    pub(crate) from: Option<u32>,
    /// Length of the body.
    pub(crate) length: Option<u64>,
}

/// A retrieval whose ticket is good. Nothing is spent yet, and no query was read.
struct Admitted {
    ticket: Verified<Ticket>,
    loaded: Loaded,
    /// The first query that comes.
    from: u32,
    /// What the queries that come must be, if the ticket was spent before.
    resumes: Option<Vec<Digest>>,
    /// Keeps a second retrieval with the same ticket out.
    alone: Entered<Nonce>,
}

/// Answers one retrieval.
pub(crate) async fn retrieve(
    cloud: &Arc<Cloud>,
    asker: Asker,
    head: Head,
    body: Body,
) -> Result<axum::response::Response, Error> {
    let limits = &cloud.limits;
    let pass = asker.pass.map(|pass| cloud.gate.pass(pass)).transpose()?;
    let mut body = BodyReader::new(body, Instant::now() + patience(limits));
    let admitted = admit(cloud, head, &mut body).await?;
    let count = admitted.ticket.queries - admitted.from;
    // Before a query is read: what is in memory at once is bounded by the room there is.
    let stack = Arc::clone(&admitted.loaded.stack);
    let place = cloud.gate.place(&stack, count, cloud.scanner.pace())?;
    let (queries, digests) = receive(limits, count, &admitted, &mut body).await?;
    let bytes_down = u64::from(count) * stack.answer_bytes();
    settle(cloud, asker, &admitted, digests, (body.taken(), bytes_down)).await?;
    let answers = Answers {
        turn: cloud.scanner.ask(admitted.loaded, queries),
        bytes: bytes_down,
        limits: limits.clone(),
        guards: Guards {
            place,
            _alone: (pass, admitted.alone),
        },
    };
    Ok(sending::response(
        Body::from_stream(answers.stream()),
        bytes_down,
    ))
}

/// Reads the ticket, and says whether its retrieval may be uploaded.
async fn admit(cloud: &Cloud, head: Head, body: &mut BodyReader) -> Result<Admitted, Error> {
    let _reading = cloud.gate.ticket()?;
    let ticket = ticket(cloud, head, body).await?;
    let loaded = cloud.residents.stack(&ticket.generations)?;
    let from = head.from.unwrap_or(0);
    if from >= ticket.queries {
        return Err(Error::malformed(
            "retrieval",
            format!("its ticket has {} queries", ticket.queries),
        ));
    }
    let queries = u64::from(ticket.queries - from);
    let expected = body.taken() + queries * loaded.stack.query_bytes();
    if head.length.is_some_and(|length| length != expected) {
        return Err(Error::malformed(
            "retrieval",
            format!("its ticket makes it {expected} bytes long"),
        ));
    }
    let alone = cloud.gate.nonce(ticket.nonce)?;
    // Checked again, for good, once everything has arrived; this saves a repeater the upload.
    let resumes = resumes(cloud, &ticket, head.from).await?;
    Ok(Admitted {
        ticket,
        loaded,
        from,
        resumes,
        alone,
    })
}

/// What a spent ticket still buys (9.5): the digests of the queries from `from` on. `None` if it is not spent.
async fn resumes(
    cloud: &Cloud,
    ticket: &Ticket,
    from: Option<u32>,
) -> Result<Option<Vec<Digest>>, Error> {
    let Some(spent) = cloud.store.spent(ticket.nonce).await? else {
        return match from {
            // Forgotten since it was looked up.
            _ if cloud.now() >= ticket.expires => Err(Error::Expired),
            None | Some(0) => Ok(None),
            Some(_) => Err(Error::malformed(
                "retrieval",
                "its ticket was not spent: there is nothing to resume; begin at 0",
            )),
        };
    };
    let (Some(from), Some(Bought::Queries(mut digests))) = (from, spent.bought) else {
        return Err(Error::Spent);
    };
    if spent.resumptions >= cloud.limits.retrieval_resumptions
        || digests.len() != ticket.queries as usize
    {
        return Err(Error::Spent);
    }
    Ok(Some(digests.split_off(from as usize)))
}

/// Reads the rest of the body and checks all of it. A query is refused for its form alone: what it selects cannot be
/// told, so nothing here depends on it. Where a resumption asks something new is not told.
async fn receive(
    limits: &Limits,
    count: u32,
    admitted: &Admitted,
    body: &mut BodyReader,
) -> Result<(Vec<Query>, Vec<Digest>), Error> {
    let stack = &admitted.loaded.stack;
    let query_bytes = stack.query_bytes();
    let length =
        usize::try_from(query_bytes).map_err(|_| Error::malformed("stack", "too large"))?;
    let begun = Instant::now();
    let longest = Duration::from_secs(limits.retrieval_upload_seconds);
    let (mut queries, mut digests) = (Vec::new(), Vec::new());
    let mut same = true;
    for number in 0..count {
        // One after the other, so that who trickles is found at the first.
        let allowed = patience(limits) + at_slowest(limits, u64::from(number + 1) * query_bytes);
        body.until(begun + allowed.min(longest));
        let bytes = body.exact(length).await?;
        if !same {
            continue;
        }
        // `None` where nothing is resumed; nothing equals a digest that is not there.
        let expected = admitted.resumes.as_ref();
        let expected = expected.map(|all| all.get(number as usize).copied());
        let stack = Arc::clone(stack);
        // Megabytes to hash and to unpack: not for a thread that serves others, too.
        let read = tokio::task::spawn_blocking(move || read(&stack, &bytes, expected)).await;
        match read.map_err(|_| Error::TaskLost)?? {
            Some((query, digest)) => {
                queries.push(query);
                digests.push(digest);
            }
            None => same = false,
        }
    }
    body.end().await?;
    match same {
        true => Ok((queries, digests)),
        false => Err(Error::Spent),
    }
}

/// A query and its SHA-256; `None` if that is not the `expected` one.
fn read(
    stack: &Stack,
    bytes: &[u8],
    expected: Option<Option<Digest>>,
) -> Result<Option<(Query, Digest)>, Error> {
    let digest = sha256(bytes);
    if expected.is_some_and(|expected| expected != Some(digest)) {
        return Ok(None);
    }
    let query =
        Query::from_bytes(stack, bytes).map_err(|e| Error::malformed("query", e.to_string()))?;
    Ok(Some((query, digest)))
}

/// Spends the ticket, or counts the resumption, and records it: durable before the first answer.
async fn settle(
    cloud: &Cloud,
    asker: Asker,
    admitted: &Admitted,
    digests: Vec<Digest>,
    (bytes_up, bytes_down): (u64, u64),
) -> Result<(), Error> {
    let ticket = &admitted.ticket;
    let (nonce, stack) = (ticket.nonce, ticket.generations.clone());
    let (peer, pass) = (asker.address, asker.pass);
    if admitted.resumes.is_some() {
        let most = cloud.limits.retrieval_resumptions;
        cloud.store.resume(nonce, most, 0).await?;
        return cloud.events.record(&Event::Resumption {
            time: cloud.now(),
            nonce,
            stack,
            from: admitted.from,
            queries: ticket.queries - admitted.from,
            bytes_up,
            bytes_down,
            peer,
            pass,
        });
    }
    let bought = Bought::Queries(digests);
    cloud.store.spend(nonce, ticket.expires, &bought).await?;
    cloud.events.record(&Event::Retrieval {
        time: cloud.now(),
        nonce,
        stack,
        queries: ticket.queries,
        bytes_up,
        bytes_down,
        peer,
        pass,
    })
}

/// Reads the ticket and accepts it, or not. One that has expired is good for resuming alone, and only while it is
/// remembered that it was spent before (9.5): `head` must ask for that.
pub(crate) async fn ticket(
    cloud: &Cloud,
    head: Head,
    body: &mut BodyReader,
) -> Result<Verified<Ticket>, Error> {
    let length = body.exact(HEAD_BYTES).await?;
    let length = ticket_length([length[0], length[1], length[2], length[3]])?;
    let text = body.exact(length).await?;
    let text = std::str::from_utf8(&text).map_err(|_| Error::malformed("ticket", "not UTF-8"))?;
    let ticket = Signed::<Ticket>::from_json(text)?.verify(&cloud.trust_key)?;
    if ticket.queries == 0 || ticket.queries > MAX_QUERIES {
        return Err(Error::malformed(
            "ticket",
            format!("{} queries", ticket.queries),
        ));
    }
    if cloud.now() >= ticket.expires && !is_remembered(cloud, head, &ticket).await? {
        return Err(Error::Expired);
    }
    Ok(ticket)
}

/// Whether an expired ticket may still be resumed. A slow line takes longer than a ticket is good for.
async fn is_remembered(cloud: &Cloud, head: Head, ticket: &Ticket) -> Result<bool, Error> {
    let memory = Duration::from_secs(cloud.limits.ticket_memory_seconds);
    if head.from.is_none() || cloud.now() >= ticket.expires.after(memory) {
        return Ok(false);
    }
    Ok(cloud.store.spent(ticket.nonce).await?.is_some())
}
