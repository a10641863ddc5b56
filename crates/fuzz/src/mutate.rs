//! Damage to good inputs, from a seed.

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};

/// Bytes that other formats and the edges of numbers begin with.
const MAGIC: &[&[u8]] = &[
    b"HPOQ",
    b"HPOA",
    b"HPOH",
    b"HPOP",
    b"HPB2",
    b"{\"",
    b"\xff\xff\xff\xff",
    b"\0\0\0\0",
    b"\x01\0\x01\0",
    b"\x01\0\x02\0",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff\xff\xff\xff\xff",
    b"null",
    b"1e999",
    b"\xf0\x9f",
];

/// Damages inputs. The same seed gives the same damage.
pub struct Mutator(ChaCha20Rng);

impl Mutator {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha20Rng::seed_from_u64(seed))
    }

    /// Below `end`, or 0 if there is nothing below it.
    pub fn below(&mut self, end: usize) -> usize {
        (self.0.next_u64() % end.max(1) as u64) as usize
    }

    /// One of `inputs`, damaged in one to four ways.
    pub fn mutant(&mut self, inputs: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = inputs[self.below(inputs.len())].clone();
        for _ in 0..=self.below(4) {
            self.damage(&mut bytes, inputs);
        }
        bytes
    }

    /// A place, every other time among the first bytes, where headers are.
    fn place(&mut self, length: usize) -> usize {
        let end = if self.below(2) == 0 {
            length.min(64)
        } else {
            length
        };
        self.below(end)
    }

    fn damage(&mut self, bytes: &mut Vec<u8>, inputs: &[Vec<u8>]) {
        let at = self.place(bytes.len());
        match self.below(10) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << self.below(8),
            1 if !bytes.is_empty() => bytes[at] = self.below(256) as u8,
            2 => bytes.truncate(at),
            3 => {
                let more = self.below(64);
                bytes.extend((0..more).map(|_| self.0.next_u32() as u8));
            }
            4 => overwrite(bytes, at, MAGIC[self.below(MAGIC.len())]),
            5 => {
                let length = self.below(64);
                let end = (at + length).min(bytes.len());
                bytes[at..end].fill(if self.below(2) == 0 { 0xff } else { 0 });
            }
            6 => {
                let other = &inputs[self.below(inputs.len())];
                let from = self.below(other.len());
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
            7 => {
                let end = (at + self.below(64)).min(bytes.len());
                bytes.drain(at..end);
            }
            8 => {
                let end = (at + self.below(64)).min(bytes.len());
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            _ => {
                let mut noise = [0; 8];
                self.0.fill_bytes(&mut noise);
                overwrite(bytes, at, &noise);
            }
        }
    }
}

fn overwrite(bytes: &mut [u8], at: usize, new: &[u8]) {
    for (byte, new) in bytes.iter_mut().skip(at).zip(new) {
        *byte = *new;
    }
}
