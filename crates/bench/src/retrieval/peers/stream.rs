//! Downloading everything and keeping what was wanted: nothing can be learned from the request, and everything
//! travels.

use std::io::{Read, Write};

use anyhow::Result;
use rand_chacha::ChaCha20Rng;

use super::{Client, Peer};
use crate::records::Records;

pub(super) struct Stream<'a> {
    pub(super) records: Records<'a>,
}

impl Peer for Stream<'_> {
    fn name(&self) -> &'static str {
        "download everything"
    }

    fn note(&self) -> &'static str {
        "all records travel, whatever k is"
    }

    fn records(&self) -> u32 {
        self.records.count()
    }

    fn record(&self, index: u32) -> &[u8] {
        self.records.record(index)
    }

    fn client<'a>(&'a self, wanted: &[u32], _: &mut ChaCha20Rng) -> Result<Box<dyn Client + 'a>> {
        Ok(Box::new(Taker {
            records: self.records.count(),
            record_bytes: self.records.record_bytes(),
            wanted: wanted.to_vec(),
            kept: Vec::new(),
        }))
    }

    fn serve(&self, _: &[u8], answer: &mut dyn Write, _: &mut ChaCha20Rng) -> Result<()> {
        Ok(answer.write_all(self.records.bytes())?)
    }
}

/// Reads records one after the other and keeps those that are wanted, in rising order.
pub(super) struct Taker {
    pub(super) records: u32,
    pub(super) record_bytes: usize,
    pub(super) wanted: Vec<u32>,
    pub(super) kept: Vec<Vec<u8>>,
}

impl Client for Taker {
    fn request(&self) -> &[u8] {
        &[]
    }

    fn receive(&mut self, answer: &mut dyn Read) -> Result<()> {
        let mut record = vec![0; self.record_bytes];
        for index in 0..self.records {
            answer.read_exact(&mut record)?;
            if self.wanted.binary_search(&index).is_ok() {
                self.kept.push(record.clone());
            }
        }
        Ok(())
    }

    fn open(self: Box<Self>) -> Result<Vec<Vec<u8>>> {
        Ok(self.kept)
    }
}
