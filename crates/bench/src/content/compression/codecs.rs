//! Pixels alone: the project's codec, zstd and foreign codecs on the same images, one thread.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use harpo_codec::Shape;
use serde::Serialize;

use crate::clock::{Samples, timed};
use crate::content::images::Image;
use crate::content::peers::{Peers, interleaved};

/// One codec on the images of one modality.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct CodecRow {
    pub(crate) codec: String,
    /// Bytes of pixel data as files have them, for each byte of the coding.
    pub(crate) ratio: f64,
    pub(crate) encode_mb_per_s: f64,
    pub(crate) decode_mb_per_s: f64,
    pub(crate) images: usize,
}

/// Bytes and seconds of one codec so far.
#[derive(Debug, Clone, Default)]
struct Sum {
    images: usize,
    plain: u64,
    coded: u64,
    encode_seconds: f64,
    decode_seconds: f64,
}

impl Sum {
    fn add(&mut self, plain: usize, coded: u64, encode_seconds: f64, decode_seconds: f64) {
        self.images += 1;
        self.plain += plain as u64;
        self.coded += coded;
        self.encode_seconds += encode_seconds;
        self.decode_seconds += decode_seconds;
    }

    fn row(&self, codec: &str) -> CodecRow {
        let mb = self.plain as f64 / 1e6;
        CodecRow {
            codec: codec.to_owned(),
            ratio: self.plain as f64 / self.coded as f64,
            encode_mb_per_s: mb / self.encode_seconds,
            decode_mb_per_s: mb / self.decode_seconds,
            images: self.images,
        }
    }
}

/// A codec in this process. Times are from samples, or their bytes, to the coding and back.
struct Own {
    name: &'static str,
    slow: bool,
    encode: fn(&Image, &[u8]) -> Result<Vec<u8>>,
    /// Gives the samples' bytes; what makes bytes of planes is not timed.
    decode: fn(&Image, &[u8]) -> Result<Decoded>,
}

enum Decoded {
    Planes(Vec<Vec<u16>>),
    Bytes(Vec<u8>),
}

const OWN: [Own; 5] = [
    Own {
        name: "Harpocrates",
        slow: false,
        encode: |image, _| encode(image),
        decode,
    },
    Own {
        name: "zstd 3",
        slow: false,
        encode: |_, bytes| Ok(zstd::bulk::compress(bytes, 3)?),
        decode: |image, coded| Ok(Decoded::Bytes(inflate(image, coded)?)),
    },
    Own {
        name: "zstd 19",
        slow: true,
        encode: |_, bytes| Ok(zstd::bulk::compress(bytes, 19)?),
        decode: |image, coded| Ok(Decoded::Bytes(inflate(image, coded)?)),
    },
    Own {
        name: "byte planes, zstd 3",
        slow: false,
        encode: |image, bytes| Ok(zstd::bulk::compress(&split(image, bytes), 3)?),
        decode: |image, coded| Ok(Decoded::Bytes(join(image, &inflate(image, coded)?))),
    },
    Own {
        name: "byte planes, zstd 19",
        slow: true,
        encode: |image, bytes| Ok(zstd::bulk::compress(&split(image, bytes), 19)?),
        decode: |image, coded| Ok(Decoded::Bytes(join(image, &inflate(image, coded)?))),
    },
];

/// All codecs on all images; every decoding is compared.
///
/// # Errors
/// If a codec fails or gives back anything else than it was given.
pub(crate) fn measure(
    images: &[Image],
    rounds: usize,
    mut peers: Option<&mut Peers>,
) -> Result<Vec<CodecRow>> {
    let mut own: Vec<Sum> = vec![Sum::default(); OWN.len()];
    let mut foreign: BTreeMap<String, Sum> = BTreeMap::new();
    let mut order = Vec::new();
    for image in images {
        let bytes = interleaved(&image.planes);
        for (codec, sum) in OWN.iter().zip(&mut own) {
            let rounds = if codec.slow { 1 } else { rounds };
            let (coded, encode) = repeated(rounds, || (codec.encode)(image, &bytes))?;
            let (decoded, decode) = repeated(rounds, || (codec.decode)(image, &coded))?;
            ensure!(
                same(image, &bytes, &decoded),
                "{} did not give back {}",
                codec.name,
                image.name
            );
            sum.add(bytes.len(), coded.len() as u64, encode, decode);
        }
        if let Some(peers) = peers.as_deref_mut() {
            for answer in peers.measure(&image.planes, rounds)? {
                if !foreign.contains_key(&answer.codec) {
                    order.push(answer.codec.clone());
                }
                foreign.entry(answer.codec).or_default().add(
                    bytes.len(),
                    answer.bytes,
                    answer.encode_seconds,
                    answer.decode_seconds,
                );
            }
        }
    }
    let own = OWN.iter().zip(&own).filter(|(_, sum)| sum.images > 0);
    let mut rows: Vec<CodecRow> = own.map(|(codec, sum)| sum.row(codec.name)).collect();
    rows.extend(
        order
            .iter()
            .filter_map(|name| Some(foreign.get(name)?.row(name))),
    );
    Ok(rows)
}

