//! What extraction must be told, and its wire form.

use super::coding::Scheme;
use super::model::{MAX_REACH, Model, SCALES, SHAPES};
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
    pub const MAX_BYTES: usize = 72;

    /// Writes them: version, then fields of whole bits, the first bit of a byte its highest.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bits = Writer::default();
        bits.put(u64::from(VERSION), 8);
        bits.put(self.state, 64);
        bits.put(u64::from(self.length), 32);
        bits.put(u64::from(self.passed), 32);
        for weight in [self.weights.beside, self.weights.wide, self.weights.tall] {
            bits.put((weight + Weights::LIMIT) as u64, 12);
        }
        let [even, odd] = &self.schemes;
        write_scheme(&mut bits, even, None);
        write_scheme(&mut bits, odd, Some(even));
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
        let even = read_scheme(bits, None)?;
        let odd = read_scheme(bits, Some(&even))?;
        let schemes = [even, odd];
        Some(Self {
            weights,
            schemes,
            passed,
            length,
            state,
        })
    }
}

/// Bits that are left for the two schemes.
pub(super) const SCHEME_BITS: usize = 8 * Parameters::MAX_BYTES - (8 + 64 + 32 + 32 + 36);

/// Bits that a scheme takes; that of the odd colour is told by its difference from the other.
pub(super) fn scheme_bits(scheme: &Scheme, even: Option<&Scheme>) -> usize {
    let mut bits = Writer::default();
    write_scheme(&mut bits, scheme, even);
    bits.1
}

/// How many classes follow, the slope, and for each class a bit and maybe its model.
fn write_scheme(bits: &mut Writer, scheme: &Scheme, even: Option<&Scheme>) {
    let last = scheme.models.iter().rposition(Option::is_some);
    let count = last.map_or(0, |last| last + 1);
    bits.put(count as u64, 6);
    if count == 0 {
        return;
    }
    bits.put(u64::from(scheme.slope), 8);
    let mut guess = Guess::new(even);
    for (class, model) in scheme.models.iter().enumerate().take(count) {
        bits.put(u64::from(model.is_some()), 1);
        if let Some(model) = model {
            let (like, rice) = guess.of(class);
            bits.put_signed(i32::from(model.scale) - i32::from(like.scale), rice);
            bits.put_signed(i32::from(model.shape) - i32::from(like.shape), 0);
            guess.before = Some((class, *model));
        }
    }
}

fn read_scheme(bits: &mut Reader<'_>, even: Option<&Scheme>) -> Option<Scheme> {
    let mut scheme = Scheme::IDLE;
    let count = bits.take(6)? as usize;
    if count == 0 {
        return Some(scheme);
    }
    scheme.slope = bits.take(8)? as u8;
    if usize::from(scheme.slope) >= SLOPES || count > CLASSES {
        return None;
    }
    let mut guess = Guess::new(even);
    for class in 0..count {
        if bits.take(1)? == 1 {
            let (like, rice) = guess.of(class);
            let scale = i32::from(like.scale) + bits.take_signed(rice)?;
            let shape = i32::from(like.shape) + bits.take_signed(0)?;
            let model = Model {
                scale: u8::try_from(scale)
                    .ok()
                    .filter(|s| usize::from(*s) < SCALES)?,
                shape: u8::try_from(shape)
                    .ok()
                    .filter(|s| usize::from(*s) < SHAPES)?,
            };
            if model.reach() > MAX_REACH {
                return None;
            }
            scheme.models[class] = Some(model);
            guess.before = Some((class, model));
        }
    }
    // The last class that is listed is used, or it would not be listed.
    scheme.models[count - 1].map(|_| scheme)
}

/// What a model is likely to be.
struct Guess<'a> {
    even: Option<&'a Scheme>,
    before: Option<(usize, Model)>,
}

impl<'a> Guess<'a> {
    fn new(even: Option<&'a Scheme>) -> Self {
        Self { even, before: None }
    }

