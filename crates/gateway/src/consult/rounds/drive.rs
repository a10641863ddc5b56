//! One retrieval in every round.
//!
//! What the cloud sees of it (when, over which stack, how many queries) follows from the network's rule, from chance, and
//! from how long the retrieval before took: never from whether anything is wanted. All queries of a round are made,
//! with the same work each; decoding begins when the connection is closed, and nothing waits for it.

use std::collections::HashSet;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use harpo_oblivious::Engine;
use harpo_protocol::id::GenerationId;
use harpo_protocol::retrieval::Ticket;
use harpo_protocol::rounds::{Pick, Round, RoundStack, Rule};
use harpo_protocol::sign::Signed;
use harpo_protocol::stack::StackDescriptor;
use harpo_protocol::time::Timestamp;
use harpo_service::causes::in_one_line;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::super::progress::Progress;
use super::super::retrieve::{self, Answers, Patience, Place, RetrieveError, Wanted};
use super::super::stream::{self, Asked, Streamed};
use super::super::{Consult, ConsultError, Inner};
use super::{Name, Share};
use crate::blocking;
use crate::hints::HeldStack;
use crate::open::OpenError;
use crate::within::{Pace, within};

/// How often trust is asked what it says of the network.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// How many rounds a retrieval may last, or what its bytes may take if that is longer.
const LASTS_ROUNDS: u32 = 10;
/// But no longer than this: the rounds after it wait for it.
const LASTS: Duration = Duration::from_secs(1800);

/// How long a round's retrieval of `bytes` may take as a whole, with all that is tried again.
fn lasts(rule: Rule, bytes: u64) -> Duration {
    let rounds = Duration::from_secs(rule.seconds.into()).saturating_mul(LASTS_ROUNDS);
    rounds.max(Pace::default().allows(bytes)).min(LASTS)
}

/// Which rounds come, for one gateway.
#[derive(Debug, Default)]
struct Course {
    rule: Option<Rule>,
    /// The next round of that rule.
    next: u64,
}

impl Course {
    /// When the next retrieval is, with the rounds left out before it. What has passed is left out, whatever is wanted: a
    /// retrieval that took longer than its round does not make the next one begin when it ends.
    fn draw(&mut self, rule: Rule, now: Timestamp, rng: &mut impl rand_core::Rng) -> Drawn {
        let current = rule.number(now);
        if self.rule != Some(rule) || self.next > current + 1 {
            // The round under way may have had its retrieval, before this gateway was started.
            (self.rule, self.next) = (Some(rule), current + 1);
        }
        let mut skipped = current.saturating_sub(self.next);
        self.next = self.next.max(current);
        loop {
            let moment = rule.moment(self.next, rng);
            self.next += 1;
            if moment >= now {
                return Drawn { moment, skipped };
            }
            skipped += 1;
        }
    }
}

#[derive(Debug)]
struct Drawn {
    moment: Timestamp,
    skipped: u64,
}

/// All of a round's answers, on the local disk, not decoded yet.
enum Arrived {
    Answers(Arc<HeldStack>, Answers),
    Stack(Streamed),
}

