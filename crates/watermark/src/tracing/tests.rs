//! Tests in small; the benchmark measures the same in big.

mod accusation;
mod hostile;
mod marks;
mod registration;

use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

use super::*;
use crate::Plane;

fn key(seed: u64) -> Tracer {
    let mut bytes = [0; 32];
    ChaCha8Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    Tracer::new(&TraceKey::new(bytes))
}

fn export(number: u64) -> ExportId {
    let mut bytes = [0; 32];
    ChaCha8Rng::seed_from_u64(1000 + number).fill_bytes(&mut bytes);
    ExportId(bytes)
}

fn exports(count: u64) -> impl Iterator<Item = ExportId> {
    (0..count).map(export)
}

fn image(number: u8) -> ImageId {
    ImageId {
        instance: [number; 16],
        frame: 0,
    }
}

/// A body with organs and noise in flat air: 12 bits, `side` x `side`.
fn slice(side: usize, seed: u64) -> Plane {
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    let organs: Vec<[f32; 4]> = (0..24)
        .map(|_| {
            let mut unit = || stream.next_u32() as f32 / u32::MAX as f32;
            [
                0.2 + 0.6 * unit(),
                0.2 + 0.6 * unit(),
                0.03 + 0.12 * unit(),
                160.0 * unit() - 80.0,
            ]
        })
        .collect();
    let samples = (0..side * side)
        .map(|at| {
            let x = (at % side) as f32 / side as f32;
            let y = (at / side) as f32 / side as f32;
            if (x - 0.5).hypot(y - 0.5) > 0.46 {
                return 24;
            }
            let inside = organs
                .iter()
                .filter(|[a, b, r, _]| (x - a).hypot(y - b) < *r);
            let noise: f32 = (0..4)
                .map(|_| (stream.next_u32() & 0xFF) as f32 / 8.0 - 16.0)
                .sum();
            (1060.0 + inside.map(|[.., value]| value).sum::<f32>() + noise).clamp(0.0, 4095.0)
                as u16
        })
        .collect();
    Plane::new(side, side, 12, samples).unwrap()
}

/// A window to 8 bits.
fn windowed(plane: &Plane, centre: f32, width: f32) -> Vec<u8> {
    let low = centre - width / 2.0;
    let level = |sample: &u16| {
        ((f32::from(*sample) - low) / width * 255.0)
            .round()
            .clamp(0.0, 255.0)
    };
    plane
        .samples()
        .iter()
        .map(|sample| level(sample) as u8)
        .collect()
}

fn jpeg(width: usize, height: usize, samples: &[u8], quality: u8) -> Picture {
    let mut file = Vec::new();
    jpeg_encoder::Encoder::new(&mut file, quality)
        .encode(
            samples,
            width as u16,
            height as u16,
            jpeg_encoder::ColorType::Luma,
        )
        .unwrap();
    let decoded = image::load_from_memory(&file).unwrap().to_luma8();
    Picture::from_bytes(width, height, decoded.as_raw()).unwrap()
}

/// The original, marked for `export`.
fn marked(
    tracer: &Tracer,
    original: &Plane,
    number: u8,
    export: &ExportId,
    display: &Display,
) -> Plane {
    let mut plane = original.clone();
    let codeword = Codeword::derive(tracer, export);
    tracer
        .embed(&mut plane, &image(number), &codeword, display)
        .unwrap();
    plane
}

/// Evidence of a picture that shows all of `original`.
fn evidence(
    tracer: &Tracer,
    original: &Plane,
    number: u8,
    display: &Display,
    leaked: &Picture,
) -> Evidence {
    let mut evidence = Evidence::default();
    let placement = Placement::whole(original, leaked);
    tracer
        .examine(
            original,
            &image(number),
            display,
            leaked,
            &placement,
            &mut evidence,
        )
        .unwrap();
    evidence
}

fn accused(verdict: &Verdict) -> Vec<ExportId> {
    match verdict {
        Verdict::Accused { accusations, .. } => {
            accusations.iter().map(|one| one.suspect.export).collect()
        }
        Verdict::Nobody { .. } => Vec::new(),
    }
}
