//! A network in virtual time: the decisions that the real parties take, over traffic that was drawn.
//!
//! Nothing is decided here that a party decides. Placement, mixing, sealing and the bounds of stacks are
//! `harpo_protocol::placement`'s and trust's; when a gateway retrieves, from which stack and what for are
//! `harpo_protocol::rounds`'; what goes back is `harpo_protocol::replacement`'s; lengths and the engine are
//! `harpo_oblivious`'. What the cloud would log goes through its own [`harpo_cloud::events::Event`] to a [`Recorder`].
//! What is missing is the work: nothing is encrypted, nothing is sent.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::time::Duration;

use harpo_protocol::time::Timestamp;
use harpo_protocol::{Malformed, rounds};
use harpo_trust::TrustConfig;
use rand_chacha::ChaCha20Rng;

use crate::record::Record;
use crate::traffic::{self, Scenario, ScenarioError, Traffic};

mod baseline;
mod cloud;
mod gateways;
mod mixing;
mod recorder;
mod retrieving;
mod summary;
#[cfg(test)]
mod tests;
mod trust;

pub use recorder::Recorder;
pub use summary::Summary;

/// Between a generation's last slot and its seal: reading back, encoding and proving it (docs/performance.md; assumed
/// constant).
const SEALING: Duration = Duration::from_secs(10);
/// A gateway looks for new stacks so often (`consult.stack_poll_seconds`).
const HINT_POLL_SECONDS: (f64, f64) = (0.5, 15.5);
/// From the last answer until the fragments are back at trust (assumed).
const GIVING_BACK_SECONDS: (f64, f64) = (2.0, 20.0);
/// How long a grant to give back lasts (docs/protocol.md 5.7).
const GRANT: Duration = Duration::from_secs(6 * 3600);
/// Errands that a gateway holds at once; it drops others.
const ERRANDS_AT_ONCE: u32 = 4;
/// How long a closed stack stays that nothing is read from any more (docs/protocol.md 5.7).
const RETIRE_AFTER: Duration = Duration::from_secs(24 * 3600);

/// How slots are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Way {
    /// In rounds (docs/protocol.md 9.7); emergencies at once.
    Rounds(rounds::Rule),
    /// At once, with tickets of padded classes (docs/protocol.md 9.1).
    AtOnce,
    /// A baseline: at once, with as many queries as are needed.
    Exact,
    /// A baseline: at once, each slot by its index.
    ByIndex,
    /// A baseline: at once, from the group of so many slots in which it lies.
    Groups(u32),
}

/// What runs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Sizes, mixing, sealing, bounds of stacks, what goes back.
    pub trust: TrustConfig,
    /// How gateways ask.
    pub way: Way,
    /// Whether gateways go through a relay.
    pub relay: bool,
    /// Positive control: one bit of the patient's number shows.
    pub leak: bool,
}

impl Default for Settings {
    /// The product as it is configured by default, in rounds and behind a relay.
    fn default() -> Self {
        let trust = TrustConfig::default();
        let rule = rounds::Rule {
            seconds: trust.retrieval.round_seconds,
            queries: trust.retrieval.queries,
        };
        Self {
            trust,
            way: Way::Rounds(rule),
            relay: true,
            leak: false,
        }
    }
}

