//! Signed statements (docs/protocol.md 1.5).

use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand_core::CryptoRng;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use zeroize::Zeroizing;

use crate::domain::{domain, hash, sha256};
use crate::id::Digest;
use crate::{Malformed, Rejected};

/// What can be signed: the kind separates a statement of one type from all others.
pub trait Statement: Serialize + DeserializeOwned {
    /// The purpose in the domain of the signature.
    const KIND: &'static str;
}

/// An Ed25519 signing key (RFC 8032). Held by the party that signs, from enrolment until its
/// credential ends; aws-lc wipes it on drop.
pub struct SigningKey {
    pair: Ed25519KeyPair,
}

impl SigningKey {
    /// A fresh key, and its 32-byte seed for storage.
    pub fn generate(rng: &mut impl CryptoRng) -> (Self, Zeroizing<[u8; 32]>) {
        let mut seed = Zeroizing::new([0; 32]);
        rng.fill_bytes(&mut *seed);
        let key = Self::from_seed(&seed);
        (key, seed)
    }

    /// From a stored seed.
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "every 32-byte string is an Ed25519 seed"
        )]
        let pair = Ed25519KeyPair::from_seed_unchecked(seed).expect("a seed of 32 bytes");
        Self { pair }
    }

    /// The public half.
    pub fn verifying_key(&self) -> VerifyingKey {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(self.pair.public_key().as_ref());
        VerifyingKey(bytes)
    }

    /// Signs a statement.
    pub fn sign<T: Statement>(&self, statement: &T) -> Signed<T> {
        #[expect(
            clippy::expect_used,
            reason = "statements are plain data; serde_json fails only on maps with non-string keys"
        )]
        let payload = serde_json::to_vec(statement).expect("a statement serialises");
        let signature = self.pair.sign(&message::<T>(&payload)).as_ref().to_vec();
        Signed {
            payload,
            signature,
            signer: self.verifying_key().fingerprint(),
            kind: PhantomData,
        }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "SigningKey(public {})",
            hex::encode(self.verifying_key().0)
        )
    }
}

/// An Ed25519 public key.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VerifyingKey(pub [u8; 32]);

impl VerifyingKey {
    /// SHA-256 of the key: the `signer` of its statements.
    pub fn fingerprint(&self) -> Digest {
        sha256(&self.0)
    }
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "VerifyingKey({})", hex::encode(self.0))
    }
}

impl Serialize for VerifyingKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Digest(self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for VerifyingKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Digest::deserialize(deserializer).map(|d| Self(d.0))
    }
}

/// A statement as it travels: not yet verified, so its content cannot be read.
#[derive(Clone, PartialEq, Eq)]
pub struct Signed<T> {
    payload: Vec<u8>,
    signature: Vec<u8>,
    signer: Digest,
    kind: PhantomData<T>,
}

/// A statement whose signature was checked. Only [`Signed::verify`] makes one, so code that needs
/// a verified statement cannot be given another.
#[derive(Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Verified<T> {
    /// The statement itself.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: fmt::Debug> fmt::Debug for Verified<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Verified").field(&self.0).finish()
    }
}

impl<T: Statement> Signed<T> {
    /// Checks the signature and reads the statement (docs/protocol.md 1.5).
    pub fn verify(&self, key: &VerifyingKey) -> Result<Verified<T>, Rejected> {
        if self.signer != key.fingerprint() {
            return Err(Rejected);
        }
        UnparsedPublicKey::new(&ED25519, key.0)
            .verify(&message::<T>(&self.payload), &self.signature)
            .map_err(|_| Rejected)?;
        serde_json::from_slice(&self.payload)
            .map(Verified)
            .map_err(|_| Rejected)
    }

    /// Digest of the statement, signature left out: names what was said.
    pub fn digest(&self) -> Digest {
        hash(T::KIND, &[&self.payload])
    }

    /// Who claims to have signed.
    pub fn signer(&self) -> Digest {
        self.signer
    }

    /// JSON text, for storage.
    pub fn to_json(&self) -> String {
        #[expect(clippy::expect_used, reason = "three strings")]
        serde_json::to_string(self).expect("a signed statement serialises")
    }

    /// From stored JSON text.
    pub fn from_json(text: &str) -> Result<Self, Malformed> {
        serde_json::from_str(text).map_err(|e| Malformed::new("signed statement", e.to_string()))
    }
}

impl<T: Statement> fmt::Debug for Signed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Signed<{}>({})", T::KIND, self.digest())
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireForm {
    payload: String,
    signature: String,
    signer: Digest,
}

impl<T> Serialize for Signed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        WireForm {
            payload: BASE64.encode(&self.payload),
            signature: BASE64.encode(&self.signature),
            signer: self.signer,
        }
        .serialize(serializer)
    }
}

impl<'de, T> Deserialize<'de> for Signed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wire = WireForm::deserialize(deserializer)?;
        let decode = |text: &str| {
            BASE64
                .decode(text)
                .map_err(|_| serde::de::Error::custom("not base64"))
        };
        Ok(Self {
            payload: decode(&wire.payload)?,
            signature: decode(&wire.signature)?,
            signer: wire.signer,
            kind: PhantomData,
        })
    }
}

fn message<T: Statement>(payload: &[u8]) -> Vec<u8> {
    let mut message = domain(T::KIND);
    message.extend_from_slice(payload);
    message
}

#[cfg(test)]
mod tests;
