//! Symmetric keys: wiped on drop, compared in constant time, never printed.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

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
}
