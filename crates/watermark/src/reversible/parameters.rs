//! What extraction must be told, and its wire form.

use super::coding::Scheme;
use super::model::{Model, SHAPES};
use super::predict::{CLASSES, Weights};
use super::table::SLOPES;

/// First byte of the wire form.
const VERSION: u8 = 1;

/// What embedding chose and where it ended. Without it the pixels cannot be restored: the caller
/// keeps it. It tells something about the statistics of the plane and 32 bits of the payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameters {
    pub(super) weights: Weights,
    pub(super) schemes: [Scheme; 2],
    /// Samples gone through: first those of the even colour, then those of the odd one.
    pub(super) passed: u32,
    /// Bytes of the payload.
    pub(super) length: u32,
    pub(super) state: u64,
}

/// The bytes are no parameters of the reversible engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParametersError {
    /// Of a later version, or something else.
    #[error("parameters of version {0} are not known; a newer release may read them")]
    Version(u8),
    /// Cut short, too long, or with a value that no embedding writes.
    #[error("the parameters are damaged; take an undamaged copy of the mark")]
    Damaged,
}

impl Parameters {
    /// Length of the longest wire form, in bytes.
    pub const MAX_BYTES: usize = 1 + 8 + 4 + 4 + 5 + 2 * (1 + 4 + 40);

    /// Writes them: version, then fields of whole bits, the first bit of a byte its highest.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bits = Writer(vec![VERSION], 0);
        bits.put(self.state, 64);
        bits.put(u64::from(self.length), 32);
        bits.put(u64::from(self.passed), 32);
        for weight in [self.weights.beside, self.weights.wide, self.weights.tall] {
            bits.put((weight + Weights::LIMIT) as u64, 12);
        }
        for scheme in &self.schemes {
            let used = scheme.models.iter().any(Option::is_some);
            bits.put(u64::from(used), 1);
            if !used {
                continue;
            }
            bits.put(u64::from(scheme.slope), 8);
            for model in scheme.models {
                bits.put(u64::from(model.is_some()), 1);
            }
            for model in scheme.models.into_iter().flatten() {
                bits.put(u64::from(model.scale), 7);
                bits.put(u64::from(model.shape), 3);
            }
        }
        bits.0
    }

    /// Reads them. Bytes after them are refused, unless they are zero.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ParametersError> {
        let (&version, rest) = bytes.split_first().ok_or(ParametersError::Damaged)?;
        if version != VERSION {
            return Err(ParametersError::Version(version));
        }
        let mut bits = Reader(rest, 0);
        Self::read(&mut bits)
            .filter(|_| bits.rest_is_zero())
            .ok_or(ParametersError::Damaged)
    }

    fn read(bits: &mut Reader<'_>) -> Option<Self> {
        let state = bits.take(64)?;
        let length = bits.take(32)? as u32;
        let passed = bits.take(32)? as u32;
        let mut weight = || {
            let weight = bits.take(12)? as i16 - Weights::LIMIT;
            (weight <= Weights::LIMIT).then_some(weight)
        };
        let weights = Weights {
            beside: weight()?,
            wide: weight()?,
            tall: weight()?,
        };
        let mut schemes = [Scheme::IDLE; 2];
        for scheme in &mut schemes {
            if bits.take(1)? == 0 {
                continue;
            }
            scheme.slope = bits.take(8)? as u8;
            if usize::from(scheme.slope) >= SLOPES {
                return None;
            }
            let used = bits.take(CLASSES as u32)?;
            if used == 0 {
                return None;
            }
            for (class, model) in scheme.models.iter_mut().enumerate() {
                if used >> (CLASSES - 1 - class) & 1 == 1 {
                    let scale = bits.take(7)? as u8;
                    let shape = bits.take(SHAPES.ilog2())? as u8;
                    *model = Some(Model { scale, shape });
                }
            }
        }
        Some(Self {
            weights,
            schemes,
            passed,
            length,
            state,
        })
    }
}

/// Bytes, and the bits used of the last one (0: all).
struct Writer(Vec<u8>, u32);

impl Writer {
    fn put(&mut self, value: u64, count: u32) {
        for i in (0..count).rev() {
            if self.1 == 0 {
                self.0.push(0);
            }
            if let Some(last) = self.0.last_mut() {
                *last |= ((value >> i & 1) as u8) << (7 - self.1);
            }
            self.1 = (self.1 + 1) % 8;
        }
    }
}

/// Bytes, and the bits taken.
struct Reader<'a>(&'a [u8], usize);

impl Reader<'_> {
    fn take(&mut self, count: u32) -> Option<u64> {
        let mut value = 0;
        for _ in 0..count {
            let byte = self.0.get(self.1 / 8)?;
            value = value << 1 | u64::from(byte >> (7 - self.1 % 8) & 1);
            self.1 += 1;
        }
        Some(value)
    }

    fn rest_is_zero(&mut self) -> bool {
        while let Some(bit) = self.take(1) {
            if bit != 0 {
                return false;
            }
        }
        true
    }
}
