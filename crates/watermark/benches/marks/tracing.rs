//! The tracing mark: embedding, examination, search for a part, and comparison with exports.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use harpo_watermark::Plane;
use harpo_watermark::tracing::{
    Codeword, Display, Evidence, ExportId, ImageId, Limit, Picture, Placement, TraceKey, Tracer,
    locate,
};

const SIDE: usize = 512;
const CANDIDATES: u32 = 10_000;

pub(super) fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("tracing");
    group.sample_size(10);
    let tracer = Tracer::new(&TraceKey::new([7; 32]));
    let image = ImageId {
        instance: [1; 16],
        frame: 0,
    };
    let codeword = Codeword::derive(&tracer, &export(0));
    let originals: Vec<Plane> = (0..8).map(body).collect();
    let original = &originals[0];
    let display = Display::of(original, None);

    group.throughput(Throughput::Elements((SIDE * SIDE) as u64));
    let mut marked = original.clone();
    group.bench_function("embed", |bencher| {
        bencher.iter(|| {
            marked.clone_from(original);
            tracer
                .embed(&mut marked, &image, &codeword, &display)
                .expect("large enough")
        });
    });
    let leaked = Picture::try_from(&marked).expect("few samples");
    let placement = Placement::whole(original, &leaked);
    let examine = || {
        let mut evidence = Evidence::default();
        tracer
            .examine(
                original,
                &image,
                &display,
                &leaked,
                &placement,
                &mut evidence,
            )
            .expect("in range");
        evidence
    };
    group.bench_function("examine", |bencher| bencher.iter(examine));

    group.throughput(Throughput::Elements(1));
    let part = part_of(&marked);
    group.bench_function("locate a part among 8", |bencher| {
        bencher.iter(|| locate(black_box(&originals), &part).expect("it is there"));
    });

    let evidence = examine();
    group.throughput(Throughput::Elements(u64::from(CANDIDATES)));
    group.bench_function("accuse", |bencher| {
        bencher.iter(|| tracer.accuse(&evidence, (1..=CANDIDATES).map(export), &Limit::default()));
    });
    group.finish();
}

fn export(number: u32) -> ExportId {
    let mut bytes = [0; 32];
    bytes[..4].copy_from_slice(&number.to_le_bytes());
    ExportId(bytes)
}

/// Rings and noise in flat air, 12 bits; no two alike.
fn body(number: u32) -> Plane {
    let mut state = 0x9E37_79B9_u32.wrapping_add(number);
    let samples = (0..SIDE * SIDE)
        .map(|at| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let x = (at % SIDE) as f32 - 256.0;
            let y = (at / SIDE) as f32 - 240.0 - 3.0 * number as f32;
            let radius = x.hypot(1.2 * y);
            if radius > 235.0 {
                return 24;
            }
            let rings = 60.0 * (radius / (9.0 + number as f32)).sin();
            (1060.0 + rings + (state >> 26) as f32) as u16
        })
        .collect();
    Plane::new(SIDE, SIDE, 12, samples).expect("12 bits")
}

/// Three quarters of both sides.
fn part_of(plane: &Plane) -> Picture {
    let (side, left, top) = (384, 50, 70);
    let samples = (0..side * side)
        .map(|at| f32::from(plane.samples()[(top + at / side) * SIDE + left + at % side]))
        .collect();
    Picture::new(side, side, samples).expect("its size")
}
