use harpo_oblivious::{GenerationInfo, ParamSetId, Seed, Shape};

use super::*;

fn stack(seed: u8, slots: u32) -> Stack {
    let info = GenerationInfo {
        params: ParamSetId(1),
        shape: Shape::new(slots, 4096, 2).unwrap(),
        seed: Seed([seed; 32]),
    };
    Stack::new(vec![info]).unwrap()
}

fn room(retrievals: u32, queries: u32, mib: u64) -> Arc<Room> {
    Arc::new(Room::new(&Limits {
        retrievals_at_once: retrievals,
        queue_queries: queries,
        queue_mib: mib,
        ..Limits::default()
    }))
}

fn refused(room: &Arc<Room>, stack: &Stack, pace: &Pace) -> Duration {
    match room.take(stack, 1, pace) {
        Err(Error::QueueFull(after)) => after,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_bound_holds_and_everything_is_given_back() {
    let (stack, pace) = (stack(1, 8), Pace::default());
    for room in [
        room(2, 1000, 1000),
        room(1000, 100, 1000),
        room(1000, 1000, 1),
    ] {
        let mut places = Vec::new();
        while let Ok(place) = room.take(&stack, 64, &pace) {
            places.push(place);
        }
        // The last one may exceed it.
        let taken = room.lock().all;
        let before = taken.queries - 64;
        assert!(
            taken.retrievals == 2 || before < 100 && taken.queries >= 100 || taken.bytes >= 1 << 20,
            "{taken:?}"
        );
        refused(&room, &stack, &pace);
        places.pop();
        room.take(&stack, 64, &pace).unwrap();
        drop(places);
        let taken = room.lock();
        assert_eq!(taken.all, Amount::default());
        assert!(taken.stacks.is_empty());
    }
}

#[test]
fn an_answered_query_gives_its_room_to_others() {
    let (stack, pace) = (stack(1, 8), Pace::default());
    let room = room(10, 16, 1000);
    let mut place = room.take(&stack, 16, &pace).unwrap();
    refused(&room, &stack, &pace);
    let before = room.lock().all.bytes;
    place.answered();
    assert_eq!(room.lock().all.queries, 15);
    assert_eq!(
        room.lock().all.bytes,
        before - in_memory(stack.query_bytes())
    );
    room.take(&stack, 1, &pace).unwrap();
    for _ in 0..20 {
        place.answered();
    }
    drop(place);
    assert_eq!(room.lock().all, Amount::default());
}

#[test]
fn a_large_retrieval_has_the_same_chance_as_a_small_one() {
    let (stack, pace) = (stack(1, 8), Pace::default());
    let room = room(1000, 100, 1000);
    let _small: Vec<Place> = (0..99)
        .map(|_| room.take(&stack, 1, &pace).unwrap())
        .collect();
    room.take(&stack, 64, &pace).unwrap();
}

#[test]
fn who_is_refused_is_told_how_long_what_waits_takes() {
    let (small, large) = (stack(1, 8), stack(2, 16));
    let pace = Pace::default();
    let room = room(1000, 64, 1000);
    let place = room.take(&small, 64, &pace).unwrap();
    // Nothing was measured yet.
    assert_eq!(refused(&room, &small, &pace), 2 * WAIT_AT_LEAST);
    // A second for each query over the small stack; one of 64 must go.
    pace.observe(small.encoded_bytes(), 16, Duration::from_secs(16));
    assert_eq!(refused(&room, &small, &pace).as_secs_f64().round(), 1.0);
    drop(place);
    // Now half of 126 must go, and those over the large stack take twice as long.
    let _both = (
        room.take(&small, 63, &pace).unwrap(),
        room.take(&large, 63, &pace).unwrap(),
    );
    let after = refused(&room, &small, &pace).as_secs_f64();
    assert!((94.4..94.6).contains(&after), "{after}");
    pace.observe(small.encoded_bytes(), 16, Duration::from_secs(1 << 40));
    let after = refused(&room, &small, &pace);
    assert!(
        after > Duration::from_secs(290) && after <= WAIT_AT_MOST,
        "{after:?}"
    );
}
