//! Objects of other stacks, and bytes that are no objects at all.

use proptest::prelude::*;

use super::*;

fn small() -> (World, Query, Answer, Hint) {
    let mut rng = ChaCha20Rng::seed_from_u64(30);
    let world = world(vec![info(16, 500, 8, 1)], &mut rng);
    let (_, query) = client::query(
        &world.stack,
        Choice::Slot {
            generation: 0,
            slot: 2,
        },
        &mut rng,
    )
    .unwrap();
    let answer = answer(
        &world.stack,
        &[&world.encoded[0]],
        std::slice::from_ref(&query),
    )
    .unwrap()
    .remove(0);
    let hint = world.encoded[0].hint();
    (world, query, answer, hint)
}

/// Reads `bytes` as each kind and returns what was refused.
fn read(world: &World, bytes: &[u8]) -> [Option<Error>; 3] {
    let info = &world.stack.generations()[0];
    [
        Query::from_bytes(&world.stack, bytes).err(),
        Answer::from_bytes(&world.stack, bytes).err(),
        Hint::from_bytes(info, bytes).err(),
    ]
}

#[test]
fn objects_of_another_stack_are_refused() {
    let mut rng = ChaCha20Rng::seed_from_u64(31);
    let mine = world(vec![info(16, 500, 8, 1)], &mut rng);
    let other = world(vec![info(16, 500, 8, 2)], &mut rng);
    let choice = Choice::Slot {
        generation: 0,
        slot: 3,
    };
    let ask =
        |world: &World, rng: &mut ChaCha20Rng| client::query(&world.stack, choice, rng).unwrap();
    let (secret, query) = ask(&mine, &mut rng);

    let wrong = |what| Some(Error::WrongStack { what });
    assert_eq!(
        Query::from_bytes(&other.stack, &query.to_bytes()).err(),
        wrong("query")
    );
    assert_eq!(query.part(&other.stack, 0).err(), wrong("query"));
    assert_eq!(query.part(&mine.stack, 1).err(), wrong("query"));
    let part = query.part(&mine.stack, 0).unwrap();
    let mut answers = [PartialAnswer::new(&mine.stack)];
    assert_eq!(
        other.encoded[0]
            .accumulate(std::slice::from_ref(&part), &mut answers)
            .err(),
        wrong("query")
    );
    let mut foreign = [PartialAnswer::new(&other.stack)];
    assert_eq!(
        mine.encoded[0]
            .accumulate(std::slice::from_ref(&part), &mut foreign)
            .err(),
        wrong("query")
    );
    assert_eq!(
        answer(
            &mine.stack,
            &[&other.encoded[0]],
            std::slice::from_ref(&query)
        )
        .err(),
        wrong("encoded generation")
    );

    let foreign = answer(
        &other.stack,
        &[&other.encoded[0]],
        &[ask(&other, &mut rng).1],
    )
    .unwrap()
    .remove(0);
    assert_eq!(
        Answer::from_bytes(&mine.stack, &foreign.to_bytes()).err(),
        wrong("answer")
    );
    assert_eq!(secret.decode(&mine.hint, &foreign).err(), wrong("answer"));
    let (secret, query) = ask(&mine, &mut rng);
    let answers = answer(&mine.stack, &[&mine.encoded[0]], &[query]).unwrap();
    assert_eq!(
        secret.decode(&other.hint, &answers[0]).err(),
        wrong("sum of hints")
    );

    let hint = other.encoded[0].hint();
    assert_eq!(
        Hint::from_bytes(&mine.stack.generations()[0], &hint.to_bytes()).err(),
        wrong("hint")
    );
    assert_eq!(StackHint::sum(&mine.stack, &[hint]).err(), wrong("hint"));
}

#[test]
fn sums_must_be_complete_and_without_repeats() {
    let mut rng = ChaCha20Rng::seed_from_u64(32);
    let world = world(vec![info(9, 300, 2, 1), info(10, 300, 2, 2)], &mut rng);
    let hints: Vec<Hint> = world.encoded.iter().map(Encoded::hint).collect();
    let incomplete = |what| Some(Error::Incomplete { what, missing: 1 });
    let twice = |what| Some(Error::AddedTwice { what });
    assert_eq!(
        StackHint::sum(&world.stack, &hints[..1]).err(),
        incomplete("the sum of hints")
    );
    let doubled = [hints[0].clone(), hints[0].clone()];
    assert_eq!(
        StackHint::sum(&world.stack, &doubled).err(),
        twice("the sum of hints")
    );
    let mut partial_sum = StackHint::empty(&world.stack);
    assert_eq!(
        partial_sum.remove(&hints[0]).err(),
        Some(Error::WrongStack { what: "hint" })
    );
    partial_sum.add(&hints[0]).unwrap();

    let (secret, query) = client::query(&world.stack, Choice::Dummy, &mut rng).unwrap();
    let mut answers = [PartialAnswer::new(&world.stack)];
    let part = [query.part(&world.stack, 0).unwrap()];
    world.encoded[0].accumulate(&part, &mut answers).unwrap();
    assert_eq!(
        world.encoded[0].accumulate(&part, &mut answers).err(),
        twice("the partial answer")
    );
    assert!(world.encoded[0].accumulate(&part, &mut []).is_err());
    let [partial] = answers;
    assert_eq!(partial.finish().err(), incomplete("the answer"));

    let full = answer(
        &world.stack,
        &[&world.encoded[0], &world.encoded[1]],
        &[query],
    )
    .unwrap();
    assert_eq!(
        secret.decode(&partial_sum, &full[0]).err(),
        Some(Error::WrongStack {
            what: "sum of hints"
        })
    );
}

