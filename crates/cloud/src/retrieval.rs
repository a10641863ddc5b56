//! Retrievals (docs/protocol.md 9.2): the ticket first, then the queries, all of them read and parsed before the
//! ticket is spent; then the answers, a pass at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::stream;
use harpo_oblivious::Query;
use harpo_protocol::id::PartyId;
use harpo_protocol::retrieval::{MAX_QUERIES, Ticket, ticket_length};
use harpo_protocol::sign::{Signed, Verified};
use http::{HeaderValue, header};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::Error;
use crate::body::BodyReader;
use crate::cloud::Cloud;
use crate::events::Event;
use crate::residents::Loaded;
use crate::scanner::{PASS_QUERIES, Scanner};

/// Bytes of the length before the ticket.
const HEAD_BYTES: u64 = 4;

/// Who asks, as far as the cloud can tell.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asker {
    pub(crate) pass: PartyId,
    pub(crate) address: std::net::SocketAddr,
}

/// A retrieval whose ticket is good and whose queries are well formed. Nothing is spent yet.
struct Checked {
    ticket: Verified<Ticket>,
    loaded: Loaded,
    queries: Vec<Query>,
    bytes_up: u64,
}

/// Answers one retrieval. `length` is what the request says of its body.
pub(crate) async fn retrieve(
    cloud: &Arc<Cloud>,
    asker: Asker,
    length: Option<u64>,
    body: Body,
) -> Result<axum::response::Response, Error> {
    // Before anything is read: what is in memory at once is bounded by this number.
    let permit = Arc::clone(&cloud.retrievals)
        .try_acquire_owned()
        .map_err(|_| Error::Busy("too many retrievals at once"))?;
    let mut body = BodyReader::new(
        body,
        Instant::now() + Duration::from_secs(cloud.limits.retrieval_upload_seconds),
    );
    let checked = check(cloud, length, &mut body).await?;
    let bytes_down = checked.queries.len() as u64 * checked.loaded.stack.answer_bytes();
    cloud
        .store
        .spend(checked.ticket.nonce, checked.ticket.expires)
        .await?;
    cloud.events.record(&Event::Retrieval {
        time: cloud.now(),
        nonce: checked.ticket.nonce,
        stack: checked.ticket.generations.clone(),
        queries: checked.ticket.queries,
        bytes_up: checked.bytes_up,
        bytes_down,
        peer: asker.address,
        pass: asker.pass,
    })?;
    let answers = answers(
        cloud.scanner.clone(),
        checked.loaded,
        checked.queries,
        permit,
    );
    let mut response = axum::response::Response::new(Body::from_stream(answers));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(bytes_down));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Reads the whole body and checks all of it. A query is refused for its form alone: what it selects cannot be told,
/// so nothing here depends on it.
async fn check(
    cloud: &Cloud,
    length: Option<u64>,
    body: &mut BodyReader,
) -> Result<Checked, Error> {
    let ticket = ticket(cloud, body).await?;
    let loaded = cloud.residents.stack(&ticket.generations)?;
    let query_bytes = loaded.stack.query_bytes();
    let expected = body.taken() + u64::from(ticket.queries) * query_bytes;
    if length.is_some_and(|length| length != expected) {
        return Err(Error::malformed(
            "retrieval",
            format!("its ticket makes it {expected} bytes long"),
        ));
    }
    let query_bytes =
        usize::try_from(query_bytes).map_err(|_| Error::malformed("stack", "too large"))?;
    let mut queries = Vec::new();
    for _ in 0..ticket.queries {
        let bytes = body.exact(query_bytes).await?;
        let query = Query::from_bytes(&loaded.stack, &bytes)
            .map_err(|e| Error::malformed("query", e.to_string()))?;
        queries.push(query);
    }
    body.end().await?;
    Ok(Checked {
        ticket,
        loaded,
        queries,
        bytes_up: body.taken(),
    })
}

/// Reads the ticket and accepts it, or not.
async fn ticket(cloud: &Cloud, body: &mut BodyReader) -> Result<Verified<Ticket>, Error> {
    let head = body.exact(HEAD_BYTES as usize).await?;
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
    // Checked again, for good, once everything has arrived; this saves a repeater the upload.
    if cloud.store.is_spent(ticket.nonce).await? {
        return Err(Error::Spent);
    }
    Ok(ticket)
}

/// The answers in order. A pass is computed when the one before it was taken, so a slow reader holds one pass in
/// memory, and one that went away costs no more work.
fn answers(
    scanner: Scanner,
    loaded: Loaded,
    queries: Vec<Query>,
    permit: OwnedSemaphorePermit,
) -> impl futures_util::Stream<Item = Result<Bytes, Error>> + Send + 'static {
    struct Left {
        scanner: Scanner,
        loaded: Loaded,
        queries: std::vec::IntoIter<Query>,
        computed: std::vec::IntoIter<Vec<u8>>,
        _permit: OwnedSemaphorePermit,
    }
    let left = Left {
        scanner,
        loaded,
        queries: queries.into_iter(),
        computed: Vec::new().into_iter(),
        _permit: permit,
    };
    stream::try_unfold(left, async |mut left| {
        loop {
            if let Some(answer) = left.computed.next() {
                return Ok(Some((Bytes::from(answer), left)));
            }
            let pass: Vec<Query> = left.queries.by_ref().take(PASS_QUERIES).collect();
            if pass.is_empty() {
                return Ok(None);
            }
            left.computed = left
                .scanner
                .answer(left.loaded.clone(), pass)
                .await?
                .into_iter();
        }
    })
}
