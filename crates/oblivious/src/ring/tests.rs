use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};

use super::transform::{Forward, Inverse};
use super::*;

fn random_rows(len: usize, prime: &Prime, rng: &mut ChaCha20Rng) -> Vec<Row> {
    (0..len)
        .map(|_| std::array::from_fn(|_| rng.next_u32() % prime.value))
        .collect()
}

/// Both rings.
fn rings() -> [&'static Ring; 2] {
    [1, 2].map(|id| Ring::of(Params::by_id(crate::ParamSetId(id)).unwrap()))
}

fn random_batch(ring: &'static Ring, rng: &mut ChaCha20Rng) -> Batch<Coeff> {
    let mut batch = Batch::zero(ring);
    for (index, prime) in ring.primes.iter().enumerate() {
        batch
            .residues_mut(index)
            .copy_from_slice(&random_rows(ring.n, prime, rng));
    }
    batch
}

fn lane(batch: &Batch<Coeff>, prime: usize, lane: usize) -> Vec<u32> {
    batch.residues(prime).iter().map(|row| row[lane]).collect()
}

/// The product modulo X^n + 1 and a prime, by the definition.
fn schoolbook(a: &[u32], b: &[u32], prime: u32) -> Vec<u32> {
    let n = a.len();
    let mut sums = vec![0i128; n];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            let product = i128::from(u64::from(*x) * u64::from(*y));
            sums[(i + j) % n] += if i + j < n { product } else { -product };
        }
    }
    sums.into_iter()
        .map(|sum| sum.rem_euclid(i128::from(prime)) as u32)
        .collect()
}

/// Multiplies every lane of `a` by lane 0 of `b`.
fn product(kernel: Kernel, a: Batch<Coeff>, b: Batch<Coeff>) -> Batch<Coeff> {
    let values = Values::first_of(&b.into_ntt(kernel));
    let mut a = a.into_ntt(kernel);
    a.multiply(kernel, &values);
    a.into_coeff(kernel)
}

fn copy(batch: &Batch<Coeff>) -> Batch<Coeff> {
    let mut copy = Batch::zero(batch.ring);
    copy.rows
        .as_mut_slice()
        .copy_from_slice(batch.rows.as_slice());
    copy
}

fn sum(a: &Batch<Coeff>, b: &Batch<Coeff>) -> Batch<Coeff> {
    let mut total = copy(a);
    for (index, prime) in a.ring.primes.iter().enumerate() {
        for (x, y) in total.residues_mut(index).iter_mut().zip(b.residues(index)) {
            *x = std::array::from_fn(|l| (x[l] + y[l]) % prime.value);
        }
    }
    total
}

/// Every lane holds the polynomial of lane 0.
fn spread(batch: &Batch<Coeff>) -> Batch<Coeff> {
    let mut spread = copy(batch);
    spread
        .rows
        .as_mut_slice()
        .iter_mut()
        .for_each(|row| *row = [row[0]; LANES]);
    spread
}

#[test]
fn products_are_those_of_the_ring() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let all = rings().into_iter().flat_map(|ring| {
        let kernels = Kernel::available().into_iter();
        kernels.map(move |kernel| (ring, kernel))
    });
    for (ring, kernel) in all {
        let (a, b) = (random_batch(ring, &mut rng), random_batch(ring, &mut rng));
        let c = product(kernel, copy(&a), copy(&b));
        for (index, prime) in ring.primes.iter().enumerate() {
            for l in [0, 7, 15] {
                let expected = schoolbook(&lane(&a, index, l), &lane(&b, index, 0), prime.value);
                assert_eq!(
                    lane(&c, index, l),
                    expected,
                    "{} n {} prime {} lane {l}",
                    kernel.name(),
                    ring.n,
                    prime.value
                );
            }
        }
    }
}

