//! Identifiers (docs/protocol.md 1.3): random, of fixed length, hexadecimal in text.

use std::fmt;
use std::str::FromStr;

use rand_core::CryptoRng;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::Malformed;

macro_rules! fixed_bytes {
    ($(#[$doc:meta])* $name:ident, $len:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub [u8; $len]);

        impl $name {
            /// Length in bytes.
            pub const LEN: usize = $len;

            /// From a slice of exactly the right length.
            pub fn from_slice(bytes: &[u8]) -> Result<Self, Malformed> {
                let bytes = bytes
                    .try_into()
                    .map_err(|_| Malformed::new(stringify!($name), format!("{} bytes instead of {}", bytes.len(), $len)))?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({self})", stringify!($name))
            }
        }

        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                let mut bytes = [0; $len];
                if text.bytes().any(|b| b.is_ascii_uppercase()) {
                    return Err(Malformed::new(stringify!($name), "upper-case hexadecimal"));
                }
                hex::decode_to_slice(text, &mut bytes)
                    .map_err(|_| Malformed::new(stringify!($name), format!("not {} hexadecimal digits", 2 * $len)))?;
                Ok(Self(bytes))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

macro_rules! random_id {
    ($($name:ident),*) => {$(
        impl $name {
            /// A fresh random one.
            pub fn random(rng: &mut impl CryptoRng) -> Self {
                let mut bytes = [0; Self::LEN];
                rng.fill_bytes(&mut bytes);
                Self(bytes)
            }
        }
    )*};
}

fixed_bytes!(
    /// A party of the network: trust, cloud, or one hospital's gateway.
    PartyId,
    16
);
fixed_bytes!(
    /// A sealed bundle.
    BundleId,
    16
);
fixed_bytes!(
    /// A generation of slots.
    GenerationId,
    16
);
fixed_bytes!(
    /// A number used once: of a ticket, a grant.
    Nonce,
    16
);
fixed_bytes!(
    /// A SHA-256 digest.
    Digest,
    32
);
random_id!(PartyId, BundleId, GenerationId, Nonce);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips_and_is_strict() {
        let id = BundleId([0xab; 16]);
        assert_eq!(id.to_string().parse::<BundleId>(), Ok(id));
        assert_eq!(
            serde_json::from_str::<BundleId>(&serde_json::to_string(&id).unwrap()).unwrap(),
            id
        );
        for bad in [
            "",
            "ab",
            &"AB".repeat(16),
            &"ab".repeat(17),
            &"zz".repeat(16),
        ] {
            assert!(bad.parse::<BundleId>().is_err(), "{bad:?} was accepted");
        }
    }
}
