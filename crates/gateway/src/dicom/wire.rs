//! Protocol data units over a stream (PS3.8 section 9.3), with one write for each message.

use std::io::Cursor;
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use dicom_ul::pdu::{PDV_HEADER_SIZE, Pdu, read_pdu, write_pdu};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// Largest unit that we take, in bytes after its six-byte head.
pub const MAX_PDU_BYTES: u32 = 256 << 10;

/// Largest unit that we send, whatever the peer would take.
const MAX_SENT_BYTES: u32 = 256 << 10;

/// Smallest limit of a peer that we honour; less would be all heads and no data.
const MIN_SENT_BYTES: u32 = 1024;

/// How many bytes are gathered before they are written.
const WRITE_BYTES: usize = 1 << 20;

/// Why the connection is of no further use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Closed,
    /// Nothing came, or nothing could be sent, for too long.
    #[error("the peer was silent for {0:?}")]
    TimedOut(Duration),
    /// The peer sent what is not a protocol data unit, or one that is too large.
    #[error("the peer broke the upper layer protocol")]
    Malformed(#[source] Box<dicom_ul::pdu::ReadError>),
    /// Our own unit could not be written, for instance because a title is too long.
    #[error("a message could not be encoded; check the application entity titles")]
    Encode(#[source] Box<dicom_ul::pdu::WriteError>),
    /// The connection failed.
    #[error("the connection failed")]
    Io(#[from] std::io::Error),
}

/// A stream of protocol data units.
#[derive(Debug)]
pub struct Wire<S> {
    stream: S,
    incoming: BytesMut,
    outgoing: Vec<u8>,
    timeout: Duration,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// Over a connected stream. `timeout` bounds each unit read and each write.
    pub fn new(stream: S, timeout: Duration) -> Self {
        Self {
            stream,
            incoming: BytesMut::with_capacity(64 << 10),
            outgoing: Vec::new(),
            timeout,
        }
    }

    /// Changes the timeout of what follows.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Waits until the peer has sent something. May be cancelled without loss.
    ///
    /// # Errors
    /// See [`WireError`].
    pub async fn readable(&mut self) -> Result<(), WireError> {
        if self.incoming.is_empty() {
            let timeout = self.timeout;
            tokio::time::timeout(timeout, self.fill())
                .await
                .map_err(|_| WireError::TimedOut(timeout))??;
        }
        Ok(())
    }

    /// The next unit.
    ///
    /// # Errors
    /// See [`WireError`].
    pub async fn receive(&mut self) -> Result<Pdu, WireError> {
        let timeout = self.timeout;
        tokio::time::timeout(timeout, self.receive_untimed())
            .await
            .map_err(|_| WireError::TimedOut(timeout))?
    }

    async fn receive_untimed(&mut self) -> Result<Pdu, WireError> {
        loop {
            let mut cursor = Cursor::new(&self.incoming[..]);
            let unit = read_pdu(&mut cursor, MAX_PDU_BYTES, true);
            if let Some(unit) = unit.map_err(|e| WireError::Malformed(Box::new(e)))? {
                let used = usize::try_from(cursor.position()).unwrap_or(usize::MAX);
                self.incoming.advance(used.min(self.incoming.len()));
                return Ok(unit);
            }
            // The head told how long the unit is: make room for it at once.
            if let Some(head) = self.incoming.get(2..6) {
                let length =
                    u32::from_be_bytes([head[0], head[1], head[2], head[3]]).min(MAX_PDU_BYTES);
                let whole = length as usize + 6;
                self.incoming
                    .reserve(whole.saturating_sub(self.incoming.len()));
            }
            self.fill().await?;
        }
    }

    async fn fill(&mut self) -> Result<(), WireError> {
        self.incoming.reserve(16 << 10);
        match self.stream.read_buf(&mut self.incoming).await? {
            0 => Err(WireError::Closed),
            _ => Ok(()),
        }
    }

    /// Adds a unit to what is sent by the next [`Self::flush`].
    ///
    /// # Errors
    /// [`WireError::Encode`].
    pub fn queue(&mut self, unit: &Pdu) -> Result<(), WireError> {
        write_pdu(&mut self.outgoing, unit).map_err(|e| WireError::Encode(Box::new(e)))
    }

    /// Sends what was queued, in one write.
    ///
    /// # Errors
    /// See [`WireError`].
    pub async fn flush(&mut self) -> Result<(), WireError> {
        let timeout = self.timeout;
        let sent = tokio::time::timeout(timeout, self.stream.write_all(&self.outgoing)).await;
        self.outgoing.clear();
        Ok(sent.map_err(|_| WireError::TimedOut(timeout))??)
    }

    /// Queues and sends one unit.
    ///
    /// # Errors
    /// See [`WireError`].
    pub async fn send(&mut self, unit: &Pdu) -> Result<(), WireError> {
        self.queue(unit)?;
        self.flush().await
    }

    /// Queues a whole command set or data set, cut to the peer's limit (PS3.8 annex E); large ones
    /// are sent as they go. `peer_max` is the peer's maximum length, 0 for none.
    ///
    /// # Errors
    /// See [`WireError`].
    pub async fn message(
        &mut self,
        context: u8,
        command: bool,
        bytes: &[u8],
        peer_max: u32,
    ) -> Result<(), WireError> {
        let limit = if peer_max == 0 {
            MAX_SENT_BYTES
        } else {
            peer_max.clamp(MIN_SENT_BYTES, MAX_SENT_BYTES)
        };
        let piece = ((limit - PDV_HEADER_SIZE) & !1) as usize;
        let mut chunks = bytes.chunks(piece).peekable();
        loop {
            let chunk = chunks.next().unwrap_or_default();
            let last = chunks.peek().is_none();
            // At most MAX_SENT_BYTES.
            let length = u32::try_from(chunk.len()).unwrap_or(0);
            self.outgoing.extend_from_slice(&[0x04, 0x00]);
            self.outgoing
                .extend_from_slice(&(length + PDV_HEADER_SIZE).to_be_bytes());
            self.outgoing.extend_from_slice(&(length + 2).to_be_bytes());
            self.outgoing
                .extend_from_slice(&[context, u8::from(command) | (u8::from(last) << 1)]);
            self.outgoing.extend_from_slice(chunk);
            if self.outgoing.len() >= WRITE_BYTES {
                self.flush().await?;
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Closes our side.
    pub async fn close(mut self) {
        // The peer may be gone already, which is what we want.
        let _ = tokio::time::timeout(Duration::from_secs(1), self.stream.shutdown()).await;
    }
}
