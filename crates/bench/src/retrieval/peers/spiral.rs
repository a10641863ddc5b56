//! Spiral (Menon and Wu, 2022), as the crate spiral-rs implements it: a scheme without a hint, whose server expands
//! one short query by homomorphic arithmetic.
//!
//! Parameters are those of the crate's own test of 2^14 records of 32 KiB, with fewer dimensions where there are
//! fewer records. A record may have any number of instances of 8 KiB, but the server keeps eight bytes for each byte
//! of plaintext: so that it fits beside the stack, it is given the first bytes of each slot only. Its rate does not
//! depend on that. Each of the k records is a query of its own; the public parameters travel once.
//!
//! The crate builds on stable Rust. Without compiler flags that fix the processor (this project has none) it uses
//! its portable arithmetic, not the AVX2 one.

use std::io::{Cursor, Read, Write};

use anyhow::{Result, ensure};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use spiral_rs::aligned_memory::AlignedMemory64;
use spiral_rs::client::{Client as SpiralClient, PublicParameters, Query};
use spiral_rs::params::Params;
use spiral_rs::server::{load_db_from_seek, process_query};
use spiral_rs::util::params_from_json_obj;

use super::{Client, Peer};
use crate::records::Records;

/// Bytes of plaintext that one instance of these parameters carries.
const INSTANCE_BYTES: usize = 8192;
/// log2 of the ciphertexts that a query expands to at most; more records take further dimensions, which cost a
/// folding for every instance. Measured: long records want few foldings, short ones a cheap expansion.
const FIRST_DIMENSION_LONG: u32 = 9;
const FIRST_DIMENSION_SHORT: u32 = 7;
/// Instances from which a record is long.
const LONG: usize = 8;

pub(super) struct Spiral {
    params: &'static Params,
    database: AlignedMemory64,
    plain: Vec<u8>,
    record_bytes: usize,
    /// One consumer's keys, and what it gave the server of them.
    client: SpiralClient<'static>,
    public: PublicParameters<'static>,
    bytes_once: u64,
}

impl Spiral {
    /// Encodes a beginning of each record, at most `limit` bytes in all; `None` if records are too small or too few.
    pub(super) fn new(
        records: Records<'_>,
        limit: u64,
        rng: &mut ChaCha20Rng,
    ) -> Result<Option<Self>> {
        let dimensions = records.count().ilog2();
        let count = 1u32 << dimensions;
        let share = usize::try_from(limit / u64::from(count))?;
        let instances = share.min(records.record_bytes()) / INSTANCE_BYTES;
        if instances == 0 || dimensions < 2 {
            return Ok(None);
        }
        let record_bytes = instances * INSTANCE_BYTES;
        let first = dimensions.min(if instances >= LONG {
            FIRST_DIMENSION_LONG
        } else {
            FIRST_DIMENSION_SHORT
        });
        // Keys and ciphertexts borrow their parameters; there is one set in a run.
        let params: &'static Params =
            Box::leak(Box::new(params_from_json_obj(&serde_json::json!({
                "n": 2, "nu_1": first, "nu_2": dimensions - first, "p": 256, "q2_bits": 22,
                "t_gsw": 7, "t_conv": 3, "t_exp_left": 5, "t_exp_right": 5,
                "instances": instances, "db_item_size": record_bytes,
            }))));
        let mut plain = Vec::with_capacity(count as usize * record_bytes);
        for index in 0..count {
            plain.extend(&records.record(index)[..record_bytes]);
        }
        let database = load_db_from_seek(params, &mut Cursor::new(&plain));
        let mut client = SpiralClient::init(params);
        let mut seed = [0; 32];
        rng.fill_bytes(&mut seed);
        let sent = client.generate_keys_from_seed(seed).serialize();
        Ok(Some(Spiral {
            params,
            database,
            plain,
            record_bytes,
            client,
            public: PublicParameters::deserialize(params, &sent),
            bytes_once: sent.len() as u64,
        }))
    }
}

impl Peer for Spiral {
    fn name(&self) -> &'static str {
        "Spiral (spiral-rs)"
    }

    fn note(&self) -> &'static str {
        "on the first bytes of each slot; eight bytes of memory for one; portable arithmetic"
    }

    fn bytes_once(&self) -> u64 {
        self.bytes_once
    }

    fn records(&self) -> u32 {
        (self.plain.len() / self.record_bytes) as u32
    }

    fn record(&self, index: u32) -> &[u8] {
        &self.plain[index as usize * self.record_bytes..][..self.record_bytes]
    }

    fn client<'a>(&'a self, wanted: &[u32], _: &mut ChaCha20Rng) -> Result<Box<dyn Client + 'a>> {
        let request = wanted
            .iter()
            .flat_map(|index| self.client.generate_query(*index as usize).serialize())
            .collect();
        Ok(Box::new(Consumer {
            spiral: self,
            wanted: wanted.len(),
            request,
            answers: Vec::new(),
        }))
    }

    fn serve(&self, request: &[u8], answer: &mut dyn Write, _: &mut ChaCha20Rng) -> Result<()> {
        for bytes in request.chunks_exact(self.params.query_bytes()) {
            let query = Query::deserialize(self.params, bytes);
            answer.write_all(&process_query(
                self.params,
                &self.public,
                &query,
                self.database.as_slice(),
            ))?;
        }
        Ok(())
    }
}

struct Consumer<'a> {
    spiral: &'a Spiral,
    wanted: usize,
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
        ensure!(
            self.answers.len().is_multiple_of(self.wanted) && !self.answers.is_empty(),
            "Spiral's answers do not have one size"
        );
        let answers = self.answers.chunks_exact(self.answers.len() / self.wanted);
        Ok(answers
            .map(|answer| {
                let mut record = self.spiral.client.decode_response(answer);
                // The crate pads what it returns.
                record.truncate(self.spiral.record_bytes);
                record
            })
            .collect())
    }
}
