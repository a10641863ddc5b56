//! What a user could pick instead, on the same records in the same run, over a real connection.
//!
//! Every engine retrieves k records over loopback TCP: the consumer sends its request, the server works and answers,
//! the consumer opens what came. The server's work and the transfer are timed together, since some engines are all
//! work and others all transfer; the consumer's own work is timed apart. Every engine may use all cores. Loopback is
//! kind to engines that move everything: the report also says what a user would wait on a line of 1 Gbit/s.

mod loopback;
mod masked;
mod ring;
#[cfg(feature = "spiral")]
mod spiral;
mod stream;

use std::io::{Read, Write};

use anyhow::{Result, ensure};
use harpo_oblivious::StackHint;
use rand_chacha::ChaCha20Rng;

use super::engine::{self, Sealed};
use super::plan::Plan;
use super::report::{PeerRow, gb_per_s};
use crate::clock::{Samples, timed};
use crate::progress::Progress;
use crate::records::{Records, spread};

/// An engine's server, and where its clients come from.
trait Peer: Sync {
    fn name(&self) -> &'static str;
    /// What a reader must know to compare it.
    fn note(&self) -> &'static str;
    /// Messages there and back in one retrieval.
    fn rounds(&self) -> u32 {
        1
    }
    /// Bytes exchanged once, before any retrieval.
    fn bytes_once(&self) -> u64 {
        0
    }
    /// How many records there are.
    fn records(&self) -> u32;
    /// What a retrieval of one record must bring.
    fn record(&self, index: u32) -> &[u8];
    /// The consumer's side of one retrieval.
    fn client<'a>(&'a self, wanted: &[u32], rng: &mut ChaCha20Rng) -> Result<Box<dyn Client + 'a>>;
    /// The server's side: all of its answer.
    fn serve(&self, request: &[u8], answer: &mut dyn Write, rng: &mut ChaCha20Rng) -> Result<()>;
}

/// A consumer in the middle of a retrieval.
trait Client {
    /// What it sends.
    fn request(&self) -> &[u8];
    /// Takes the answer in; the server is at work meanwhile.
    fn receive(&mut self, answer: &mut dyn Read) -> Result<()>;
    /// The records, in the order in which they were wanted.
    fn open(self: Box<Self>) -> Result<Vec<Vec<u8>>>;
}

/// Times of one engine over all rounds.
#[derive(Default)]
struct Times {
    transfer: Samples,
    client: Samples,
    bytes_up: u64,
    bytes_down: u64,
}

/// Every engine in turn, round by round.
pub(crate) fn measure(
    plan: &Plan,
    sealed: &Sealed,
    sum: &StackHint,
    records: Records<'_>,
    rng: &mut ChaCha20Rng,
    progress: &Progress,
) -> Result<Vec<PeerRow>> {
    let peers: Vec<Box<dyn Peer + '_>> = vec![
        Box::new(ring::Ring {
            sealed,
            sum,
            records,
        }),
        Box::new(stream::Stream { records }),
        Box::new(masked::Masked { records }),
    ];
    #[cfg(feature = "spiral")]
    let peers = {
        progress.say("Spiral encodes its records");
        let mut peers = peers;
        if let Some(spiral) = spiral::Spiral::new(records, plan.spiral_bytes, rng)? {
            peers.push(Box::new(spiral));
        }
        peers
    };
    let mut times: Vec<Times> = peers.iter().map(|_| Times::default()).collect();
    for round in 0..plan.peer_rounds {
        for (peer, times) in peers.iter().zip(&mut times) {
            if times.transfer.total() > 2.0 * plan.candidate_seconds {
                continue;
            }
            progress.say(format!("{}, round {}", peer.name(), round + 1));
            retrieve(peer.as_ref(), plan.wanted, times, rng)?;
        }
    }
    let rows = peers.iter().zip(&times);
    Ok(rows
        .map(|(peer, times)| row(peer.as_ref(), plan.wanted, times))
        .collect())
}

/// One retrieval: timed, and compared with what was stored.
fn retrieve(peer: &dyn Peer, wanted: u32, times: &mut Times, rng: &mut ChaCha20Rng) -> Result<()> {
    let wanted = spread(peer.records(), wanted);
    let (client, asking) = timed(|| peer.client(&wanted, rng));
    let mut client = client?;
    let exchanged = loopback::exchange(peer, client.as_mut(), rng)?;
    let (opened, opening) = timed(|| client.open());
    let opened = opened?;
    ensure!(opened.len() == wanted.len(), "{} lost records", peer.name());
    for (index, bytes) in wanted.iter().zip(&opened) {
        engine::check(peer.name(), bytes, peer.record(*index))?;
    }
    times.transfer.push(exchanged.seconds);
    times.client.push(asking + opening);
    (times.bytes_up, times.bytes_down) = (exchanged.bytes_up, exchanged.bytes_down);
    Ok(())
}

fn row(peer: &dyn Peer, wanted: u32, times: &Times) -> PeerRow {
    let record_bytes = peer.record(0).len() as u64;
    let database_bytes = u64::from(peer.records()) * record_bytes;
    let (seconds, client_seconds) = (times.transfer.best(), times.client.best());
    let on_the_line = (times.bytes_up + times.bytes_down) as f64 * 8.0 / 1e9;
    PeerRow {
        name: peer.name(),
        gb_per_s: gb_per_s(database_bytes, seconds),
        bytes_up: times.bytes_up,
        bytes_down: times.bytes_down,
        bytes_once: peer.bytes_once(),
        seconds,
        median_seconds: times.transfer.median(),
        client_seconds,
        seconds_on_1_gbit_per_s: seconds + client_seconds + on_the_line,
        rounds: peer.rounds(),
        k: wanted.min(peer.records()) as usize,
        records: peer.records(),
        record_bytes,
        database_bytes,
        note: peer.note(),
    }
}

#[cfg(test)]
mod tests;
