use super::*;

/// Set 1.
fn small() -> &'static Params {
    Params::by_id(ParamSetId(1)).unwrap()
}

#[test]
fn impossible_shapes_are_refused() {
    for (slots, slot_bytes, interleave) in [
        (0, 8, 1),
        (1, 0, 1),
        (1, 8, 0),
        (1, 8, 3),
        (1, 8, 4096),
        (1025, 8, 1),
        (u32::MAX, 8, 2048),
        (1, MAX_SLOT_BYTES + 1, 1),
    ] {
        let shape = Shape::new(slots, slot_bytes, interleave);
        assert!(
            matches!(shape, Err(Error::BadShape(_))),
            "{slots} {slot_bytes} {interleave}"
        );
    }
    assert!(Shape::new(1024, 8, 1).is_ok() && Shape::new(1, MAX_SLOT_BYTES, 2048).is_ok());
}

#[test]
fn sizes_of_the_documentation() {
    let params = small();
    let slot = 4u64 << 20;
    let shape = Shape::new(512, 4 << 20, 8).unwrap();
    assert_eq!(shape.polys(), 64);
    assert_eq!(shape.query_bytes(params), 64 * 13_824);
    assert_eq!(shape.answer_bytes(params), 4_635_874);
    assert!(
        shape.answer_bytes(params) * 100 < slot * 115,
        "at most 1.15 of a slot"
    );
    assert_eq!(shape.hint_bytes(params), 53_084_200);
    let expansion = shape.encoded_bytes(params) as f64 / (512.0 * slot as f64);
    assert!((3.36..3.40).contains(&expansion), "{expansion}");
}

fn recommended(slots: u32, slot_bytes: u32) -> u32 {
    Shape::recommended_interleave(small(), slots, slot_bytes, QUERIES_PER_HINT)
}

#[test]
fn more_expected_queries_make_for_more_interleaving() {
    let with = |queries| Shape::recommended_interleave(small(), 512, 4 << 20, queries);
    assert!(with(1) < with(64) && with(64) < with(4096));
    // What interleaving saves in uploads is worth three times as much in the larger ring.
    let large = Params::by_id(ParamSetId(2)).unwrap();
    assert!(Shape::recommended_interleave(large, 512, 4 << 20, 64) > with(64));
}

#[test]
fn recommended_interleaving() {
    let mib4 = 4 << 20;
    assert_eq!(recommended(512, mib4), 8);
    assert_eq!(recommended(16_384, mib4), 64);
    assert!(recommended(64, mib4) < 8);
    for slots in [1, 3, 8, 64, 1000, 16_384, u32::MAX] {
        for slot_bytes in [16, 16_384, 65_536, mib4] {
            for (params, queries) in Params::table()
                .iter()
                .flat_map(|params| [(params, 64), (params, u64::MAX)])
            {
                let interleave = Shape::recommended_interleave(params, slots, slot_bytes, queries);
                assert!(interleave.is_power_of_two() && interleave <= 2048);
                assert!(slots > 1 << 20 || Shape::new(slots, slot_bytes, interleave).is_ok());
            }
        }
    }
}

#[test]
fn the_digest_covers_every_figure() {
    let info = |params, slots, slot_bytes, interleave, seed| {
        let shape = Shape::new(slots, slot_bytes, interleave).unwrap();
        GenerationInfo {
            params: ParamSetId(params),
            shape,
            seed: Seed([seed; 32]),
        }
        .digest()
    };
    let base = info(1, 8, 16, 2, 0);
    assert_eq!(base, info(1, 8, 16, 2, 0));
    for other in [
        info(2, 8, 16, 2, 0),
        info(1, 9, 16, 2, 0),
        info(1, 8, 17, 2, 0),
        info(1, 8, 16, 4, 0),
        info(1, 8, 16, 2, 1),
    ] {
        assert_ne!(base, other);
    }
}