#[test]
fn multiplying_by_x_to_the_n_negates() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    for ring in rings() {
        let a = random_batch(ring, &mut rng);
        let mut b = Batch::zero(ring);
        for prime in 0..ring.primes.len() {
            *b.coefficient_mut(prime, ring.n / 2, 0) = 1;
        }
        let once = product(Kernel::best(), copy(&a), copy(&b));
        let twice = product(Kernel::best(), once, b);
        let total = sum(&a, &twice);
        let mut residues = total.rows.as_slice().iter().flatten();
        assert!(residues.all(|residue| *residue == 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn ring_laws_hold(seed in any::<u64>(), which in 0usize..2) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let ring = rings()[which];
        let kernel = Kernel::best();
        let (a, b, c) = (random_batch(ring, &mut rng), random_batch(ring, &mut rng), random_batch(ring, &mut rng));
        let (a0, b0) = (spread(&a), spread(&b));
        // Commutative, associative, distributive.
        let ab = product(kernel, copy(&a0), copy(&b0));
        let ba = product(kernel, b0, copy(&a));
        prop_assert_eq!(ab.rows.as_slice(), ba.rows.as_slice());
        let c_ab = product(kernel, copy(&c), ab);
        let ca_b = product(kernel, product(kernel, copy(&c), copy(&a)), copy(&b));
        prop_assert_eq!(c_ab.rows.as_slice(), ca_b.rows.as_slice());
        let left = product(kernel, sum(&a, &b), copy(&c));
        let right = sum(&product(kernel, a, copy(&c)), &product(kernel, b, c));
        prop_assert_eq!(left.rows.as_slice(), right.rows.as_slice());
    }

    #[test]
    fn kernels_transform_alike(seed in any::<u64>(), log in 0u32..=11, which in 0usize..2, extreme in any::<bool>()) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let ring = rings()[which];
        let log = if log == 11 { ring.n.ilog2() } else { log };
        for (index, prime) in ring.primes.iter().enumerate() {
            let mut input = random_rows(ring.n, prime, &mut rng);
            if extreme {
                input.iter_mut().flatten().for_each(|x| *x = if *x % 2 == 0 { prime.value - 1 } else { 0 });
            }
            let run = |kernel: Kernel| {
                let (mut forward, mut inverse) = (input.clone(), input[..1 << log].to_vec());
                kernel.run(Forward { prime, rows: &mut forward });
                let scale = ring.crt_scale(index);
                kernel.run(Inverse { prime, rows: &mut inverse, scale });
                (forward, inverse)
            };
            let expected = run(Kernel::available()[Kernel::available().len() - 1]);
            prop_assert!(expected.0.iter().flatten().all(|x| *x < prime.value));
            for kernel in Kernel::available() {
                prop_assert!(run(kernel) == expected, "{}", kernel.name());
            }
        }
    }

    #[test]
    fn kernels_sum_products_right(seed in any::<u64>(), len in 0usize..2500, count in 1usize..20, extreme in any::<bool>()) {
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        for prime in &rings()[1].primes {
            let mut lines = random_rows(len, prime, &mut rng);
            let mut factors: Vec<Vec<u32>> =
                (0..count).map(|_| (0..len).map(|_| rng.next_u32() % prime.value).collect()).collect();
            if extreme {
                lines.iter_mut().flatten().chain(factors.iter_mut().flatten()).for_each(|x| *x = prime.value - 1);
            }
            let expected: Vec<Row> = factors
                .iter()
                .map(|factors| {
                    std::array::from_fn(|l| {
                        let terms = lines.iter().zip(factors).map(|(line, f)| u128::from(line[l]) * u128::from(*f));
                        (terms.sum::<u128>() % u128::from(prime.value)) as u32
                    })
                })
                .collect();
            let factors: Vec<&[u32]> = factors.iter().map(Vec::as_slice).collect();
            for kernel in Kernel::available() {
                let got = kernel.run(Dots { prime, lines: &lines, factors: &factors });
                prop_assert!(got == expected, "{}", kernel.name());
            }
        }
    }

    #[test]
    fn crt_is_exact(x in any::<u128>(), which in 0usize..2) {
        let ring = rings()[which];
        let x = x % ring.modulus;
        let c: Vec<u32> = (0..ring.primes.len())
            .map(|i| {
                let p = &ring.primes[i];
                p.multiply((x % u128::from(p.value)) as u32, ring.cofactors[i])
            })
            .collect();
        prop_assert_eq!(ring.lift(c.iter().copied()), x);
        let rows: Vec<Row> = c.iter().map(|c| [*c; LANES]).collect();
        // 2^64 x / q, the low half of x first so that nothing overflows.
        let (high, low) = (x >> 40, x & ((1 << 40) - 1));
        let part = |x: u128, shift: u32| ((x << shift) / ring.modulus, (x << shift) % ring.modulus);
        let (a, rest) = part(high, 44);
        let (b, rest) = (a << 40, rest << 40);
        let (c, rest) = (b + rest / ring.modulus, rest % ring.modulus);
        let (d, rest) = (c << 20, rest << 20);
        let high = d + rest / ring.modulus;
        let exact = high.wrapping_add((low << 64) / ring.modulus) as u64;
        let difference = exact.wrapping_sub(ring.fractions(&rows, 0)[0]);
        prop_assert!(difference.wrapping_add(2) <= 2 + 2 * ring.primes.len() as u64 + 2, "{difference}");
    }
}

