//! Where the walker's bytes come from.

use std::fs::File;
use std::io::{self, BufReader, Cursor, Read};

use flate2::read::DeflateDecoder;

/// Bytes that can be skipped cheaply.
pub trait Source: Read + Send {
    /// Goes forward by `n` bytes.
    ///
    /// # Errors
    /// Where the source cannot, or ends before.
    fn skip(&mut self, n: u64) -> io::Result<()>;
}

impl<S: Source + ?Sized> Source for Box<S> {
    fn skip(&mut self, n: u64) -> io::Result<()> {
        (**self).skip(n)
    }
}

impl Source for BufReader<File> {
    // Does not notice the end of the file: the walker knows the length and checks before.
    fn skip(&mut self, n: u64) -> io::Result<()> {
        let n = i64::try_from(n).map_err(|_| io::Error::from(io::ErrorKind::UnexpectedEof))?;
        self.seek_relative(n)
    }
}

impl<B: AsRef<[u8]> + Send> Source for Cursor<B> {
    fn skip(&mut self, n: u64) -> io::Result<()> {
        let left = (self.get_ref().as_ref().len() as u64).saturating_sub(self.position());
        if n > left {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.set_position(self.position() + n);
        Ok(())
    }
}

/// A deflated data set (PS3.5 section A.5), inflated up to a limit.
#[derive(Debug)]
pub struct Inflating<R: Read> {
    inner: DeflateDecoder<R>,
    left: u64,
    limit: u64,
}

/// Carried inside an [`io::Error`] so that the walker can name the refusal.
#[derive(Debug, thiserror::Error)]
#[error("inflates to more than {0} bytes")]
struct TooLarge(u64);

pub(super) fn inflated_too_large(e: &io::Error) -> Option<u64> {
    e.get_ref()
        .and_then(|e| e.downcast_ref::<TooLarge>())
        .map(|e| e.0)
}

impl<R: Read> Inflating<R> {
    /// Inflates `inner` to at most `limit` bytes.
    pub fn new(inner: R, limit: u64) -> Self {
        Self {
            inner: DeflateDecoder::new(inner),
            left: limit,
            limit,
        }
    }
}

impl<R: Read> Read for Inflating<R> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 {
            let mut probe = [0u8; 1];
            return match self.inner.read(&mut probe)? {
                0 => Ok(0),
                _ => Err(io::Error::other(TooLarge(self.limit))),
            };
        }
        let most = usize::try_from(self.left)
            .unwrap_or(usize::MAX)
            .min(buf.len());
        let n = self.inner.read(&mut buf[..most])?;
        self.left -= n as u64;
        Ok(n)
    }
}

impl<R: Read + Send> Source for Inflating<R> {
    fn skip(&mut self, n: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.take(n), &mut io::sink())?;
        if skipped < n {
            Err(io::ErrorKind::UnexpectedEof.into())
        } else {
            Ok(())
        }
    }
}