/// Why a world stands still.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// No such traffic.
    #[error("the scenario cannot be simulated")]
    Scenario(#[from] ScenarioError),
    /// No such network.
    #[error("the configuration is not one that trust would start with")]
    Config(#[from] Malformed),
    /// The ring engine refuses a stack of these figures.
    #[error("the ring engine does not take such a stack; check layout and ring")]
    Stack(#[from] harpo_oblivious::Error),
    /// A bundle is larger than a generation.
    #[error(transparent)]
    Full(#[from] harpo_protocol::placement::Full),
    /// Where the log's lines go.
    #[error("the log could not be written")]
    Log(#[from] io::Error),
}

/// What came of a run.
#[derive(Clone, Debug, Default)]
pub struct Run {
    /// What the cloud saw, and what was true.
    pub record: Record,
    /// What it cost and how long readers waited.
    pub summary: Summary,
}

/// Runs a network over the traffic of a scenario. `lines` takes the cloud's log as it would be on its disk.
///
/// # Errors
/// [`WorldError`].
pub fn simulate(
    settings: &Settings,
    scenario: &Scenario,
    seed: u64,
    lines: Option<&mut dyn io::Write>,
) -> Result<Run, WorldError> {
    scenario.validate()?;
    settings.trust.validate()?;
    let traffic = Traffic::generate(scenario, &settings.trust.layout(), seed);
    let mut world = World::new(settings, scenario, &traffic, seed, lines)?;
    world.run()?;
    Ok(world.finish())
}

/// What happens at some moment.
#[derive(Clone, Copy, Debug)]
enum What {
    /// A deposit is complete.
    Deposit(u32),
    /// A reading is in the diary from now on.
    Known(u32),
    /// Its release is asked for ahead.
    Ahead(u32),
    /// Somebody opens a bundle.
    Read(u32),
    /// A generation's first deposit is old enough.
    Age(u32),
    /// Slots must be closed because their time is near.
    Close(u32),
    /// A closed generation's slots begin to leave, or go on.
    Leave(u32),
    /// A slot's drawn time has come.
    Due { generation: u32, slot: u32 },
    /// A slot is sent.
    Depart { generation: u32, slot: u32 },
    /// The cloud has sealed.
    Sealed(u32),
    /// A sealed generation is read from its stack.
    Uncached(u32),
    /// A gateway fetches a hint.
    Hint { generation: u32, hospital: u16 },
    /// A further ticket of a retrieval at once is spent.
    Ticket { want: u32, queries: u32 },
    /// A retrieval at once has ended.
    Done(u32),
    /// A want's fragments are back at trust.
    GivenBack(u32),
    /// A grant to give back is no longer good.
    Expired(u32),
    /// Perhaps a stack can go.
    Retire(u32),
}

#[derive(Clone, Copy, Debug)]
struct Due {
    at: Timestamp,
    /// Ties go by the order in which they came up.
    order: u64,
    what: What,
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// What is to happen, and when.
#[derive(Default)]
struct Agenda {
    due: BinaryHeap<Reverse<Due>>,
    count: u64,
}

impl Agenda {
    fn put(&mut self, at: Timestamp, what: What) {
        let order = self.count;
        self.count += 1;
        self.due.push(Reverse(Due { at, order, what }));
    }

    /// The next, if it is not after `until`.
    fn next(&mut self, until: Timestamp) -> Option<Due> {
        let next = self.due.peek()?.0;
        (next.at <= until).then(|| self.due.pop().map(|due| due.0))?
    }
}

struct World<'a, 'l> {
    settings: &'a Settings,
    traffic: &'a Traffic,
    end: Timestamp,
    agenda: Agenda,
    rng: ChaCha20Rng,
    trust: trust::Trust,
    gateways: gateways::Gateways,
    cloud: cloud::Cloud<'l>,
    summary: Summary,
}

impl<'a, 'l> World<'a, 'l> {
    fn new(
        settings: &'a Settings,
        scenario: &Scenario,
        traffic: &'a Traffic,
        seed: u64,
        lines: Option<&'l mut dyn io::Write>,
    ) -> Result<Self, WorldError> {
        // Another stream than the traffic's, which must be the same for every system.
        let mut rng = traffic::stream(scenario.seed ^ (1 << 63), seed);
        let mut agenda = Agenda::default();
        for deposit in &traffic.deposits {
            agenda.put(deposit.time, What::Deposit(deposit.bundle));
        }
        for (number, reading) in (0u32..).zip(&traffic.readings) {
            if let traffic::Urgency::Scheduled { known } = reading.urgency {
                agenda.put(known, What::Known(number));
            }
            agenda.put(reading.time, What::Read(number));
        }
        let bundles = traffic.deposits.len();
        Ok(Self {
            settings,
            traffic,
            end: scenario.end(),
            agenda,
            trust: trust::Trust::new(settings, traffic, &mut rng),
            gateways: gateways::Gateways::new(scenario.hospitals, bundles),
            cloud: cloud::Cloud::new(settings, lines, &mut rng),
            rng,
            summary: Summary::default(),
        })
    }

    /// To the end: what is due, and rounds between.
    fn run(&mut self) -> Result<(), WorldError> {
        let Way::Rounds(rule) = self.settings.way else {
            return self.until(self.end);
        };
        let mut moments = Vec::new();
        let mut number = rule.number(traffic::BEGIN);
        while rule.begins(number) < self.end {
            moments.clear();
            for hospital in 0..self.gateways.count() {
                moments.push((rule.moment(number, &mut self.rng), hospital));
            }
            moments.sort_unstable();
            for (moment, hospital) in &moments {
                self.until(*moment)?;
                self.round(&rule, number, *moment, *hospital)?;
            }
            number += 1;
        }
        self.until(self.end)
    }

    /// Everything that is due up to a moment.
    fn until(&mut self, moment: Timestamp) -> Result<(), WorldError> {
        while let Some(Due { at, what, .. }) = self.agenda.next(moment) {
            self.happens(at, what)?;
        }
        Ok(())
    }

    fn happens(&mut self, now: Timestamp, what: What) -> Result<(), WorldError> {
        match what {
            What::Deposit(bundle) => self.deposited(bundle, now),
            What::Known(reading) => self.known(reading, now),
            What::Ahead(reading) => self.ahead(reading, now),
            What::Read(reading) => self.read(reading, now),
            What::Age(generation) => {
                self.look(generation, now);
                Ok(())
            }
            What::Close(generation) => {
                self.close(generation, now);
                Ok(())
            }
            What::Leave(generation) => {
                self.leave(generation, now);
                Ok(())
            }
            What::Due { generation, slot } => {
                self.due(generation, slot, now);
                Ok(())
            }
            What::Depart { generation, slot } => self.depart(generation, slot, now),
            What::Sealed(generation) => self.sealed(generation, now),
            What::Uncached(generation) => {
                self.uncached(generation);
                Ok(())
            }
            What::Hint {
                generation,
                hospital,
            } => self.hint(generation, hospital, now),
            What::Ticket { want, queries } => self.spend(want, queries, now),
            What::Done(want) => {
                self.complete(want, now);
                Ok(())
            }
            What::GivenBack(want) => self.given_back(want, now),
            What::Expired(want) => {
                self.expired(want);
                Ok(())
            }
            What::Retire(stack) => self.retire(stack, now),
        }
    }

    fn finish(mut self) -> Run {
        let (open, oldest) = self.gateways.open(self.end);
        (self.summary.open_wants, self.summary.open_longest) = (open, oldest.as_secs_f64());
        self.summary.generations = self.trust.sealed();
        self.summary.stacks = self.trust.stacks();
        self.summary.finish();
        let mut record = self.cloud.finish();
        baseline::rewrite(self.settings, &mut record);
        record.truth.bundles = self
            .traffic
            .deposits
            .iter()
            .map(|deposit| crate::record::Bundle {
                patient: deposit.patient,
                hospital: deposit.hospital,
                deposited: deposit.time,
                fragments: deposit.fragments,
            })
            .collect();
        Run {
            record,
            summary: self.summary,
        }
    }
}
