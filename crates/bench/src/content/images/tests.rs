use super::*;

fn plane(width: usize, height: usize, depth: u32) -> Plane {
    let max = (1u32 << depth) - 1;
    let samples = (0..width * height).map(|i| (i as u32 * 7919 % (max + 1)) as u16);
    Plane::new(width, height, depth, samples.collect()).unwrap()
}

#[test]
fn what_was_made_is_read_as_a_file() {
    let made = vec![
        (Modality::Ct, vec![plane(67, 65, 12)]),
        (Modality::Us, vec![plane(65, 65, 8)]),
        (
            Modality::Other,
            vec![plane(64, 71, 8), plane(64, 71, 8), plane(64, 71, 8)],
        ),
    ];
    let images = Images::read(&[], 0, made.clone()).unwrap();
    let groups = images.groups();
    assert_eq!(groups.len(), 3);
    for (group, (modality, planes)) in groups.iter().zip(&made) {
        assert_eq!((group.modality, group.synthetic), (*modality, true));
        assert_eq!(&group.images[0].planes, planes);
    }
}

#[test]
fn folders_are_searched_and_the_choice_of_many_is_spread() {
    let folder = tempfile::tempdir().unwrap();
    let below = folder.path().join("a/b");
    std::fs::create_dir_all(&below).unwrap();
    std::fs::write(below.join("no.dcm"), b"not an image").unwrap();
    let bytes = part10::file(Modality::Mr, 0, &[plane(64, 64, 16)]).unwrap();
    for number in 0..20 {
        std::fs::write(below.join(format!("{number:02}.dcm")), &bytes).unwrap();
    }
    let read = |limit| Images::read(&[folder.path().to_owned()], limit, Vec::new()).unwrap();
    let all = read(u64::MAX);
    assert_eq!(
        (
            all.files_of(Modality::Mr, false).len(),
            all.refused,
            all.left_out
        ),
        (20, 1, 0)
    );
    let some = read(5 * bytes.len() as u64);
    let names: Vec<usize> = some
        .files_of(Modality::Mr, false)
        .iter()
        .map(|file| file.name[..2].parse().unwrap())
        .collect();
    assert_eq!((names.len(), some.left_out), (5, 15));
    assert!(
        names.windows(2).all(|pair| pair[1] - pair[0] == 4),
        "{names:?}"
    );
    assert!(Images::read(&[below.join("none")], 1, Vec::new()).is_err());
}

#[test]
fn a_pick_is_spread_and_never_more_than_there_is() {
    let made = (0..10)
        .map(|_| (Modality::Ct, vec![plane(64, 64, 8)]))
        .collect();
    let images = Images::read(&[], 0, made).unwrap();
    let group = images.group(Modality::Ct, true);
    let names: Vec<&str> = group.pick(2).iter().map(|image| &*image.name).collect();
    assert_eq!(names, ["synthetic CT 2", "synthetic CT 7"]);
    assert_eq!(group.pick(99).len(), 10);
}

#[test]
fn modalities_are_grouped_by_their_pixels() {
    for (code, modality) in [
        ("CT", Modality::Ct),
        ("DX ", Modality::Radiograph),
        ("MG", Modality::Radiograph),
        ("US", Modality::Us),
        ("NM", Modality::Other),
        ("", Modality::Other),
    ] {
        assert_eq!(Modality::of(code), modality, "{code}");
    }
}
