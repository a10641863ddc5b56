//! Keys of marks.

use std::fmt;

use zeroize::{Zeroize, ZeroizeOnDrop};

/// Makes and checks the reliability marks of one bundle (docs/reliability-mark.md 6).
///
/// Who holds it can mark altered pixels anew, so it says no more than "somebody who may open this
/// bundle"; held by the producer and by those who may open the bundle, for as long as they keep
/// marked planes that they want to check.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct MarkKey([u8; MarkKey::BYTES]);

impl MarkKey {
    /// Bytes of a key.
    pub const BYTES: usize = 32;

    /// From uniformly random bytes, or bytes derived for this purpose alone.
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    pub(crate) fn bytes(&self) -> &[u8; Self::BYTES] {
        &self.0
    }
}

impl fmt::Debug for MarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MarkKey(…)")
    }
}
