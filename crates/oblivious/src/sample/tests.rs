use super::*;
use crate::ring::PRIMES_2048 as PRIMES;

const N: usize = 2048;

fn ring() -> &'static Ring {
    Ring::of(crate::Params::by_id(crate::ParamSetId(1)).unwrap())
}

fn seed() -> Seed {
    Seed([9; 32])
}

#[test]
fn public_polynomials_follow_the_specification() {
    let batch = public_batch(ring(), &seed(), 5, 3);
    for lane in 0..3 {
        let mut rng = ChaCha20Rng::from_seed(seed().0);
        rng.set_stream(5 + lane as u64);
        for (index, prime) in PRIMES.iter().copied().enumerate() {
            for row in batch.residues(index) {
                let residue = loop {
                    let candidate = rng.next_u32() & 0x07FF_FFFF;
                    if candidate < prime {
                        break candidate;
                    }
                };
                assert_eq!(row[lane], residue);
            }
        }
    }
    assert!(
        batch.residues(0).iter().all(|row| row[3..] == [0; 13]),
        "unused lanes are zero"
    );
}

#[test]
fn polynomials_do_not_depend_on_the_batch() {
    let (a, b) = (
        public_batch(ring(), &seed(), 0, 16),
        public_batch(ring(), &seed(), 9, 1),
    );
    assert!(
        a.residues(1)
            .iter()
            .zip(b.residues(1))
            .all(|(a, b)| a[9] == b[0])
    );
}

/// Residues of one lane as centred numbers, checked to be the same modulo both primes.
fn centred(batch: &Batch<Coeff>, lane: usize) -> Vec<i32> {
    let centre = |residue: u32, prime: u32| {
        if residue > prime / 2 {
            residue as i32 - prime as i32
        } else {
            residue as i32
        }
    };
    let of = |index: usize| {
        batch
            .residues(index)
            .iter()
            .map(move |row| centre(row[lane], PRIMES[index]))
    };
    assert!(of(0).eq(of(1)));
    of(0).collect()
}

#[test]
fn secrets_are_uniform_in_three_values() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut counts = [0i64; 3];
    for _ in 0..50 {
        for value in centred(&ternary(ring(), &mut rng), 0) {
            counts[usize::try_from(value + 1).unwrap()] += 1;
        }
    }
    let expected = 50 * N as i64 / 3;
    // Six standard deviations.
    assert!(
        counts
            .iter()
            .all(|count| (count - expected).abs() < 6 * 151),
        "{counts:?}"
    );
}

#[test]
fn errors_have_the_variance_of_the_table() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let (mut sum, mut squares, mut largest) = (0i64, 0i64, 0);
    for _ in 0..20 {
        let mut batch = Batch::zero(ring());
        add_errors(&mut batch, 2, 21, &mut rng);
        for lane in 0..2 {
            for e in centred(&batch, lane) {
                sum += i64::from(e);
                squares += i64::from(e * e);
                largest = largest.max(e.abs());
            }
        }
        assert!(batch.residues(0).iter().all(|row| row[2..] == [0; 14]));
    }
    let count = f64::from(40 * N as u32);
    let variance = squares as f64 / count;
    assert!((variance - 10.5).abs() < 0.35, "variance {variance}");
    assert!((sum as f64 / count).abs() < 0.07);
    assert!((10..=21).contains(&largest));
}

#[test]
fn errors_add_to_what_is_there() {
    let mut rng = ChaCha20Rng::seed_from_u64(3);
    let mut batch = Batch::zero(ring());
    for (index, prime) in PRIMES.iter().copied().enumerate() {
        for coefficient in 0..N {
            *batch.coefficient_mut(index, coefficient, 0) = prime - 1;
        }
    }
    add_errors(&mut batch, 1, 21, &mut rng);
    assert!(centred(&batch, 0).iter().all(|x| (-22..=20).contains(x)));
}
