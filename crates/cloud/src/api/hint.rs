//! Hints (docs/protocol.md 7.2): immutable bytes, whole or in ranges.

use std::ops::Range;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::response::Response;
use futures_util::TryStreamExt as _;
use harpo_protocol::id::GenerationId;
use harpo_service::blobs::ByteStream;
use harpo_service::http::ApiError;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use tokio::sync::OwnedSemaphorePermit;

use super::parse;
use crate::Error;
use crate::cloud::Cloud;
use crate::events::Event;
use crate::retrieval::Asker;
use crate::sending::{self, Ended, PIECE_BYTES, Reader};
use crate::store::{HintRecord, State as Stage};

#[cfg(test)]
mod tests;

/// The bytes of a generation's hint never change: whoever has them need not ask again.
const IMMUTABLE: HeaderValue = HeaderValue::from_static("private, max-age=31536000, immutable");

/// What is sent of a hint.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Whole,
    Range(Range<u64>),
    /// The client has it.
    Nothing,
    /// The range lies outside.
    Outside,
}

pub(super) async fn get(
    State(cloud): State<Arc<Cloud>>,
    asker: Asker,
    Path(generation): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let id = parse(&generation)?;
    let hint = match cloud
        .store
        .generation(id)
        .await?
        .map(|generation| generation.state)
    {
        Some(Stage::Sealed(_, sealed)) => sealed.hint,
        _ => return Err(Error::NotFound("generation").into()),
    };
    let etag = format!("\"{}\"", hint.digest);
    let part = choose(&headers, &etag, hint.bytes);
    Ok(send(&cloud, id, hint, &etag, part, asker).await?)
}

async fn send(
    cloud: &Cloud,
    id: GenerationId,
    hint: HintRecord,
    etag: &str,
    part: Part,
    asker: Asker,
) -> Result<Response, Error> {
    let (status, range) = match part {
        Part::Whole => (StatusCode::OK, 0..hint.bytes),
        Part::Range(range) => (StatusCode::PARTIAL_CONTENT, range),
        Part::Nothing => (StatusCode::NOT_MODIFIED, 0..0),
        Part::Outside => (StatusCode::RANGE_NOT_SATISFIABLE, 0..0),
    };
    let length = range.end - range.start;
    let body = if length == 0 {
        Body::empty()
    } else {
        let place = cloud.gate.hint()?;
        let bytes = cloud.slots.hint(id, range.clone()).await?;
        let sent = sending::stream(length, cloud.limits.clone(), |reader| {
            hand_over(bytes, length, place, reader)
        });
        Body::from_stream(sent)
    };
    cloud.events.record(&Event::Hint {
        time: cloud.now(),
        generation: id,
        bytes: length,
        peer: asker.address,
        pass: asker.pass,
    })?;
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, IMMUTABLE);
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    if status != StatusCode::NOT_MODIFIED {
        headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    }
    let content_range = match status {
        StatusCode::PARTIAL_CONTENT => Some(format!(
            "bytes {}-{}/{}",
            range.start,
            range.end - 1,
            hint.bytes
        )),
        StatusCode::RANGE_NOT_SATISFIABLE => Some(format!("bytes */{}", hint.bytes)),
        _ => None,
    };
    let texts = [
        (header::ETAG, Some(etag.to_owned())),
        (header::CONTENT_RANGE, content_range),
    ];
    for (name, text) in texts {
        if let Some(value) = text.and_then(|text| HeaderValue::from_str(&text).ok()) {
            headers.insert(name, value);
        }
    }
    Ok(response)
}

/// Hands the bytes to a reader who keeps a place only while it takes them.
async fn hand_over(
    mut bytes: ByteStream,
    length: u64,
    place: OwnedSemaphorePermit,
    mut reader: Reader,
) -> Result<(), Ended> {
    let mut place = Some(place);
    while let Some(chunk) = bytes.try_next().await.map_err(Error::HintUnreadable)? {
        for piece in chunk.chunks(PIECE_BYTES) {
            let is_last = reader.sent() + piece.len() as u64 >= length;
            let room = reader.room(piece.len()).await?;
            if is_last {
                // Who has read everything can come again at once.
                place = None;
            }
            room.send(chunk.slice_ref(piece));
        }
    }
    drop(place);
    Ok(())
}

/// What the headers ask for (RFC 9110, sections 13 and 14). Several ranges at once, and what is not understood, are
/// answered with the whole, as the standard allows.
fn choose(headers: &HeaderMap, etag: &str, bytes: u64) -> Part {
    let text = |name| {
        headers
            .get(name)
            .and_then(|value: &HeaderValue| value.to_str().ok())
    };
    if let Some(known) = text(header::IF_NONE_MATCH)
        && known
            .split(',')
            .map(str::trim)
            .any(|tag| tag == "*" || tag == etag)
    {
        return Part::Nothing;
    }
    if text(header::IF_RANGE).is_some_and(|tag| tag != etag) {
        return Part::Whole;
    }
    match text(header::RANGE).and_then(|text| text.strip_prefix("bytes=")) {
        Some(spec) => range(spec, bytes),
        None => Part::Whole,
    }
}

fn range(spec: &str, bytes: u64) -> Part {
    let Some((first, last)) = spec.split_once('-') else {
        return Part::Whole;
    };
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // More digits than fit lie beyond the end.
        digits.then(|| text.parse().unwrap_or(u64::MAX))
    };
    let range = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => first..last.saturating_add(1).min(bytes),
        (Some(first), None) if last.is_empty() => first..bytes,
        (None, Some(suffix)) if first.is_empty() => bytes - suffix.min(bytes)..bytes,
        _ => return Part::Whole,
    };
    if range.is_empty() {
        Part::Outside
    } else {
        Part::Range(range)
    }
}