impl Consult {
    /// Makes the retrievals of the network's rounds until `stop`.
    pub async fn keep_rounds(self, stop: CancellationToken) {
        let inner = &self.0;
        let clock = inner.party.clock().clone();
        let mut course = Course::default();
        let mut asked: Option<Timestamp> = None;
        loop {
            let now = clock.now();
            if asked.is_none_or(|at| now.since(at) >= LOOK_EVERY) {
                asked = Some(now);
                if let Err(error) = inner.party.refresh(&inner.trust).await {
                    debug!(error = %in_one_line(&error), "what trust says of the network stays as it was");
                }
            }
            let Some(rule) = inner.party.info().rounds else {
                inner.rounds.set_next(None);
                self.begin_ahead(clock.now()).await;
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = clock.sleep(LOOK_EVERY) => continue,
                }
            };
            let drawn = course.draw(rule, clock.now(), &mut inner.party.rng());
            inner.rounds.count(|counts| counts.skipped += drawn.skipped);
            inner.rounds.set_next(Some((rule, drawn.moment)));
            // Released in time for it; what is not waits for the stack's next round.
            self.begin_ahead(drawn.moment).await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = clock.sleep_until(drawn.moment) => {}
            }
            if let Err(error) = self.round(rule).await {
                inner.rounds.count(|counts| counts.failed += 1);
                warn!(error = %in_one_line(&*error), "a round failed; the next comes all the same");
            }
        }
    }

    /// The retrieval of one round. Returns when it has arrived.
    async fn round(&self, rule: Rule) -> Result<(), Arc<ConsultError>> {
        let inner = &self.0;
        // Decoding takes the same work in every round. A machine that cannot keep up with it leaves rounds out.
        let Ok(room) = inner.rounds.decoding.clone().try_acquire_owned() else {
            inner.rounds.count(|counts| counts.skipped += 1);
            warn!("a round was left out: those before are still being decoded");
            return Ok(());
        };
        let round = inner.trust.round().await.map_err(ConsultError::Trust)?;
        if !inner.rounds.begins(round.number) {
            // By trust's clock it is still the round before, whose ticket was spent.
            inner.rounds.count(|counts| counts.skipped += 1);
            return Ok(());
        }
        let Some(over) = inner.over(&round, rule)? else {
            return Ok(());
        };
        let held = match over.engine {
            Engine::Stream => None,
            Engine::Ring => match inner.hints_of(&over.stack).await {
                Ok(held) => Some(held),
                // So it would be for anybody, whatever is wanted.
                Err(ConsultError::HintsPending) => {
                    inner.rounds.count(|counts| counts.skipped += 1);
                    debug!("a round was left out: hints of its stack are still being fetched");
                    return Ok(());
                }
                Err(error) => return Err(error.into()),
            },
        };
        if let Some(errand) = round.errand {
            self.accept(errand, &over.stack).await;
        }
        let generations: Vec<GenerationId> = over
            .stack
            .generations
            .iter()
            .map(|known| known.generation)
            .collect();
        let picks = inner.rounds.take(round.number, &generations, rule.queries);
        let arrival = inner.arrival(&over, held, &picks);
        let clock = inner.party.clock();
        let arrived = within(clock, lasts(rule, over.bytes), over.bytes, arrival).await;
        let arrived = arrived.unwrap_or_else(|slow| Err(RetrieveError::TooSlow(slow).into()));
        match arrived {
            Ok(arrived) => {
                inner.rounds.count(|counts| {
                    counts.rounds += 1;
                    counts.queries += u64::from(rule.queries);
                    counts.slots += picks.len() as u64;
                });
                self.hand_out(arrived, over, picks, room);
                Ok(())
            }
            Err(error) => {
                let error = Arc::new(error);
                inner.rounds.again(&picks, &error);
                Err(error)
            }
        }
    }

    /// Decodes what arrived, and hands each slot to whom it is for, in the background.
    fn hand_out(
        &self,
        arrived: Arrived,
        over: Over,
        picks: Vec<Pick<Name>>,
        room: OwnedSemaphorePermit,
    ) {
        let this = self.clone();
        self.0.shutdown.spawn("decoding a round", async move {
            blocking(move || this.0.decode(arrived, &over, &picks)).await;
            drop(room);
        });
    }
}

/// What a round asks of, checked.
struct Over {
    stack: StackDescriptor,
    ticket: Signed<Ticket>,
    queries: u32,
    engine: Engine,
    /// What it moves, and takes of the disk.
    bytes: u64,
}

impl Inner {
    /// The stack and ticket of a round, if there is a stack.
    fn over(&self, round: &Round, rule: Rule) -> Result<Option<Over>, ConsultError> {
        let Some(RoundStack { stack, ticket }) = &round.stack else {
            return Ok(None);
        };
        let key = self.party.trust_key();
        let stack = stack.verify(key).map_err(OpenError::Stack)?;
        let spent = ticket.verify(key).map_err(OpenError::Stack)?;
        let mut generations = stack.generations.iter().map(|known| &known.generation);
        if spent.queries != rule.queries || !spent.generations.iter().eq(&mut generations) {
            return Err(OpenError::Unfit("the round's ticket is for something else").into());
        }
        let slot_bytes = self.party.layout().slot_bytes();
        if stack
            .generations
            .iter()
            .any(|known| known.figures.slot_bytes != slot_bytes)
        {
            return Err(OpenError::Unfit("the round's stack has slots of another size").into());
        }
        let asked = Asked::new(&stack, &[], rule.queries)?;
        Ok(Some(Over {
            stack: stack.into_inner(),
            ticket: ticket.clone(),
            queries: rule.queries,
            engine: asked.engine,
            bytes: asked.disk_bytes(rule.queries),
        }))
    }

    /// Spends the round's ticket; `held` is there if it is for queries. The connection is closed when this returns.
    async fn arrival(
        &self,
        over: &Over,
        held: Option<Arc<HeldStack>>,
        picks: &[Pick<Name>],
    ) -> Result<Arrived, ConsultError> {
        let slots: Vec<_> = picks.iter().map(|pick| pick.slot).collect();
        let place = Place {
            reconnect: &|| self.connect().boxed(),
            scratch: self.library.dir(),
            clock: self.party.clock(),
            patience: &Patience {
                // The next round comes anyway.
                busy_tries: 0,
                ..Patience::default()
            },
            progress: &Progress::of_round(self.party.clock()),
        };
        let mut rng = self.party.rng();
        match held {
            Some(held) => {
                let wanted = Wanted {
                    held: &held,
                    slots: &slots,
                    tickets: &[(over.ticket.clone(), over.queries)],
                };
                let answers = retrieve::retrieve(self.connect().await?, wanted, place, rng).await?;
                Ok(Arrived::Answers(held, answers))
            }
            None => {
                let asked = Asked::new(&over.stack, &slots, over.queries)?;
                let file = self.aside(asked.stack.plain_bytes()).await?;
                let cloud = self.connect().await?;
                let streamed =
                    stream::stream(cloud, &asked, &over.ticket, file, place, self.party.rng())
                        .await?;
                Ok(Arrived::Stack(streamed.among(
                    asked.stack.slots(),
                    over.queries,
                    &mut rng,
                )))
            }
        }
    }

