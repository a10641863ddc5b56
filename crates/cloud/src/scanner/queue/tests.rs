use std::collections::{BTreeMap, BTreeSet};

use super::*;

const A: StackId = [1; 32];
const B: StackId = [2; 32];
const GATHER: Duration = Duration::from_millis(5);

/// A query: whose it is, and which of theirs.
type Query = (Id, usize);

fn queue() -> Queue<Query> {
    Queue::new(GATHER)
}

fn join(queue: &mut Queue<Query>, id: Id, stack: StackId, count: usize) {
    queue.join(id, stack, (0..count).map(|n| (id, n)));
}

/// The next pass, when one is under way already.
fn pass(queue: &mut Queue<Query>, now: Instant) -> Vec<Query> {
    let later = now + GATHER;
    loop {
        match queue.next(later) {
            Next::Pass(pass) => return pass,
            Next::At(then) => assert!(then > later, "asked to wait for the past"),
            Next::Idle => return Vec::new(),
        }
        // The window began only now.
        if let Next::Pass(pass) = queue.next(later + GATHER) {
            return pass;
        }
    }
}

fn of(pass: &[Query], id: Id) -> usize {
    pass.iter().filter(|(whose, _)| *whose == id).count()
}

#[test]
fn who_comes_first_is_waited_with_for_a_moment_and_a_full_pass_for_nobody() {
    let start = Instant::now();
    let mut queue = queue();
    assert_eq!(queue.next(start), Next::Idle);
    join(&mut queue, 1, A, 1);
    assert_eq!(queue.next(start), Next::At(start + GATHER));
    let soon = start + GATHER / 2;
    join(&mut queue, 2, A, 1);
    // The window does not grow with who joins.
    assert_eq!(queue.next(soon), Next::At(start + GATHER));
    assert_eq!(queue.next(start + GATHER), Next::Pass(vec![(1, 0), (2, 0)]));
    // Behind a pass nobody is waited for.
    join(&mut queue, 3, A, 1);
    assert_eq!(queue.next(soon), Next::Pass(vec![(3, 0)]));
    assert_eq!(queue.next(soon), Next::Idle);
    // A window begins again; a pass that is full ends it.
    join(&mut queue, 4, A, PASS_QUERIES - 1);
    assert!(matches!(queue.next(soon), Next::At(_)));
    join(&mut queue, 5, A, 1);
    assert!(matches!(queue.next(soon), Next::Pass(pass) if pass.len() == PASS_QUERIES));
}

#[test]
fn who_left_during_the_window_leaves_no_window_behind() {
    let start = Instant::now();
    let mut queue = queue();
    join(&mut queue, 1, A, 1);
    assert!(matches!(queue.next(start), Next::At(_)));
    assert_eq!(queue.leave(1), [(1, 0)]);
    let later = start + 10 * GATHER;
    assert_eq!(queue.next(later), Next::Idle);
    join(&mut queue, 2, A, 1);
    assert_eq!(queue.next(later), Next::At(later + GATHER));
}

#[test]
fn a_retrieval_of_many_queries_takes_what_others_leave() {
    let now = Instant::now();
    let mut queue = queue();
    join(&mut queue, 100, A, 64);
    assert_eq!(of(&pass(&mut queue, now), 100), 16);
    for id in 0..10 {
        join(&mut queue, id, A, 1);
    }
    for _ in 0..16 {
        queue.taken(100);
    }
    // All ten small ones are in the very next pass.
    let next = pass(&mut queue, now);
    assert_eq!(next.len(), PASS_QUERIES);
    assert_eq!(of(&next, 100), 6);
}

#[test]
fn shares_of_a_pass_are_equal_and_the_turn_goes_on_where_it_ended() {
    let now = Instant::now();
    let mut queue = queue();
    for id in 1..=3 {
        join(&mut queue, id, A, 64);
    }
    let mut total: BTreeMap<Id, usize> = BTreeMap::new();
    for round in 1..=6 {
        let next = pass(&mut queue, now);
        assert_eq!(next.len(), PASS_QUERIES);
        for (id, number) in next {
            let count = total.entry(id).or_default();
            assert_eq!(number, *count, "out of order");
            *count += 1;
            queue.taken(id);
        }
        let counts: BTreeSet<usize> = total.values().copied().collect();
        let spread = counts.last().unwrap() - counts.first().unwrap();
        assert!(spread <= 1, "after {round}: {total:?}");
    }
}

