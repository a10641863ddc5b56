mod bounds;

use std::collections::BTreeMap;
use std::time::Duration;

use harpo_protocol::access::{Purpose, Requester};
use harpo_protocol::rounds::stack_of;
use harpo_service::shutdown::Shutdown;
use tokio_util::sync::CancellationToken;

use super::super::Consult;
use super::*;
use crate::testing::stacks::{Seen, Stacks};
use crate::testing::{World, lock};

const RULE: Rule = Rule {
    seconds: 60,
    queries: 2,
};
/// So many queries that the whole stack is streamed instead.
const STREAMED: Rule = Rule {
    seconds: 60,
    queries: 64,
};
/// Longer than anything takes here, in real time.
const PATIENCE: Duration = Duration::from_secs(30);

/// A gateway that makes its rounds, and a clock that tests move.
struct Scene {
    world: World,
    stacks: Arc<Stacks>,
    consult: Consult,
    shutdown: Shutdown,
}

impl Scene {
    async fn new(rule: Option<Rule>) -> Self {
        let (world, stacks) = World::with_stacks(rule).await;
        let (consult, shutdown) = world.consult().await;
        Self {
            world,
            stacks,
            consult,
            shutdown,
        }
    }

    async fn with_rounds() -> Self {
        Self::with(RULE).await
    }

    async fn with(rule: Rule) -> Self {
        let scene = Self::new(Some(rule)).await;
        let rounds = scene.consult.clone().keep_rounds(scene.shutdown.token());
        scene.shutdown.spawn("rounds", rounds);
        scene
    }

    /// When the next retrieval is.
    async fn next(&self) -> Timestamp {
        until(|| {
            let status = self.consult.rounds().status()?;
            status
                .next_ms
                .map(Timestamp)
                .filter(|next| *next > self.world.clock.now())
        })
        .await
    }

    /// Lets time pass until the next round has had its retrieval.
    async fn round(&self) {
        let next = self.next().await;
        self.world.clock.advance(next.since(self.world.clock.now()));
        self.next().await;
    }

    fn counts(&self) -> Counts {
        self.consult.rounds().status().unwrap().counts
    }

    /// What the cloud saw, without what is random.
    fn shapes(&self) -> Vec<(String, usize, u32, usize)> {
        let shape = |seen: Seen| (seen.path, seen.stack, seen.queries, seen.up);
        self.stacks.seen().into_iter().map(shape).collect()
    }

    async fn waits(&self, bundle: BundleId) {
        until(|| self.consult.rounds().waits(bundle)).await;
    }

    /// Asks for a study until it is here, while rounds pass; how many.
    async fn read(&self, who: &Requester, stack: usize) -> u32 {
        let (bundle, stored) = self.stacks.bundle(stack);
        let mut rounds = 0;
        while !self.asked(who, stack).await {
            self.waits(bundle).await;
            self.round().await;
            rounds += 1;
            assert!(rounds < 60);
        }
        let instances = self.consult.study(who, &stored.study).await.unwrap();
        let read: BTreeMap<_, _> = instances
            .iter()
            .map(|i| (i.sop_instance_uid.clone(), std::fs::read(&i.path).unwrap()))
            .collect();
        assert_eq!(read, stored.originals);
        rounds
    }

    /// Asks for a study once, and waits until it came or waits for another round.
    async fn asked(&self, who: &Requester, stack: usize) -> bool {
        let (bundle, stored) = self.stacks.bundle(stack);
        let study = self.consult.study(who, &stored.study);
        let mut study = std::pin::pin!(study);
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let slice = Duration::from_millis(20);
            if let Ok(read) = tokio::time::timeout(slice, &mut study).await {
                read.unwrap();
                return true;
            }
            let decoding = self.consult.0.rounds.decoding.available_permits();
            if decoding == DECODED_AT_ONCE && self.consult.rounds().waits(bundle).is_some() {
                return false;
            }
            assert!(tokio::time::Instant::now() < deadline);
        }
    }
}

