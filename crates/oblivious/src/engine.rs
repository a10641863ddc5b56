//! Two ways to the same slots, and the choice between them (docs/protocol.md 9.6).
//!
//! The choice is made from the stack's shape and the number of queries that tickets pay for: a class, not what is
//! wanted. Both are known to the server anyway, so that seeing which engine was used tells it nothing. For the same
//! reason the rates below are constants: a rate of a hospital's own would tell hospitals apart.

use std::time::Duration;

use crate::Stack;

/// Rate of the reference link, in either direction: 1 Gbit/s.
pub const LINK_BYTES_PER_SECOND: u64 = 125_000_000;
/// Bytes of slots that one reference core goes through a second for one query alone: memory bounds it. Below what was
/// measured (docs/performance.md), so that slower machines are not overrated.
pub const SCAN_ALONE_BYTES_PER_SECOND: u64 = 3_000_000_000;
/// The same, times queries, for [`FULL_PASS_QUERIES`] in one pass: arithmetic bounds it.
pub const SCAN_FULL_BYTES_PER_SECOND: u64 = 9_000_000_000;
/// From this many queries on a pass gains nothing more.
pub const FULL_PASS_QUERIES: u32 = 8;
/// A stream brings at most so many times the bytes that the ring engine would move, however much sooner it ends: a
/// hospital's line and disk are not there for one retrieval alone. So whatever moves less than a quarter of the stack's bytes
/// is never streamed.
pub const STREAM_BYTES_AT_MOST: u64 = 4;

/// How slots come from a stack to a consumer that does not say which.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Engine {
    /// Queries under ring-LWE; the answers are little larger than the slots.
    Ring,
    /// The whole stack comes, and the consumer keeps what it wanted. Hides the choice whatever anybody can compute.
    Stream,
}

/// What a retrieval is predicted to cost on the reference link and core, hints held.
///
/// Left out: tickets and headers, which are the same for both engines, and what the consumer computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cost {
    /// To the server.
    pub bytes_up: u64,
    /// To the consumer.
    pub bytes_down: u64,
    /// Bytes of slots that the server goes through, once for each query; for a stream, once.
    pub server_bytes_scanned: u64,
    /// Everything one after the other.
    pub time: Duration,
}

impl Cost {
    /// In both directions.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes_up.saturating_add(self.bytes_down)
    }
}

impl Engine {
    /// `ring` or `stream`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ring => "ring",
            Self::Stream => "stream",
        }
    }

    /// The engine for a retrieval from `stack` whose tickets pay for `queries` queries together (docs/protocol.md
    /// 9.6): the stream if it ends no later than the ring engine and moves at most [`STREAM_BYTES_AT_MOST`] times its
    /// bytes. What is streamed for a number of queries is streamed for every larger one.
    #[must_use]
    pub fn choose(stack: &Stack, queries: u32) -> Self {
        let ring = Self::Ring.cost(stack, queries);
        let stream = Self::Stream.cost(stack, queries);
        let bearable = stream.bytes() <= ring.bytes().saturating_mul(STREAM_BYTES_AT_MOST);
        if bearable && stream.time <= ring.time {
            Self::Stream
        } else {
            Self::Ring
        }
    }

    /// What `queries` queries over `stack`, dummies included, cost with this engine.
    #[must_use]
    pub fn cost(self, stack: &Stack, queries: u32) -> Cost {
        let all = stack.plain_bytes();
        let (bytes_up, bytes_down, server_bytes_scanned, scan) = match self {
            Self::Ring => {
                let times = |bytes: u64| bytes.saturating_mul(u64::from(queries));
                let up = times(stack.query_bytes());
                let down = times(stack.answer_bytes());
                (up, down, times(all), scan_nanos(all, queries))
            }
            // The server reads no slower than the link takes.
            Self::Stream => (0, all, all, 0),
        };
        let moved = u128::from(bytes_up) + u128::from(bytes_down);
        let nanos = moved * NANOS / u128::from(LINK_BYTES_PER_SECOND) + scan;
        Cost {
            bytes_up,
            bytes_down,
            server_bytes_scanned,
            time: Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)),
        }
    }
}

impl std::fmt::Display for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

const NANOS: u128 = 1_000_000_000;

/// Nanoseconds that one core takes for `queries` queries over `bytes` bytes of slots: full passes, and one of the
/// rest, whose time lies between one query's and a full pass's. Whole numbers: the same on every machine.
fn scan_nanos(bytes: u64, queries: u32) -> u128 {
    let full = u128::from(FULL_PASS_QUERIES);
    let alone = u128::from(bytes) * NANOS / u128::from(SCAN_ALONE_BYTES_PER_SECOND);
    let together = u128::from(bytes) * full * NANOS / u128::from(SCAN_FULL_BYTES_PER_SECOND);
    let rest = u128::from(queries % FULL_PASS_QUERIES);
    let last = match rest {
        0 => 0,
        rest => alone + (together - alone) * (rest - 1) / (full - 1),
    };
    u128::from(queries / FULL_PASS_QUERIES) * together + last
}

#[cfg(test)]
mod tests;
