//! Published reversible hiding schemes, to stand beside the project's own engine.
//!
//! Each is written from its paper and given every advantage that the paper leaves open: thresholds
//! are searched for each payload, the search looks at the exact distortion, and nothing is visited
//! after the last bit. What a decoder needs (thresholds, lengths, location maps) is inside the
//! image as well, in low bits of the first samples, whose original bits travel with the payload: no
//! scheme gets side information for nothing.

mod coder;
mod dhs;
mod expansion;
mod header;
mod layers;
mod ni;
mod sachnev;
mod thodi_rodriguez;

use harpo_watermark::Plane;
use harpo_watermark::reversible;

/// A reversible hiding scheme that needs nothing but the marked plane to give back payload and
/// original.
pub(crate) trait Scheme: Sync {
    /// As tables and charts call it.
    fn name(&self) -> &'static str;

    /// The plane with `payload` in it; `None` where it has no room for so much.
    fn embed(&self, plane: &Plane, payload: &[bool]) -> Option<Plane>;

    /// The original plane and the payload; `None` where `plane` was not made by [`Scheme::embed`].
    fn extract(&self, plane: &Plane) -> Option<(Plane, Vec<bool>)>;
}

/// The scheme that gains are counted over.
pub(crate) const REFERENCE: &str = "Sachnev 2009";

/// The project's own engine under its name in tables.
pub(crate) const OURS: &str = "Harpocrates";

/// The engine and the four baselines, in the order of tables.
pub(crate) fn schemes() -> [&'static dyn Scheme; 5] {
    [
        &Engine,
        &ni::Ni,
        &layers::Layers(thodi_rodriguez::ThodiRodriguez),
        &layers::Layers(sachnev::Sachnev),
        &layers::Layers(dhs::Coatrieux),
    ]
}

/// Reversible hiding as this project does it; payloads are whole bytes.
struct Engine;

impl Scheme for Engine {
    fn name(&self) -> &'static str {
        OURS
    }

    fn embed(&self, plane: &Plane, payload: &[bool]) -> Option<Plane> {
        let bytes: Vec<u8> = payload.chunks(8).map(byte).collect();
        let mut marked = plane.clone();
        reversible::embed_alone(&mut marked, &bytes).ok()?;
        Some(marked)
    }

    fn extract(&self, plane: &Plane) -> Option<(Plane, Vec<bool>)> {
        let mut restored = plane.clone();
        let bytes = reversible::extract_alone(&mut restored).ok()?;
        let bits = bytes
            .iter()
            .flat_map(|byte| (0..8).rev().map(move |place| byte >> place & 1 == 1));
        Some((restored, bits.collect()))
    }
}

/// Up to eight bits, the first one highest.
fn byte(bits: &[bool]) -> u8 {
    bits.iter()
        .enumerate()
        .fold(0, |byte, (place, bit)| byte | u8::from(*bit) << (7 - place))
}

#[cfg(test)]
mod tests;