    async fn aside(&self, bytes: u64) -> Result<File, ConsultError> {
        let dir = self.library.dir().to_owned();
        blocking(move || stream::set_aside(&dir, bytes, 0)).await
    }

    /// Blocks.
    fn decode(&self, arrived: Arrived, over: &Over, picks: &[Pick<Name>]) {
        let progress = Progress::of_round(self.party.clock());
        let mut here = HashSet::new();
        let share = match &arrived {
            Arrived::Stack(_) => Share::default(),
            Arrived::Answers(held, _) => Share {
                up: held.stack.query_bytes(),
                down: held.stack.answer_bytes(),
                queries: 1,
            },
        };
        let mut take = |index: usize, slot: Vec<u8>| {
            self.rounds.deliver(&picks[index], &slot, share);
            here.insert(index);
            Ok(())
        };
        let decoded = match arrived {
            Arrived::Answers(held, answers) => answers.decode(&held, &progress, &mut take),
            Arrived::Stack(streamed) => streamed.slots(&progress, &mut take),
        };
        if let Err(error) = decoded {
            warn!(error = %in_one_line(&error), "a round's answers could not be decoded");
            let missing = picks.iter().enumerate();
            let missing = missing.filter(|(index, _)| !here.contains(index));
            let missing: Vec<_> = missing.map(|(_, pick)| *pick).collect();
            self.rounds.again(&missing, &Arc::new(error));
        } else if !picks.is_empty() {
            info!(
                slots = picks.len(),
                generations = over.stack.generations.len(),
                "a round brought slots"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use harpo_service::random;

    use super::*;

    const RULE: Rule = Rule {
        seconds: 60,
        queries: 8,
    };

    #[test]
    fn each_round_has_one_moment_and_what_has_passed_is_left_out() {
        let mut rng = random::system();
        let start = Timestamp(1_800_000_000_500);
        let first = RULE.number(start) + 1;
        let mut course = Course::default();
        // The round of the start may have been spent.
        let mut now = start;
        for number in first..first + 100 {
            let drawn = course.draw(RULE, now, &mut rng);
            assert_eq!((RULE.number(drawn.moment), drawn.skipped), (number, 0));
            now = drawn.moment;
        }
        // A retrieval that ends when its successors are over.
        let late = RULE.begins(first + 103);
        let drawn = course.draw(RULE, late, &mut rng);
        assert_eq!((RULE.number(drawn.moment), drawn.skipped), (first + 103, 3));
        // And one that ends within the next round: it is made if its moment is still to come, and never twice.
        let half = RULE.begins(first + 104).after(Duration::from_secs(30));
        let drawn = course.draw(RULE, half, &mut rng);
        assert!(drawn.moment >= half);
        assert_eq!(RULE.number(drawn.moment), first + 104 + drawn.skipped);
        let next = course.draw(RULE, drawn.moment, &mut rng);
        assert!(RULE.number(next.moment) > RULE.number(drawn.moment));
    }

    #[test]
    fn no_retrieval_holds_up_the_rounds_for_long() {
        assert_eq!(lasts(RULE, 0), Duration::from_secs(600));
        assert_eq!(lasts(RULE, 64 << 20), Duration::from_secs(1624));
        assert_eq!(lasts(RULE, u64::MAX), LASTS);
        let rare = Rule {
            seconds: 150,
            ..RULE
        };
        assert_eq!(lasts(rare, 0), Duration::from_secs(1500));
        let seldom = Rule {
            seconds: u32::MAX,
            ..RULE
        };
        assert_eq!(lasts(seldom, 0), LASTS);
    }

    #[test]
    fn another_rule_and_a_clock_that_is_set_back_begin_anew() {
        let mut rng = random::system();
        let mut course = Course::default();
        let now = Timestamp(1_800_000_000_000);
        course.draw(RULE, now, &mut rng);
        let quick = Rule { seconds: 1, ..RULE };
        let drawn = course.draw(quick, now, &mut rng);
        assert_eq!(quick.number(drawn.moment), quick.number(now) + 1);
        assert_eq!(drawn.skipped, 0);
        let before = Timestamp(now.0 - 3_600_000);
        let drawn = course.draw(quick, before, &mut rng);
        assert_eq!(quick.number(drawn.moment), quick.number(before) + 1);
    }
}