async fn until<T>(mut what: impl FnMut() -> Option<T>) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(done) = what() {
            return done;
        }
        assert!(tokio::time::Instant::now() < deadline, "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn requester(purpose: Purpose) -> Requester {
    Requester {
        user: "anna".into(),
        role: "physician".into(),
        purpose,
    }
}

/// Every round has one retrieval, within it, over the stack that its number names.
fn assert_rounds(seen: &[Seen], first: u64) {
    for (number, seen) in (first..).zip(seen) {
        assert_eq!(RULE.number(seen.at), number);
        assert_eq!(Some(seen.stack), stack_of(number, 2));
        assert_eq!(
            (seen.path.as_str(), seen.queries),
            ("/v1/retrievals", RULE.queries)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_look_the_same_with_and_without_demand() {
    let scene = Scene::with_rounds().await;
    let first = RULE.number(scene.world.clock.now()) + 1;
    for _ in 0..8 {
        scene.round().await;
    }
    let idle = scene.shapes();
    assert_eq!(idle.len(), 8);
    assert_eq!(scene.counts().slots, 0);
    let rounds = scene.read(&requester(Purpose::Treat), 1).await;
    let rounds = rounds + scene.read(&requester(Purpose::Treat), 0).await;
    assert!(rounds >= 4);
    assert!(scene.counts().slots > 4);
    let all = scene.shapes();
    // The same, round by round, for as long as somebody read.
    for (busy, idle) in all[8..].iter().zip(idle.iter().cycle()) {
        assert_eq!(busy, idle);
    }
    assert_eq!(all.len(), 8 + rounds as usize);
    assert_rounds(&scene.stacks.seen(), first);
    let counts = scene.counts();
    assert_eq!((counts.skipped, counts.failed), (0, 0));
    assert_eq!(counts.queries, 2 * counts.rounds);
}

/// The same where the rounds' queries would cost more than the stack.
#[tokio::test(flavor = "multi_thread")]
async fn streamed_rounds_look_the_same_with_and_without_demand() {
    let scene = Scene::with(STREAMED).await;
    for _ in 0..4 {
        scene.round().await;
    }
    let idle = scene.shapes();
    assert!(idle.iter().all(|(path, ..)| path == "/v1/streams"));
    let rounds = scene.read(&requester(Purpose::Treat), 0).await;
    assert!((1..=2).contains(&rounds), "{rounds}");
    for (busy, idle) in scene.shapes()[4..].iter().zip(&idle) {
        assert_eq!(busy, idle);
    }
}

/// Asked for ahead: each bundle at a round of its own, with a release of that moment.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_asked_for_ahead_is_here_when_it_is_needed_and_changes_nothing() {
    let scene = Scene::with_rounds().await;
    let first = RULE.number(scene.world.clock.now()) + 1;
    let who = requester(Purpose::Treat);
    let (bundle, stored) = scene.stacks.bundle(1);
    let slots = stored.slots() as u64;
    let hour = Duration::from_secs(3600);
    let by = scene.consult.now().after(hour);
    let ahead = scene.consult.ahead(&who, &stored.study, by).await;
    assert_eq!(
        (ahead.as_ref().unwrap().planned, ahead.unwrap().here),
        (1, 0)
    );
    assert!(lock(&scene.stacks.released).is_empty());
    let due = scene.consult.0.store.ahead_due(by, 10).await.unwrap();
    assert_eq!((due.len(), due[0].bundle), (1, bundle));
    assert!(due[0].due <= by);
    while scene.counts().slots < slots {
        scene.round().await;
        assert!(scene.consult.now() < by.after(hour));
        // Released when its round has come, not before.
        let early = scene.consult.now() < due[0].due && scene.next().await < due[0].due;
        assert!(!early || lock(&scene.stacks.released).is_empty());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let decoded = || {
        scene
            .consult
            .0
            .flights
            .lock()
            .unwrap()
            .is_empty()
            .then_some(())
    };
    until(decoded).await;
    let seen = scene.stacks.seen().len();
    assert!(scene.asked(&who, 1).await);
    assert_eq!(scene.stacks.seen().len(), seen);
    assert_rounds(&scene.stacks.seen(), first);
    let again = scene.consult.ahead(&who, &stored.study, by).await.unwrap();
    assert_eq!((again.planned, again.here), (0, 1));
    let left = scene.consult.0.store.ahead().await.unwrap();
    assert_eq!(left, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_has_the_queries_of_every_round_of_the_stack() {
    let scene = Scene::with_rounds().await;
    let slots = scene.stacks.bundle(0).1.slots() as u32;
    // Of two stacks each has every other round.
    let most = 2 * slots.div_ceil(RULE.queries);
    let rounds = scene.read(&requester(Purpose::Treat), 0).await;
    assert!(rounds == most || rounds == most - 1, "{rounds} of {most}");
    assert_eq!(u64::from(slots), scene.counts().slots);
    let fetches = scene.consult.0.store.fetches(10).await.unwrap();
    assert_eq!(fetches.len(), 1);
    assert_eq!(fetches[0].queries, u64::from(slots));
    // Nobody else asked, and the tickets of the release were not spent.
    assert_eq!(scene.stacks.seen().len(), rounds as usize);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_is_told_when_to_ask_again_and_the_fetch_goes_on() {
    let scene = Scene::with_rounds().await;
    let (bundle, stored) = scene.stacks.bundle(1);
    let who = requester(Purpose::Treat);
    let (consult, study, user) = (scene.consult.clone(), stored.study.clone(), who.clone());
    let asked = tokio::spawn(async move { consult.study(&user, &study).await });
    scene.waits(bundle).await;
    let rows = scene.consult.underway().rows();
    let how_far = rows[0].progress.unwrap();
    assert_eq!(how_far.phase, super::super::progress::Phase::Round);
    assert_eq!(how_far.of, stored.slots() as u64);
    assert_eq!(how_far.next_round_ms, Some(scene.next().await.0));
    until(|| {
        scene.world.clock.advance(Duration::from_millis(100));
        asked.is_finished().then_some(())
    })
    .await;
    let error = asked.await.unwrap().unwrap_err();
    assert!(
        matches!(*error, ConsultError::RoundPending { again } if again > Duration::ZERO),
        "{error}"
    );
    scene.read(&who, 1).await;
    assert_eq!(scene.consult.0.store.fetches(10).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_wait_does_not() {
    let scene = Scene::with_rounds().await;
    let next = scene.next().await;
    let (_, stored) = scene.stacks.bundle(1);
    assert!(scene.asked(&requester(Purpose::Etreat), 1).await);
    // All queries of its class, now.
    let asked: u32 = harpo_protocol::retrieval::classes(stored.slots() as u32)
        .iter()
        .sum();
    let queries = |seen: &[Seen]| seen.iter().map(|s| s.queries).sum::<u32>();
    assert_eq!(queries(&scene.stacks.seen()), asked);
    assert_eq!(scene.next().await, next);
    // Somebody waits, and then somebody else may not.
    let (bundle, stored) = (scene.stacks.bundle(0).0, scene.stacks.bundle(0).1);
    assert!(!scene.asked(&requester(Purpose::Treat), 0).await);
    scene.waits(bundle).await;
    assert!(scene.asked(&requester(Purpose::Btg), 0).await);
    assert!(queries(&scene.stacks.seen()) > asked);
    assert_eq!(scene.next().await, next);
    assert_eq!(scene.consult.rounds().status().unwrap().slots_waiting, 0);
    let released = lock(&scene.stacks.released).clone();
    // With a permit of its own.
    let mut purposes = released.iter().filter(|(of, _)| *of == bundle);
    assert!(purposes.any(|(_, who)| who.purpose == Purpose::Btg));
    assert_eq!(
        scene
            .consult
            .study(&requester(Purpose::Treat), &stored.study)
            .await
            .unwrap()
            .len(),
        stored.originals.len()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rounds_that_fail_lose_nothing_and_look_like_others() {
    let scene = Scene::with_rounds().await;
    let first = RULE.number(scene.world.clock.now()) + 1;
    *lock(&scene.stacks.refuse) = 4;
    // Two of each stack, so it is given up in none.
    scene.read(&requester(Purpose::Treat), 0).await;
    assert_eq!(scene.counts().failed, 4);
    assert_rounds(&scene.stacks.seen(), first);
    let slots = scene.stacks.bundle(0).1.slots() as u64;
    assert_eq!(scene.counts().slots, slots);
    let ups: Vec<usize> = scene.stacks.seen().iter().map(|seen| seen.up).collect();
    assert!(ups.iter().all(|up| *up == ups[0]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_again_and_again_is_given_up() {
    let scene = Scene::with_rounds().await;
    *lock(&scene.stacks.refuse) = u32::MAX;
    let who = requester(Purpose::Treat);
    let (bundle, _) = scene.stacks.bundle(1);
    let at_once = CancellationToken::new();
    let consult = scene.consult.clone();
    let flight = consult.0.fetch(&who, bundle, Urgency::Reader, &at_once);
    let rounds = async {
        scene.waits(bundle).await;
        for _ in 0..6 {
            scene.round().await;
        }
    };
    let (fetched, ()) = tokio::join!(flight, rounds);
    let error = fetched.unwrap_err();
    assert!(
        matches!(error, ConsultError::Unserved(Unserved::Failed(_))),
        "{error}"
    );
    assert_eq!(scene.consult.rounds().status().unwrap().slots_waiting, 0);
    // And it works again when the cloud does.
    *lock(&scene.stacks.refuse) = 0;
    scene.read(&who, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_round_is_not_overtaken_and_the_next_is_left_out() {
    let scene = Scene::with_rounds().await;
    let gate = scene.stacks.gate.lock().await;
    let next = scene.next().await;
    scene
        .world
        .clock
        .advance(next.since(scene.world.clock.now()));
    until(|| (scene.stacks.seen().len() == 1).then_some(())).await;
    // Two further rounds pass meanwhile.
    let begun = RULE.number(scene.world.clock.now());
    let third = RULE.begins(begun + 3);
    scene
        .world
        .clock
        .advance(third.since(scene.world.clock.now()));
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(scene.stacks.seen().len(), 1);
    drop(gate);
    scene.round().await;
    let seen = scene.stacks.seen();
    assert_eq!(seen.len(), 2);
    assert_eq!(RULE.number(seen[1].at), begun + 3);
    assert_eq!(scene.counts().skipped, 2);
}

/// Two of the gateway's rounds may begin in one of trust's: it has one ticket, which is not spent twice.
#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_differs_costs_rounds_and_nothing_else() {
    let scene = Scene::with_rounds().await;
    *lock(&scene.stacks.behind) = Duration::from_secs(30);
    for _ in 0..16 {
        scene.round().await;
    }
    let counts = scene.counts();
    assert_eq!((counts.rounds + counts.skipped, counts.failed), (16, 0));
    assert_eq!(scene.stacks.seen().len() as u64, counts.rounds);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_errand_brings_the_sealed_fragments_and_changes_nothing_else() {
    let scene = Scene::with_rounds().await;
    let (bundle, stored) = scene.stacks.bundle(0);
    scene.round().await;
    scene.round().await;
    let idle = scene.shapes();
    lock(&scene.stacks.errands).push_back(bundle);
    let done = || lock(&scene.stacks.replaced).contains(&bundle);
    let most = 2 * stored.slots().div_ceil(RULE.queries as usize);
    for _ in 0..most {
        scene.round().await;
    }
    until(|| done().then_some(())).await;
    let given: Vec<Vec<u8>> = lock(&scene.stacks.given)[&bundle]
        .values()
        .cloned()
        .collect();
    assert!(given == stored.fragments);
    until(|| (scene.counts().errands == 1).then_some(())).await;
    for (busy, idle) in scene.shapes()[2..].iter().zip(idle.iter().cycle()) {
        assert_eq!(busy, idle);
    }
    // The scratch files have no names, and nothing else is left.
    assert_eq!(
        std::fs::read_dir(scene.world.data().join("cache"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_go_before_errands() {
    let scene = Scene::with_rounds().await;
    let (bundle, stored) = scene.stacks.bundle(0);
    lock(&scene.stacks.errands).push_back(bundle);
    let rounds = scene.read(&requester(Purpose::Treat), 0).await;
    assert!(
        rounds as usize <= 2 * stored.slots().div_ceil(2) + 2,
        "{rounds}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_is_given_back_when_trust_wants_it() {
    let scene = Scene::with_rounds().await;
    let who = requester(Purpose::Treat);
    scene.read(&who, 0).await;
    assert!(lock(&scene.stacks.given).is_empty());
    *lock(&scene.stacks.give_back) = true;
    let (bundle, stored) = scene.stacks.bundle(1);
    scene.read(&who, 1).await;
    until(|| (scene.counts().given_back == 1).then_some(())).await;
    assert_eq!(*lock(&scene.stacks.replaced), [bundle]);
    let given: Vec<Vec<u8>> = lock(&scene.stacks.given)[&bundle]
        .values()
        .cloned()
        .collect();
    assert!(given == stored.fragments);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_rule_everything_is_at_once() {
    let scene = Scene::new(None).await;
    *lock(&scene.stacks.give_back) = true;
    assert!(scene.asked(&requester(Purpose::Treat), 0).await);
    let (bundle, stored) = scene.stacks.bundle(0);
    until(|| lock(&scene.stacks.replaced).contains(&bundle).then_some(())).await;
    let given: Vec<Vec<u8>> = lock(&scene.stacks.given)[&bundle]
        .values()
        .cloned()
        .collect();
    assert!(given == stored.fragments);
    assert_eq!(scene.consult.rounds().status(), None);
}

/// As anybody would, whatever is wanted.
#[tokio::test(flavor = "multi_thread")]
async fn without_hints_rounds_are_left_out_and_nothing_is_lost() {
    let scene = Scene::with_rounds().await;
    for hint in std::fs::read_dir(scene.world.data().join("hints")).unwrap() {
        std::fs::remove_file(hint.unwrap().path()).unwrap();
    }
    let who = requester(Purpose::Treat);
    let (bundle, _) = scene.stacks.bundle(1);
    assert!(!scene.asked(&who, 1).await);
    scene.waits(bundle).await;
    for _ in 0..3 {
        scene.round().await;
    }
    assert_eq!(scene.counts().skipped, 3);
    assert!(scene.stacks.seen().is_empty());
    scene.consult.refresh_hints().await.unwrap();
    scene.read(&who, 1).await;
    assert_eq!(scene.counts().failed, 0);
}

/// A network gets a rule, and loses it again, while its gateways run.
#[tokio::test(flavor = "multi_thread")]
async fn the_rule_may_change() {
    let scene = Scene::new(None).await;
    let rounds = scene.consult.clone().keep_rounds(scene.shutdown.token());
    scene.shutdown.spawn("rounds", rounds);
    let scene = &scene;
    let minutes = |rule: bool| {
        until(move || {
            scene.world.clock.advance(Duration::from_secs(61));
            (scene.consult.rounds().status().is_some() == rule).then_some(())
        })
    };
    *lock(&scene.stacks.rule) = Some(RULE);
    minutes(true).await;
    until(|| {
        scene.world.clock.advance(Duration::from_secs(1));
        (!scene.stacks.seen().is_empty()).then_some(())
    })
    .await;
    *lock(&scene.stacks.rule) = None;
    minutes(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_retired_meanwhile_is_released_anew() {
    let scene = Scene::new(Some(RULE)).await;
    let (bundle, _) = scene.stacks.bundle(0);
    assert!(!scene.asked(&requester(Purpose::Treat), 0).await);
    scene.waits(bundle).await;
    scene.world.clock.advance(Duration::from_millis(1));
    let all = |number| scene.stacks.bundle(number).1.generation();
    let rounds = scene.consult.rounds();
    rounds.retain(&[all(0), all(1)], scene.world.clock.now());
    assert_eq!(lock(&scene.stacks.released).len(), 1);
    rounds.retain(&[all(1)], scene.world.clock.now());
    until(|| (lock(&scene.stacks.released).len() == 2).then_some(())).await;
    scene.waits(bundle).await;
}
