//! A payload with its parameters inside the plane.

use super::{EmbedError, ExtractError, Frozen, Parameters, embed, extract};
use crate::Plane;

/// How the low bits of the samples that hold the parameters were.
const ALL_ZERO: u8 = 0;
const ALL_ONE: u8 = 1;
const MIXED: u8 = 2;

/// Hides a payload so that the plane alone gives it back.
///
/// The parameters go into the low bits of the first [`Parameters::MAX_BYTES`] × 8 samples; what
/// was in them travels with the payload.
pub fn embed_alone(plane: &mut Plane, payload: &[u8]) -> Result<(), EmbedError> {
    let count = 8 * Parameters::MAX_BYTES;
    if plane.samples().len() < count {
        return Err(EmbedError::Capacity {
            needed: payload.len(),
            available: 0,
        });
    }
    let frozen = Frozen::of(plane, 0..count);
    let bits: Vec<u8> = plane.samples()[..count]
        .iter()
        .map(|v| (v & 1) as u8)
        .collect();
    let kind = match bits.iter().map(|bit| usize::from(*bit)).sum::<usize>() {
        0 => ALL_ZERO,
        sum if sum == count => ALL_ONE,
        _ => MIXED,
    };
    let mut all = payload.to_vec();
    if kind == MIXED {
        all.extend(
            bits.chunks(8)
                .map(|byte| byte.iter().fold(0, |all, bit| all << 1 | bit)),
        );
    }
    all.push(kind);
    let mut bytes = embed(plane, &frozen, &all)?.to_bytes();
    bytes.resize(Parameters::MAX_BYTES, 0);
    for (i, sample) in plane.samples_mut()[..count].iter_mut().enumerate() {
        *sample = *sample & !1 | u16::from(bytes[i / 8] >> (7 - i % 8) & 1);
    }
    Ok(())
}

/// Takes out what [`embed_alone`] hid and restores the plane. On an error it stays as it was.
pub fn extract_alone(plane: &mut Plane) -> Result<Vec<u8>, ExtractError> {
    let count = 8 * Parameters::MAX_BYTES;
    let head = plane.samples().get(..count).ok_or(ExtractError::Altered)?;
    let bytes: Vec<u8> = head
        .chunks(8)
        .map(|byte| {
            byte.iter()
                .fold(0, |all, sample| all << 1 | (sample & 1) as u8)
        })
        .collect();
    let parameters = Parameters::from_bytes(&bytes).map_err(ExtractError::Parameters)?;
    let frozen = Frozen::of(plane, 0..count);
    let mut restored = plane.clone();
    let mut payload = extract(&mut restored, &frozen, &parameters)?;
    let bits = match payload.pop() {
        Some(ALL_ZERO) => vec![0; Parameters::MAX_BYTES],
        Some(ALL_ONE) => vec![0xFF; Parameters::MAX_BYTES],
        Some(MIXED) => {
            let rest = payload.len().checked_sub(Parameters::MAX_BYTES);
            payload.split_off(rest.ok_or(ExtractError::Altered)?)
        }
        _ => return Err(ExtractError::Altered),
    };
    for (i, sample) in restored.samples_mut()[..count].iter_mut().enumerate() {
        *sample = *sample & !1 | u16::from(bits[i / 8] >> (7 - i % 8) & 1);
    }
    *plane = restored;
    Ok(payload)
}
