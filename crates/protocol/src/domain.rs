//! Domain separation (docs/protocol.md 1.4): every hash, signature, wrapping and authenticated
//! datum begins with its purpose, so that bytes made for one use verify in no other.

use aws_lc_rs::digest;

use crate::id::Digest;

const PREFIX: &str = "harpocrates/1/";

/// `harpocrates/1/<purpose>\0`.
pub fn domain(purpose: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(PREFIX.len() + purpose.len() + 64);
    bytes.extend_from_slice(PREFIX.as_bytes());
    bytes.extend_from_slice(purpose.as_bytes());
    bytes.push(0);
    bytes
}

/// SHA-256 of domain(`purpose`) followed by `parts` in order. Parts are not delimited: callers
/// pass fixed lengths, or at most one variable part at the end.
pub fn hash(purpose: &str, parts: &[&[u8]]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&domain(purpose));
    for part in parts {
        context.update(part);
    }
    finish(context)
}

/// SHA-256 of plain bytes: what `sha256sum` prints, used where people compare files.
pub fn sha256(bytes: &[u8]) -> Digest {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(bytes);
    finish(context)
}

/// SHA-256 of bytes that arrive in pieces.
#[derive(Clone)]
pub struct Hasher(digest::Context);

impl Default for Hasher {
    fn default() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }
}

impl Hasher {
    /// A hasher that begins with domain(`purpose`).
    pub fn with_domain(purpose: &str) -> Self {
        let mut hasher = Self::default();
        hasher.update(&domain(purpose));
        hasher
    }

    /// Adds bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        finish(self.0)
    }
}

fn finish(context: digest::Context) -> Digest {
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    Digest(out)
}
