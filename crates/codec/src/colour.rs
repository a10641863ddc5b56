//! Three planes of one picture.

use crate::{DecodeError, EncodeError, Shape, VERSION, decode, encode, encoder::check};

/// How the planes that are coded follow from those that were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
enum Transform {
    /// They are the same.
    None = 0,
    /// The second; then the first and the third, less the second, and half the range so that small differences
    /// lie in the middle; modulo 2^depth.
    Differences = 1,
}

/// Appends the coding of three planes of one shape to `out`.
pub fn encode_colour(
    planes: [&[u16]; 3],
    shape: Shape,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    for plane in planes {
        check(plane, shape)?;
    }
    let transform = choose(planes, shape);
    out.extend([VERSION, transform as u8]);
    match transform {
        Transform::None => planes.iter().try_for_each(|plane| sized(plane, shape, out)),
        Transform::Differences => {
            let [first, second, third] = planes;
            sized(second, shape, out)?;
            for plane in [first, third] {
                let less: Vec<u16> = plane
                    .iter()
                    .zip(second)
                    .map(|(&sample, &base)| difference(sample, base, shape))
                    .collect();
                sized(&less, shape, out)?;
            }
            Ok(())
        }
    }
}

/// Reads three planes of a known shape from exactly these bytes.
pub fn decode_colour(bytes: &[u8], shape: Shape) -> Result<[Vec<u16>; 3], DecodeError> {
    let (&[version, transform], mut rest) = bytes.split_first_chunk().ok_or(DecodeError::Short)?;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let mut next = || {
        let (size, behind) = rest.split_first_chunk().ok_or(DecodeError::Short)?;
        let size = u32::from_le_bytes(*size) as usize;
        let (plane, behind) = behind.split_at_checked(size).ok_or(DecodeError::Short)?;
        rest = behind;
        decode(plane, shape)
    };
    let planes = [next()?, next()?, next()?];
    if !rest.is_empty() {
        return Err(DecodeError::Damaged);
    }
    if transform == Transform::None as u8 {
        Ok(planes)
    } else if transform == Transform::Differences as u8 {
        let [second, mut first, mut third] = planes;
        for plane in [&mut first, &mut third] {
            for (sample, &base) in plane.iter_mut().zip(&second) {
                *sample = sample.wrapping_add(base).wrapping_sub(half(shape)) & shape.max();
            }
        }
        Ok([first, second, third])
    } else {
        Err(DecodeError::Parameter("transform"))
    }
}

/// A plane's coding behind its size, four bytes, low byte first.
fn sized(plane: &[u16], shape: Shape, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let at = out.len();
    out.extend([0; 4]);
    encode(plane, shape, out)?;
    let size = (out.len() - at - 4) as u32;
    out[at..at + 4].copy_from_slice(&size.to_le_bytes());
    Ok(())
}

/// Half the range.
fn half(shape: Shape) -> u16 {
    1 << (shape.depth() - 1)
}

#[inline(always)]
fn difference(sample: u16, base: u16, shape: Shape) -> u16 {
    sample.wrapping_sub(base).wrapping_add(half(shape)) & shape.max()
}

/// Differences, where they change less from sample to sample than the planes do.
fn choose(planes: [&[u16]; 3], shape: Shape) -> Transform {
    let [first, second, third] = planes;
    let (mut apart, mut less) = (0u64, 0u64);
    let step = |from: u16, to: u16| u64::from(u16::BITS - from.abs_diff(to).leading_zeros());
    for (row, ((a, base), c)) in first
        .chunks_exact(shape.width())
        .zip(second.chunks_exact(shape.width()))
        .zip(third.chunks_exact(shape.width()))
        .enumerate()
    {
        if row % 8 > 0 {
            continue;
        }
        for plane in [a, c] {
            for x in 1..shape.width() {
                let differences = [x - 1, x].map(|x| difference(plane[x], base[x], shape));
                apart += step(plane[x - 1], plane[x]);
                less += step(differences[0], differences[1]);
            }
        }
    }
    if less < apart {
        Transform::Differences
    } else {
        Transform::None
    }
}
