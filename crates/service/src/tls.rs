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

pub use harpo_protocol::id::PartyId;
pub use harpo_protocol::identity::Role;

mod authority;
mod certificate;
mod configs;
mod identity;
mod pass;
mod verify;

pub use authority::{Authority, Subject};
pub use certificate::{Fingerprint, PartyCertificate, Root};
pub(crate) use configs::no_tls_config;
pub use configs::{
    ClientAuth, Expect, anonymous_client_config, client_config, pinned_client_config, server_config,
};
pub use identity::{Identity, generate_key_and_csr};
pub use pass::PassKey;

#[cfg(test)]
pub(crate) mod tests;

/// The text is not a fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a fingerprint is 64 hexadecimal digits")]
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
