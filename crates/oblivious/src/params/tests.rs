use super::*;

fn small() -> &'static Params {
    Params::by_id(ParamSetId(1)).unwrap()
}

/// All rows but the one that fails on purpose.
fn real() -> impl Iterator<Item = &'static Params> {
    Params::table()
        .iter()
        .filter(|params| params.id.0 != 0xFFFF)
}

#[test]
fn every_set_decodes_at_its_limits() {
    for params in real() {
        let noise = params.noise(params.max_polys, 8);
        assert!(noise.margin() > 14.0, "margin {}", noise.margin());
        assert!(noise.bundle_failure_log2() < -100.0);
        assert!(noise.is_acceptable());
    }
}

#[test]
fn slots_of_any_content_decode_at_the_limit_of_polynomials() {
    // Constant bytes can put every coefficient at the edge: three times the variance of uniform ones.
    for params in real() {
        let mut noise = params.noise(params.max_polys, 2);
        noise.query_variance *= 3.0;
        assert!(noise.is_acceptable(), "{noise:?}");
    }
}

#[test]
fn the_formula_is_the_one_of_the_design() {
    // 3.2 (p / sqrt 12) sqrt(n N / t) with the binomial's 3.24 for 3.2.
    let noise = small().noise(64, 1);
    let expected = 10.5f64.sqrt() * f64::from(1 << 19) / 12f64.sqrt() * (2048.0 * 64.0f64).sqrt();
    assert!((noise.query_variance.sqrt() / expected - 1.0).abs() < 1e-12);
    assert!((small().noise(1024, 1).margin() - 17.4).abs() < 0.5);
}

#[test]
fn the_bad_set_is_recognised() {
    let bad = Params::by_id(ParamSetId(0xFFFF)).unwrap();
    assert!(!bad.noise(64, 1).is_acceptable());
    assert!(bad.noise(64, 1).margin() < 1.0);
}

#[test]
fn numbers_of_sets_are_unique_and_unknown_ones_refused() {
    for params in Params::table() {
        assert_eq!(Params::by_id(params.id).unwrap(), params);
    }
    assert_eq!(Params::by_id(ParamSetId(3)), Err(Error::UnknownParams(3)));
    assert_eq!(Params::DEFAULT.id, ParamSetId(2));
}

#[test]
fn derived_figures() {
    let params = small();
    assert_eq!(params.hint_bits(), 30);
    assert_eq!(params.delta(), params.modulus() >> 19);
    assert!(params.modulus() < 1 << 54 && params.modulus() > 1 << 53);
    let large = Params::by_id(ParamSetId(2)).unwrap();
    assert_eq!((large.hint_bits(), large.poly_bytes()), (44, 41_472));
    assert_eq!(large.delta(), large.modulus() >> 32);
}

/// log2 of the root Hermite factor of BKZ with block size b (Chen 2013).
fn root_hermite_log2(b: f64) -> f64 {
    use std::f64::consts::{E, PI};
    (((PI * b).powf(1.0 / b) * b / (2.0 * PI * E)).log2()) / (2.0 * (b - 1.0))
}

/// Whether BKZ-b finds the secret in the lattice of dimension n + m + 1, its secret part scaled to the size of
/// the errors (Bai and Galbraith 2014, condition of Alkim et al. 2016).
fn primal_attack_succeeds(params: &Params, b: f64, samples: usize) -> bool {
    let n = params.degree as f64;
    let m = samples as f64;
    let d = n + m + 1.0;
    let error = (f64::from(params.eta) / 2.0).sqrt();
    let secret = (2.0f64 / 3.0).sqrt();
    let volume = m * (params.modulus() as f64).log2() + n * (error / secret).log2();
    error.log2() + 0.5 * b.log2() <= (2.0 * b - d - 1.0) * root_hermite_log2(b) + volume / d
}

#[test]
fn security_estimates_are_recomputed() {
    for params in real() {
        let n = params.degree;
        let (block, samples) = (60..900u32)
            .find_map(|b| {
                let mut samples = (n / 4..=2 * n).step_by(16);
                samples
                    .find(|m| primal_attack_succeeds(params, f64::from(b), *m))
                    .map(|m| (b, m))
            })
            .unwrap();
        let calls = (8.0 * (n + samples + 1) as f64).log2();
        let bits = |exponent: f64| (exponent * f64::from(block) + 16.4 + calls) as u32;
        let expected = Security {
            block_size: block,
            classical_bits: bits(0.292),
            quantum_bits: bits(0.265),
        };
        assert_eq!(params.security, expected);
        assert!(params.security.classical_bits >= 128);
    }
}
