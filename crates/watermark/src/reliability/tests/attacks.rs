//! What an attacker does to marked images, and what the verdict says.

use super::*;

const SIDE: usize = 256;

/// Marked images of one key, as a study has them.
fn study() -> Vec<Vec<Plane>> {
    (0..2)
        .map(|n| marked(&[phantom(SIDE, SIDE, 12, 12, n)], n as u8))
        .collect()
}

/// Numbers of the blocks that verification names; the planes must not change.
fn altered(image: &[Plane]) -> Vec<usize> {
    let mut verified = image.to_vec();
    let verdict = verify(&mut verified, &key());
    assert_eq!(verified, image);
    match verdict {
        Verdict::Altered(Altered { grid, blocks, .. }) => blocks
            .iter()
            .map(|block| block.row * grid.columns + block.column)
            .collect(),
        other => panic!("{other:?}"),
    }
}

fn grid() -> Grid {
    Grid::new(SIDE, SIDE)
}

/// Copies the samples of a block of `from` over a block of `to`.
fn copy_block(from: &Plane, source: usize, to: &mut Plane, target: usize) {
    let (source, target) = (grid().block(source), grid().block(target));
    for y in 0..source.height {
        for x in 0..source.width {
            to.samples_mut()[(target.y + y) * SIDE + target.x + x] =
                from.samples()[(source.y + y) * SIDE + source.x + x];
        }
    }
}

#[test]
fn one_sample_changed_by_one_is_found_wherever_it_is() {
    let image = &study()[0];
    let mut rng = ChaCha20Rng::seed_from_u64(4);
    for _ in 0..40 {
        let mut changed = image.clone();
        let index = rng.next_u32() as usize % (SIDE * SIDE);
        changed[0].samples_mut()[index] ^= 1;
        let block = index / SIDE / 16 * grid().columns + index % SIDE / 16;
        assert_eq!(altered(&changed), [block]);
    }
}

#[test]
fn every_sample_of_a_block_is_bound() {
    let image = &study()[0];
    let block = grid().block(100);
    for y in block.y..block.y + block.height {
        for x in block.x..block.x + block.width {
            let mut changed = image.clone();
            changed[0].samples_mut()[y * SIDE + x] ^= 1;
            assert_eq!(altered(&changed), [100]);
        }
    }
}

#[test]
fn every_plane_is_bound() {
    let planes = [1, 2, 3].map(|seed| phantom(SIDE, SIDE, 8, 3, seed));
    let image = marked(&planes, 1);
    for plane in 0..3 {
        let mut changed = image.clone();
        changed[plane].samples_mut()[17 * SIDE + 40] ^= 2;
        assert_eq!(altered(&changed), [grid().columns + 2]);
    }
    let mut exchanged = image;
    exchanged.swap(0, 2);
    assert!(altered(&exchanged).len() > grid().len() / 2);
}

#[test]
fn replaced_blocks_are_found() {
    let mut image = study()[0].clone();
    let block = grid().block(120);
    for y in block.y..block.y + block.height {
        image[0].samples_mut()[y * SIDE + block.x..][..block.width].fill(1500);
    }
    assert_eq!(altered(&image), [120]);
}

#[test]
fn collage_swap_and_copy_within_are_found() {
    let [a, b] = &study()[..] else { panic!() };

    let mut collage = a.clone();
    copy_block(&b[0], 130, &mut collage[0], 130);
    assert_eq!(altered(&collage), [130]);

    let mut moved = a.clone();
    copy_block(&a[0], 100, &mut moved[0], 105);
    assert_eq!(altered(&moved), [105]);

    let mut swapped = a.clone();
    copy_block(&a[0], 100, &mut swapped[0], 105);
    copy_block(&a[0], 105, &mut swapped[0], 100);
    assert_eq!(altered(&swapped), [100, 105]);
}

#[test]
fn background_copied_over_background_is_found_unless_it_is_the_same() {
    let [a, b] = &study()[..] else { panic!() };
    let mut collage = a.clone();
    copy_block(&b[0], 0, &mut collage[0], 0);
    copy_block(&a[0], 15, &mut collage[0], 240);
    assert_eq!(altered(&collage), [0, 240]);
}

#[test]
fn a_whole_image_in_anothers_place_says_whose_it_is() {
    let mut swapped = study()[1].clone();
    match verify(&mut swapped, &key()) {
        Verdict::Authentic(authentic) => assert_eq!(authentic.identity, message(1).identity),
        other => panic!("{other:?}"),
    }
}

