//! The pack: the instances of a bundle, each cut in what describes it and what it shows
//! (docs/protocol.md 3.1).
//!
//! An instance is its head, its pixels and its tail. Heads and tails of all instances are compressed
//! together and come first; the pixels follow as *bodies*, in order, coded in a way that this crate
//! does not look into. So whoever reads from the beginning has all descriptions before any pixels,
//! and then one instance after the other.

mod read;
#[cfg(test)]
mod tests;

use std::io::{self, Write};

use crate::Malformed;
use crate::attestation::Attestation;
use crate::sign::Signed;

pub use read::{Contents, Heads, ReadError};

const MAGIC: &[u8; 4] = b"HPB2";
/// Magic, length of the index (u32), length of the heads (u64).
const FRONT_BYTES: usize = 16;
/// Coding (1 byte), head, tail and body (u64 each).
const ENTRY_BYTES: usize = 25;
/// zstd's level for descriptions: they are small, and alike within a series.
const LEVEL: i32 = 9;
/// Largest window that descriptions are compressed with, as a power of two; bounds a reader's memory.
const WINDOW_LOG: u32 = 23;

/// Largest instance.
pub const MAX_INSTANCE_BYTES: u64 = 4 << 30;
/// Most instances of one bundle.
pub const MAX_INSTANCES: usize = 65_536;
/// Largest index, decompressed: entries and attestation of the most instances.
pub const MAX_INDEX_BYTES: u64 = 32 << 20;

/// How one instance is kept. Its length is that of head, pixels and tail together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// How the body is coded: the gateways' business.
    pub coding: u8,
    /// Bytes before the pixels.
    pub head: u64,
    /// Bytes behind them.
    pub tail: u64,
    /// Bytes of the coded pixels, never more than the pixels themselves have.
    pub body: u64,
}

/// Writes a pack: descriptions to one sink, bodies to another, since the descriptions are complete
/// only at the end and come first.
pub struct Writer<H: Write, B> {
    heads: zstd::Encoder<'static, Counting<H>>,
    bodies: Counting<B>,
    entries: Vec<Entry>,
}

/// The parts of a pack, which is `front`, then what went to the heads' sink, then the bodies'.
#[derive(Debug)]
pub struct Parts<H, B> {
    /// How it begins.
    pub front: Vec<u8>,
    /// The heads' sink.
    pub heads: H,
    /// Bytes in it.
    pub heads_bytes: u64,
    /// The bodies' sink.
    pub bodies: B,
    /// Bytes in it.
    pub bodies_bytes: u64,
}

impl<H, B> Parts<H, B> {
    /// Bytes of the whole pack.
    pub fn bytes(&self) -> u64 {
        self.front.len() as u64 + self.heads_bytes + self.bodies_bytes
    }
}

impl<H: Write, B: Write> Writer<H, B> {
    /// Begins a pack.
    pub fn new(heads: H, bodies: B) -> io::Result<Self> {
        let mut heads = zstd::Encoder::new(Counting::new(heads), LEVEL)?;
        heads.window_log(WINDOW_LOG)?;
        Ok(Self {
            heads,
            bodies: Counting::new(bodies),
            entries: Vec::new(),
        })
    }

    /// Appends an instance.
    pub fn append(&mut self, head: &[u8], tail: &[u8], coding: u8, body: &[u8]) -> io::Result<()> {
        self.heads.write_all(head)?;
        self.heads.write_all(tail)?;
        self.bodies.write_all(body)?;
        self.entries.push(Entry {
            coding,
            head: head.len() as u64,
            tail: tail.len() as u64,
            body: body.len() as u64,
        });
        Ok(())
    }

    /// Ends the pack.
    pub fn finish(mut self, attestation: &Signed<Attestation>) -> io::Result<Parts<H, B>> {
        let heads = self.heads.finish()?;
        self.bodies.flush()?;
        let attestation = attestation.to_json();
        let mut index =
            Vec::with_capacity(8 + attestation.len() + ENTRY_BYTES * self.entries.len());
        index.extend_from_slice(&length(attestation.len())?);
        index.extend_from_slice(attestation.as_bytes());
        index.extend_from_slice(&length(self.entries.len())?);
        for entry in &self.entries {
            index.push(entry.coding);
            for bytes in [entry.head, entry.tail, entry.body] {
                index.extend_from_slice(&bytes.to_be_bytes());
            }
        }
        if index.len() as u64 > MAX_INDEX_BYTES {
            return Err(io::Error::other(bad("its index is too large")));
        }
        let index = zstd::bulk::compress(&index, LEVEL)?;
        let mut front = Vec::with_capacity(FRONT_BYTES + index.len());
        front.extend_from_slice(MAGIC);
        front.extend_from_slice(&length(index.len())?);
        front.extend_from_slice(&heads.bytes.to_be_bytes());
        front.extend_from_slice(&index);
        Ok(Parts {
            front,
            heads: heads.sink,
            heads_bytes: heads.bytes,
            bodies: self.bodies.sink,
            bodies_bytes: self.bodies.bytes,
        })
    }
}

fn length(length: usize) -> io::Result<[u8; 4]> {
    u32::try_from(length)
        .map(u32::to_be_bytes)
        .map_err(|_| io::Error::other(bad("a part is too large")))
}

/// A sink, and how much went into it.
struct Counting<W> {
    sink: W,
    bytes: u64,
}

impl<W> Counting<W> {
    fn new(sink: W) -> Self {
        Self { sink, bytes: 0 }
    }
}

impl<W: Write> Write for Counting<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.bytes += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}

fn bad(why: &str) -> Malformed {
    Malformed::new("pack", why)
}
