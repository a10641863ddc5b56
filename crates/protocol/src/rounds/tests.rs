use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;

use super::*;

const RULE: Rule = Rule {
    seconds: 60,
    queries: 4,
};
const OLD: GenerationId = GenerationId([1; 16]);
const NEW: GenerationId = GenerationId([2; 16]);

#[test]
fn a_retrieval_lies_within_its_round_and_anywhere_in_it() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let number = RULE.number(Timestamp(1_800_000_123_456));
    let mut early = 0;
    for _ in 0..2000 {
        let moment = RULE.moment(number, &mut rng);
        assert_eq!(RULE.number(moment), number);
        early += u32::from(moment.since(RULE.begins(number)) < Duration::from_secs(15));
    }
    // Expected 500, standard deviation 19.
    assert!((400..600).contains(&early), "{early}");
}

#[test]
fn every_stack_has_its_rounds_and_the_newest_every_other() {
    assert_eq!(stack_of(5, 0), None);
    assert_eq!(stack_of(5, 1), Some(0));
    let mut counts = [0; 5];
    for number in 0..80 {
        counts[stack_of(number, 5).unwrap()] += 1;
    }
    assert_eq!(counts, [10, 10, 10, 10, 40]);
}

#[test]
fn readers_go_first_and_nothing_is_lost_or_asked_for_twice() {
    let mut queue = Queue::default();
    queue.push('e', Urgency::Errand, &[(OLD, 1), (OLD, 2)]);
    queue.push('a', Urgency::Ahead { round: 7 }, &[(OLD, 3)]);
    queue.push('r', Urgency::Reader, &[(OLD, 4), (NEW, 4), (OLD, 5)]);
    let names = |picks: &[Pick<char>]| {
        let named: Vec<_> = picks.iter().map(|p| (p.want, p.index)).collect();
        named
    };
    assert_eq!(
        names(&queue.take(6, &[OLD], 3)),
        [('r', 0), ('r', 2), ('e', 0)]
    );
    assert_eq!(names(&queue.take(7, &[OLD], 4)), [('a', 0), ('e', 1)]);
    assert_eq!(queue.slots(), 1);
    assert_eq!(names(&queue.take(8, &[OLD, NEW], 4)), [('r', 1)]);
    assert!(queue.is_empty());
    assert!(queue.take(9, &[OLD, NEW], 4).is_empty());
}

#[test]
fn what_is_asked_for_ahead_comes_before_it_is_needed() {
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let now = Timestamp(1_800_000_000_000);
    let by = now.after(Duration::from_secs(3600));
    for _ in 0..500 {
        let Urgency::Ahead { round } = ahead(&RULE, now, by, &mut rng) else {
            panic!("not ahead");
        };
        assert!(round >= RULE.number(now) && RULE.begins(round + 1) <= by);
    }
    let at_once = ahead(&RULE, now, now, &mut rng);
    assert_eq!(
        at_once,
        Urgency::Ahead {
            round: RULE.number(now)
        }
    );
}

#[test]
fn rules_that_make_no_sense_are_refused() {
    for (seconds, queries) in [(0, 4), (60, 0), (60, 3), (60, 128)] {
        assert!(Rule { seconds, queries }.validate().is_err());
    }
    assert!(RULE.validate().is_ok());
}
