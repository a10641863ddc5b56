//! Reading `multipart/related` bodies as they stream in (RFC 2046 section 5.1, RFC 2387).

#[cfg(test)]
mod tests;

use bytes::{Buf as _, Bytes, BytesMut};
use futures_util::{Stream, StreamExt as _};
use memchr::memmem;

/// Longest head of a part, in bytes.
const HEAD_BYTES: usize = 16 << 10;

/// Longest boundary (RFC 2046 section 5.1.1).
const BOUNDARY_BYTES: usize = 70;

/// Why a body cannot be read on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum MultipartError {
    #[error("the boundary in Content-Type is missing or malformed")]
    BadBoundary,
    #[error("the body ends before its closing boundary; send it again")]
    Truncated,
    #[error("the head of a part is longer than {HEAD_BYTES} bytes or malformed")]
    BadHead,
    #[error(
        "the request is larger than the {limit} bytes that this gateway takes; send fewer objects at once"
    )]
    TooLarge { limit: u64 },
    #[error("the request's body could not be received")]
    Receive(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// The head of a part.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Head {
    /// Content-Type as sent.
    pub(super) content_type: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Preamble,
    InPart,
    /// Just after a delimiter.
    Between,
    Done,
}

/// Parts of a body, one after another.
pub(super) struct Multipart<S> {
    stream: S,
    buffer: BytesMut,
    delimiter: Vec<u8>,
    state: State,
    left: u64,
    limit: u64,
}

impl<S, E> Multipart<S>
where
    S: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    /// Reads `stream`, at most `limit` bytes of it.
    pub(super) fn new(stream: S, boundary: &str, limit: u64) -> Result<Self, MultipartError> {
        let valid = (1..=BOUNDARY_BYTES).contains(&boundary.len())
            && boundary.bytes().all(|b| (b' '..=b'~').contains(&b))
            && !boundary.ends_with(' ');
        if !valid {
            return Err(MultipartError::BadBoundary);
        }
        Ok(Self {
            stream,
            // The first delimiter may be the first thing in the body.
            buffer: BytesMut::from(&b"\r\n"[..]),
            delimiter: format!("\r\n--{boundary}").into_bytes(),
            state: State::Preamble,
            left: limit,
            limit,
        })
    }

    /// The head of the next part, or `None` after the last. Unread content is skipped.
    pub(super) async fn next(&mut self) -> Result<Option<Head>, MultipartError> {
        while matches!(self.state, State::Preamble | State::InPart) {
            self.advance().await?;
        }
        if self.state == State::Done {
            return Ok(None);
        }
        while self.buffer.len() < 2 {
            self.fill().await?;
        }
        if self.buffer.starts_with(b"--") {
            self.state = State::Done;
            return Ok(None);
        }
        // From the line break that ends the delimiter's line to the empty line after the head.
        let end = loop {
            if let Some(end) = memmem::find(&self.buffer, b"\r\n\r\n") {
                break end;
            }
            if self.buffer.len() > HEAD_BYTES {
                return Err(MultipartError::BadHead);
            }
            self.fill().await?;
        };
        let head = self.buffer.split_to(end);
        self.buffer.advance(4);
        self.state = State::InPart;
        parse_head(&head).map(Some)
    }

    /// More of the present part's content, or `None` at its end.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, MultipartError> {
        while self.state == State::InPart {
            if let Some(bytes) = self.advance().await? {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// Goes up to the next delimiter, or to what may be the start of one.
    async fn advance(&mut self) -> Result<Option<Bytes>, MultipartError> {
        let ready = match memmem::find(&self.buffer, &self.delimiter) {
            Some(0) => {
                self.buffer.advance(self.delimiter.len());
                self.state = State::Between;
                return Ok(None);
            }
            Some(at) => at,
            None => (self.buffer.len() + 1).saturating_sub(self.delimiter.len()),
        };
        if ready == 0 {
            self.fill().await?;
            return Ok(None);
        }
        Ok(Some(self.buffer.split_to(ready).freeze()))
    }

    async fn fill(&mut self) -> Result<(), MultipartError> {
        match self.stream.next().await {
            None => Err(MultipartError::Truncated),
            Some(Err(error)) => Err(MultipartError::Receive(error.into())),
            Some(Ok(bytes)) => {
                let length = bytes.len() as u64;
                self.left = self
                    .left
                    .checked_sub(length)
                    .ok_or(MultipartError::TooLarge { limit: self.limit })?;
                self.buffer.extend_from_slice(&bytes);
                Ok(())
            }
        }
    }
}

/// `head` starts after the delimiter: padding, a line break, and the header lines.
fn parse_head(head: &[u8]) -> Result<Head, MultipartError> {
    let text = std::str::from_utf8(head).map_err(|_| MultipartError::BadHead)?;
    let mut lines = text.split("\r\n");
    // White space after the delimiter is padding; anything else makes it another boundary.
    if lines
        .next()
        .is_some_and(|padding| !padding.trim_matches([' ', '\t']).is_empty())
    {
        return Err(MultipartError::BadHead);
    }
    let mut out = Head::default();
    for line in lines {
        let (name, value) = line.split_once(':').ok_or(MultipartError::BadHead)?;
        if name.trim().eq_ignore_ascii_case("content-type") {
            out.content_type = Some(value.trim().to_owned());
        }
    }
    Ok(out)
}
