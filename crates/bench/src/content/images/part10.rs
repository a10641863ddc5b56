//! Synthetic planes as DICOM files: Explicit VR Little Endian, as plain as a file can be.

use harpo_gateway::dicom::{part10, uid};
use harpo_watermark::Plane;

use super::Modality;

/// One instance of a study of its modality. `number` tells the instances apart.
pub(crate) fn file(modality: Modality, number: usize, planes: &[Plane]) -> Option<Vec<u8>> {
    let first = planes.first()?;
    let (code, class) = kind(modality);
    let instance = format!("2.25.{}.{number}", class.len() * 1000 + modality as usize);
    let mut out = part10::meta(class, &instance, uid::EXPLICIT_LE);
    let mut text = |group, element, vr: &[u8; 2], value: &str| {
        put(&mut out, group, element, vr, value.as_bytes());
    };
    text(0x0008, 0x0016, b"UI", class);
    text(0x0008, 0x0018, b"UI", &instance);
    text(0x0008, 0x0020, b"DA", "20260105");
    text(0x0008, 0x0060, b"CS", code);
    text(0x0008, 0x0070, b"LO", "Harpocrates");
    text(0x0008, 0x1030, b"LO", "Synthetic images");
    text(0x0010, 0x0010, b"PN", "PHANTOM^SYNTHETIC");
    text(0x0010, 0x0020, b"LO", "SYNTH-0001");
    text(
        0x0020,
        0x000D,
        b"UI",
        &format!("2.25.1{}", modality as usize),
    );
    text(
        0x0020,
        0x000E,
        b"UI",
        &format!("2.25.2{}", modality as usize),
    );
    text(0x0020, 0x0013, b"IS", &number.to_string());
    let colour = planes.len() == 3;
    let mut number = |element, value: usize| {
        put(
            &mut out,
            0x0028,
            element,
            b"US",
            &(value as u16).to_le_bytes(),
        );
    };
    number(0x0002, planes.len());
    text_at(&mut out, if colour { "RGB" } else { "MONOCHROME2" });
    let mut number = |element, value: usize| {
        put(
            &mut out,
            0x0028,
            element,
            b"US",
            &(value as u16).to_le_bytes(),
        );
    };
    if colour {
        number(0x0006, 0);
    }
    number(0x0010, first.height());
    number(0x0011, first.width());
    let stored = first.depth() as usize;
    number(0x0100, if stored > 8 { 16 } else { 8 });
    number(0x0101, stored);
    number(0x0102, stored - 1);
    number(0x0103, 0);
    pixels(&mut out, planes);
    Some(out)
}

fn text_at(out: &mut Vec<u8>, photometric: &str) {
    put(out, 0x0028, 0x0004, b"CS", photometric.as_bytes());
}

/// Modality and SOP class.
fn kind(modality: Modality) -> (&'static str, &'static str) {
    match modality {
        Modality::Ct => ("CT", "1.2.840.10008.5.1.4.1.1.2"),
        Modality::Mr => ("MR", "1.2.840.10008.5.1.4.1.1.4"),
        Modality::Us => ("US", "1.2.840.10008.5.1.4.1.1.6.1"),
        Modality::Radiograph => ("DX", "1.2.840.10008.5.1.4.1.1.1.1"),
        Modality::Other => ("XC", "1.2.840.10008.5.1.4.1.1.77.1.4"),
    }
}

/// An element of a short form (PS3.5 7.1.2), its value padded to an even length.
fn put(out: &mut Vec<u8>, group: u16, element: u16, vr: &[u8; 2], value: &[u8]) {
    let odd = value.len() % 2;
    out.extend(group.to_le_bytes());
    out.extend(element.to_le_bytes());
    out.extend(vr);
    out.extend(((value.len() + odd) as u16).to_le_bytes());
    out.extend(value);
    if odd == 1 {
        out.push(if vr == b"UI" { 0 } else { b' ' });
    }
}

/// Pixel Data, colours of a pixel side by side.
fn pixels(out: &mut Vec<u8>, planes: &[Plane]) {
    let wide = planes.iter().any(|plane| plane.depth() > 8);
    let size = planes.first().map_or(0, |plane| plane.samples().len());
    let bytes = size * planes.len() * if wide { 2 } else { 1 };
    out.extend(b"\xe0\x7f\x10\x00");
    out.extend(if wide { b"OW\0\0" } else { b"OB\0\0" });
    out.extend(((bytes + bytes % 2) as u32).to_le_bytes());
    for pixel in 0..size {
        for plane in planes {
            let sample = plane.samples()[pixel].to_le_bytes();
            out.extend(&sample[..if wide { 2 } else { 1 }]);
        }
    }
    if bytes % 2 == 1 {
        out.push(0);
    }
}
