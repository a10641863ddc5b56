//! Wrapping to a receiver's key: HPKE with X-Wing (docs/protocol.md 1.6).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hpke::aead::ChaCha20Poly1305;
use hpke::kdf::HkdfSha256;
use hpke::kem::{Kem as _, XWing};
use hpke::{
    Deserializable as _, OpModeR, OpModeS, Serializable as _, single_shot_open,
    single_shot_seal_with_rng,
};
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::{Zeroize, Zeroizing};

use crate::domain::domain;
use crate::{Malformed, Rejected};

type Private = <XWing as hpke::kem::Kem>::PrivateKey;
type Public = <XWing as hpke::kem::Kem>::PublicKey;

/// Bytes of a public sealing key.
pub const SEALING_KEY_BYTES: usize = 1216;
/// Bytes of an encapsulation.
pub const ENCAPSULATION_BYTES: usize = 1120;

/// The private half of an X-Wing key. Held by the party that unwraps, from enrolment on.
#[derive(Clone)]
pub struct OpeningKey(Private);

impl OpeningKey {
    /// A fresh key, and its 32 bytes for storage.
    pub fn generate(rng: &mut impl CryptoRng) -> (Self, Zeroizing<[u8; 32]>) {
        let (private, _) = XWing::gen_keypair_with_rng(rng);
        let mut stored = Zeroizing::new([0; 32]);
        let mut bytes = private.to_bytes();
        stored.copy_from_slice(&bytes);
        bytes.zeroize();
        (Self(private), stored)
    }

    /// From stored bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Rejected> {
        Private::from_bytes(bytes).map(Self).map_err(|_| Rejected)
    }

    /// The public half.
    pub fn sealing_key(&self) -> SealingKey {
        SealingKey(XWing::sk_to_pk(&self.0))
    }

    /// Unwraps what was wrapped for `purpose` with the same `bound_to`.
    pub fn unwrap(
        &self,
        wrapped: &Wrapped,
        purpose: &str,
        bound_to: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, Rejected> {
        let encapsulated =
            <XWing as hpke::kem::Kem>::EncappedKey::from_bytes(&wrapped.encapsulation)
                .map_err(|_| Rejected)?;
        single_shot_open::<ChaCha20Poly1305, HkdfSha256, XWing>(
            &OpModeR::Base,
            &self.0,
            &encapsulated,
            &domain(purpose),
            &wrapped.ciphertext,
            bound_to,
        )
        .map(Zeroizing::new)
        .map_err(|_| Rejected)
    }
}

impl fmt::Debug for OpeningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpeningKey(…)")
    }
}

/// The public half of an X-Wing key.
#[derive(Clone, PartialEq, Eq)]
pub struct SealingKey(Public);

impl SealingKey {
    /// From bytes; refuses what is not a key.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Malformed> {
        Public::from_bytes(bytes)
            .map(Self)
            .map_err(|_| Malformed::new("sealing key", "not an X-Wing public key"))
    }

    /// [`SEALING_KEY_BYTES`] bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.to_bytes().to_vec()
    }

    /// Wraps `secret` for the holder of the private half.
    pub fn wrap(
        &self,
        secret: &[u8],
        purpose: &str,
        bound_to: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Wrapped, Rejected> {
        let (encapsulated, ciphertext) =
            single_shot_seal_with_rng::<ChaCha20Poly1305, HkdfSha256, XWing>(
                &OpModeS::Base,
                &self.0,
                &domain(purpose),
                secret,
                bound_to,
                rng,
            )
            .map_err(|_| Rejected)?;
        Ok(Wrapped {
            encapsulation: encapsulated.to_bytes().to_vec(),
            ciphertext,
        })
    }
}

impl fmt::Debug for SealingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SealingKey({})", crate::domain::sha256(&self.to_bytes()))
    }
}

impl Serialize for SealingKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        BASE64.encode(self.to_bytes()).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SealingKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = BASE64
            .decode(text)
            .map_err(|_| serde::de::Error::custom("not base64"))?;
        Self::from_bytes(&bytes).map_err(serde::de::Error::custom)
    }
}

/// A secret on its way to one receiver.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Wrapped {
    /// KEM ciphertext, [`ENCAPSULATION_BYTES`] bytes.
    #[serde(with = "base64_bytes")]
    pub encapsulation: Vec<u8>,
    /// AEAD ciphertext: the secret and a 16-byte tag.
    #[serde(with = "base64_bytes")]
    pub ciphertext: Vec<u8>,
}

/// Bytes as a base64 string.
pub mod base64_bytes {
    use super::*;

    /// Writes base64.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        BASE64.encode(bytes).serialize(serializer)
    }

    /// Reads base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64
            .decode(text)
            .map_err(|_| serde::de::Error::custom("not base64"))
    }
}

#[cfg(test)]
mod tests {
    use rand_core::SeedableRng as _;

    use super::*;

    #[test]
    fn only_the_receiver_for_the_purpose_and_object_unwraps() {
        let mut rng = rand_chacha::ChaCha20Rng::from_seed([7; 32]);
        let (key, stored) = OpeningKey::generate(&mut rng);
        let (other, _) = OpeningKey::generate(&mut rng);
        let wrapped = key
            .sealing_key()
            .wrap(b"secret", "test", b"object", &mut rng)
            .unwrap();

        assert_eq!(
            OpeningKey::from_bytes(&*stored)
                .unwrap()
                .unwrap(&wrapped, "test", b"object")
                .unwrap()
                .as_slice(),
            b"secret"
        );
        assert!(key.unwrap(&wrapped, "other purpose", b"object").is_err());
        assert!(key.unwrap(&wrapped, "test", b"other object").is_err());
        assert!(other.unwrap(&wrapped, "test", b"object").is_err());
        let mut bad = wrapped;
        bad.ciphertext[0] ^= 1;
        assert!(key.unwrap(&bad, "test", b"object").is_err());
    }
}
