//! The JSON of the vectors (`vectors/README.md`).

use std::convert::Infallible;

use aws_lc_rs::digest::{SHA256, digest};
use harpo_oblivious::{Error, GenerationInfo, ParamSetId, Seed, Shape};
use rand_core::{TryCryptoRng, TryRng};
use serde::Deserialize;

#[derive(Deserialize)]
pub(crate) struct Document {
    pub(crate) parameters: Parameters,
    pub(crate) stacks: Vec<StackVector>,
    pub(crate) stack_cases: Vec<StackCase>,
}

#[derive(Deserialize)]
pub(crate) struct Parameters {
    pub(crate) number: u16,
    pub(crate) n: usize,
    pub(crate) primes: Vec<u32>,
    pub(crate) plaintext_bits: u32,
    pub(crate) eta: u32,
    pub(crate) hint_drop: u32,
    pub(crate) hint_bits: u32,
    pub(crate) answer_bits: u32,
    pub(crate) most_polys: u32,
}

#[derive(Deserialize)]
pub(crate) struct StackVector {
    pub(crate) name: String,
    pub(crate) slot_bytes: u32,
    pub(crate) interleave: u32,
    pub(crate) digest: Hex,
    pub(crate) generations: Vec<Generation>,
    queries: Vec<QueryVector>,
    pub(crate) bad: Bad,
}

impl StackVector {
    /// Queries made from randomness.
    pub(crate) fn exchanges(&self) -> impl Iterator<Item = &Exchange> {
        self.queries.iter().filter_map(|query| match query {
            QueryVector::Exchange(exchange) => Some(exchange),
            QueryVector::Clear(_) => None,
        })
    }

    /// Queries without secret and errors.
    pub(crate) fn clear(&self) -> impl Iterator<Item = &Clear> {
        self.queries.iter().filter_map(|query| match query {
            QueryVector::Exchange(_) => None,
            QueryVector::Clear(clear) => Some(clear),
        })
    }
}

