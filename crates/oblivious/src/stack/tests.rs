use super::*;
use crate::Seed;

fn info(slots: u32, slot_bytes: u32, interleave: u32, seed: u16) -> GenerationInfo {
    let mut bytes = [0; 32];
    bytes[..2].copy_from_slice(&seed.to_le_bytes());
    GenerationInfo {
        params: ParamSetId(1),
        shape: Shape::new(slots, slot_bytes, interleave).unwrap(),
        seed: Seed(bytes),
    }
}

#[test]
fn generations_that_do_not_fit_together_are_refused() {
    let base = info(8, 64, 2, 0);
    let refused =
        |other: GenerationInfo| matches!(Stack::new(vec![base, other]), Err(Error::BadStack(_)));
    assert!(refused(info(8, 65, 2, 1)));
    assert!(refused(info(8, 64, 4, 1)));
    assert!(refused(info(9, 64, 2, 0)), "the same seed");
    assert!(refused(GenerationInfo {
        params: ParamSetId(0xFFFF),
        ..info(8, 64, 2, 1)
    }));
    assert!(matches!(Stack::new(vec![]), Err(Error::BadStack(_))));
    assert!(Stack::new(vec![base, info(9, 64, 2, 1)]).is_ok());
    let unknown = GenerationInfo {
        params: ParamSetId(77),
        ..base
    };
    assert_eq!(Stack::new(vec![unknown]), Err(Error::UnknownParams(77)));
}

#[test]
fn polynomials_are_bounded() {
    let full = info(1024, 64, 1, 0);
    assert!(Stack::new(vec![full]).is_ok());
    assert_eq!(
        Stack::new(vec![full, info(1, 64, 1, 1)]),
        Err(Error::TooManyPolys {
            polys: 1025,
            limit: 1024
        })
    );
}

#[test]
fn too_many_generations_leave_no_margin() {
    let stack = |count: u16| Stack::new((0..count).map(|seed| info(8, 64, 8, seed)).collect());
    assert!(stack(32).is_ok());
    assert_eq!(
        stack(100),
        Err(Error::TooNoisy {
            generations: 100,
            polys: 100
        })
    );
}

#[test]
fn positions_count_over_the_stack() {
    let stack = Stack::new(vec![info(5, 64, 2, 0), info(9, 64, 2, 1)]).unwrap();
    assert_eq!(stack.position(0, 4), Some(4));
    assert_eq!(stack.position(1, 0), Some(5));
    assert_eq!(stack.position(0, 5), None);
    assert_eq!(stack.position(2, 0), None);
    assert_eq!((stack.slots(), stack.polys()), (14, 8));
    assert_eq!(stack.offsets(), [0, 3]);
    assert_eq!(stack.query_bytes(), 40 + 8 * 13_824);
}

#[test]
fn the_digest_names_order_and_members() {
    let (a, b) = (info(5, 64, 2, 0), info(9, 64, 2, 1));
    let digest = |generations| Stack::new(generations).unwrap().digest();
    let all = [
        digest(vec![a]),
        digest(vec![b]),
        digest(vec![a, b]),
        digest(vec![b, a]),
    ];
    for (i, x) in all.iter().enumerate() {
        assert!(all[i + 1..].iter().all(|y| x != y));
    }
}
