//! The anti-collusion code (docs/tracing-mark.md 3).
//!
//! Tardos' code in its symmetric form (Škorić, Katzenbeisser, Celik 2008) with the discrete biases of
//! Nuida and others (2009): for up to eight colluders the best biases are the four nodes of
//! Gauss-Legendre quadrature, taken with frequencies w / √(p (1 − p)).

use chacha20::ChaCha20Rng;
use rand_core::Rng;

use super::key::{ExportId, Tracer};

/// Positions of a codeword.
pub const CODE_LENGTH: usize = 4096;

/// The different biases.
pub(super) const CLASSES: usize = 4;

/// Per class, the bias: a bit is set where a uniform byte is below it. The nodes are 0.0694, 0.3300
/// and their complements; these are the nearest of 256.
pub(super) const THRESHOLDS: [u8; CLASSES] = [18, 84, 172, 238];

/// Where the classes end in a uniform 16-bit word: frequencies 0.2483, 0.2517, 0.2517, 0.2483.
const CLASS_ENDS: [u16; CLASSES] = [16_275, 32_768, 49_261, u16::MAX];

/// Per position, the class of its bias.
pub(super) struct Biases(pub(super) Box<[u8]>);

/// Draws the bias of every position.
pub(super) fn biases(stream: &mut ChaCha20Rng) -> Biases {
    let class = |word: u16| {
        CLASS_ENDS
            .iter()
            .filter(|end| word >= **end)
            .count()
            .min(CLASSES - 1)
    };
    Biases(
        (0..CODE_LENGTH)
            .map(|_| class((stream.next_u32() & 0xFFFF) as u16) as u8)
            .collect(),
    )
}

/// The bias of a class, exactly.
pub(super) fn bias(class: u8) -> f64 {
    f64::from(THRESHOLDS[usize::from(class)]) / 256.0
}

/// The bits of one export.
#[derive(Clone, PartialEq, Eq)]
pub struct Codeword(Box<[bool]>);

impl Codeword {
    /// The codeword of `export`: from the key and the export's name alone, so nothing but the list of
    /// exports need be kept.
    pub fn derive(tracer: &Tracer, export: &ExportId) -> Self {
        let mut bytes = vec![0; CODE_LENGTH];
        tracer.codeword_stream(export).fill_bytes(&mut bytes);
        let classes = tracer
            .biases
            .0
            .iter()
            .map(|class| THRESHOLDS[usize::from(*class)]);
        Self(
            bytes
                .iter()
                .zip(classes)
                .map(|(byte, threshold)| *byte < threshold)
                .collect(),
        )
    }

    /// The bit at `position`, below [`CODE_LENGTH`].
    pub(super) fn bit(&self, position: u16) -> bool {
        self.0[usize::from(position)]
    }
}

impl std::fmt::Debug for Codeword {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Codeword(…)")
    }
}
