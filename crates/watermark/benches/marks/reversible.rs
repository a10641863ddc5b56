//! The reversible engine alone.

use criterion::{BatchSize, Criterion, Throughput};
use harpo_watermark::reversible::{Frozen, embed, extract};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use crate::planes;

/// Embedding and extraction at the payloads that a mark has, and at a high one. The first run
/// makes the tables of a series; what is measured is each further slice.
pub(crate) fn measure(criterion: &mut Criterion) {
    for (name, side, depth, noise) in [("ct", 512, 12, 12), ("cr", 1760, 10, 3)] {
        let original = planes::slice(side, depth, noise);
        let frozen = Frozen::none(&original);
        for hundredths in [5, 15, 40] {
            let mut payload = vec![0; side * side * hundredths / 800];
            ChaCha20Rng::seed_from_u64(2).fill_bytes(&mut payload);
            let mut marked = original.clone();
            let parameters = embed(&mut marked, &frozen, &payload).expect("the plane has room");

            let name = format!("reversible/{name} at 0.{hundredths:02} bits a sample");
            let mut group = criterion.benchmark_group(name);
            group.sample_size(20);
            group.throughput(Throughput::Elements((side * side) as u64));
            group.bench_function("embed", |bencher| {
                bencher.iter_batched_ref(
                    || original.clone(),
                    |plane| embed(plane, &frozen, &payload),
                    BatchSize::LargeInput,
                );
            });
            group.bench_function("extract", |bencher| {
                bencher.iter_batched_ref(
                    || marked.clone(),
                    |plane| extract(plane, &frozen, &parameters),
                    BatchSize::LargeInput,
                );
            });
            group.finish();
        }
    }
}
