use harpo_protocol::id::Digest;

use super::*;

const BOUNDS: Bounds = Bounds {
    generations: 3,
    polynomials: 16,
};

fn figures(slots: u32, interleave: u32) -> Figures {
    Figures {
        slots,
        slot_bytes: 4096,
        parameter_set: 1,
        interleave,
        seed: Digest([0; 32]),
    }
}

/// How many generations each stack gets, when all are sealed one after the other.
fn grouped(sealed: &[Figures]) -> Vec<usize> {
    let mut stacks: Vec<Vec<&Figures>> = Vec::new();
    for next in sealed {
        match stacks.last_mut() {
            Some(stack) if BOUNDS.takes(stack, next) => stack.push(next),
            _ => stacks.push(vec![next]),
        }
    }
    stacks.iter().map(Vec::len).collect()
}

#[test]
fn stacks_are_closed_by_other_figures_and_by_their_bounds() {
    let usual = figures(16, 4);
    let table: Vec<(&str, Vec<Figures>, &[usize])> = vec![
        ("nothing", vec![], &[]),
        ("one", vec![usual.clone()], &[1]),
        ("as many as it takes", vec![usual.clone(); 3], &[3]),
        ("one too many", vec![usual.clone(); 7], &[3, 3, 1]),
        ("polynomials: 16", vec![figures(32, 4); 2], &[2]),
        (
            "polynomials: 9 and 8",
            vec![figures(33, 4), figures(32, 4)],
            &[1, 1],
        ),
        (
            "polynomials: 8 and 9",
            vec![figures(32, 4), figures(33, 4)],
            &[1, 1],
        ),
        (
            "other numbers of slots",
            vec![figures(4, 4), figures(8, 4)],
            &[2],
        ),
        (
            "too large by itself",
            vec![figures(128, 4), figures(4, 4)],
            &[1, 1],
        ),
        (
            "other interleaving",
            vec![figures(16, 4), figures(16, 8)],
            &[1, 1],
        ),
        (
            "other slots",
            vec![
                usual.clone(),
                Figures {
                    slot_bytes: 8192,
                    ..usual.clone()
                },
            ],
            &[1, 1],
        ),
        (
            "other parameters",
            vec![
                usual.clone(),
                Figures {
                    parameter_set: 2,
                    ..usual.clone()
                },
            ],
            &[1, 1],
        ),
        (
            "a closed stack stays closed",
            vec![usual.clone(), figures(16, 8), usual.clone()],
            &[1, 1, 1],
        ),
        (
            "seeds always differ",
            vec![
                usual.clone(),
                Figures {
                    seed: Digest([1; 32]),
                    ..usual.clone()
                },
            ],
            &[2],
        ),
    ];
    for (what, sealed, expected) in table {
        assert_eq!(grouped(&sealed), expected, "{what}");
    }
}
