//! Speed of writing and reading synthetic planes.
//!
//! `cargo bench -p harpo-codec`. Rates are bytes of plain samples, one each up to 8 bits, two above; one thread.
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first failure")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use harpo_codec::{Shape, decode, decode_colour, encode, encode_colour};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};

/// A body with soft tissue and bone in air, noisy as `noise` bits make it.
fn slice(width: usize, height: usize, depth: u32, noise: u32) -> (Vec<u16>, Shape) {
    let shape = Shape::new(width, height, depth).unwrap();
    let mut random = ChaCha8Rng::seed_from_u64(1);
    let mut noise = || {
        (0..4)
            .map(|_| random.next_u32() >> (32 - noise))
            .sum::<u32>() as usize
    };
    let (middle, range) = (width / 2, usize::from(shape.max()));
    let samples = (0..shape.samples())
        .map(|i| {
            let (x, y) = (
                (i % width).abs_diff(middle),
                (i / width).abs_diff(height / 2),
            );
            let radius = (x * x + y * y) * 64 / (middle * middle);
            let tissue = match radius {
                0..2 => range / 2 + x / 4,
                2..30 => range / 4 + (x + y) / 8,
                30..34 => range * 3 / 4,
                34..50 => range / 4 + y / 4,
                _ => return 0,
            };
            (tissue + noise()).min(range) as u16
        })
        .collect();
    (samples, shape)
}

fn plane(c: &mut Criterion, name: &str, (samples, shape): &(Vec<u16>, Shape)) {
    let bytes = samples.len() * if shape.depth() <= 8 { 1 } else { 2 };
    let mut coding = Vec::new();
    encode(samples, *shape, &mut coding).unwrap();
    println!("{name}: {:.2} : 1", bytes as f64 / coding.len() as f64);
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Bytes(bytes as u64));
    group.bench_function("encode", |b| {
        b.iter(|| {
            coding.clear();
            encode(black_box(samples), *shape, &mut coding).unwrap();
        });
    });
    group.bench_function("decode", |b| {
        b.iter(|| decode(black_box(&coding), *shape).unwrap())
    });
}

fn planes(c: &mut Criterion) {
    plane(c, "ct_512_12_bits", &slice(512, 512, 12, 4));
    plane(c, "mr_256_12_bits", &slice(256, 256, 12, 3));
    plane(c, "dx_2048_14_bits", &slice(2048, 2048, 14, 5));
    plane(c, "us_640_8_bits", &slice(640, 480, 8, 2));
}

fn colour(c: &mut Criterion) {
    let (samples, shape) = slice(640, 480, 8, 2);
    let others = samples.iter().map(|&sample| (sample + 9).min(shape.max()));
    let others: Vec<u16> = others.collect();
    let planes: [&[u16]; 3] = [&samples, &others, &samples];
    let mut coding = Vec::new();
    encode_colour(planes, shape, &mut coding).unwrap();
    let mut group = c.benchmark_group("us_640_colour");
    group.throughput(Throughput::Bytes(3 * samples.len() as u64));
    group.bench_function("encode", |b| {
        b.iter(|| {
            coding.clear();
            encode_colour(black_box(planes), shape, &mut coding).unwrap();
        });
    });
    group.bench_function("decode", |b| {
        b.iter(|| decode_colour(black_box(&coding), shape).unwrap());
    });
}

criterion_group!(benches, planes, colour);
criterion_main!(benches);
