//! Who is at the other end: parties' certificates, the authority that issues them, and TLS
//! configurations that accept nothing else.
//!
//! Every certificate names its holder by one URI, `harpocrates:v1:<role>:<party-id>`, and nothing
//! besides (no hospital names: certificates travel where the cloud can read them). TLS is 1.3 only,
//! with the hybrid post-quantum key exchange X25519MLKEM768 preferred, and sessions are never resumed: a
//! ticket would link one retrieval to the next.
//!
//! - [`Authority`]: the trusted third party's certification authority.
//! - [`Identity`]: a party's own key, certificate chain and trusted root, reloadable in place.
//! - [`server_config`], [`client_config`], [`anonymous_client_config`], [`pinned_client_config`].

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};

mod authority;
mod certificate;
mod configs;
mod identity;
mod verify;

pub use authority::{Authority, Subject};
pub use certificate::{Fingerprint, PartyCertificate, Root};
pub(crate) use configs::no_tls_config;
pub use configs::{
    ClientAuth, Expect, anonymous_client_config, client_config, pinned_client_config, server_config,
};
pub use identity::{Identity, generate_key_and_csr};

#[cfg(test)]
pub(crate) mod tests;

/// What a party does in the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// The trusted third party.
    Trust,
    /// The untrusted provider of storage and oblivious answers.
    Cloud,
    /// A hospital.
    Gateway,
    /// Somebody who holds a pass to what was shared with them, without a hospital.
    Pass,
}

impl Role {
    /// The word for it in certificates and messages.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trust => "trust",
            Self::Cloud => "cloud",
            Self::Gateway => "gateway",
            Self::Pass => "pass",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Trust, Self::Cloud, Self::Gateway, Self::Pass]
            .into_iter()
            .find(|role| role.as_str() == text)
            .ok_or(ParseNameError)
    }
}

/// A party's name: 16 random bytes, so that it says nothing about whom it stands for. Written as 32
/// lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartyId([u8; 16]);

impl PartyId {
    /// A fresh name.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut bytes = [0; 16];
        rng.fill_bytes(&mut bytes);
        Self(bytes)
    }

    /// The name with these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for PartyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PartyId({self})")
    }
}

impl FromStr for PartyId {
    type Err = ParseNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        // One spelling only, so that names compare as text too.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ParseNameError);
        }
        let mut bytes = [0; 16];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| ParseNameError)?;
        Ok(Self(bytes))
    }
}

impl Serialize for PartyId {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for PartyId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// The text is not a name of that kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a role is trust, cloud, gateway or pass; a party id is 32 lower-case hexadecimal digits; \
     a fingerprint is 64 hexadecimal digits"
)]
pub struct ParseNameError;

/// What went wrong with keys and certificates.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or written.
    #[error("cannot {action} {}", path.display())]
    File {
        /// `read` or `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// There is an authority in the directory already.
    #[error("{} holds an authority already; load it, or choose another directory", path.display())]
    Exists {
        /// The directory.
        path: PathBuf,
    },
    /// Not PEM, or not what the PEM should hold.
    #[error("{what} cannot be read: {reason}")]
    Malformed {
        /// Which thing.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A signing request was refused.
    #[error("the signing request was refused: {0}")]
    Request(&'static str),
    /// The validity asked for is not possible.
    #[error("a certificate cannot be valid from {from} to {to}: {reason}")]
    Validity {
        /// First moment.
        from: crate::clock::Timestamp,
        /// Last moment.
        to: crate::clock::Timestamp,
        /// Why not.
        reason: &'static str,
    },
    /// Key, certificate and root do not belong together.
    #[error("key, certificate and root do not belong together: {0}")]
    Mismatch(&'static str),
    /// A certificate or signing request could not be made.
    #[error("making a certificate failed")]
    Make(#[from] rcgen::Error),
    /// The TLS library refused.
    #[error("the TLS library refused the configuration")]
    Rustls(#[from] rustls::Error),
    /// The system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
}

impl TlsError {
    fn malformed(what: &'static str, reason: impl fmt::Display) -> Self {
        Self::Malformed {
            what,
            reason: reason.to_string(),
        }
    }
}
