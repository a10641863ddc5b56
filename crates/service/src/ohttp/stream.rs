//! Bytes in, sealed bytes out, and the other way round: as much at a time as came, and no task between.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use futures_util::stream::{self, Stream, StreamExt as _};

use super::broken;

/// What is sealed at a time, at most: four chunks.
const PIECE_BYTES: usize = 64 << 10;
/// Room for a chunk with its tag, which is thus opened where it is read to.
const CHUNK_BYTES: usize = (16 << 10) + 16;
/// The trailer section of a message that has none.
const NO_TRAILER: u8 = 0;

/// Where sealed bytes wait to be taken. Takes everything at once.
#[derive(Clone, Default)]
pub(super) struct Outlet(Arc<Mutex<BytesMut>>);

impl Outlet {
    fn lock(&self) -> MutexGuard<'_, BytesMut> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Bytes {
        self.lock().split().freeze()
    }
}

impl AsyncWrite for Outlet {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.lock().extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Seals one message.
pub struct Sealer {
    writer: Pin<Box<dyn AsyncWrite + Send>>,
    outlet: Outlet,
}

impl std::fmt::Debug for Sealer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Sealer(…)")
    }
}

impl Sealer {
    /// `writer` writes to `outlet`.
    pub(super) fn new(writer: impl AsyncWrite + Send + 'static, outlet: Outlet) -> Self {
        Self {
            writer: Box::pin(writer),
            outlet,
        }
    }

    /// The encapsulation of a message: its head, and a body of exactly `length` bytes. Ends with an error, and without
    /// the chunk that is sealed as the last, where `body` does, or where it has another length.
    pub fn seal<S, E>(
        self,
        head: Bytes,
        body: S,
        length: u64,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static
    where
        S: Stream<Item = Result<Bytes, E>> + Send + 'static,
        E: Into<Box<dyn std::error::Error + Send + Sync>> + 'static,
    {
        let rest = Rest {
            sealer: self,
            waiting: head,
            body: body.boxed(),
            // The head is not of the body.
            left: length,
            ended: false,
        };
        stream::try_unfold(Some(rest), async |rest| match rest {
            None => Ok(None),
            Some(rest) => rest.next().await.map(Some),
        })
    }

    async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.writer.write_all(bytes).await?;
        self.writer.flush().await
    }
}

/// What is left to be sealed.
struct Rest<B> {
    sealer: Sealer,
    waiting: Bytes,
    body: B,
    left: u64,
    ended: bool,
}

impl<B, E> Rest<B>
where
    B: Stream<Item = Result<Bytes, E>> + Unpin,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    async fn next(mut self) -> io::Result<(Bytes, Option<Self>)> {
        while self.waiting.is_empty() && !self.ended {
            match self.body.next().await {
                Some(piece) => {
                    self.waiting = piece.map_err(io::Error::other)?;
                    let length = self.waiting.len() as u64;
                    let left = self.left.checked_sub(length);
                    self.left = left.ok_or_else(|| broken("the body is longer than it said"))?;
                }
                None if self.left > 0 => return Err(broken("the body is shorter than it said")),
                None => self.ended = true,
            }
        }
        if self.ended {
            self.sealer.write(&[NO_TRAILER]).await?;
            self.sealer.writer.close().await?;
            return Ok((self.sealer.outlet.take(), None));
        }
        let piece = self.waiting.split_to(self.waiting.len().min(PIECE_BYTES));
        self.sealer.write(&piece).await?;
        Ok((self.sealer.outlet.take(), Some(self)))
    }
}

/// Reads one message that was sealed.
pub(super) type Plain = Pin<Box<dyn AsyncRead + Send>>;

/// What a head was read from: the head, what came with it of the body, and where the rest comes from.
pub(super) async fn read_head<R, T>(
    reader: &mut R,
    read: impl Fn(&[u8]) -> Result<Option<(T, usize)>, harpo_protocol::Malformed>,
) -> Result<(T, Bytes), HeadError>
where
    R: AsyncRead + Unpin,
{
    let mut plain = BytesMut::new();
    loop {
        let piece = next(reader).await.map_err(HeadError::Broken)?;
        let piece = piece.ok_or_else(|| HeadError::Broken(broken("it ends within its head")))?;
        plain.extend_from_slice(&piece);
        if let Some((head, taken)) = read(&plain).map_err(HeadError::Malformed)? {
            return Ok((head, plain.split_off(taken).freeze()));
        }
    }
}

/// Why there is no head.
#[derive(Debug)]
pub(super) enum HeadError {
    /// It does not open, or broke off.
    Broken(io::Error),
    /// It is none that may be here.
    Malformed(harpo_protocol::Malformed),
}

/// The next bytes; `None` at the end of what was sealed.
async fn next(reader: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Bytes>> {
    let mut piece = BytesMut::zeroed(CHUNK_BYTES);
    let read = reader.read(&mut piece).await?;
    piece.truncate(read);
    Ok((read > 0).then(|| piece.freeze()))
}

/// A body of exactly `length` bytes, of which `first` came with the head. It ends well only if nothing but an empty
/// trailer section follows, and what was sealed as the last was opened.
pub(super) fn body(
    reader: Plain,
    first: Bytes,
    length: u64,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    let state = Some((reader, first, length));
    stream::try_unfold(state, async |state| {
        let Some((mut reader, mut waiting, left)) = state else {
            return Ok(None);
        };
        if left == 0 {
            end(&mut reader, waiting).await?;
            return Ok(None);
        }
        if waiting.is_empty() {
            let piece = next(&mut reader).await?;
            waiting = piece.ok_or_else(|| broken("it is shorter than it said"))?;
        }
        let most = usize::try_from(left).unwrap_or(usize::MAX);
        let piece = waiting.split_to(waiting.len().min(most));
        let left = left - piece.len() as u64;
        Ok(Some((piece, Some((reader, waiting, left)))))
    })
}

async fn end(reader: &mut Plain, mut waiting: Bytes) -> io::Result<()> {
    let mut trailer = 0_usize;
    loop {
        trailer += waiting.len();
        if trailer > 1 || waiting.iter().any(|byte| *byte != NO_TRAILER) {
            return Err(broken("it is longer than it said, or has trailers"));
        }
        match next(reader).await? {
            Some(piece) => waiting = piece,
            None => return Ok(()),
        }
    }
}