struct Dots<'a> {
    prime: &'a Prime,
    lines: &'a [Row],
    factors: &'a [&'a [u32]],
}

impl Task for Dots<'_> {
    type Output = Vec<Row>;

    #[inline(always)]
    fn run<S: Simd>(self, simd: S) -> Vec<Row> {
        let mut sums = vec![[0; LANES]; self.factors.len()];
        let mut outs: Vec<&mut [Row]> = sums.chunks_mut(1).collect();
        let column = &mut Column {
            outs: &mut outs,
            at: 0,
        };
        dot_tiles(simd, self.prime, self.lines, self.factors, column);
        sums
    }
}

#[test]
fn inverse_undoes_forward() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let all = rings().into_iter().flat_map(|ring| {
        let kernels = Kernel::available().into_iter();
        kernels.map(move |kernel| (kernel, ring))
    });
    for (kernel, ring) in all {
        let batch = random_batch(ring, &mut rng);
        let back = copy(&batch).into_ntt(kernel).into_coeff(kernel);
        assert_eq!(
            batch.rows.as_slice(),
            back.rows.as_slice(),
            "{}",
            kernel.name()
        );
    }
}

#[test]
fn sums_over_neighbouring_roots_keep_the_coefficients_at_multiples_of_t() {
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    for ring in rings() {
        let batch = random_batch(ring, &mut rng);
        let values = copy(&batch).into_ntt(Kernel::best());
        for t in (0..=ring.n.ilog2()).map(|log| 1usize << log) {
            for (index, prime) in ring.primes.iter().enumerate() {
                let fold = |rows: &[Row]| -> Row {
                    std::array::from_fn(|l| {
                        rows.iter().fold(0, |sum, row| (sum + row[l]) % prime.value)
                    })
                };
                let mut rows: Vec<Row> = values.residues(index).chunks_exact(t).map(fold).collect();
                let scale = ring.plain_scale(index);
                Kernel::best().run(Inverse {
                    prime,
                    rows: &mut rows,
                    scale,
                });
                let expected: Vec<Row> = batch.residues(index).iter().step_by(t).copied().collect();
                assert_eq!(rows, expected, "n = {}, t = {t}", ring.n);
            }
        }
    }
}

#[test]
fn forward_takes_values_below_three_times_the_prime() {
    // The largest of them, so that a sum that did not fit its lane would show.
    for ring in rings() {
        for prime in &ring.primes {
            let smallest = vec![[prime.value - 1; LANES]; ring.n];
            let largest = vec![[3 * prime.value - 1; LANES]; ring.n];
            let forward = |mut rows: Vec<Row>, kernel: Kernel| {
                kernel.run(Forward {
                    prime,
                    rows: &mut rows,
                });
                rows
            };
            for kernel in Kernel::available() {
                assert!(forward(largest.clone(), kernel) == forward(smallest.clone(), kernel));
            }
        }
    }
}

#[test]
fn primes_are_what_the_table_says() {
    for ring in rings() {
        let primes: Vec<u32> = ring.primes.iter().map(|prime| prime.value).collect();
        assert!(primes.windows(2).all(|pair| pair[0] > pair[1]));
        for p in primes {
            assert!(p < 1 << PRIME_BITS && p % (2 * ring.n as u32) == 1);
            let prime = (2..).take_while(|d| d * d <= p).all(|d| p % d != 0);
            assert!(prime, "{p}");
            assert!(MAX_PRODUCTS as u128 * u128::from(p - 1).pow(2) < 1 << 64);
            // The lazy reductions of the forward transform: 3 p in, 2 p more at each stage.
            assert!(u64::from(p) * (3 + 2 * u64::from(ring.n.ilog2())) < 1 << 32);
        }
    }
}
