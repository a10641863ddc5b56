//! Files with native pixels for tests, of any form.

use dicom_core::VR;

use crate::dicom::testing::element;
use crate::dicom::{part10, uid};

/// What a file says of its pixels.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) rows: u16,
    pub(crate) columns: u16,
    pub(crate) samples: u16,
    pub(crate) planar: u16,
    pub(crate) frames: u16,
    pub(crate) allocated: u16,
    pub(crate) stored: u16,
    pub(crate) signed: bool,
    pub(crate) value: Vec<u8>,
    pub(crate) before: Vec<u8>,
    pub(crate) after: Vec<u8>,
}

impl Form {
    pub(crate) fn small() -> Self {
        Self {
            rows: 2,
            columns: 3,
            samples: 1,
            planar: 0,
            frames: 1,
            allocated: 16,
            stored: 12,
            signed: false,
            value: vec![1; 12],
            before: Vec::new(),
            after: Vec::new(),
        }
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        let us = |e, v: u16| element(0x0028, e, VR::US, &v.to_le_bytes());
        [
            part10::meta("1.2.3", "1.2.3.4", uid::EXPLICIT_LE),
            element(0x0008, 0x0018, VR::UI, b"1.2.3.4"),
            element(0x0008, 0x0060, VR::CS, b"MR"),
            element(0x0009, 0x0010, VR::LO, b"PRIVATE"),
            us(0x0002, self.samples),
            element(0x0028, 0x0004, VR::CS, b"MONOCHROME2"),
            us(0x0006, self.planar),
            element(0x0028, 0x0008, VR::IS, self.frames.to_string().as_bytes()),
            us(0x0010, self.rows),
            us(0x0011, self.columns),
            us(0x0100, self.allocated),
            us(0x0101, self.stored),
            us(0x0102, self.stored.wrapping_sub(1)),
            us(0x0103, self.signed.into()),
            element(0x0028, 0x1050, VR::DS, b"40\\50"),
            element(0x0028, 0x1051, VR::DS, b"400\\500"),
            self.before.clone(),
            element(0x7FE0, 0x0010, VR::OW, &self.value),
            self.after.clone(),
        ]
        .concat()
    }
}

/// A picture that looks as if it were taken: a slope, an edge, and little noise; `bits` each.
pub(crate) fn scene(width: usize, height: usize, bits: u32, seed: u32) -> Vec<u16> {
    let mut state = seed | 1;
    let top = (1u32 << bits) - 1;
    let pixel = |i: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        let (x, y) = ((i % width) as u32, (i / width) as u32);
        let inside = (x / 3 + y / 2) % 29 > 3;
        let noise = (state >> 16) % 5;
        let slope = (x * 2 + y) * top / (6 * (width + height) as u32);
        (if inside {
            top / 3 + slope + noise
        } else {
            noise / 3
        }) as u16
    };
    (0..width * height).map(pixel).collect()
}
