//! Throughput of encoding, hint, scan, query and decode on a generation of 4 MiB slots.
//!
//! `cargo bench -p harpo-oblivious`. Rates are bytes of plaintext. For figures per core set
//! `RAYON_NUM_THREADS=1`. `HARPO_BENCH_SLOTS` is the number of slots (default 64; memory is 13 MB a slot).
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first failure")]

use std::convert::Infallible;
use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use harpo_oblivious::{
    Choice, Encoded, GenerationInfo, Kernel, Params, PartialAnswer, Query, QueryPart, Secret, Seed,
    Shape, Stack, StackHint, answer, client,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

const SLOT_BYTES: u32 = 4 << 20;
const INTERLEAVE: u32 = 8;

fn slots() -> u32 {
    std::env::var("HARPO_BENCH_SLOTS")
        .ok()
        .map_or(64, |text| text.parse().unwrap())
}

fn encode(info: &GenerationInfo, slot: &[u8]) -> Encoded {
    Encoded::encode::<Infallible>(info, |_, offset, bytes| {
        bytes.copy_from_slice(&slot[offset as usize..][..bytes.len()]);
        Ok(())
    })
    .unwrap()
}

fn parts(stack: &Stack, count: usize, rng: &mut ChaCha20Rng) -> Vec<QueryPart> {
    let one = |rng: &mut ChaCha20Rng| {
        client::query(
            stack,
            Choice::Slot {
                generation: 0,
                slot: 3,
            },
            rng,
        )
        .unwrap()
        .1
    };
    (0..count)
        .map(|_| one(rng).part(stack, 0).unwrap())
        .collect()
}

fn seal(c: &mut Criterion, info: &GenerationInfo, slot: &[u8]) {
    let bytes = u64::from(info.shape.slots()) * u64::from(SLOT_BYTES);
    let mut group = c.benchmark_group("seal");
    group.sample_size(10).throughput(Throughput::Bytes(bytes));
    group.bench_function("encode", |b| b.iter(|| encode(info, slot)));
    let encoded = encode(info, slot);
    group.bench_function("hint", |b| b.iter(|| encoded.hint()));
    group.bench_function("encode and hint", |b| b.iter(|| encode(info, slot).hint()));
    group.finish();
}

fn scan(c: &mut Criterion, stack: &Stack, encoded: &Encoded, rng: &mut ChaCha20Rng) {
    let bytes = stack.slots() * u64::from(SLOT_BYTES);
    for kernel in Kernel::available() {
        let mut group = c.benchmark_group(format!("scan {}", kernel.name()));
        group
            .sample_size(10)
            .measurement_time(Duration::from_secs(4));
        for count in [1, 2, 4, 6, 8, 16] {
            let parts = parts(stack, count, rng);
            group.throughput(Throughput::Bytes(bytes * count as u64));
            group.bench_with_input(BenchmarkId::from_parameter(count), &parts, |b, parts| {
                b.iter_batched_ref(
                    || {
                        parts
                            .iter()
                            .map(|_| PartialAnswer::new(stack))
                            .collect::<Vec<_>>()
                    },
                    |answers| encoded.accumulate_with(kernel, parts, answers).unwrap(),
                    criterion::BatchSize::PerIteration,
                );
            });
        }
        group.finish();
    }
}

fn consumer(c: &mut Criterion, stack: &Stack, encoded: &Encoded, rng: &mut ChaCha20Rng) {
    let ask = |rng: &mut ChaCha20Rng| -> (Secret, Query) {
        client::query(
            stack,
            Choice::Slot {
                generation: 0,
                slot: 5,
            },
            rng,
        )
        .unwrap()
    };
    let mut group = c.benchmark_group("consumer");
    group.sample_size(20);
    group.bench_function("query", |b| b.iter(|| ask(rng).1.to_bytes()));
    let bytes = ask(rng).1.to_bytes();
    group.bench_function("server reads query", |b| {
        b.iter(|| {
            Query::from_bytes(stack, black_box(&bytes))
                .unwrap()
                .part(stack, 0)
                .unwrap()
        });
    });
    let hint = encoded.hint();
    group.bench_function("sum of hints", |b| {
        b.iter(|| StackHint::sum(stack, std::slice::from_ref(&hint)).unwrap())
    });
    let sum = StackHint::sum(stack, &[hint]).unwrap();
    group.bench_function("decode", |b| {
        b.iter_batched(
            || {
                let (secret, query) = ask(rng);
                (
                    secret,
                    answer(stack, &[encoded], &[query]).unwrap().remove(0),
                )
            },
            |(secret, answer)| secret.decode(&sum, &answer).unwrap(),
            criterion::BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn benches(c: &mut Criterion) {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let shape = Shape::new(slots(), SLOT_BYTES, INTERLEAVE).unwrap();
    let info = GenerationInfo {
        params: Params::DEFAULT.id,
        shape,
        seed: Seed([1; 32]),
    };
    let mut slot = vec![0; SLOT_BYTES as usize];
    rng.fill_bytes(&mut slot);
    seal(c, &info, &slot);
    let stack = Stack::new(vec![info]).unwrap();
    let encoded = encode(&info, &slot);
    scan(c, &stack, &encoded, &mut rng);
    consumer(c, &stack, &encoded, &mut rng);
}

criterion_group!(all, benches);
criterion_main!(all);
