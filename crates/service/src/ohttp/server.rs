//! The cloud's end (docs/protocol.md 9.8).

use std::error::Error;
use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, BoxStream, Stream, StreamExt as _, TryStreamExt as _};
use harpo_protocol::Malformed;

use super::broken;
use super::head::RequestHead;
use super::keys::{HEADER_BYTES, ServerKeys};
use super::stream::{HeadError, Outlet, Sealer, body, read_head};

/// A request that was opened. Its answer, whatever it is, can be sealed.
#[derive(Debug)]
pub struct Opened {
    /// What is inside, if it is a request that may pass.
    pub inner: Result<Inner, Malformed>,
    /// For the answer.
    pub sealer: Sealer,
}

/// What was inside.
pub struct Inner {
    /// Its head.
    pub head: RequestHead,
    /// Its body, as it comes.
    pub body: BoxStream<'static, io::Result<Bytes>>,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("head", &self.head)
            .finish_non_exhaustive()
    }
}

/// Opens an encapsulated request as far as its head.
///
/// # Errors
/// Whatever is the matter with it where there is nothing to seal an answer to: another key or suite, a first chunk
/// that does not open, or a body that broke off before that.
pub async fn open<S, E>(keys: &ServerKeys, outer: S) -> io::Result<Opened>
where
    S: Stream<Item = Result<Bytes, E>> + Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>> + 'static,
{
    let mut outer = outer.map_err(io::Error::other).boxed();
    let mut first = BytesMut::new();
    let header = loop {
        if let Some(header) = first.first_chunk::<HEADER_BYTES>() {
            break *header;
        }
        let piece = outer.next().await;
        first.extend_from_slice(&piece.ok_or_else(|| broken("it ends within its first bytes"))??);
    };
    let key = keys.named(header).map_err(broken)?.clone();
    let source = stream::iter([Ok(first.freeze())]).chain(outer);
    let mut request = key.decapsulate_stream(source.into_async_read());
    let head = read_head(&mut request, RequestHead::read).await;
    let (head, rest) = match head {
        Ok(read) => (Ok(read.0), read.1),
        Err(HeadError::Malformed(error)) => (Err(error), Bytes::new()),
        // Nothing was opened that an answer could be sealed to.
        Err(HeadError::Broken(error)) => return Err(error),
    };
    let outlet = Outlet::default();
    let writer = request.response(outlet.clone()).map_err(broken)?;
    Ok(Opened {
        inner: head.map(|head| Inner {
            body: body(Box::pin(request), rest, head.length).boxed(),
            head,
        }),
        sealer: Sealer::new(writer, outlet),
    })
}
