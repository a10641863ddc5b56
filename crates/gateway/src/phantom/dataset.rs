//! The data set around the pixels (PS3.3 A.3.3: the modules of the CT Image IOD).

use dicom_core::{Tag, VR};

use super::{Identity, Plan, SOP_CLASS};
use crate::dicom::uid;

/// Field of view in millimetres.
const FIELD_MM: f64 = 380.0;

/// Every element before the pixel data, in the order of tags.
pub(super) fn write(out: &mut Vec<u8>, plan: &Plan, identity: &Identity, slice: u32) {
    let mut text =
        |group, element, vr: VR, value: &str| put(out, Tag(group, element), vr, value.as_bytes());
    let instance = &identity.sop_instance_uids[slice as usize];
    let pixel_mm = FIELD_MM / f64::from(plan.size);
    let corner = -FIELD_MM / 2.0 + pixel_mm / 2.0;
    let z = f64::from(slice) * plan.spacing_mm - f64::from(plan.slices) * plan.spacing_mm / 2.0;
    text(0x0008, 0x0005, VR::CS, "ISO_IR 100");
    text(0x0008, 0x0008, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL");
    text(0x0008, 0x0016, VR::UI, SOP_CLASS);
    text(0x0008, 0x0018, VR::UI, instance);
    text(0x0008, 0x0020, VR::DA, &plan.study_date);
    text(0x0008, 0x0021, VR::DA, &plan.study_date);
    text(0x0008, 0x0022, VR::DA, &plan.study_date);
    text(0x0008, 0x0023, VR::DA, &plan.study_date);
    text(0x0008, 0x0030, VR::TM, "101500");
    text(0x0008, 0x0031, VR::TM, "101530");
    text(0x0008, 0x0032, VR::TM, "101600");
    text(0x0008, 0x0033, VR::TM, "101601");
    text(
        0x0008,
        0x0050,
        VR::SH,
        &format!("ACC{:.12}", digits(&identity.study_instance_uid)),
    );
    text(0x0008, 0x0060, VR::CS, "CT");
    text(0x0008, 0x0070, VR::LO, "Harpocrates");
    text(0x0008, 0x0090, VR::PN, "REFERRER^SYNTHETIC");
    text(0x0008, 0x1030, VR::LO, &plan.description);
    text(0x0008, 0x103E, VR::LO, "Chest axial");
    text(0x0008, 0x1090, VR::LO, "Ellipse phantom");
    text(
        0x0010,
        0x0010,
        VR::PN,
        plan.patient_name.trim_end_matches('^'),
    );
    text(0x0010, 0x0020, VR::LO, &plan.patient_id);
    text(0x0010, 0x0030, VR::DA, "19700101");
    text(0x0010, 0x0040, VR::CS, "O");
    text(0x0018, 0x0015, VR::CS, "CHEST");
    text(0x0018, 0x0050, VR::DS, &decimal(plan.spacing_mm));
    text(0x0018, 0x0060, VR::DS, "120");
    text(0x0018, 0x1020, VR::LO, env!("CARGO_PKG_VERSION"));
    text(0x0018, 0x1100, VR::DS, &decimal(FIELD_MM));
    text(0x0018, 0x5100, VR::CS, "HFS");
    text(0x0020, 0x000D, VR::UI, &identity.study_instance_uid);
    text(0x0020, 0x000E, VR::UI, &identity.series_instance_uid);
    text(0x0020, 0x0010, VR::SH, "1");
    text(0x0020, 0x0011, VR::IS, "1");
    text(0x0020, 0x0012, VR::IS, "1");
    text(0x0020, 0x0013, VR::IS, &(slice + 1).to_string());
    text(
        0x0020,
        0x0032,
        VR::DS,
        &[corner, corner, z].map(decimal).join("\\"),
    );
    text(0x0020, 0x0037, VR::DS, "1\\0\\0\\0\\1\\0");
    text(0x0020, 0x0052, VR::UI, &identity.frame_of_reference_uid);
    text(0x0020, 0x1040, VR::LO, "");
    text(0x0020, 0x1041, VR::DS, &decimal(z));
    number(out, 0x0002, 1); // Samples per Pixel
    put(out, Tag(0x0028, 0x0004), VR::CS, b"MONOCHROME2");
    number(out, 0x0010, plan.size); // Rows
    number(out, 0x0011, plan.size); // Columns
    put(
        out,
        Tag(0x0028, 0x0030),
        VR::DS,
        [pixel_mm; 2].map(decimal).join("\\").as_bytes(),
    );
    number(out, 0x0100, 16); // Bits Allocated
    number(out, 0x0101, 12); // Bits Stored
    number(out, 0x0102, 11); // High Bit
    number(out, 0x0103, 0); // Pixel Representation
    put(out, Tag(0x0028, 0x1050), VR::DS, b"40");
    put(out, Tag(0x0028, 0x1051), VR::DS, b"400");
    put(out, Tag(0x0028, 0x1052), VR::DS, b"-1024");
    put(out, Tag(0x0028, 0x1053), VR::DS, b"1");
    put(out, Tag(0x0028, 0x1054), VR::LO, b"HU");
}

/// Pixel Data (7FE0,0010).
pub(super) fn pixels(out: &mut Vec<u8>, pixels: &[u16]) {
    let bytes: Vec<u8> = pixels.iter().flat_map(|p| p.to_le_bytes()).collect();
    put(out, Tag(0x7FE0, 0x0010), VR::OW, &bytes);
}

fn number(out: &mut Vec<u8>, element: u16, value: u16) {
    put(out, Tag(0x0028, element), VR::US, &value.to_le_bytes());
}

fn put(out: &mut Vec<u8>, tag: Tag, vr: VR, value: &[u8]) {
    let padded = value.len() + value.len() % 2;
    out.extend_from_slice(&tag.group().to_le_bytes());
    out.extend_from_slice(&tag.element().to_le_bytes());
    out.extend_from_slice(vr.to_string().as_bytes());
    if vr == VR::OW {
        out.extend_from_slice(&[0, 0]);
        // At most 65535 x 65535 x 2 bytes would not fit; a plan that large is refused by memory.
        out.extend_from_slice(&u32::try_from(padded).unwrap_or(u32::MAX).to_le_bytes());
    } else {
        out.extend_from_slice(&u16::try_from(padded).unwrap_or(u16::MAX).to_le_bytes());
    }
    out.extend_from_slice(value);
    if padded > value.len() {
        out.push(if vr == VR::UI { 0 } else { b' ' });
    }
}

/// A decimal string, at most 16 characters.
fn decimal(value: f64) -> String {
    let text = format!("{value:.6}");
    text.trim_end_matches('0')
        .trim_end_matches('.')
        .chars()
        .take(16)
        .collect()
}

/// The last digits of a UID: an accession number that differs between studies.
fn digits(uid: &str) -> &str {
    debug_assert!(uid::is_valid(uid));
    &uid[uid.len().saturating_sub(12)..]
}