#[test]
fn good_bytes_come_back_and_kinds_are_not_mixed() {
    let (world, query, answer, hint) = small();
    let kinds = [query.to_bytes(), answer.to_bytes(), hint.to_bytes()];
    for (kind, bytes) in kinds.iter().enumerate() {
        for (read_as, refused) in read(&world, bytes).into_iter().enumerate() {
            assert_eq!(refused.is_none(), kind == read_as);
        }
    }
    let info = &world.stack.generations()[0];
    assert!(Query::from_bytes(&world.stack, &kinds[0]).unwrap() == query);
    assert!(Answer::from_bytes(&world.stack, &kinds[1]).unwrap() == answer);
    assert!(Hint::from_bytes(info, &kinds[2]).unwrap() == hint);
    assert_eq!(kinds[2].len() as u64, info.hint_bytes().unwrap());
}

#[test]
fn thousands_of_malformed_objects_are_refused() {
    let (world, query, answer, hint) = small();
    let mut rng = ChaCha20Rng::seed_from_u64(33);
    for (kind, good) in [query.to_bytes(), answer.to_bytes(), hint.to_bytes()]
        .into_iter()
        .enumerate()
    {
        for round in 0..1200 {
            let mut bytes = good.clone();
            match round % 4 {
                // Another header.
                0 => bytes[rng.next_u32() as usize % 40] ^= 1 << (rng.next_u32() % 8),
                1 => bytes.truncate(rng.next_u32() as usize % good.len()),
                2 => bytes.resize(good.len() + 1 + rng.next_u32() as usize % 100, 0),
                _ => rng.fill_bytes(&mut bytes),
            }
            assert!(read(&world, &bytes)[kind].is_some(), "round {round}");
        }
    }
}

#[test]
fn values_out_of_range_are_refused() {
    let (world, query, answer, hint) = small();
    let reason = |bytes: &[u8], kind: usize| match read(&world, bytes)[kind] {
        Some(Error::Malformed { reason, .. }) => reason,
        ref other => panic!("{other:?}"),
    };
    for residue in [0, 1, 2047, 2048, 4096, 8191] {
        let mut bytes = query.to_bytes();
        let prime = u64::from(world.stack.params().primes[residue / 2048 % 2]);
        set_bits(&mut bytes, 27, residue, prime);
        assert_eq!(reason(&bytes, 0), "a residue is not below its prime");
        set_bits(&mut bytes, 27, residue, prime - 1);
        assert!(read(&world, &bytes)[0].is_none());
    }
    let mut bytes = answer.to_bytes();
    *bytes.last_mut().unwrap() = 0x80;
    assert_eq!(reason(&bytes, 1), "padding is not zero");
    let mut bytes = hint.to_bytes();
    set_bits(&mut bytes, 30, 77, (1 << 30) - 1);
    assert_eq!(reason(&bytes, 2), "a coefficient is out of range");
}

/// Sets value number `index` of `bits` bits after the header.
fn set_bits(bytes: &mut [u8], bits: usize, index: usize, value: u64) {
    for bit in 0..bits {
        let at = index * bits + bit;
        let byte = &mut bytes[40 + at / 8];
        *byte = *byte & !(1 << (at % 8)) | ((value >> bit & 1) as u8) << (at % 8);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), kind in 0usize..3) {
        let (world, ..) = cached();
        let magic: [&[u8; 4]; 3] = [b"HPOQ", b"HPOA", b"HPOH"];
        let mut with_magic = magic[kind].to_vec();
        with_magic.extend_from_slice(&bytes);
        for bytes in [bytes, with_magic] {
            prop_assert!(read(world, &bytes).iter().all(Option::is_some));
        }
    }

    #[test]
    fn a_changed_body_is_refused_or_read_as_itself(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let (world, query, answer, hint) = cached();
        let info = &world.stack.generations()[0];
        let change = |mut bytes: Vec<u8>| {
            let body = bytes.len() - 40;
            bytes[40 + at.index(body)] = byte;
            bytes
        };
        let bytes = change(query.to_bytes());
        if let Ok(read) = Query::from_bytes(&world.stack, &bytes) {
            prop_assert!(read.to_bytes() == bytes);
        }
        let bytes = change(answer.to_bytes());
        if let Ok(read) = Answer::from_bytes(&world.stack, &bytes) {
            prop_assert!(read.to_bytes() == bytes);
        }
        let bytes = change(hint.to_bytes());
        if let Ok(read) = Hint::from_bytes(info, &bytes) {
            prop_assert!(read.to_bytes() == bytes);
        }
    }
}

fn cached() -> &'static (World, Query, Answer, Hint) {
    static CACHED: std::sync::LazyLock<(World, Query, Answer, Hint)> =
        std::sync::LazyLock::new(small);
    &CACHED
}
