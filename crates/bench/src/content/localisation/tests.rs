use super::super::synthetic;
use super::*;

fn differences(a: &[Plane], b: &[Plane]) -> usize {
    changed(a, b).iter().filter(|changed| **changed).count()
}

#[test]
fn alterations_are_found_where_they_are_and_nowhere_else() {
    for modality in [Modality::Us, Modality::Other] {
        let planes = synthetic::image(modality, 2, 0);
        let (marked_planes, _) = marked(&planes, 1).unwrap();
        let (other, _) = marked(&planes, 2).unwrap();
        let mut random = ChaCha8Rng::seed_from_u64(8);
        for alteration in Alteration::ALL {
            let mut canvas = Canvas::of(&marked_planes);
            assert!(alteration.apply(&mut canvas, &other, &mut random));
            let altered = canvas.into_planes().unwrap();
            let count = differences(&marked_planes, &altered);
            match alteration {
                Alteration::Sample => assert_eq!(count, 1),
                Alteration::Swap => assert!((1..=512).contains(&count)),
                Alteration::Lesion => assert!((1..=2000).contains(&count)),
                _ => assert!((1..=256).contains(&count)),
            }
            let counts = check(&marked_planes, altered);
            assert_eq!((counts.planted, counts.noticed, counts.found), (1, 1, 1));
            assert!(counts.blocks_named > 0 && counts.blocks_named == counts.blocks_right);
        }
    }
}

#[test]
fn what_was_not_altered_is_not_found() {
    let planes = synthetic::image(Modality::Us, 2, 0);
    let (marked, _) = marked(&planes, 1).unwrap();
    let counts = check(&marked, marked.clone());
    assert_eq!(
        (counts.noticed, counts.found, counts.blocks_named),
        (0, 0, 0)
    );
}

#[test]
fn an_image_that_lost_its_mark_is_noticed_but_not_found() {
    let planes = synthetic::image(Modality::Us, 2, 0);
    let (marked, _) = marked(&planes, 1).unwrap();
    let counts = check(&marked, planes);
    assert_eq!((counts.noticed, counts.unreadable, counts.found), (1, 1, 0));
}
