//! Trust plans with the ring engine's public figures and may not link it: they must be the engine's.

use harpo_oblivious::{GenerationInfo, ParamSetId, Params, Seed, Shape, Stack};
use harpo_trust::config::TrustConfig;

#[test]
fn trust_interleaves_as_the_engine_recommends() {
    for params in Params::table() {
        for slots in [1, 3, 64, 256, 512, 4096, 16_384] {
            for queries in [1, 64, 1000] {
                let mut config = TrustConfig::default();
                config.ring.parameter_set = params.id.0;
                config.ring.queries_per_hint = queries;
                config.ring.max_polynomials_per_stack = params.max_polys;
                config.layout.slots_per_generation = slots;
                let slot_bytes = config.layout().slot_bytes();
                let expected = Shape::recommended_interleave(params, slots, slot_bytes, queries);
                let found = config.interleave();
                // Trust rounds the size of hints; of two choices that cost nearly the same, either is right.
                let cost = |interleave| {
                    let shape = Shape::new(slots, slot_bytes, interleave).unwrap();
                    (queries * shape.query_bytes(params) + shape.hint_bytes(params)) as f64
                };
                assert!(
                    cost(found) <= cost(expected) * 1.002,
                    "set {}, {slots} slots, {queries} queries: {found}, not {expected}",
                    params.id.0
                );
            }
        }
    }
}

/// Whether `generations` generations with `polynomials` polynomials in all are a stack.
#[expect(clippy::unwrap_used, reason = "shapes that exist")]
fn stack(set: ParamSetId, generations: u32, polynomials: u32) -> bool {
    let infos = (0..generations).map(|index| {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&index.to_le_bytes());
        let more = u32::from(index < polynomials % generations);
        GenerationInfo {
            params: set,
            shape: Shape::new(polynomials / generations + more, 64, 1).unwrap(),
            seed: Seed(seed),
        }
    });
    Stack::new(infos.collect()).is_ok()
}

#[test]
fn trust_allows_what_the_engine_accepts() {
    for params in Params::table() {
        for polynomials in [128, 256, 512, 1024] {
            let allows = |generations: u32| {
                let mut config = TrustConfig::default();
                config.ring.parameter_set = params.id.0;
                config.ring.max_polynomials_per_stack = polynomials;
                config.ring.max_generations_per_stack = generations;
                config.validate().is_ok()
            };
            for generations in 1..=120 {
                assert_eq!(
                    allows(generations),
                    stack(params.id, generations, polynomials),
                    "set {}, {polynomials} polynomials, {generations} generations",
                    params.id.0
                );
            }
        }
    }
}
