//! What was sealed by somebody: packs, fragments, cells, wrapped secrets (docs/protocol.md 1.6, 3.1, 3.2, 5.2).

use std::sync::LazyLock;

use harpo_protocol::attestation::Attestation;
use harpo_protocol::cell::{CellAddress, Layout, TAG_BYTES, open_cell, seal_cell};
use harpo_protocol::fragment;
use harpo_protocol::id::{BundleId, GenerationId};
use harpo_protocol::pack::{Contents, Heads, Writer};
use harpo_protocol::secret::{ContentKey, PlacementKey};
use harpo_protocol::sign::Signed;
use harpo_protocol::wrap::{OpeningKey, SealingKey, Wrapped};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use crate::Outcome;

/// Larger instances than this are not tried: they would take memory, not other paths.
const MOST_BYTES: u32 = 1 << 20;

/// A pack. The input begins with what the manifest says: a count, and as many lengths (u32, little endian).
pub fn pack(data: &[u8]) -> Outcome {
    let Some((lengths, pack)) = lengths(data) else {
        return Outcome::Refused;
    };
    let read = unpack(pack, &lengths);
    if let Some((attestation, instances)) = &read {
        let mut writer = Writer::new(Vec::new(), Vec::new()).unwrap();
        for (instance, length) in instances.iter().zip(&lengths) {
            let (head, tail, coding, body) = instance;
            assert!((head.len() + tail.len() + body.len()) as u64 <= *length);
            writer.append(head, tail, *coding, body).unwrap();
        }
        let parts = writer.finish(attestation).unwrap();
        let written = [parts.front, parts.heads, parts.bodies].concat();
        let (again, same) = unpack(&written, &lengths).unwrap();
        assert!(again.digest() == attestation.digest() && same == *instances);
    }
    Outcome::of(&read.ok_or(()))
}

fn lengths(data: &[u8]) -> Option<(Vec<u64>, &[u8])> {
    let (count, rest) = data.split_first()?;
    let (lengths, pack) = rest.split_at_checked(usize::from(*count) * 4)?;
    let lengths = lengths.as_chunks::<4>().0.iter();
    let lengths = lengths.map(|bytes| u64::from(u32::from_le_bytes(*bytes) % MOST_BYTES));
    Some((lengths.collect(), pack))
}

/// Head, tail, coding and body.
type Instance = (Vec<u8>, Vec<u8>, u8, Vec<u8>);

fn unpack(pack: &[u8], lengths: &[u64]) -> Option<(Signed<Attestation>, Vec<Instance>)> {
    let contents = Contents::read(pack, pack.len() as u64, lengths).ok()?;
    let mut heads = Heads::new(&pack[contents.heads_at as usize..], &contents).ok()?;
    let mut bodies = &pack[contents.bodies_at as usize..];
    assert!(contents.end() <= pack.len() as u64);
    let mut instances = Vec::new();
    for entry in &contents.entries {
        let (head, tail) = heads.next(entry).ok()?;
        let (body, rest) = bodies.split_at(entry.body as usize);
        instances.push((head, tail, entry.coding, body.to_vec()));
        bodies = rest;
    }
    heads.finish().ok()?;
    Some((contents.attestation, instances))
}

pub(crate) const BUNDLE: BundleId = BundleId([3; 16]);
pub(crate) const LAYOUT: Layout = Layout {
    cell_bytes: 1024,
    cells_per_slot: 1,
    slots: 1,
};
pub(crate) const PLACE: CellAddress = CellAddress {
    generation: GenerationId([4; 16]),
    slot: 5,
    cell: 6,
};

pub(crate) fn content_key() -> ContentKey {
    ContentKey::from_slice(&[1; 32]).unwrap()
}

pub(crate) fn placement_key() -> PlacementKey {
    PlacementKey::from_slice(&[2; 32]).unwrap()
}

/// A fragment, by its place in the bundle: what opens is what sealing gives.
pub fn fragment(data: &[u8]) -> Outcome {
    let Some((&[index, last], sealed)) = data.split_first_chunk::<2>() else {
        return Outcome::Refused;
    };
    let (index, last) = (u32::from(index), last & 1 == 1);
    let opened = fragment::open(&content_key(), BUNDLE, index, last, sealed.to_vec());
    if let Ok(chunk) = &opened
        && sealed.len() == LAYOUT.fragment_bytes()
    {
        let again = fragment::seal(&content_key(), BUNDLE, index, last, chunk.clone(), &LAYOUT);
        assert!(again.unwrap() == sealed);
    }
    Outcome::of(&opened)
}

/// A cell: what opens is what sealing gives.
pub fn cell(data: &[u8]) -> Outcome {
    let opened = open_cell(&placement_key(), PLACE, data);
    if let Ok(fragment) = &opened {
        assert_eq!(fragment.len() + TAG_BYTES, data.len());
        let mut again = fragment.clone();
        seal_cell(&placement_key(), PLACE, &mut again).unwrap();
        assert!(again == data);
    }
    Outcome::of(&opened)
}

pub(crate) fn opening_key() -> &'static OpeningKey {
    static KEY: LazyLock<OpeningKey> =
        LazyLock::new(|| OpeningKey::generate(&mut ChaCha20Rng::seed_from_u64(2)).0);
    &KEY
}

/// The purpose, the object and the secret of the one wrapping that opens.
pub(crate) const WRAPPED: (&str, &[u8], &[u8]) = ("fuzz", b"object", b"the secret");

/// A wrapped secret: opens to the one secret that was wrapped, or not at all.
pub fn wrapped(data: &[u8]) -> Outcome {
    let Ok(wrapped) = serde_json::from_slice::<Wrapped>(data) else {
        return Outcome::Refused;
    };
    let written = serde_json::to_vec(&wrapped).unwrap();
    assert!(serde_json::from_slice::<Wrapped>(&written).unwrap() == wrapped);
    let (purpose, object, secret) = WRAPPED;
    let opened = opening_key().unwrap(&wrapped, purpose, object);
    if let Ok(opened) = &opened {
        assert!(opened.as_slice() == secret);
    }
    Outcome::of(&opened)
}

/// A stranger's public key: what is accepted is written back as it came, and can be wrapped to.
pub fn sealing_key(data: &[u8]) -> Outcome {
    let read = SealingKey::from_bytes(data);
    if let Ok(key) = &read {
        assert!(key.to_bytes() == data);
        // May fail, as a key may be of the right form and of no use; must not panic.
        let _ = key.wrap(b"secret", "fuzz", b"", &mut ChaCha20Rng::seed_from_u64(3));
    }
    Outcome::of(&read)
}
