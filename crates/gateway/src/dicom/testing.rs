//! Small data sets for tests, written by hand so that they can be wrong on purpose.

use dicom_core::VR;

use super::{part10, uid};

/// Explicit VR Little Endian.
pub(crate) fn element(group: u16, element: u16, vr: VR, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    if value.len() % 2 == 1 {
        value.push(if vr == VR::UI { 0 } else { b' ' });
    }
    let mut out = tag(group, element);
    out.extend_from_slice(vr.to_string().as_bytes());
    if matches!(vr, VR::OB | VR::OW | VR::SQ | VR::UN | VR::UT) {
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    } else {
        out.extend_from_slice(&(value.len() as u16).to_le_bytes());
    }
    out.extend_from_slice(&value);
    out
}

/// Implicit VR Little Endian.
pub(crate) fn implicit(group: u16, element: u16, value: &[u8]) -> Vec<u8> {
    let mut value = value.to_vec();
    value.resize(value.len() + value.len() % 2, b' ');
    let mut out = tag(group, element);
    out.extend_from_slice(&(value.len() as u32).to_le_bytes());
    out.extend_from_slice(&value);
    out
}

pub(crate) fn tag(group: u16, element: u16) -> Vec<u8> {
    [group.to_le_bytes(), element.to_le_bytes()].concat()
}

/// A sequence or item head, or a delimiter.
pub(crate) fn head(group: u16, element: u16, length: u32) -> Vec<u8> {
    [tag(group, element), length.to_le_bytes().to_vec()].concat()
}

/// What tests change about an instance.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    pub(crate) study: String,
    pub(crate) series: String,
    pub(crate) instance: String,
    pub(crate) patient: String,
    pub(crate) number: u32,
    pub(crate) pixels: Vec<u8>,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            study: "1.2.3.1".into(),
            series: "1.2.3.2".into(),
            instance: "1.2.3.3".into(),
            patient: "P1".into(),
            number: 1,
            pixels: vec![7; 32],
        }
    }
}

impl Sample {
    /// The data set in Explicit VR Little Endian: 4 x 4 pixels of 16 bits.
    pub(crate) fn dataset(&self) -> Vec<u8> {
        [
            element(0x0008, 0x0005, VR::CS, b"ISO_IR 100"),
            element(0x0008, 0x0016, VR::UI, b"1.2.840.10008.5.1.4.1.1.2"),
            element(0x0008, 0x0018, VR::UI, self.instance.as_bytes()),
            element(0x0008, 0x0020, VR::DA, b"20260102"),
            element(0x0008, 0x0060, VR::CS, b"CT"),
            element(0x0010, 0x0010, VR::PN, b"M\xFCller^Eva"),
            element(0x0010, 0x0020, VR::LO, self.patient.as_bytes()),
            element(0x0020, 0x000D, VR::UI, self.study.as_bytes()),
            element(0x0020, 0x000E, VR::UI, self.series.as_bytes()),
            element(0x0020, 0x0013, VR::IS, self.number.to_string().as_bytes()),
            element(0x0028, 0x0002, VR::US, &1u16.to_le_bytes()),
            element(0x0028, 0x0010, VR::US, &4u16.to_le_bytes()),
            element(0x0028, 0x0011, VR::US, &4u16.to_le_bytes()),
            element(0x0028, 0x0100, VR::US, &16u16.to_le_bytes()),
            element(0x7FE0, 0x0010, VR::OW, &self.pixels),
        ]
        .concat()
    }

    pub(crate) fn meta(&self) -> Vec<u8> {
        part10::meta(
            "1.2.840.10008.5.1.4.1.1.2",
            &self.instance,
            uid::EXPLICIT_LE,
        )
    }

    pub(crate) fn file(&self) -> Vec<u8> {
        [self.meta(), self.dataset()].concat()
    }
}
