//! The ring engine, like any other peer: k queries up, one pass, k answers down. The hint was fetched before.

use std::io::{Read, Write};

use anyhow::{Result, ensure};
use harpo_oblivious::{Secret, StackHint};
use rand_chacha::ChaCha20Rng;
use rayon::prelude::*;

use super::{Client, Peer};
use crate::records::Records;
use crate::retrieval::engine::{self, Sealed};

pub(super) struct Ring<'a> {
    pub(super) sealed: &'a Sealed,
    pub(super) sum: &'a StackHint,
    pub(super) records: Records<'a>,
}

impl Peer for Ring<'_> {
    fn name(&self) -> &'static str {
        "ring engine"
    }

    fn note(&self) -> &'static str {
        "k queries in one pass; the hint, the same for everybody, comes once"
    }

    fn bytes_once(&self) -> u64 {
        self.sealed.stack.hint_bytes()
    }

    fn records(&self) -> u32 {
        self.records.count()
    }

    fn record(&self, index: u32) -> &[u8] {
        self.records.record(index)
    }

    fn client<'a>(&'a self, wanted: &[u32], rng: &mut ChaCha20Rng) -> Result<Box<dyn Client + 'a>> {
        let mut secrets = Vec::new();
        let mut request = Vec::new();
        for slot in wanted {
            let (secret, bytes) = engine::ask(&self.sealed.stack, *slot, rng)?;
            secrets.push(secret);
            request.extend(bytes);
        }
        Ok(Box::new(Consumer {
            ring: self,
            secrets,
            request,
            answers: Vec::new(),
        }))
    }

    fn serve(&self, request: &[u8], answer: &mut dyn Write, _: &mut ChaCha20Rng) -> Result<()> {
        let query_bytes = usize::try_from(self.sealed.stack.query_bytes())?;
        let queries: Vec<&[u8]> = request.chunks(query_bytes).collect();
        for bytes in engine::serve(&self.sealed.stack, &self.sealed.encoded, &queries)? {
            answer.write_all(&bytes)?;
        }
        Ok(())
    }
}

struct Consumer<'a> {
    ring: &'a Ring<'a>,
    secrets: Vec<Secret>,
    request: Vec<u8>,
    answers: Vec<u8>,
}

impl Client for Consumer<'_> {
    fn request(&self) -> &[u8] {
        &self.request
    }

    fn receive(&mut self, answer: &mut dyn Read) -> Result<()> {
        answer.read_to_end(&mut self.answers)?;
        Ok(())
    }

    fn open(self: Box<Self>) -> Result<Vec<Vec<u8>>> {
        let stack = &self.ring.sealed.stack;
        let answer_bytes = usize::try_from(stack.answer_bytes())?;
        ensure!(
            self.answers.len() == answer_bytes * self.secrets.len(),
            "the ring engine's answers have another size than their formula says"
        );
        let sum = self.ring.sum;
        self.secrets
            .into_par_iter()
            .zip(self.answers.par_chunks(answer_bytes))
            .map(|(secret, answer)| engine::open(stack, sum, secret, answer))
            .collect()
    }
}
