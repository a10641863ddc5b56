//! The reliability mark.

use criterion::{BatchSize, Criterion, Throughput};
use harpo_watermark::MarkKey;
use harpo_watermark::reliability::{self, Identity, Message};

use crate::planes;

/// Embedding, reading the identity, verification with restoration, and locating an alteration.
pub(crate) fn measure(criterion: &mut Criterion) {
    let key = MarkKey::new([7; 32]);
    let message = Message {
        identity: Identity {
            origin: [1; 16],
            bundle: [2; 16],
            instance: [3; 16],
            frame: 0,
        },
        statement: [4; 32],
    };
    for (name, side, depth, noise) in [("ct", 512, 12, 12), ("cr", 1760, 10, 3)] {
        let original = vec![planes::slice(side, depth, noise)];
        let mut marked = original.clone();
        reliability::embed(&mut marked, &key, &message).expect("the plane has room");
        let mut altered = marked[0].clone().into_samples();
        altered[side * side / 2] ^= 1;
        let altered =
            vec![harpo_watermark::Plane::new(side, side, depth, altered).expect("one bit changed")];

        let mut group = criterion.benchmark_group(format!("reliability/{name}"));
        group.sample_size(20);
        group.throughput(Throughput::Elements((side * side) as u64));
        group.bench_function("embed", |bencher| {
            bencher.iter_batched_ref(
                || original.clone(),
                |image| reliability::embed(image, &key, &message),
                BatchSize::LargeInput,
            );
        });
        group.bench_function("read", |bencher| {
            bencher.iter(|| reliability::read(&marked))
        });
        for (name, image) in [("verify", &marked), ("locate", &altered)] {
            group.bench_function(name, |bencher| {
                bencher.iter_batched_ref(
                    || image.clone(),
                    |image| reliability::verify(image, &key),
                    BatchSize::LargeInput,
                );
            });
        }
        group.finish();
    }
}
