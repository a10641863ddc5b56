//! Retrievals (docs/protocol.md 9.2): the ticket first, then the queries, all of them read and parsed before the
//! ticket is spent; then the answers, a pass at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use harpo_oblivious::Query;
use harpo_protocol::id::{Nonce, PartyId};
use harpo_protocol::retrieval::{MAX_QUERIES, Ticket, ticket_length};
use harpo_protocol::sign::{Signed, Verified};
use http::{HeaderValue, header};
use tokio::time::Instant;

use self::answers::Answers;
use crate::Error;
use crate::body::BodyReader;
use crate::cloud::Cloud;
use crate::config::Limits;
use crate::events::Event;
use crate::gate::Entered;
use crate::residents::Loaded;

mod answers;

/// Bytes of the length before the ticket.
const HEAD_BYTES: usize = 4;

/// Who asks, as far as the cloud can tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) pass: PartyId,
    pub(crate) address: std::net::SocketAddr,
}

/// A retrieval whose ticket is good. Nothing is spent yet, and no query was read.
struct Admitted {
    ticket: Verified<Ticket>,
    loaded: Loaded,
    /// Keeps a second upload with the same ticket out.
    alone: Entered<Nonce>,
}

/// Answers one retrieval. `length` is what the request says of its body.
pub(crate) async fn retrieve(
    cloud: &Arc<Cloud>,
    asker: Asker,
    length: Option<u64>,
    body: Body,
) -> Result<axum::response::Response, Error> {
    let limits = &cloud.limits;
    let pass = cloud.gate.pass(asker.pass)?;
    let mut body = BodyReader::new(body, Instant::now() + patience(limits));
    let Admitted {
        ticket,
        loaded,
        alone,
    } = admit(cloud, length, &mut body).await?;
    // Before a query is read: what is in memory at once is bounded by the number of places.
    let place = cloud.gate.place()?;
    let queries = queries(limits, &ticket, &loaded, &mut body).await?;
    let bytes_down = queries.len() as u64 * loaded.stack.answer_bytes();
    cloud.store.spend(ticket.nonce, ticket.expires).await?;
    drop(alone);
    cloud.events.record(&Event::Retrieval {
        time: cloud.now(),
        nonce: ticket.nonce,
        stack: ticket.generations.clone(),
        queries: ticket.queries,
        bytes_up: body.taken(),
        bytes_down,
        peer: asker.address,
        pass: asker.pass,
    })?;
    let answers = Answers {
        scanner: cloud.scanner.clone(),
        loaded,
        queries,
        bytes: bytes_down,
        limits: limits.clone(),
        guards: (pass, place),
    };
    let mut response = axum::response::Response::new(Body::from_stream(answers.stream()));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes_down));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Reads the ticket, and says whether its retrieval may be uploaded.
async fn admit(
    cloud: &Cloud,
    length: Option<u64>,
    body: &mut BodyReader,
) -> Result<Admitted, Error> {
    let _reading = cloud.gate.ticket()?;
    let ticket = ticket(cloud, body).await?;
    let loaded = cloud.residents.stack(&ticket.generations)?;
    let expected = body.taken() + u64::from(ticket.queries) * loaded.stack.query_bytes();
    if length.is_some_and(|length| length != expected) {
        return Err(Error::malformed(
            "retrieval",
            format!("its ticket makes it {expected} bytes long"),
        ));
    }
    let alone = cloud.gate.nonce(ticket.nonce)?;
    // Checked again, for good, once everything has arrived; this saves a repeater the upload.
    if cloud.store.is_spent(ticket.nonce).await? {
        return Err(Error::Spent);
    }
    Ok(Admitted {
        ticket,
        loaded,
        alone,
    })
}

/// Reads the rest of the body and checks all of it. A query is refused for its form alone: what it selects cannot be
/// told, so nothing here depends on it.
async fn queries(
    limits: &Limits,
    ticket: &Ticket,
    loaded: &Loaded,
    body: &mut BodyReader,
) -> Result<Vec<Query>, Error> {
    let query_bytes = loaded.stack.query_bytes();
    let length =
        usize::try_from(query_bytes).map_err(|_| Error::malformed("stack", "too large"))?;
    let begun = Instant::now();
    let longest = Duration::from_secs(limits.retrieval_upload_seconds);
    let mut queries = Vec::new();
    for number in 1..=u64::from(ticket.queries) {
        // One after the other, so that who trickles is found at the first.
        let allowed = patience(limits) + at_slowest(limits, number * query_bytes);
        body.until(begun + allowed.min(longest));
        let bytes = body.exact(length).await?;
        let query = Query::from_bytes(&loaded.stack, &bytes)
            .map_err(|e| Error::malformed("query", e.to_string()))?;
        queries.push(query);
    }
    body.end().await?;
    Ok(queries)
}

/// How far a peer may fall behind the slowest rate.
fn patience(limits: &Limits) -> Duration {
    Duration::from_secs(limits.retrieval_patience_seconds)
}

/// What `bytes` take at the slowest rate.
fn at_slowest(limits: &Limits, bytes: u64) -> Duration {
    let rate = u64::from(limits.retrieval_min_kib_per_second.max(1)) << 10;
    Duration::from_millis(bytes.saturating_mul(1000) / rate)
}

/// Reads the ticket and accepts it, or not.
async fn ticket(cloud: &Cloud, body: &mut BodyReader) -> Result<Verified<Ticket>, Error> {
    let head = body.exact(HEAD_BYTES).await?;
    let length = ticket_length([head[0], head[1], head[2], head[3]])?;
    let text = body.exact(length).await?;
    let text = std::str::from_utf8(&text).map_err(|_| Error::malformed("ticket", "not UTF-8"))?;
    let ticket = Signed::<Ticket>::from_json(text)?.verify(&cloud.trust_key)?;
    if ticket.queries == 0 || ticket.queries > MAX_QUERIES {
        return Err(Error::malformed(
            "ticket",
            format!("{} queries", ticket.queries),
        ));
    }
    if cloud.now() >= ticket.expires {
        return Err(Error::Expired);
    }
    Ok(ticket)
}
