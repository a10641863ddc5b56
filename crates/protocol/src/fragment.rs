//! Sealing a pack into fragments and opening them again: chunked AEAD with position and end
//! bound in (docs/protocol.md 3.2).

use aws_lc_rs::aead::{Aad, NONCE_LEN, Nonce};

use crate::cell::{Layout, TAG_BYTES, aead};
use crate::domain::domain;
use crate::id::BundleId;
use crate::secret::ContentKey;
use crate::{Malformed, Rejected};

/// Most fragments of one bundle.
pub const MAX_FRAGMENTS: u32 = 1 << 20;

/// How many fragments a pack of `pack_bytes` fills.
pub fn count(pack_bytes: u64, layout: &Layout) -> Result<u32, Malformed> {
    let fragments = pack_bytes.div_ceil(layout.chunk_bytes() as u64).max(1);
    u32::try_from(fragments)
        .ok()
        .filter(|n| *n <= MAX_FRAGMENTS)
        .ok_or_else(|| {
            Malformed::new(
                "bundle",
                format!("{fragments} fragments, more than {MAX_FRAGMENTS}"),
            )
        })
}

/// Seals chunk `index` of a bundle. `chunk` is at most [`Layout::chunk_bytes`] long and is padded
/// with zeros; the result is [`Layout::fragment_bytes`] long.
pub fn seal(
    key: &ContentKey,
    bundle: BundleId,
    index: u32,
    last: bool,
    mut chunk: Vec<u8>,
    layout: &Layout,
) -> Result<Vec<u8>, Rejected> {
    if chunk.len() > layout.chunk_bytes() {
        return Err(Rejected);
    }
    chunk.resize(layout.chunk_bytes(), 0);
    aead(key.expose())?
        .seal_in_place_append_tag(nonce(index, last), Aad::from(bound(bundle)), &mut chunk)
        .map_err(|_| Rejected)?;
    Ok(chunk)
}

/// Opens fragment `index`; `last` says whether it is the bundle's last, as the manifest counts.
pub fn open(
    key: &ContentKey,
    bundle: BundleId,
    index: u32,
    last: bool,
    mut fragment: Vec<u8>,
) -> Result<Vec<u8>, Rejected> {
    if fragment.len() < TAG_BYTES {
        return Err(Rejected);
    }
    let plain = aead(key.expose())?
        .open_in_place(nonce(index, last), Aad::from(bound(bundle)), &mut fragment)
        .map_err(|_| Rejected)?
        .len();
    fragment.truncate(plain);
    Ok(fragment)
}

fn nonce(index: u32, last: bool) -> Nonce {
    let mut nonce = [0; NONCE_LEN];
    nonce[7..11].copy_from_slice(&index.to_be_bytes());
    nonce[11] = last.into();
    Nonce::assume_unique_for_key(nonce)
}

fn bound(bundle: BundleId) -> Vec<u8> {
    let mut bytes = domain("fragment");
    bytes.extend_from_slice(&bundle.0);
    bytes
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn position_end_bundle_and_key_are_bound() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([1; 32]);
        let key = ContentKey::random(&mut rng);
        let layout = Layout {
            cell_bytes: 1024,
            ..Layout::DEFAULT
        };
        let bundle = BundleId([2; 16]);
        let sealed = seal(&key, bundle, 3, false, vec![5; 100], &layout).unwrap();
        assert_eq!(sealed.len(), 1008);

        let opened = open(&key, bundle, 3, false, sealed.clone()).unwrap();
        assert_eq!(opened[..100], [5; 100]);
        assert_eq!(opened[100..], vec![0; 892]);

        assert!(
            open(&key, bundle, 4, false, sealed.clone()).is_err(),
            "moved"
        );
        assert!(
            open(&key, bundle, 3, true, sealed.clone()).is_err(),
            "cut off after it"
        );
        assert!(
            open(&key, BundleId([3; 16]), 3, false, sealed.clone()).is_err(),
            "other bundle"
        );
        assert!(
            open(
                &ContentKey::random(&mut rng),
                bundle,
                3,
                false,
                sealed.clone()
            )
            .is_err(),
            "other key"
        );
        assert!(
            open(&key, bundle, 3, false, sealed[..500].to_vec()).is_err(),
            "truncated"
        );
        assert!(open(&key, bundle, 3, false, Vec::new()).is_err(), "empty");
        assert!(
            seal(&key, bundle, 0, true, vec![0; 993], &layout).is_err(),
            "chunk too long"
        );
    }
}
