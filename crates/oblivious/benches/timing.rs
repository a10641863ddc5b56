//! Does the consumer's time tell what it chose, or its secret? (docs/oblivious-transfer.md 9)
//!
//! `cargo bench -p harpo-oblivious --bench timing`. The method is dudect's (Reparaz, Balasch and Verbauwhede, DATE 2017):
//! two classes of inputs are timed in random order, and Welch's t test compares the means of all times and of those below
//! several percentiles. |t| above 4.5 is a leak. Two deliberately leaking functions must be found, or the run counts for
//! nothing; it exits with 1 then, and when the client leaks. Words after `--` choose tests by
//! parts of their names. `HARPO_TIMING_SAMPLES` is the number of timings of the largest tests (default 20,000, about three
//! minutes in all).
#![expect(clippy::unwrap_used, reason = "a benchmark stops at the first failure")]

use std::convert::Infallible;
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Instant;

use harpo_oblivious::{
    Choice, Encoded, GenerationInfo, Params, Secret, Seed, Shape, Stack, StackHint, answer, client,
};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

/// What chance alone exceeds once in more than 100,000 comparisons.
const LEAK: f64 = 4.5;
/// Shares of the fastest times that are compared: interrupts and other processes only ever add time.
const KEPT: [f64; 6] = [1.0, 0.99, 0.95, 0.9, 0.75, 0.5];

/// Times of the two classes, in nanoseconds.
#[derive(Default)]
struct Times([Vec<f64>; 2]);

/// Welch's t test on what is kept of both classes.
struct Comparison {
    kept: f64,
    t: f64,
    /// Second mean less the first, in nanoseconds.
    difference: f64,
    /// Standard error of the difference.
    error: f64,
}

fn mean_and_variance(times: &[f64]) -> (f64, f64) {
    let count = times.len() as f64;
    let mean = times.iter().sum::<f64>() / count;
    let squares: f64 = times.iter().map(|time| (time - mean).powi(2)).sum();
    (mean, squares / (count - 1.0))
}

impl Times {
    fn median(&self) -> f64 {
        let mut all = self.0.concat();
        all.sort_by(f64::total_cmp);
        all[all.len() / 2]
    }

    fn compare(&self, kept: f64) -> Comparison {
        let mut all = self.0.concat();
        all.sort_by(f64::total_cmp);
        let limit = all[((all.len() as f64 * kept) as usize).clamp(1, all.len()) - 1];
        let [(first, first_error), (second, second_error)] = [0, 1].map(|class| {
            let times: Vec<f64> = self.0[class]
                .iter()
                .copied()
                .filter(|time| *time <= limit)
                .collect();
            let (mean, variance) = mean_and_variance(&times);
            (mean, variance / times.len() as f64)
        });
        let error = (first_error + second_error).sqrt();
        Comparison {
            kept,
            t: (second - first) / error,
            difference: second - first,
            error,
        }
    }
}

/// Times `run` on inputs that `prepare` makes for class 0 or 1, in random order, prints the comparison, and says
/// whether the classes differ.
fn differ<I, O>(
    name: &str,
    samples: u32,
    mut prepare: impl FnMut(bool, &mut ChaCha20Rng) -> I,
    mut run: impl FnMut(I) -> O,
) -> bool {
    if !name.starts_with("control") && !asked_for(name) {
        return false;
    }
    let mut rng = ChaCha20Rng::seed_from_u64(7);
    let mut times = Times::default();
    for round in 0..samples + samples / 20 {
        let second = rng.next_u32() & 1 == 1;
        let input = black_box(prepare(second, &mut rng));
        #[expect(clippy::disallowed_methods, reason = "what is measured is real time")]
        let start = Instant::now();
        let output = black_box(run(input));
        let nanoseconds = start.elapsed().as_nanos() as f64;
        drop(output);
        // The first rounds warm caches and the clock of the processor.
        if round >= samples / 20 {
            times.0[usize::from(second)].push(nanoseconds);
        }
    }
    let worst = KEPT
        .map(|kept| times.compare(kept))
        .into_iter()
        .max_by(|a, b| a.t.abs().total_cmp(&b.t.abs()))
        .unwrap();
    let sharpest = KEPT
        .map(|kept| times.compare(kept).error)
        .into_iter()
        .fold(f64::INFINITY, f64::min);
    println!(
        "{name:46} median {:9.1} us   |t| {:7.2} (fastest {:3.0} %, {:+.0} ns)   would find {:.0} ns",
        times.median() / 1e3,
        worst.t.abs(),
        worst.kept * 100.0,
        worst.difference,
        LEAK * sharpest,
    );
    worst.t.abs() > LEAK
}

/// Whether the command line names a part of this test's name, or no test.
fn asked_for(name: &str) -> bool {
    let mut parts = std::env::args()
        .skip(1)
        .filter(|part| !part.starts_with("--"))
        .peekable();
    parts.peek().is_none() || parts.any(|part| name.contains(&part))
}

