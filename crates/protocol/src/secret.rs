//! Symmetric keys: wiped on drop, compared in constant time, never printed.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use crate::domain::domain;
use crate::id::BundleId;

/// Bytes of a symmetric key.
pub const KEY_BYTES: usize = 32;

macro_rules! secret_key {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Zeroize, ZeroizeOnDrop)]
        pub struct $name([u8; KEY_BYTES]);

        impl $name {
            /// A fresh random key.
            pub fn random(rng: &mut impl CryptoRng) -> Self {
                let mut key = Self([0; KEY_BYTES]);
                rng.fill_bytes(&mut key.0);
                key
            }

            /// From stored bytes; `None` if the length is wrong.
            pub fn from_slice(bytes: &[u8]) -> Option<Self> {
                bytes.try_into().ok().map(Self)
            }

            /// The bytes, for storage that its holder guards.
            pub fn expose(&self) -> &[u8; KEY_BYTES] {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "(…)"))
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                self.0.ct_eq(&other.0).into()
            }
        }
        impl Eq for $name {}
    };
}

secret_key!(
    /// Encrypts the fragments of one bundle (docs/protocol.md 3.2). Held by the producer until
    /// the deposit is acknowledged, by trust until the bundle is erased, and by each consumer
    /// that got a release while it opens the bundle.
    ContentKey
);
secret_key!(
    /// Encrypts one cell (docs/protocol.md 5.2). Held by trust until erasure, and by a consumer
    /// whose release names the cell while it opens the bundle. Never by the cloud.
    PlacementKey
);

secret_key!(
    /// Makes and checks the reliability marks of one bundle (docs/protocol.md 3.5). Derived from the
    /// content key, which does not follow from it. Held by the gateways of the producer and of each
    /// consumer that opened the bundle, for as long as they want to judge pictures of it; trust can
    /// derive it until the bundle is erased.
    MarkKey
);
secret_key!(
    /// Makes and finds the tracing marks in exports of one bundle (docs/protocol.md 3.5). Held as
    /// [`MarkKey`] is.
    TraceKey
);

impl MarkKey {
    /// The key of a bundle's reliability marks (docs/protocol.md 3.5).
    #[must_use]
    pub fn derive(content: &ContentKey, bundle: BundleId) -> Self {
        Self(derive(content, "mark-key", bundle))
    }
}

impl TraceKey {
    /// The key of a bundle's tracing marks (docs/protocol.md 3.5).
    #[must_use]
    pub fn derive(content: &ContentKey, bundle: BundleId) -> Self {
        Self(derive(content, "trace-key", bundle))
    }
}

/// HMAC-SHA256 under the content key, of domain(`purpose`) and the bundle: a pseudo-random function
/// of them, so that neither the content key nor the other derived key follows.
fn derive(content: &ContentKey, purpose: &str, bundle: BundleId) -> [u8; KEY_BYTES] {
    let mut message = domain(purpose);
    message.extend_from_slice(&bundle.0);
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &content.0), &message);
    let mut key = [0; KEY_BYTES];
    key.copy_from_slice(tag.as_ref());
    key
}

/// Keys are serialised only inside messages that are wrapped to their receiver
/// (`release::Secrets`); this module is their one way through serde.
pub(crate) mod sealed_form {
    use super::*;

    pub(crate) fn serialize<S: Serializer, K: Exposed>(
        key: &K,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        Zeroizing::new(BASE64.encode(key.bytes())).serialize(serializer)
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>, K: Exposed>(
        deserializer: D,
    ) -> Result<K, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = Zeroizing::new(
            BASE64
                .decode(text.as_bytes())
                .map_err(|_| serde::de::Error::custom("not base64"))?,
        );
        K::restore(&bytes).ok_or_else(|| serde::de::Error::custom("wrong key length"))
    }

    pub(crate) trait Exposed: Sized {
        fn bytes(&self) -> &[u8; KEY_BYTES];
        fn restore(bytes: &[u8]) -> Option<Self>;
    }

    macro_rules! exposed {
        ($($name:ident),*) => {$(
            impl Exposed for $name {
                fn bytes(&self) -> &[u8; KEY_BYTES] { self.expose() }
                fn restore(bytes: &[u8]) -> Option<Self> { Self::from_slice(bytes) }
            }
        )*};
    }
    exposed!(ContentKey, PlacementKey);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_bytes() {
        let key = ContentKey([0x5a; 32]);
        assert_eq!(format!("{key:?}"), "ContentKey(…)");
    }

    #[test]
    fn derived_keys_differ_by_purpose_bundle_and_content_key() {
        let (one, other) = (ContentKey([1; 32]), ContentKey([2; 32]));
        let (a, b) = (BundleId([1; 16]), BundleId([2; 16]));
        let mark = MarkKey::derive(&one, a);
        assert_eq!(mark, MarkKey::derive(&one, a));
        assert_ne!(mark, MarkKey::derive(&one, b));
        assert_ne!(mark, MarkKey::derive(&other, a));
        assert_ne!(mark.expose(), TraceKey::derive(&one, a).expose());
        // Both ends of every bundle must come to the same: the value is part of the protocol.
        assert_eq!(
            hex::encode(mark.expose()),
            "7568855c49a890f67453bfb599c3911b144cc0e9c54ba96e82f1c79836370be6"
        );
    }
}
