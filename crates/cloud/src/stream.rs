//! Streams (docs/protocol.md 9.6): a ticket buys every slot of its generations, in order, one after the other from
//! storage. The encoded generations in memory are not needed.

use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, stream};
use harpo_oblivious::{GenerationInfo, Stack};
use harpo_protocol::id::{Digest, GenerationId, Nonce, PartyId};
use harpo_protocol::retrieval::Ticket;
use harpo_protocol::sign::Verified;
use tokio::runtime::Handle;
use tokio::time::Instant;

use crate::Error;
use crate::body::BodyReader;
use crate::cloud::Cloud;
use crate::events::Event;
use crate::gate::{Entered, StreamPlace};
use crate::proofs;
use crate::residents;
use crate::retrieval::{self, Asker, Head};
use crate::sending::{self, Ended, PIECE_BYTES, Reader, patience};
use crate::slots::Slots;
use crate::store::{Bought, State};

/// Slots in memory at once: the one that is sent, and the next.
const READ_AHEAD: usize = 2;

/// A stream whose ticket is good. Nothing is spent yet.
struct Admitted {
    ticket: Verified<Ticket>,
    generations: Vec<GenerationInfo>,
    /// The first slot that is sent, of the whole stack.
    from: u32,
    /// The ticket was spent for this before.
    resumes: bool,
    length: u64,
}

/// What a stream occupies.
struct Guards {
    _pass: Option<Entered<PartyId>>,
    _alone: Entered<Nonce>,
    place: StreamPlace,
}

/// Sends the slots of a ticket's stack.
pub(crate) async fn stream(
    cloud: &Arc<Cloud>,
    asker: Asker,
    head: Head,
    body: Body,
) -> Result<Response, Error> {
    let pass = asker.pass.map(|pass| cloud.gate.pass(pass)).transpose()?;
    let mut body = BodyReader::new(body, Instant::now() + patience(&cloud.limits));
    let ticket = ticket(cloud, head, &mut body).await?;
    let alone = cloud.gate.nonce(ticket.nonce)?;
    let admitted = admit(cloud, head, ticket).await?;
    let guards = Guards {
        _pass: pass,
        _alone: alone,
        place: cloud.gate.stream(admitted.length)?,
    };
    settle(cloud, asker, &admitted, body.taken()).await?;
    let length = admitted.length;
    let (cloud, limits) = (Arc::clone(cloud), cloud.limits.clone());
    let slots = sending::stream(length, limits, |reader| {
        send(cloud, admitted, guards, reader)
    });
    Ok(sending::response(Body::from_stream(slots), length))
}

/// Reads the ticket, which is all that comes.
async fn ticket(
    cloud: &Cloud,
    head: Head,
    body: &mut BodyReader,
) -> Result<Verified<Ticket>, Error> {
    let _reading = cloud.gate.ticket()?;
    let ticket = retrieval::ticket(cloud, head, body).await?;
    if head.length.is_some_and(|length| length != body.taken()) {
        return Err(Error::malformed("stream", "its body is the ticket alone"));
    }
    body.end().await?;
    Ok(ticket)
}

/// Says what the ticket buys, and whether it still does.
async fn admit(cloud: &Cloud, head: Head, ticket: Verified<Ticket>) -> Result<Admitted, Error> {
    let generations = generations(cloud, &ticket.generations).await?;
    let stack = Stack::new(generations.clone())
        .map_err(|error| Error::malformed("stack", error.to_string()))?;
    let from = head.from.unwrap_or(0);
    let slots = stack.slots();
    if u64::from(from) >= slots {
        return Err(Error::malformed(
            "stream",
            format!("its ticket's stack has {slots} slots"),
        ));
    }
    let resumes = match cloud.store.spent(ticket.nonce).await? {
        // Forgotten since it was looked up.
        None if cloud.now() >= ticket.expires => return Err(Error::Expired),
        None if from == 0 => false,
        None => {
            return Err(Error::malformed(
                "stream",
                "its ticket was not spent: there is nothing to resume; begin at 0",
            ));
        }
        // Counted for good when it is settled.
        Some(spent)
            if head.from.is_some()
                && spent.bought == Some(Bought::Stack)
                && spent.resumptions < cloud.limits.retrieval_resumptions
                && spent.stream_from <= from =>
        {
            true
        }
        Some(_) => return Err(Error::Spent),
    };
    Ok(Admitted {
        ticket,
        generations,
        from,
        resumes,
        length: (slots - u64::from(from)) * u64::from(stack.slot_bytes()),
    })
}

