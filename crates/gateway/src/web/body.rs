//! Response bodies that are written where blocking is allowed, piece by piece.

use std::io::{self, Write};

use axum::body::Body;
use bytes::Bytes;
use tokio::sync::mpsc;

/// How many bytes are sent at once.
const PIECE_BYTES: usize = 256 << 10;

/// How many pieces may wait for a slow client.
const WAITING: usize = 4;

/// A body that `write` produces. If it fails, the response breaks off, which clients notice.
pub(super) fn written(write: impl FnOnce(&mut Pieces) -> io::Result<()> + Send + 'static) -> Body {
    let (sender, mut receiver) = mpsc::channel(WAITING);
    tokio::task::spawn_blocking(move || {
        let mut pieces = Pieces {
            sender,
            buffer: Vec::with_capacity(PIECE_BYTES),
        };
        let result = write(&mut pieces).and_then(|()| pieces.flush());
        if let Err(error) = result
            // Clients that went away are no news.
            && error.kind() != io::ErrorKind::BrokenPipe
        {
            tracing::warn!(%error, "a response broke off");
            let _ = pieces.sender.blocking_send(Err(error));
        }
    });
    Body::from_stream(futures_util::stream::poll_fn(move |context| {
        receiver.poll_recv(context)
    }))
}

/// Gathers what is written into pieces.
pub(super) struct Pieces {
    sender: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.buffer.len() + bytes.len() > PIECE_BYTES {
            self.flush()?;
        }
        if bytes.len() >= PIECE_BYTES {
            return self
                .send(Bytes::copy_from_slice(bytes))
                .map(|()| bytes.len());
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(PIECE_BYTES));
        self.send(Bytes::from(full))
    }
}

impl Pieces {
    fn send(&mut self, bytes: Bytes) -> io::Result<()> {
        self.sender
            .blocking_send(Ok(bytes))
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}