#[test]
fn crop_shift_and_scaling_leave_nothing_authentic() {
    let image = study()[0][0].clone();
    let cropped: Vec<u16> = (0..240)
        .flat_map(|y| image.samples()[y * SIDE..][..SIDE].to_vec())
        .collect();
    let mut shifted = image.samples().to_vec();
    shifted.rotate_right(3);
    let halved = (0..SIDE / 2 * SIDE / 2)
        .map(|i| image.samples()[i / (SIDE / 2) * 2 * SIDE + i % (SIDE / 2) * 2])
        .collect();
    for plane in [
        Plane::new(SIDE, 240, 12, cropped),
        Plane::new(SIDE, SIDE, 12, shifted),
        Plane::new(SIDE / 2, SIDE / 2, 12, halved),
        Plane::new(SIDE, SIDE, 13, image.samples().to_vec()),
    ] {
        match verify(&mut [plane.unwrap()], &key()) {
            Verdict::Unmarked => {}
            Verdict::Altered(altered) => assert_eq!(altered.blocks.len(), altered.grid.len()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn who_names_another_image_in_the_header_alters_every_block() {
    let image = &study()[0];
    let layout = Shape::of(image).unwrap().layout().unwrap();
    let parameters = header::read_parameters(&image[0], &layout).unwrap();
    let mut renamed = image.clone();
    header::write(&mut renamed[0], &layout, &message(1).identity, &parameters);
    assert_eq!(altered(&renamed).len(), grid().len());
    assert_eq!(read(&renamed), Some(message(1).identity));
}

#[test]
fn another_key_finds_every_block_bad_and_still_reads_whose_it_is() {
    let mut image = study()[0].clone();
    match verify(&mut image, &MarkKey::new([8; 32])) {
        Verdict::Altered(altered) => {
            assert_eq!(altered.identity, message(0).identity);
            assert_eq!(altered.blocks.len(), grid().len());
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn tags_that_fit_an_altered_plane_are_not_enough() {
    // Who has the key of the blocks and not that of the image: everything fits but the seal.
    let mut image = study()[0].clone();
    let shape = Shape::of(&image).unwrap();
    let layout = shape.layout().unwrap();
    image[0].samples_mut()[1000] ^= 6;
    Keys::derive(&key(), &message(0).identity, shape).write(&mut image, &layout);
    assert_eq!(altered(&image), []);
}

#[test]
fn the_identity_is_read_though_two_blocks_of_five_are_destroyed() {
    let image = marked(&[phantom(512, 512, 12, 12, 1)], 1);
    let grid = Grid::new(512, 512);
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    for round in 0..30 {
        let mut damaged = image.clone();
        let mut bad = Vec::new();
        for index in 0..grid.len() {
            // In some rounds what is destroyed lies together.
            let destroyed = match round {
                0 => index % grid.columns < 12,
                1 => index / grid.columns < 12,
                _ => rng.next_u32() % 5 < 2,
            };
            if destroyed {
                bad.push(index);
                let block = grid.block(index);
                for y in block.y..block.y + block.height {
                    for sample in &mut damaged[0].samples_mut()[y * 512 + block.x..][..block.width]
                    {
                        *sample = (rng.next_u32() & 4095) as u16;
                    }
                }
            }
        }
        assert_eq!(read(&damaged), Some(message(1).identity), "round {round}");
        assert_eq!(altered(&damaged), bad);
    }
}

#[test]
fn blanked_regions_leave_the_identity_too() {
    let mut image = marked(&[phantom(512, 512, 12, 12, 1)], 1);
    image[0].samples_mut()[..512 * 200].fill(0);
    assert_eq!(read(&image), Some(message(1).identity));
    assert_eq!(altered(&image).len(), 13 * 32);
}

#[test]
fn unmarked_images_are_unmarked() {
    for seed in 0..20 {
        let mut image = [phantom(SIDE, SIDE, 12, seed as u32, seed)];
        let before = image.clone();
        assert_eq!(read(&image), None);
        assert_eq!(verify(&mut image, &key()), Verdict::Unmarked);
        assert_eq!(image, before);
    }
    let restored = &mut study()[0];
    verify(restored, &key());
    assert_eq!(verify(restored, &key()), Verdict::Unmarked);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Whatever is changed, the list is exactly the blocks in which something changed.
    #[test]
    fn the_list_is_exactly_what_was_touched(
        width in 96_usize..300,
        height in 96_usize..300,
        colour in any::<bool>(),
        changes in prop::collection::vec((any::<u32>(), 1_u16..256), 1..40),
    ) {
        let planes: Vec<Plane> = (0..if colour { 3 } else { 1 })
            .map(|n| phantom(width, height, 8, 3, n))
            .collect();
        let mut image = marked(&planes, 1);
        let grid = Grid::new(width, height);
        let before = image.clone();
        for (place, change) in changes {
            let index = place as usize % (width * height);
            let plane = place as usize / (width * height) % image.len();
            image[plane].samples_mut()[index] ^= change;
        }
        let touched: Vec<usize> = (0..grid.len())
            .filter(|&number| {
                let block = grid.block(number);
                (block.y..block.y + block.height).any(|y| {
                    let row = y * width + block.x..y * width + block.x + block.width;
                    image
                        .iter()
                        .zip(&before)
                        .any(|(a, b)| a.samples()[row.clone()] != b.samples()[row.clone()])
                })
            })
            .collect();
        if !touched.is_empty() {
            prop_assert_eq!(altered(&image), touched);
        }
    }

    /// One who holds the key can make tags that fit anything: what comes after them must bear it.
    #[test]
    fn tags_over_any_parameters_and_samples_lead_to_no_panic_and_no_false_proof(
        side in 96_usize..200,
        seed in any::<u64>(),
        damaged_samples in 0_u32..200,
        damaged_parameters in 0_u32..40,
    ) {
        let original = [phantom(side, side, 12, 12, 1)];
        let mut image = marked(&original, 1);
        let shape = Shape::of(&image).unwrap();
        let layout = shape.layout().unwrap();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        let places = header::parameter_places(&layout);
        for _ in 0..damaged_parameters {
            let place = places[rng.next_u32() as usize % places.len()];
            image[0].samples_mut()[place] ^= 1;
        }
        for _ in 0..damaged_samples {
            let index = rng.next_u32() as usize % (side * side);
            image[0].samples_mut()[index] = (rng.next_u32() & 4095) as u16;
        }
        Keys::derive(&key(), &message(1).identity, shape).write(&mut image, &layout);
        let mut verified = image.clone();
        let verdict = verify(&mut verified, &key());
        // Only the sealed planes are ever proven, by whichever way they come out.
        match verdict {
            Verdict::Authentic(_) => prop_assert_eq!(&verified[..], &original[..]),
            _ => prop_assert_eq!(verified, image),
        }
    }
}
