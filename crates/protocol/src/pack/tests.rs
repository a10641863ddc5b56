use std::io::Cursor;

use proptest::prelude::*;

use super::*;
use crate::manifest::tests::manifest;
use crate::sign::SigningKey;

type Instance = (Vec<u8>, Vec<u8>, u8, Vec<u8>);

fn attestation() -> Signed<Attestation> {
    SigningKey::from_seed(&[1; 32]).sign(&Attestation::of(&manifest()))
}

fn pack(instances: &[Instance]) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), Vec::new()).unwrap();
    for (head, tail, coding, body) in instances {
        writer.append(head, tail, *coding, body).unwrap();
    }
    let parts = writer.finish(&attestation()).unwrap();
    let bytes = parts.bytes();
    let pack = [parts.front, parts.heads, parts.bodies].concat();
    assert_eq!(pack.len() as u64, bytes);
    pack
}

fn lengths(instances: &[Instance]) -> Vec<u64> {
    let length = |i: &Instance| (i.0.len() + i.1.len() + i.3.len()) as u64;
    instances.iter().map(length).collect()
}

fn unpack(pack: &[u8], lengths: &[u64]) -> Result<Vec<Instance>, ReadError> {
    let contents = Contents::read(pack, pack.len() as u64, lengths)?;
    let mut heads = Cursor::new(pack);
    heads.set_position(contents.heads_at);
    let mut heads = Heads::new(heads, &contents)?;
    let mut at = contents.bodies_at as usize;
    let mut instances = Vec::new();
    for entry in &contents.entries {
        let (head, tail) = heads.next(entry)?;
        let body = pack[at..at + entry.body as usize].to_vec();
        at += body.len();
        instances.push((head, tail, entry.coding, body));
    }
    assert_eq!(at as u64, contents.end());
    heads.finish()?;
    Ok(instances)
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(0u8..4, 0..most)
}

proptest! {
    #[test]
    fn instances_come_back_exactly(
        instances in prop::collection::vec((bytes(500), bytes(20), any::<u8>(), bytes(500)), 0..8)
    ) {
        let mut padded = pack(&instances);
        padded.extend_from_slice(&[0; 100]);
        prop_assert_eq!(unpack(&padded, &lengths(&instances)).unwrap(), instances);
    }

    #[test]
    fn hostile_bytes_are_refused_without_panic(
        mut bytes in prop::collection::vec(any::<u8>(), 0..200),
        lengths in prop::collection::vec(0u64..1000, 0..4)
    ) {
        let _ = unpack(&bytes, &lengths);
        bytes.splice(0..0, *MAGIC);
        let _ = unpack(&bytes, &lengths);
    }

    #[test]
    fn a_changed_byte_is_refused_or_changes_what_is_read(at in any::<prop::sample::Index>(), by in 1u8..) {
        let instances = vec![(vec![1; 50], vec![], 0, vec![2; 30]), (vec![1; 51], vec![3], 1, vec![])];
        let mut spoilt = pack(&instances);
        let i = at.index(spoilt.len());
        spoilt[i] ^= by;
        let _ = unpack(&spoilt, &lengths(&instances));
    }
}

fn two() -> Vec<Instance> {
    vec![
        (vec![1; 500], vec![9; 4], 7, vec![2; 300]),
        (vec![1; 501], Vec::new(), 0, vec![5; 3]),
    ]
}

#[test]
fn every_truncation_is_refused() {
    let (whole, lengths) = (pack(&two()), lengths(&two()));
    assert!(unpack(&whole, &lengths).is_ok());
    for cut in 0..whole.len() {
        assert!(unpack(&whole[..cut], &lengths).is_err(), "cut at {cut}");
    }
}

#[test]
fn what_contradicts_the_manifest_is_refused() {
    let (whole, honest) = (pack(&two()), lengths(&two()));
    let refused = |lengths: &[u64]| unpack(&whole, lengths).is_err();
    assert!(refused(&honest[..1]), "more instances");
    assert!(refused(&[&honest[..], &[1]].concat()), "fewer instances");
    assert!(refused(&[503, honest[1]]), "a head that is too long");
    assert!(refused(&[803, honest[1]]), "a body that is too long");
}

#[test]
fn descriptions_that_would_fill_the_memory_are_refused_before_they_are_read() {
    // A head of a gibibyte in a few bytes, of an instance that the manifest gives 10.
    let mut writer = Writer::new(Vec::new(), Vec::new()).unwrap();
    let zeros = vec![0; 1 << 20];
    for _ in 0..1024 {
        writer.heads.write_all(&zeros).unwrap();
    }
    writer.entries.push(Entry {
        coding: 0,
        head: 1 << 30,
        tail: 0,
        body: 0,
    });
    let parts = writer.finish(&attestation()).unwrap();
    let pack = [parts.front, parts.heads].concat();
    assert!(pack.len() < 1 << 18);
    assert!(Contents::read(&*pack, pack.len() as u64, &[10]).is_err());
}

#[test]
fn an_index_that_would_fill_the_memory_is_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], LEVEL).unwrap();
    let mut pack = MAGIC.to_vec();
    pack.extend_from_slice(&(bomb.len() as u32).to_be_bytes());
    pack.extend_from_slice(&0u64.to_be_bytes());
    pack.extend_from_slice(&bomb);
    let refused = Contents::read(&*pack, pack.len() as u64, &[]);
    assert!(refused.unwrap_err().to_string().contains("too large"));
}

#[test]
fn lengths_that_overflow_are_refused() {
    let mut whole = pack(&two());
    whole[8..16].copy_from_slice(&u64::MAX.to_be_bytes());
    assert!(unpack(&whole, &lengths(&two())).is_err());
}
