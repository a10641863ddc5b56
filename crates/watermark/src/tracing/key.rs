//! Keys and names.

use aws_lc_rs::hmac;
use chacha20::ChaCha20Rng;
use rand_core::SeedableRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::code::{self, Biases};

/// The key of all tracing marks of one bundle (docs/tracing-mark.md 2).
///
/// Held by the gateway that sealed the bundle and by the gateways that may export it, as long as
/// they hold the bundle's content key. Whoever has it can find marks, remove them, and write the
/// mark of another export: it must never leave a gateway.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct TraceKey([u8; 32]);

impl TraceKey {
    /// The key of these bytes, which must be uniformly random and of no other use.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for TraceKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("TraceKey(…)")
    }
}

/// Names whose exports of a bundle carry one codeword: a digest of bundle, consumer and user.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ExportId(pub [u8; 32]);

/// Names one image of the study: its instance and the frame within it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageId {
    /// The instance.
    pub instance: [u8; 16],
    /// The frame, from 0.
    pub frame: u32,
}

/// What is derived from a [`TraceKey`] once: the biases of the code and the keys of the rest.
pub struct Tracer {
    layouts: Zeroizing<[u8; 32]>,
    codewords: Zeroizing<[u8; 32]>,
    pub(super) biases: Biases,
}

impl Tracer {
    /// Derives what marks of this key need.
    pub fn new(key: &TraceKey) -> Self {
        let mut stream = ChaCha20Rng::from_seed(*derive(&key.0, "biases", &[]));
        Self {
            layouts: derive(&key.0, "layouts", &[]),
            codewords: derive(&key.0, "codewords", &[]),
            biases: code::biases(&mut stream),
        }
    }

    /// The stream that lays out the chips of `image`.
    pub(super) fn layout_stream(&self, image: &ImageId) -> ChaCha20Rng {
        let parts: [&[u8]; 2] = [&image.instance, &image.frame.to_le_bytes()];
        ChaCha20Rng::from_seed(*derive(&self.layouts, "layout", &parts))
    }

    /// The stream whose bytes decide the bits of the codeword of `export`.
    pub(super) fn codeword_stream(&self, export: &ExportId) -> ChaCha20Rng {
        ChaCha20Rng::from_seed(*derive(&self.codewords, "codeword", &[&export.0]))
    }
}

impl std::fmt::Debug for Tracer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tracer(…)")
    }
}

/// HMAC-SHA-256 of the purpose and `parts`, whose lengths the purpose fixes.
fn derive(key: &[u8; 32], purpose: &str, parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    context.update(b"harpocrates/1/tracing-mark-");
    context.update(purpose.as_bytes());
    context.update(&[0]);
    for part in parts {
        context.update(part);
    }
    let mut out = Zeroizing::new([0; 32]);
    for (out, byte) in out.iter_mut().zip(context.sign().as_ref()) {
        *out = *byte;
    }
    out
}