/// The bound of the rule, on many arrivals of any size: a query is answered after at most as many queries of its stack
/// as there are other retrievals, for each of its own before it.
#[test]
fn nobody_waits_for_more_than_one_query_of_each_other_retrieval() {
    let now = Instant::now();
    let mut queue = queue();
    let sizes: Vec<usize> = (0..40_usize).map(|n| 1 << (n * 7 % 7)).collect();
    for (id, size) in sizes.iter().enumerate() {
        join(&mut queue, id as Id, A, *size);
    }
    let mut answered = 0;
    loop {
        let next = pass(&mut queue, now);
        if next.is_empty() {
            break;
        }
        for (id, number) in next {
            assert!(
                answered < (number + 1) * sizes.len(),
                "query {number} of {id} was number {answered}"
            );
            answered += 1;
            queue.taken(id);
        }
    }
    assert_eq!(answered, sizes.iter().sum::<usize>());
    assert_eq!(queue.len(), 0);
}

#[test]
fn the_stack_whose_retrieval_waited_longest_is_next() {
    let now = Instant::now();
    let mut queue = queue();
    join(&mut queue, 1, A, 64);
    join(&mut queue, 2, B, 1);
    assert_eq!(of(&pass(&mut queue, now), 1), 16);
    for _ in 0..16 {
        queue.taken(1);
    }
    // Came first, but had its turn.
    assert_eq!(pass(&mut queue, now), [(2, 0)]);
    join(&mut queue, 3, B, 32);
    // Its reader was done before the newcomer came.
    assert_eq!(of(&pass(&mut queue, now), 1), 16);
    for _ in 0..16 {
        queue.taken(1);
    }
    assert_eq!(of(&pass(&mut queue, now), 3), 16);
    assert_eq!(of(&pass(&mut queue, now), 1), 16);
}

#[test]
fn who_does_not_read_is_not_computed_for_and_stops_nobody() {
    let now = Instant::now();
    let mut queue = queue();
    join(&mut queue, 1, A, 64);
    assert_eq!(pass(&mut queue, now).len(), AHEAD);
    assert_eq!(queue.next(now), Next::Idle);
    // Others go on as if it were not there, and are gathered again.
    for id in 2..20 {
        join(&mut queue, id, A, 1);
        assert_eq!(pass(&mut queue, now), [(id, 0)]);
    }
    // Half must be taken, and then it is all of the half.
    for taken in 1..=AHEAD / 2 {
        assert_eq!(queue.next(now), Next::Idle);
        assert_eq!(queue.taken(1), taken == AHEAD / 2);
    }
    assert_eq!(pass(&mut queue, now).len(), AHEAD / 2);
    assert_eq!(queue.len(), 64 - AHEAD - AHEAD / 2);
}

#[test]
fn whoever_waited_for_their_reader_comes_after_those_who_waited_for_the_scanner() {
    let now = Instant::now();
    let mut queue = queue();
    join(&mut queue, 1, A, 64);
    assert_eq!(pass(&mut queue, now).len(), AHEAD);
    for id in 2..18 {
        join(&mut queue, id, A, 1);
    }
    for _ in 0..AHEAD {
        queue.taken(1);
    }
    let next = pass(&mut queue, now);
    assert_eq!((next.len(), of(&next, 1)), (PASS_QUERIES, 0));
    assert_eq!(of(&pass(&mut queue, now), 1), AHEAD);
}

#[test]
fn leaving_takes_everything_out_and_what_is_taken_later_does_nothing() {
    let now = Instant::now();
    let mut queue = queue();
    join(&mut queue, 1, A, 64);
    join(&mut queue, 2, A, 1);
    assert_eq!(pass(&mut queue, now).len(), PASS_QUERIES);
    assert_eq!(queue.len(), 49);
    assert_eq!(queue.leave(1).len(), 49);
    assert_eq!((queue.len(), queue.next(now)), (0, Next::Idle));
    assert!(queue.leave(1).is_empty() && !queue.taken(1));
    // One that had nothing left to wait for.
    assert!(queue.leave(2).is_empty() && !queue.taken(2));
    assert!(queue.stacks.is_empty() && queue.homes.is_empty());
    join(&mut queue, 3, A, 0);
    assert_eq!(queue.next(now), Next::Idle);
}
