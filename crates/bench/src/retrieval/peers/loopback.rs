//! A connection to oneself: what travels really travels, and is counted.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use rand_chacha::ChaCha20Rng;

use super::{Client, Peer};
use crate::clock::timed;

/// One exchange: the request there, the answer back.
pub(super) struct Exchanged {
    pub(super) bytes_up: u64,
    pub(super) bytes_down: u64,
    /// From the first byte sent to the last received.
    pub(super) seconds: f64,
}

/// Counts what it passes on.
struct Counted<T> {
    inner: T,
    bytes: u64,
}

impl<T> Counted<T> {
    fn new(inner: T) -> Self {
        Counted { inner, bytes: 0 }
    }
}

impl<T: Read> Read for Counted<T> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.bytes += read as u64;
        Ok(read)
    }
}

/// Runs server and client against each other. Each says that it is done by closing its direction, so that nothing
/// travels but what the engine itself sends.
pub(super) fn exchange(
    peer: &dyn Peer,
    client: &mut dyn Client,
    rng: &mut ChaCha20Rng,
) -> Result<Exchanged> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).context("cannot listen on loopback")?;
    let address = listener.local_addr()?;
    thread::scope(|scope| {
        let server = scope.spawn(move || serve(peer, &listener, rng));
        let (received, seconds) = timed(|| ask(client, address));
        let served = server
            .join()
            .map_err(|_| anyhow!("the server of {} panicked", peer.name()))?;
        // Where both failed, the server's reason comes first: the client only saw the connection end.
        let bytes_up = served.with_context(|| format!("the server of {}", peer.name()))?;
        let bytes_down = received.with_context(|| format!("the client of {}", peer.name()))?;
        Ok(Exchanged {
            bytes_up,
            bytes_down,
            seconds,
        })
    })
}

fn ask(client: &mut dyn Client, address: std::net::SocketAddr) -> Result<u64> {
    let mut stream = TcpStream::connect(address).context("cannot connect on loopback")?;
    stream.set_nodelay(true)?;
    stream.write_all(client.request())?;
    stream.shutdown(Shutdown::Write)?;
    let mut answer = Counted::new(stream);
    client.receive(&mut answer)?;
    let mut more = [0];
    ensure!(
        answer.read(&mut more)? == 0,
        "the answer is longer than it should be"
    );
    Ok(answer.bytes)
}

fn serve(peer: &dyn Peer, listener: &TcpListener, rng: &mut ChaCha20Rng) -> Result<u64> {
    let (mut stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    let mut request = Vec::new();
    stream.read_to_end(&mut request)?;
    peer.serve(&request, &mut stream, rng)?;
    stream.shutdown(Shutdown::Write)?;
    Ok(request.len() as u64)
}
