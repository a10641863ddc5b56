//! A classic k-out-of-N oblivious transfer: every record travels under a mask of its own, and the receiver learns
//! the k masks that it chose. A baseline for comparison, nothing more.
//!
//! This is the scheme of Chu and Tzeng, *Efficient k-out-of-n Oblivious Transfer Schemes with Adaptive and
//! Non-Adaptive Queries* (PKC 2005), whose security rests on the chosen-target Diffie-Hellman assumption with
//! random oracles, over the group ristretto255. With H1 from indexes to points and w_i = H1(i):
//!
//! - receiver: A_j = w_(σ_j) + a_j G for each wanted σ_j, with a_j random;
//! - sender: a fresh x; Y = x G; D_j = x A_j for each j; c_i = m_i xor mask(x w_i, i) for **all** N records;
//! - receiver: D_j - a_j Y = x w_(σ_j), which gives the mask of record σ_j.
//!
//! It needs two messages and N + k point multiplications, which is nothing beside the N masked records that move
//! in every transfer. The mask is AES-256 in counter mode under SHA-256 of the point, the fastest that the
//! cryptographic library here has. (The adaptive variant sends the N masked records once, ahead of time; every
//! consumer must then hold the whole database, and fetch it again whenever it changes.)

use std::io::{Read, Write};

use anyhow::{Result, anyhow, ensure};
use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptingKey, EncryptionContext, UnboundCipherKey,
};
use aws_lc_rs::digest::{SHA256, SHA512, digest};
use aws_lc_rs::iv::FixedLength;
use curve25519_dalek::ristretto::{CompressedRistretto, RistrettoPoint};
use curve25519_dalek::scalar::Scalar;
use rand_chacha::ChaCha20Rng;
use rand_core::Rng;
use rayon::prelude::*;

use super::stream::Taker;
use super::{Client, Peer};
use crate::records::Records;

/// Bytes of a point.
const POINT: usize = 32;
/// Masks are used for one record each, so the counter may begin at zero.
const COUNTER: [u8; 16] = [0; 16];

pub(super) struct Masked<'a> {
    pub(super) records: Records<'a>,
}

impl Peer for Masked<'_> {
    fn name(&self) -> &'static str {
        "masked transfer (Chu-Tzeng)"
    }

    fn note(&self) -> &'static str {
        "all records travel, masked, whatever k is"
    }

    fn records(&self) -> u32 {
        self.records.count()
    }

    fn record(&self, index: u32) -> &[u8] {
        self.records.record(index)
    }

    fn client<'a>(&'a self, wanted: &[u32], rng: &mut ChaCha20Rng) -> Result<Box<dyn Client + 'a>> {
        let blinds: Vec<Scalar> = wanted.iter().map(|_| random_scalar(rng)).collect();
        let points = wanted.iter().zip(&blinds);
        let request = points
            .flat_map(|(index, blind)| {
                let point = base_of(*index) + RistrettoPoint::mul_base(blind);
                point.compress().to_bytes()
            })
            .collect();
        Ok(Box::new(Receiver {
            blinds,
            request,
            points: Vec::new(),
            taker: Taker {
                records: self.records.count(),
                record_bytes: self.records.record_bytes(),
                wanted: wanted.to_vec(),
                kept: Vec::new(),
            },
        }))
    }

    fn serve(&self, request: &[u8], answer: &mut dyn Write, rng: &mut ChaCha20Rng) -> Result<()> {
        ensure!(
            request.len().is_multiple_of(POINT),
            "a request is a list of points"
        );
        let x = random_scalar(rng);
        let mut head = RistrettoPoint::mul_base(&x).compress().to_bytes().to_vec();
        for bytes in request.chunks_exact(POINT) {
            head.extend((x * point(bytes)?).compress().to_bytes());
        }
        answer.write_all(&head)?;
        let batch = rayon::current_num_threads() as u32;
        let mut masked = vec![vec![0; self.records.record_bytes()]; batch as usize];
        for first in (0..self.records.count()).step_by(batch as usize) {
            let count = batch.min(self.records.count() - first);
            let masked = &mut masked[..count as usize];
            (first..first + count)
                .into_par_iter()
                .zip(masked.par_iter_mut())
                .try_for_each(|(index, bytes)| {
                    bytes.copy_from_slice(self.records.record(index));
                    mask(&(x * base_of(index)), index, bytes)
                })?;
            for bytes in masked {
                answer.write_all(bytes)?;
            }
        }
        Ok(())
    }
}

struct Receiver {
    blinds: Vec<Scalar>,
    request: Vec<u8>,
    /// Y and the D_j, as they came.
    points: Vec<u8>,
    taker: Taker,
}

impl Client for Receiver {
    fn request(&self) -> &[u8] {
        &self.request
    }

    fn receive(&mut self, answer: &mut dyn Read) -> Result<()> {
        self.points.resize((1 + self.blinds.len()) * POINT, 0);
        answer.read_exact(&mut self.points)?;
        self.taker.receive(answer)
    }

    fn open(self: Box<Self>) -> Result<Vec<Vec<u8>>> {
        let (y, points) = self.points.split_at(POINT);
        let y = point(y)?;
        let mut records = self.taker.kept;
        let keys = points.chunks_exact(POINT).zip(&self.blinds);
        for (((bytes, blind), index), record) in keys.zip(&self.taker.wanted).zip(&mut records) {
            unmask(&(point(bytes)? - blind * y), *index, record)?;
        }
        Ok(records)
    }
}

/// H1: a point whose logarithm nobody knows.
fn base_of(index: u32) -> RistrettoPoint {
    let mut input = b"harpocrates bench masked transfer 1\0".to_vec();
    input.extend(index.to_le_bytes());
    let mut wide = [0; 64];
    wide.copy_from_slice(digest(&SHA512, &input).as_ref());
    RistrettoPoint::from_uniform_bytes(&wide)
}

fn random_scalar(rng: &mut ChaCha20Rng) -> Scalar {
    let mut wide = [0; 64];
    rng.fill_bytes(&mut wide);
    Scalar::from_bytes_mod_order_wide(&wide)
}

fn point(bytes: &[u8]) -> Result<RistrettoPoint> {
    CompressedRistretto::from_slice(bytes)
        .ok()
        .and_then(|compressed| compressed.decompress())
        .ok_or_else(|| anyhow!("these bytes are no point of the group"))
}

/// The key of a record's mask.
fn key(shared: &RistrettoPoint, index: u32) -> Result<UnboundCipherKey> {
    let mut input = b"harpocrates bench masked transfer 2\0".to_vec();
    input.extend(index.to_le_bytes());
    input.extend(shared.compress().to_bytes());
    Ok(UnboundCipherKey::new(
        &AES_256,
        digest(&SHA256, &input).as_ref(),
    )?)
}

fn mask(shared: &RistrettoPoint, index: u32, bytes: &mut [u8]) -> Result<()> {
    let counter = EncryptionContext::Iv128(FixedLength::from(COUNTER));
    EncryptingKey::ctr(key(shared, index)?)?.less_safe_encrypt(bytes, counter)?;
    Ok(())
}

fn unmask(shared: &RistrettoPoint, index: u32, bytes: &mut [u8]) -> Result<()> {
    let counter = DecryptionContext::Iv128(FixedLength::from(COUNTER));
    DecryptingKey::ctr(key(shared, index)?)?.decrypt(bytes, counter)?;
    Ok(())
}