#[derive(Deserialize)]
pub(crate) struct Generation {
    pub(crate) slots: u32,
    pub(crate) seed: Hex,
    pub(crate) slots_stream: String,
    pub(crate) digest: Hex,
    pub(crate) public: Vec<Long>,
    pub(crate) hint: Long,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum QueryVector {
    Clear(Clear),
    Exchange(Exchange),
}

#[derive(Deserialize)]
pub(crate) struct Exchange {
    pub(crate) name: String,
    pub(crate) choice: Option<Slot>,
    pub(crate) randomness: Vec<Piece>,
    pub(crate) query: Long,
    #[serde(default)]
    pub(crate) partial_answers: Option<Vec<Long>>,
    pub(crate) answer: Option<Long>,
    pub(crate) slot: Option<Long>,
}

#[derive(Deserialize)]
pub(crate) struct Slot {
    pub(crate) generation: usize,
    pub(crate) slot: u32,
}

#[derive(Deserialize)]
pub(crate) struct Clear {
    pub(crate) name: String,
    pub(crate) from_zeros: Vec<Change>,
    pub(crate) query: Long,
    pub(crate) answer: Long,
}

#[derive(Deserialize)]
pub(crate) struct Bad {
    pub(crate) objects: Vec<Case>,
    pub(crate) choices: Vec<BadChoice>,
    pub(crate) sums: Vec<BadSum>,
}

#[derive(Deserialize)]
pub(crate) struct Case {
    pub(crate) object: String,
    pub(crate) name: String,
    pub(crate) changes: Vec<Change>,
    pub(crate) bytes: Long,
    pub(crate) expect: Option<String>,
    /// The generation whose hint it is.
    #[serde(default)]
    pub(crate) of: usize,
}

#[derive(Deserialize)]
pub(crate) struct BadChoice {
    pub(crate) generation: usize,
    pub(crate) slot: u32,
    pub(crate) expect: String,
}

#[derive(Deserialize)]
pub(crate) struct BadSum {
    pub(crate) generations: Vec<usize>,
    pub(crate) expect: String,
}

#[derive(Deserialize)]
pub(crate) struct StackCase {
    pub(crate) name: String,
    generations: Vec<Figures>,
    #[serde(default)]
    same_seed: Vec<usize>,
    pub(crate) expect: Option<String>,
}

#[derive(Deserialize)]
struct Figures {
    count: usize,
    slots: u32,
    slot_bytes: u32,
    interleave: u32,
    parameter_set: u16,
}

impl StackCase {
    /// The generations, with a seed of its own for each but those that share one.
    pub(crate) fn infos(&self) -> Result<Vec<GenerationInfo>, Error> {
        let mut infos = Vec::new();
        for figures in &self.generations {
            for _ in 0..figures.count {
                let mut seed = [0; 32];
                seed[..8].copy_from_slice(&infos.len().to_le_bytes());
                infos.push(GenerationInfo {
                    params: ParamSetId(figures.parameter_set),
                    shape: Shape::new(figures.slots, figures.slot_bytes, figures.interleave)?,
                    seed: Seed(seed),
                });
            }
        }
        if let [first, second] = self.same_seed[..] {
            infos[second].seed = infos[first].seed;
        }
        Ok(infos)
    }
}

/// Bytes in hexadecimal.
#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Hex(Vec<u8>);

impl TryFrom<String> for Hex {
    type Error = hex::FromHexError;
    fn try_from(text: String) -> Result<Self, hex::FromHexError> {
        hex::decode(text).map(Hex)
    }
}

impl std::ops::Deref for Hex {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

/// A long byte string: its length, SHA-256 and beginning.
#[derive(Deserialize)]
pub(crate) struct Long {
    bytes: usize,
    sha256: Hex,
    head: Hex,
}

impl Long {
    #[track_caller]
    pub(crate) fn check(&self, name: &str, found: &[u8]) {
        assert_eq!(found.len(), self.bytes, "{name}: length");
        assert_eq!(
            hex::encode(&found[..self.head.len()]),
            hex::encode(&*self.head),
            "{name}: first bytes"
        );
        let digest = digest(&SHA256, found);
        assert_eq!(
            hex::encode(digest),
            hex::encode(&*self.sha256),
            "{name}: SHA-256"
        );
    }
}

/// The first bytes of SHA-256(label, 0, counter), counter = 0, 1, ...
pub(crate) fn stream(label: &str, length: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for counter in 0u64.. {
        if out.len() >= length {
            break;
        }
        let block = [label.as_bytes(), &[0], &counter.to_le_bytes()].concat();
        out.extend_from_slice(digest(&SHA256, &block).as_ref());
    }
    out.truncate(length);
    out
}

/// A piece of the randomness of a query.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Piece {
    Stream { stream: String, bytes: usize },
    Repeat { hex: Hex, repeat: usize },
}

/// A generator that gives the bytes it was given, each once.
pub(crate) struct Tape(std::vec::IntoIter<u8>);

impl Tape {
    pub(crate) fn new(pieces: &[Piece]) -> Self {
        let bytes: Vec<u8> = pieces
            .iter()
            .flat_map(|piece| match piece {
                Piece::Stream {
                    stream: label,
                    bytes,
                } => stream(label, *bytes),
                Piece::Repeat { hex, repeat } => hex.repeat(*repeat),
            })
            .collect();
        Tape(bytes.into_iter())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.len() == 0
    }
}

impl TryRng for Tape {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        for byte in bytes {
            *byte = self
                .0
                .next()
                .expect("more randomness is drawn than the vector holds");
        }
        Ok(())
    }
}

impl TryCryptoRng for Tape {}

/// What makes a bad object of a good one.
#[derive(Deserialize)]
#[serde(untagged)]
pub(crate) enum Change {
    Truncate {
        truncate: usize,
    },
    Extend {
        extend: Hex,
    },
    Put {
        at: usize,
        hex: Hex,
    },
    Bits {
        bit: usize,
        width: usize,
        value: u64,
    },
}

pub(crate) fn mutate(mut bytes: Vec<u8>, changes: &[Change]) -> Vec<u8> {
    for change in changes {
        match change {
            Change::Truncate { truncate } => bytes.truncate(*truncate),
            Change::Extend { extend } => bytes.extend_from_slice(extend),
            Change::Put { at, hex } => bytes[*at..at + hex.len()].copy_from_slice(hex),
            Change::Bits { bit, width, value } => {
                for position in 0..*width {
                    let (at, mask) = ((bit + position) / 8, 1 << ((bit + position) % 8));
                    bytes[at] = if value >> position & 1 == 1 {
                        bytes[at] | mask
                    } else {
                        bytes[at] & !mask
                    };
                }
            }
        }
    }
    bytes
}