/// The result of the last of `rounds` rounds, and the seconds of the quickest.
fn repeated<T>(rounds: usize, mut work: impl FnMut() -> Result<T>) -> Result<(T, f64)> {
    let mut samples = Samples::default();
    let mut last = None;
    for _ in 0..rounds.max(1) {
        let (done, seconds) = timed(&mut work);
        last = Some(done?);
        samples.push(seconds);
    }
    Ok((last.context("no round")?, samples.best()))
}

fn shape(image: &Image) -> Result<Shape> {
    let plane = image.planes.first().context("an image without planes")?;
    Ok(Shape::new(plane.width(), plane.height(), plane.depth())?)
}

fn encode(image: &Image) -> Result<Vec<u8>> {
    let (shape, mut out) = (shape(image)?, Vec::new());
    if let [red, green, blue] = image.planes.as_slice() {
        let planes = [red.samples(), green.samples(), blue.samples()];
        harpo_codec::encode_colour(planes, shape, &mut out)?;
    } else {
        for plane in &image.planes {
            harpo_codec::encode(plane.samples(), shape, &mut out)?;
        }
    }
    Ok(out)
}

fn decode(image: &Image, coded: &[u8]) -> Result<Decoded> {
    let shape = shape(image)?;
    Ok(Decoded::Planes(if image.planes.len() == 3 {
        harpo_codec::decode_colour(coded, shape)?.into()
    } else {
        vec![harpo_codec::decode(coded, shape)?]
    }))
}

fn inflate(image: &Image, coded: &[u8]) -> Result<Vec<u8>> {
    let samples: usize = image.planes.iter().map(|plane| plane.samples().len()).sum();
    Ok(zstd::bulk::decompress(coded, 2 * samples)?)
}

/// Low bytes, then high bytes; of colours of 8 bits one colour after the other.
fn split(image: &Image, bytes: &[u8]) -> Vec<u8> {
    let step = step(image);
    (0..step)
        .flat_map(|first| bytes.iter().skip(first).step_by(step).copied())
        .collect()
}

fn join(image: &Image, planes: &[u8]) -> Vec<u8> {
    let step = step(image);
    let length = planes.len() / step;
    (0..length)
        .flat_map(|index| (0..step).map(move |plane| planes[plane * length + index]))
        .collect()
}

/// Bytes of a pixel.
fn step(image: &Image) -> usize {
    let wide = image.planes.iter().any(|plane| plane.depth() > 8);
    image.planes.len() * if wide { 2 } else { 1 }
}

fn same(image: &Image, bytes: &[u8], decoded: &Decoded) -> bool {
    match decoded {
        Decoded::Bytes(decoded) => decoded == bytes,
        Decoded::Planes(planes) => {
            planes.len() == image.planes.len()
                && planes
                    .iter()
                    .zip(&image.planes)
                    .all(|(a, b)| a == b.samples())
        }
    }
}

#[cfg(test)]
mod tests {
    use harpo_watermark::Plane;

    use super::*;
    use crate::content::images::Modality;

    fn image(depth: u32, planes: usize) -> Image {
        let plane = |seed: u32| {
            let samples = (0..70 * 66).map(|i: u32| ((i / 70 + i % 70 + seed * 9) >> 1) as u16);
            Plane::new(70, 66, depth, samples.map(|v| v.min(255)).collect()).unwrap()
        };
        Image {
            name: "gradient".into(),
            modality: Modality::Other,
            synthetic: true,
            planes: (0..planes as u32).map(plane).collect(),
            window: None,
            rescale: (1.0, 0.0),
            signed: false,
        }
    }

    #[test]
    fn every_codec_gives_back_grey_and_colour() {
        for image in [image(8, 1), image(12, 1), image(8, 3)] {
            let rows = measure(&[image], 1, None).unwrap();
            assert_eq!(rows.len(), OWN.len());
            assert!(rows.iter().all(|row| row.ratio > 1.0), "{rows:?}");
        }
    }

    #[test]
    fn what_came_back_wrong_is_seen() {
        let image = image(12, 1);
        let bytes = interleaved(&image.planes);
        let mut wrong = image.planes[0].samples().to_vec();
        assert!(same(&image, &bytes, &Decoded::Planes(vec![wrong.clone()])));
        wrong[7] ^= 1;
        assert!(!same(&image, &bytes, &Decoded::Planes(vec![wrong])));
        assert!(!same(&image, &bytes, &Decoded::Bytes(bytes[1..].to_vec())));
        assert_eq!(join(&image, &split(&image, &bytes)), bytes);
    }
}
