use harpo_protocol::id::Digest;

use super::*;

const G: GenerationId = GenerationId([1; 16]);
const H: GenerationId = GenerationId([2; 16]);

fn figures(seed: u8) -> Figures {
    Figures {
        slots: 4,
        slot_bytes: 64,
        parameter_set: 1,
        interleave: 2,
        seed: Digest([seed; 32]),
    }
}

fn resident(seed: u8) -> Resident {
    let info = info(&figures(seed)).unwrap();
    Resident(Encoded::of_slots(&info, &[[seed; 64]; 4]).unwrap())
}

#[test]
fn memory_is_set_aside_once_and_given_back() {
    let residents = Residents::new(10);
    residents.reserve(G, 6 * MIB).unwrap();
    residents.reserve(G, 6 * MIB).unwrap();
    let refused = residents.reserve(H, 5 * MIB).unwrap_err();
    assert!(
        matches!(
            refused,
            Error::MemoryFull {
                needed_mib: 5,
                free_mib: 4,
                limit_mib: 10
            }
        ),
        "{refused:?}"
    );
    residents.failed(G, "damaged".into());
    residents.reserve(H, 5 * MIB).unwrap();
    residents.remove(H);
    residents.fits(H, 10 * MIB).unwrap();
}

#[test]
fn a_stack_needs_all_its_generations() {
    let residents = Residents::new(100);
    assert!(matches!(residents.stack(&[G]), Err(Error::NotFound(_))));
    residents.reserve(G, 1).unwrap();
    assert!(matches!(residents.stack(&[G]), Err(Error::Busy(_))));
    residents.ready(G, resident(1));
    residents.reserve(H, 1).unwrap();
    residents.ready(H, resident(2));
    let loaded = residents.stack(&[H, G]).unwrap();
    assert_eq!(loaded.stack.slots(), 8);
    assert_eq!(loaded.residents[1].0.info().seed, Seed([1; 32]));
    assert!(matches!(residents.stack(&[G, G]), Err(Error::Malformed(_))));
    assert!(matches!(residents.stack(&[]), Err(Error::Malformed(_))));
    residents.failed(H, "damaged".into());
    assert!(matches!(
        residents.stack(&[G, H]),
        Err(Error::Unusable { .. })
    ));
    residents.stack(&[G]).unwrap();
}

#[test]
fn what_was_removed_while_it_was_encoded_stays_away() {
    let residents = Residents::new(100);
    residents.reserve(G, 1).unwrap();
    residents.remove(G);
    residents.ready(G, resident(1));
    assert!(matches!(residents.stack(&[G]), Err(Error::NotFound(_))));
}

#[test]
fn impossible_figures_are_refused() {
    type Change = fn(&mut Figures);
    let changes: [Change; 6] = [
        |f| f.slots = 0,
        |f| f.slot_bytes = 0,
        |f| f.slot_bytes = u32::MAX,
        |f| f.interleave = 3,
        |f| f.parameter_set = 999,
        |f| f.slots = u32::MAX,
    ];
    for change in changes {
        let mut figures = figures(1);
        change(&mut figures);
        assert!(
            matches!(info(&figures), Err(Error::Malformed(_))),
            "{figures:?}"
        );
    }
}