    /// As far from the same class of the other colour as the class before, or else half an octave
    /// a class above the one before; and how many low bits of the difference are written as they
    /// are.
    fn of(&self, class: usize) -> (Model, u32) {
        let of_even = |class: usize| self.even.and_then(|even| even.models[class]);
        let (scale, shape, low) = match (of_even(class), self.before) {
            (Some(model), before) => {
                let shift = before.and_then(|(class, before)| {
                    let even = of_even(class)?;
                    Some(i32::from(before.scale) - i32::from(even.scale))
                });
                (i32::from(model.scale) + shift.unwrap_or(0), model.shape, 1)
            }
            (None, Some((before, model))) => {
                let scale = i32::from(model.scale) + 4 * (class - before) as i32;
                (scale, model.shape, 2)
            }
            (None, None) => (12, 3, 2),
        };
        let scale = scale.clamp(0, SCALES as i32 - 1) as u8;
        (Model { scale, shape }, low)
    }
}

/// Bytes, and how many bits of them are used.
#[derive(Default)]
struct Writer(Vec<u8>, usize);

impl Writer {
    fn put(&mut self, value: u64, count: u32) {
        for i in (0..count).rev() {
            if self.1.is_multiple_of(8) {
                self.0.push(0);
            }
            if let Some(last) = self.0.last_mut() {
                *last |= ((value >> i & 1) as u8) << (7 - self.1 % 8);
            }
            self.1 += 1;
        }
    }

    /// Rice's code of 0, −1, 1, −2, 2 …: the high part as ones and a zero, then the low bits.
    fn put_signed(&mut self, value: i32, low: u32) {
        let folded = (value << 1 ^ value >> 31) as u32;
        for _ in 0..folded >> low {
            self.put(1, 1);
        }
        self.put(0, 1);
        self.put(u64::from(folded), low);
    }
}

/// Bytes, and how many bits of them were taken.
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

    fn take_signed(&mut self, low: u32) -> Option<i32> {
        let mut high = 0u32;
        while self.take(1)? == 1 {
            high += 1;
        }
        let folded = high.checked_mul(1 << low)? + self.take(low)? as u32;
        Some((folded >> 1) as i32 ^ -((folded & 1) as i32))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn models_too_wide_to_work_with_are_refused() {
        let mut schemes = [Scheme::IDLE; 2];
        let weights = Weights::RHOMBUS;
        for (scale, right) in [(96, true), (127, false)] {
            schemes[0].models[31] = Some(Model { scale, shape: 3 });
            let (passed, length, state) = (0, 0, 1 << 32);
            let parameters = Parameters {
                weights,
                schemes,
                passed,
                length,
                state,
            };
            let read = Parameters::from_bytes(&parameters.to_bytes());
            assert_eq!(read.is_ok(), right);
        }
    }

    fn scheme() -> impl Strategy<Value = Scheme> {
        let model = (0..SCALES as u8, 0..SHAPES as u8)
            .prop_map(|(scale, shape)| Model { scale, shape })
            .prop_filter("too wide", |model| model.reach() <= MAX_REACH);
        let models = proptest::collection::vec(proptest::option::weighted(0.2, model), CLASSES);
        (0..SLOPES as u8, models).prop_map(|(slope, models)| {
            let mut scheme = Scheme::IDLE;
            scheme.models.copy_from_slice(&models);
            if scheme.models.iter().any(Option::is_some) {
                scheme.slope = slope;
            }
            scheme
        })
    }

    proptest! {
        #[test]
        fn the_wire_form_is_read_as_it_was_written(
            schemes in [scheme(), scheme()],
            weights in [-1024i16..=1024, -1024i16..=1024, -1024i16..=1024],
            (passed, length, state) in any::<(u32, u32, u64)>(),
        ) {
            let [beside, wide, tall] = weights;
            let weights = Weights { beside, wide, tall };
            let parameters = Parameters { weights, schemes, passed, length, state };
            let mut bytes = parameters.to_bytes();
            prop_assert_eq!(&Parameters::from_bytes(&bytes), &Ok(parameters.clone()));
            bytes.push(0);
            prop_assert_eq!(Parameters::from_bytes(&bytes), Ok(parameters));
            bytes.push(1);
            prop_assert_eq!(Parameters::from_bytes(&bytes), Err(ParametersError::Damaged));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            if let Ok(parameters) = Parameters::from_bytes(&bytes) {
                let again = Parameters::from_bytes(&parameters.to_bytes());
                prop_assert_eq!(again, Ok(parameters));
            }
        }
    }

    #[test]
    fn other_versions_are_refused() {
        assert_eq!(
            Parameters::from_bytes(&[2, 0]),
            Err(ParametersError::Version(2))
        );
        assert_eq!(Parameters::from_bytes(&[]), Err(ParametersError::Damaged));
    }
}
