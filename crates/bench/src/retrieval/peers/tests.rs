use rand_core::SeedableRng;

use super::*;
use crate::records::random_bytes;

fn run(peer: &dyn Peer, wanted: u32) -> Result<Times> {
    let mut times = Times::default();
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    retrieve(peer, wanted, &mut times, &mut rng)?;
    Ok(times)
}

#[test]
fn everything_travels_in_a_stream() {
    let bytes = random_bytes(10 * 1000);
    let records = Records::cut(&bytes, 10, 1000).unwrap();
    let times = run(&stream::Stream { records }, 4).unwrap();
    assert_eq!((times.bytes_up, times.bytes_down), (0, 10_000));
}

#[test]
fn a_masked_transfer_brings_the_wanted_records_and_moves_all() {
    let bytes = random_bytes(11 * 1000);
    let records = Records::cut(&bytes, 11, 1000).unwrap();
    let times = run(&masked::Masked { records }, 3).unwrap();
    assert_eq!(times.bytes_up, 3 * 32);
    assert_eq!(times.bytes_down, 4 * 32 + 11_000);
}

#[test]
fn what_was_not_wanted_stays_masked() {
    let bytes = random_bytes(8 * 64);
    let records = Records::cut(&bytes, 8, 64).unwrap();
    let peer = masked::Masked { records };
    let mut rng = ChaCha20Rng::seed_from_u64(6);
    let client = peer.client(&[2], &mut rng).unwrap();
    let mut answer = Vec::new();
    peer.serve(client.request(), &mut answer, &mut rng).unwrap();
    let sent = &answer[2 * 32..];
    for index in 0..8 {
        let at = index as usize * 64;
        assert_ne!(&sent[at..at + 64], records.record(index));
    }
    // The request of another choice looks no different: one point.
    let other = peer.client(&[5], &mut rng).unwrap();
    assert_eq!(other.request().len(), client.request().len());
}

/// Serves other bytes than it says it has.
struct Liar<'a>(stream::Stream<'a>, Vec<u8>);

impl Peer for Liar<'_> {
    fn name(&self) -> &'static str {
        "liar"
    }
    fn note(&self) -> &'static str {
        ""
    }
    fn records(&self) -> u32 {
        self.0.records()
    }
    fn record(&self, index: u32) -> &[u8] {
        self.0.record(index)
    }
    fn client<'a>(&'a self, wanted: &[u32], rng: &mut ChaCha20Rng) -> Result<Box<dyn Client + 'a>> {
        self.0.client(wanted, rng)
    }
    fn serve(&self, _: &[u8], answer: &mut dyn Write, _: &mut ChaCha20Rng) -> Result<()> {
        Ok(answer.write_all(&self.1)?)
    }
}

#[test]
fn wrong_bytes_are_not_timed() {
    let bytes = random_bytes(4 * 100);
    let records = Records::cut(&bytes, 4, 100).unwrap();
    let lie = |served: Vec<u8>| run(&Liar(stream::Stream { records }, served), 4).is_err();
    assert!(!lie(bytes.clone()));
    let mut flipped = bytes.clone();
    flipped[399] ^= 1;
    assert!(lie(flipped));
    assert!(lie(bytes[..399].to_vec()));
    assert!(lie([bytes.as_slice(), &[0]].concat()));
}

#[cfg(feature = "spiral")]
#[test]
fn spiral_brings_the_beginnings_of_records() {
    let bytes = random_bytes(5 * 20_000);
    let records = Records::cut(&bytes, 5, 20_000).unwrap();
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let spiral = spiral::Spiral::new(records, 1 << 20, &mut rng)
        .unwrap()
        .unwrap();
    assert_eq!((spiral.records(), spiral.record(3).len()), (4, 16384));
    let times = run(&spiral, 2).unwrap();
    assert!(times.bytes_down > 2 * 16384);
}
