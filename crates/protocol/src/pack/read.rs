//! Reading a pack that somebody else wrote: every length is held against the manifest before
//! anything is allocated for it.

use std::io::{self, BufReader, Read};

use super::{
    ENTRY_BYTES, Entry, FRONT_BYTES, MAGIC, MAX_INDEX_BYTES, MAX_INSTANCES, WINDOW_LOG, bad,
};
use crate::Malformed;
use crate::attestation::Attestation;
use crate::sign::Signed;

/// Why a pack could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The bytes are not a pack.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// The bytes could not be had.
    #[error("reading the pack failed")]
    Io(#[from] io::Error),
}

/// What a pack says at its beginning.
#[derive(Clone, Debug)]
pub struct Contents {
    /// The producer's, not verified yet.
    pub attestation: Signed<Attestation>,
    /// The instances, in manifest order.
    pub entries: Vec<Entry>,
    /// Where the compressed heads begin, in bytes from the pack's beginning.
    pub heads_at: u64,
    /// Where the first body begins; the others follow.
    pub bodies_at: u64,
}

impl Contents {
    /// Reads the beginning of a pack of `pack_bytes`, padding included, whose instances have these
    /// lengths by the manifest.
    ///
    /// # Errors
    /// [`ReadError::Malformed`] if it does not fit the manifest or itself.
    pub fn read(
        mut source: impl Read,
        pack_bytes: u64,
        instances: &[u64],
    ) -> Result<Self, ReadError> {
        let mut front = [0; FRONT_BYTES];
        exactly(&mut source, &mut front)?;
        let (magic, lengths) = front.split_at(4);
        if magic != MAGIC {
            return Err(bad("it does not begin with HPB2").into());
        }
        let mut lengths = Cut(lengths);
        let index_bytes = u64::from(u32::from_be_bytes(lengths.take()?));
        let heads_bytes = u64::from_be_bytes(lengths.take()?);
        let heads_at = FRONT_BYTES as u64 + index_bytes;
        let bodies_at = heads_at
            .checked_add(heads_bytes)
            .filter(|at| *at <= pack_bytes)
            .ok_or(bad("its descriptions are longer than the bundle"))?;
        let index = inflate_index(source.take(index_bytes))?;
        let (attestation, entries) = read_index(&index, instances)?;
        let end = entries
            .iter()
            .try_fold(bodies_at, |at, entry| at.checked_add(entry.body));
        if end.is_none_or(|end| end > pack_bytes) {
            return Err(bad("its bodies are longer than the bundle").into());
        }
        Ok(Self {
            attestation,
            entries,
            heads_at,
            bodies_at,
        })
    }

    /// Where the pack ends and padding begins.
    #[must_use]
    pub fn end(&self) -> u64 {
        // Checked when it was read.
        self.bodies_at + self.entries.iter().map(|entry| entry.body).sum::<u64>()
    }
}

fn inflate_index(source: impl Read) -> Result<Vec<u8>, ReadError> {
    let mut decoder = decoder(source)?;
    let mut index = Vec::new();
    // Grows with what is there, not with what is claimed.
    let read = (&mut decoder)
        .take(MAX_INDEX_BYTES + 1)
        .read_to_end(&mut index);
    read.map_err(|_| bad("its index does not decompress"))?;
    if index.len() as u64 > MAX_INDEX_BYTES {
        return Err(bad("its index is too large").into());
    }
    Ok(index)
}

fn read_index(
    index: &[u8],
    instances: &[u64],
) -> Result<(Signed<Attestation>, Vec<Entry>), ReadError> {
    let mut index = Cut(index);
    let bytes = u32::from_be_bytes(index.take()?) as usize;
    let (attestation, rest) = index
        .0
        .split_at_checked(bytes)
        .ok_or(bad("its attestation is cut off"))?;
    let attestation =
        std::str::from_utf8(attestation).map_err(|_| bad("its attestation is not text"))?;
    let attestation = Signed::from_json(attestation)?;
    let mut index = Cut(rest);
    let count = u32::from_be_bytes(index.take()?) as usize;
    if count != instances.len() || count > MAX_INSTANCES || index.0.len() != count * ENTRY_BYTES {
        return Err(bad("it holds another number of instances than the manifest names").into());
    }
    let entries = instances
        .iter()
        .map(|expected| read_entry(&mut index, *expected))
        .collect::<Result<_, _>>()?;
    Ok((attestation, entries))
}

fn read_entry(index: &mut Cut<'_>, expected: u64) -> Result<Entry, Malformed> {
    let [coding] = index.take()?;
    let head = u64::from_be_bytes(index.take()?);
    let tail = u64::from_be_bytes(index.take()?);
    let body = u64::from_be_bytes(index.take()?);
    let pixels = head
        .checked_add(tail)
        .and_then(|around| expected.checked_sub(around))
        .ok_or(bad("a description is longer than its instance"))?;
    if body > pixels {
        return Err(bad("an instance is stored longer than it is"));
    }
    Ok(Entry {
        coding,
        head,
        tail,
        body,
    })
}

/// Gives the heads and tails of the instances, in order.
pub struct Heads<R: Read> {
    decoder: zstd::Decoder<'static, BufReader<io::Take<R>>>,
}

impl<R: Read> Heads<R> {
    /// From a source that stands at [`Contents::heads_at`].
    ///
    /// # Errors
    /// [`ReadError::Io`].
    pub fn new(source: R, contents: &Contents) -> Result<Self, ReadError> {
        let source = source.take(contents.bodies_at - contents.heads_at);
        Ok(Self {
            decoder: decoder(source)?,
        })
    }

    /// Head and tail of the next instance, which are as long as its entry says.
    ///
    /// # Errors
    /// [`ReadError::Malformed`] if the descriptions end before, or do not decompress.
    pub fn next(&mut self, entry: &Entry) -> Result<(Vec<u8>, Vec<u8>), ReadError> {
        Ok((self.part(entry.head)?, self.part(entry.tail)?))
    }

    fn part(&mut self, bytes: u64) -> Result<Vec<u8>, ReadError> {
        let mut part = Vec::new();
        // Grows with what is there, not with what is claimed.
        let read = (&mut self.decoder).take(bytes).read_to_end(&mut part);
        read.map_err(|_| bad("a description does not decompress"))?;
        if part.len() as u64 != bytes {
            return Err(bad("it ends within a description").into());
        }
        Ok(part)
    }

    /// Checks that nothing follows.
    ///
    /// # Errors
    /// [`ReadError::Malformed`] if something does.
    pub fn finish(mut self) -> Result<(), ReadError> {
        let mut more = [0];
        match self.decoder.read(&mut more) {
            Ok(0) => Ok(()),
            _ => Err(bad("its descriptions go on behind the last instance").into()),
        }
    }
}

fn decoder<R: Read>(source: R) -> io::Result<zstd::Decoder<'static, BufReader<R>>> {
    let mut decoder = zstd::Decoder::new(source)?;
    decoder.window_log_max(WINDOW_LOG)?;
    Ok(decoder)
}

fn exactly(source: &mut impl Read, into: &mut [u8]) -> Result<(), ReadError> {
    source.read_exact(into).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => bad("it ends too early").into(),
        _ => e.into(),
    })
}

/// What was not read yet.
struct Cut<'a>(&'a [u8]);

impl Cut<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        let (bytes, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or(bad("its index is cut off"))?;
        self.0 = rest;
        Ok(*bytes)
    }
}
