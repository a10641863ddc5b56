//! Codings of planes (docs/plane-coding.md 1).

use harpo_codec::{Shape, decode, decode_colour, encode, encode_colour};

use crate::Outcome;

/// Sides of the planes that inputs are read as are at most this, so that an input takes no time.
const MOST_SIDE: usize = 96;

/// A plane's coding, three planes', or samples, as the fourth byte says; before it width, height and depth.
pub fn plane(data: &[u8]) -> Outcome {
    let Some((&[width, height, depth, kind], rest)) = data.split_first_chunk() else {
        return Outcome::Refused;
    };
    let side = |byte: u8| usize::from(byte) % MOST_SIDE + 1;
    let shape = Shape::new(side(width), side(height), u32::from(depth) % 16 + 1).unwrap();
    match kind % 3 {
        0 => {
            let read = decode(rest, shape);
            if let Ok(samples) = &read {
                assert_eq!(&again(samples, shape), samples);
            }
            Outcome::of(&read)
        }
        1 => {
            let read = decode_colour(rest, shape);
            if let Ok(planes) = &read {
                let mut bytes = Vec::new();
                encode_colour([&planes[0], &planes[1], &planes[2]], shape, &mut bytes).unwrap();
                assert_eq!(decode_colour(&bytes, shape).as_ref(), Ok(planes));
            }
            Outcome::of(&read)
        }
        _ => {
            // The input over and over, so that small inputs have repetitions.
            let bytes = rest.iter().cycle().copied();
            let pairs = bytes.clone().zip(bytes.skip(1));
            let samples: Vec<u16> = pairs
                .map(|(low, high)| u16::from_le_bytes([low, high]) & shape.max())
                .take(shape.samples())
                .collect();
            if samples.len() < shape.samples() {
                return Outcome::Refused;
            }
            assert_eq!(again(&samples, shape), samples);
            Outcome::Accepted
        }
    }
}

/// Writes samples, within the bound that is promised, and reads them.
fn again(samples: &[u16], shape: Shape) -> Vec<u16> {
    let mut bytes = Vec::new();
    encode(samples, shape, &mut bytes).unwrap();
    let plain = samples.len() * if shape.depth() <= 8 { 1 } else { 2 };
    assert!(bytes.len() <= plain + harpo_codec::OVERHEAD);
    decode(&bytes, shape).unwrap()
}

/// A soft plane with an edge, flat ground and a little noise.
fn picture(shape: Shape, tint: usize) -> Vec<u16> {
    let row = shape.width();
    (0..shape.samples())
        .map(|i| {
            let (x, y) = (i % row, i / row);
            let noise = ((i * i * 7919) >> 5) & 3;
            let sample = if x + y < 20 {
                tint
            } else {
                x * y / 8 + noise + tint * (x > y) as usize
            };
            (sample % (usize::from(shape.max()) + 1)) as u16
        })
        .collect()
}

/// Where fuzzing begins.
pub(crate) fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for (name, width, height, depth) in [
        ("grey", 64, 50, 12),
        ("deep", 33, 41, 16),
        ("shallow", 47, 30, 8),
    ] {
        let shape = Shape::new(width, height, depth).unwrap();
        let head = |kind: u8| vec![width as u8 - 1, height as u8 - 1, depth as u8 - 1, kind];
        let planes = [3, 90, 150].map(|tint| picture(shape, tint));
        let mut coding = head(0);
        encode(&planes[0], shape, &mut coding).unwrap();
        seeds.push(("plane", name.to_owned(), coding));
        let mut coding = head(1);
        encode_colour([&planes[0], &planes[1], &planes[2]], shape, &mut coding).unwrap();
        seeds.push(("plane", format!("{name}_colour"), coding));
    }
    seeds.push((
        "plane",
        "samples".to_owned(),
        b"\x20\x10\x0b\x02some bytes to repeat".to_vec(),
    ));
    seeds.push((
        "plane",
        "flat".to_owned(),
        b"\x20\x10\x0b\x00\x01\x00\x07\x00".to_vec(),
    ));
    seeds
}
