//! The queries of one ticket, made once and sent as often as the connection breaks.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use chacha20::ChaCha20Rng;
use futures_util::{Stream, stream};
use harpo_oblivious as oblivious;
use harpo_protocol::retrieval::{self, Ticket};
use harpo_protocol::sign::Signed;
use harpo_service::http::{ClientError, Response};
use oblivious::{Choice, Secret};
use rand_core::{CryptoRng, SeedableRng as _};
use rayon::prelude::*;
use zeroize::Zeroizing;

use super::super::lock;
use super::super::plan;
use super::super::progress::{Phase, Progress};
use super::ask::Request;
use super::{MAKING, RetrieveError, at_once};
use crate::blocking;
use crate::cloud_client::CloudClient;
use crate::hints::HeldStack;

/// Read and sent at a time.
const PIECE: u64 = 1 << 20;

/// The body of a retrieval: its head in memory, the queries in a file.
#[derive(Debug)]
pub(super) struct Requests {
    head: Bytes,
    file: Arc<File>,
    query_bytes: u64,
    queries: u32,
}

/// Bytes of the body before the queries.
pub(super) fn head_bytes(ticket: &Signed<Ticket>) -> u64 {
    retrieval::head(ticket).len() as u64
}

impl Requests {
    /// Makes the queries for `asks`, on all processors: each with a secret and a generator of its own,
    /// seeded from `rng`, and with the same work whatever it asks for. Blocks.
    pub(super) fn make(
        held: &HeldStack,
        ticket: &Signed<Ticket>,
        asks: Vec<plan::Choice>,
        choices: &[Choice],
        file: File,
        progress: &Progress,
        rng: &mut impl CryptoRng,
    ) -> Result<(Self, Vec<(plan::Choice, Secret)>), RetrieveError> {
        let query_bytes = held.stack.query_bytes();
        let mut secrets = Vec::with_capacity(asks.len());
        let mut written = 0;
        let at_once = at_once(query_bytes, MAKING).min(rayon::current_num_threads());
        for asks in asks.chunks(at_once) {
            let seeded: Vec<_> = asks
                .iter()
                .map(|ask| {
                    let mut seed = Zeroizing::new([0; 32]);
                    rng.fill_bytes(&mut *seed);
                    (ask.clone(), seed)
                })
                .collect();
            let made: Vec<(plan::Choice, Secret, Vec<u8>)> = seeded
                .into_par_iter()
                .map(|(ask, seed)| {
                    let choice = ask.index().map_or(Choice::Dummy, |index| choices[index]);
                    // Wipes itself.
                    let mut rng = ChaCha20Rng::from_seed(*seed);
                    let (secret, query) = oblivious::client::query(&held.stack, choice, &mut rng)?;
                    Ok((ask, secret, query.to_bytes()))
                })
                .collect::<Result<_, oblivious::Error>>()?;
            for (ask, secret, bytes) in made {
                // Into the page cache: as quick as copying.
                file.write_all_at(&bytes, written)?;
                written += bytes.len() as u64;
                secrets.push((ask, secret));
                progress.step(1);
            }
        }
        let request = Self {
            head: retrieval::head(ticket).into(),
            file: Arc::new(file),
            query_bytes,
            queries: secrets.len() as u32,
        };
        Ok((request, secrets))
    }

    /// The body of a retrieval: the head, then the queries from `from` on, as they were made. What goes wrong at the disk
    /// is left in the second result.
    fn body(
        &self,
        from: u32,
        progress: &Progress,
    ) -> (
        impl Stream<Item = io::Result<Bytes>> + Send + 'static,
        Arc<Mutex<Option<io::Error>>>,
    ) {
        let begin = u64::from(from) * self.query_bytes;
        let end = u64::from(self.queries) * self.query_bytes;
        let (file, progress, failed) = (self.file.clone(), progress.clone(), Arc::default());
        let failure: Arc<Mutex<Option<io::Error>>> = Arc::clone(&failed);
        let body = stream::try_unfold((Some(self.head.clone()), begin), move |(head, at)| {
            let (file, progress, failure) = (file.clone(), progress.clone(), failure.clone());
            async move {
                let (piece, at) = match head {
                    Some(head) => (head, at),
                    None if at == end => return Ok(None),
                    None => {
                        let length = (end - at).min(PIECE);
                        match read(file, at, length).await {
                            Ok(piece) => (piece, at + length),
                            Err(error) => {
                                let kind = error.kind();
                                *lock(&failure) = Some(error);
                                return Err(kind.into());
                            }
                        }
                    }
                };
                progress.sent(piece.len() as u64);
                if at == end {
                    progress.enter(Phase::Waiting, 0);
                }
                Ok(Some((piece, (None, at))))
            }
        });
        (body, failed)
    }
}

impl Request for Requests {
    fn parts(&self) -> u32 {
        self.queries
    }

    fn length(&self, from: u32) -> u64 {
        self.head.len() as u64 + u64::from(self.queries - from) * self.query_bytes
    }

    async fn send(
        &self,
        cloud: &CloudClient,
        from: u32,
        resumes: bool,
        progress: &Progress,
    ) -> Result<Result<Response, ClientError>, RetrieveError> {
        let (body, failed) = self.body(from, progress);
        let length = self.length(from);
        let answer = cloud.retrieve(body, length, resumes.then_some(from)).await;
        match lock(&failed).take() {
            Some(error) => Err(error.into()),
            None => Ok(answer),
        }
    }
}

async fn read(file: Arc<File>, at: u64, length: u64) -> io::Result<Bytes> {
    blocking(move || {
        let mut piece = vec![0; length as usize];
        file.read_exact_at(&mut piece, at)?;
        Ok(piece.into())
    })
    .await
}