fn stack(params: &Params, generations: u8, slots: u32, slot_bytes: u32, interleave: u32) -> Stack {
    let generation = |index| GenerationInfo {
        params: params.id,
        shape: Shape::new(slots, slot_bytes, interleave).unwrap(),
        seed: Seed([index; 32]),
    };
    Stack::new((0..generations).map(generation).collect()).unwrap()
}

/// Class 0 always asks for the first slot, class 1 for any slot of any generation or, once in four times, for none.
fn choice(stack: &Stack, second: bool, rng: &mut ChaCha20Rng) -> Choice {
    let [generation, slot, dummy] = [(); 3].map(|()| rng.next_u32());
    let generation = generation as usize % stack.generations().len();
    let slot = slot % stack.generations()[generation].shape.slots();
    match (second, dummy % 4) {
        (false, _) => Choice::Slot {
            generation: 0,
            slot: 0,
        },
        (true, 0) => Choice::Dummy,
        (true, _) => Choice::Slot { generation, slot },
    }
}

fn query_differs(name: &str, samples: u32, stack: &Stack) -> bool {
    let mut randomness = ChaCha20Rng::seed_from_u64(1);
    differ(
        name,
        samples,
        |second, rng| choice(stack, second, rng),
        |choice| client::query(stack, choice, &mut randomness).unwrap(),
    )
}

/// Class 0 decodes one slot with one secret, over and over; class 1 any slot or a dummy, each with a fresh secret.
fn decoding_differs(samples: u32, stack: &Stack) -> bool {
    let encoded = Encoded::encode::<Infallible>(&stack.generations()[0], |index, _, bytes| {
        ChaCha20Rng::seed_from_u64(u64::from(index)).fill_bytes(bytes);
        Ok(())
    })
    .unwrap();
    let hint = StackHint::sum(stack, &[encoded.hint()]).unwrap();
    differ(
        "  decode, one slot and secret / any",
        samples,
        |second, rng| {
            let choice = choice(stack, second, rng);
            let seed = rng.next_u64() * u64::from(second);
            let mut randomness = ChaCha20Rng::seed_from_u64(seed);
            let (secret, query) = client::query(stack, choice, &mut randomness).unwrap();
            let answer = answer(stack, &[&encoded], &[query]).unwrap().remove(0);
            (secret, answer)
        },
        |(secret, answer): (Secret, _)| secret.decode(&hint, &answer).unwrap(),
    )
}

/// Finds the chosen slot as careless code would: it stops when it is there, and a dummy costs nothing.
fn careless(slots: u32, choice: Choice) -> u64 {
    let Choice::Slot { slot, .. } = choice else {
        return 0;
    };
    let mut sum = 0u64;
    for index in 0..slots {
        sum = black_box(sum.wrapping_mul(3).wrapping_add(u64::from(index)));
        if index == slot {
            break;
        }
    }
    sum
}

/// The controls. Both must be found.
fn careless_code_is_found(samples: u32, stack: &Stack) -> bool {
    let slots = stack.generations()[0].shape.slots();
    let alone = differ(
        "control: a search that stops",
        samples,
        |second, rng| choice(stack, second, rng),
        |choice| careless(slots, choice),
    );
    let mut randomness = ChaCha20Rng::seed_from_u64(1);
    let hidden = differ(
        "control: the same search inside a query",
        samples,
        |second, rng| choice(stack, second, rng),
        |choice| {
            let query = client::query(stack, choice, &mut randomness).unwrap();
            (query, (0..8).map(|_| careless(slots, choice)).sum::<u64>())
        },
    );
    alone && hidden
}

fn main() -> ExitCode {
    let samples = std::env::var("HARPO_TIMING_SAMPLES")
        .ok()
        .map_or(20_000, |text| text.parse().unwrap());
    // One thread: handing work to others would drown everything in noise.
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .unwrap();
    pool.install(|| {
        // One polynomial, so that selecting one of 2048 places is much of the work.
        let dense = |params| stack(params, 1, 2048, 4096, 2048);
        let found = careless_code_is_found(samples, &dense(Params::DEFAULT));
        let mut leaks = false;
        for params in Params::table() {
            println!("parameter set {}", params.id.0);
            let few = samples / 4;
            leaks |= query_differs(
                "  query, first slot / any, 1 polynomial",
                samples,
                &dense(params),
            );
            leaks |= query_differs(
                "  query, first slot / any, 4 generations",
                few,
                &stack(params, 4, 64, 4096, 8),
            );
            leaks |= decoding_differs(few, &stack(params, 1, 64, 65_536, 4));
        }
        if !found {
            println!(
                "a control was not found: this machine is too noisy, the run counts for nothing"
            );
        }
        if leaks {
            println!("the client's time depends on what it must not");
        }
        ExitCode::from(u8::from(!found || leaks))
    })
}
