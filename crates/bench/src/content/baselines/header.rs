//! Where every baseline keeps what its decoder needs: low bits of the first samples of the image.

use harpo_watermark::Plane;

/// Samples that a scheme works on.
#[derive(Clone)]
pub(super) struct Image {
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) max: i32,
    depth: u32,
    pub(super) samples: Vec<u16>,
}

impl Image {
    pub(super) fn of(plane: &Plane) -> Self {
        Image {
            width: plane.width(),
            height: plane.height(),
            max: i32::from(plane.max()),
            depth: plane.depth(),
            samples: plane.samples().to_vec(),
        }
    }

    pub(super) fn into_plane(self) -> Option<Plane> {
        Plane::new(self.width, self.height, self.depth, self.samples).ok()
    }

    pub(super) fn at(&self, index: usize) -> i32 {
        i32::from(self.samples[index])
    }

    /// Low bits of the first `count` samples, which are cleared.
    pub(super) fn take_low_bits(&mut self, count: usize) -> Vec<bool> {
        self.samples[..count]
            .iter_mut()
            .map(|sample| {
                let bit = *sample & 1 == 1;
                *sample &= !1;
                bit
            })
            .collect()
    }

    /// Writes low bits of the first samples.
    pub(super) fn put_low_bits(&mut self, bits: &[bool]) {
        for (sample, bit) in self.samples.iter_mut().zip(bits) {
            *sample = *sample & !1 | u16::from(*bit);
        }
    }
}

/// Appends the low `width` bits of `value`, the highest first.
pub(super) fn push(bits: &mut Vec<bool>, value: u64, width: u32) {
    bits.extend((0..width).rev().map(|place| value >> place & 1 == 1));
}

/// Reads what [`push`] wrote.
pub(super) struct Reader<I>(I);

impl<I: Iterator<Item = bool>> Reader<I> {
    pub(super) fn new(bits: I) -> Self {
        Reader(bits)
    }

    /// The next `width` bits; `None` at the end.
    pub(super) fn take(&mut self, width: u32) -> Option<u64> {
        (0..width).try_fold(0, |value, _| Some(value << 1 | u64::from(self.0.next()?)))
    }
}

/// Low bits of all samples, as a reader.
pub(super) fn low_bits(image: &Image) -> Reader<impl Iterator<Item = bool> + '_> {
    Reader::new(image.samples.iter().map(|sample| sample & 1 == 1))
}