/// The public figures of sealed generations.
async fn generations(cloud: &Cloud, ids: &[GenerationId]) -> Result<Vec<GenerationInfo>, Error> {
    let mut generations = Vec::with_capacity(ids.len());
    for id in ids {
        match cloud.store.generation(*id).await?.map(|known| known.state) {
            Some(State::Sealed(request, _)) => generations.push(residents::info(&request.figures)?),
            _ => return Err(Error::NotFound("generation")),
        }
    }
    Ok(generations)
}

/// Spends the ticket, or counts the resumption, and records it: durable before the first byte.
async fn settle(
    cloud: &Cloud,
    asker: Asker,
    admitted: &Admitted,
    bytes_up: u64,
) -> Result<(), Error> {
    let ticket = &admitted.ticket;
    if admitted.resumes {
        let most = cloud.limits.retrieval_resumptions;
        cloud
            .store
            .resume(ticket.nonce, most, admitted.from)
            .await?;
    } else {
        let bought = Bought::Stack;
        cloud
            .store
            .spend(ticket.nonce, ticket.expires, &bought)
            .await?;
    }
    cloud.events.record(&Event::Stream {
        time: cloud.now(),
        nonce: ticket.nonce,
        stack: ticket.generations.clone(),
        queries: ticket.queries,
        from: admitted.from,
        bytes_up,
        bytes_down: admitted.length,
        peer: asker.address,
        pass: asker.pass,
    })
}

async fn send(
    cloud: Arc<Cloud>,
    admitted: Admitted,
    guards: Guards,
    mut reader: Reader,
) -> Result<(), Ended> {
    let mut guards = Some(guards);
    let mut skipped = admitted.from as usize;
    let generations = admitted
        .ticket
        .generations
        .iter()
        .zip(&admitted.generations);
    for (id, info) in generations {
        let count = info.shape.slots() as usize;
        if skipped >= count {
            skipped -= count;
            continue;
        }
        let mut digests = cloud.store.slot_digests(*id).await?;
        if digests.len() != count {
            // Retired meanwhile.
            return Err(Error::NotFound("generation").into());
        }
        let wanted = digests.split_off(std::mem::take(&mut skipped));
        let bytes = info.shape.slot_bytes() as usize;
        let mut slots = std::pin::pin!(read(&cloud.slots, *id, wanted, bytes));
        while let Some(slot) = slots.next().await {
            let slot = slot?;
            for piece in slot.chunks(PIECE_BYTES) {
                let is_last = reader.sent() + piece.len() as u64 >= admitted.length;
                if let Some(guards) = &guards {
                    guards.place.sent(reader.sent());
                }
                let room = reader.room(piece.len()).await?;
                if is_last {
                    // Who has read everything can come again at once.
                    guards = None;
                }
                room.send(Bytes::copy_from_slice(piece));
            }
        }
    }
    drop(guards);
    Ok(())
}

/// Reads slots in order, each compared with what was recorded of it; the next while one is being sent.
fn read(
    slots: &Slots,
    generation: GenerationId,
    digests: Vec<(u32, Digest)>,
    length: usize,
) -> impl Stream<Item = Result<Vec<u8>, Error>> {
    let slots = slots.clone();
    let reads = digests.into_iter().map(move |(slot, digest)| {
        let (slots, runtime) = (slots.clone(), Handle::current());
        let reading = tokio::task::spawn_blocking(move || {
            let mut bytes = vec![0; length];
            runtime
                .block_on(slots.read(generation, slot, digest, &mut bytes))
                .map_err(|error| proofs::failure(generation, slot, error))?;
            Ok(bytes)
        });
        async move { reading.await.map_err(|_| Error::TaskLost)? }
    });
    stream::iter(reads).buffered(READ_AHEAD)
}
