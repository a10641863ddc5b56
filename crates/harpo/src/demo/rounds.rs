//! What the network's rounds look like to the cloud: the same whether somebody reads or not.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use harpo_cloud::events::Event;
use harpo_lab::report::{Expected, RealLog};
use harpo_protocol::rounds::Rule;
use harpo_protocol::time::Timestamp;
use serde::Serialize;

use super::expected::Retrieval;
use super::visit::Visitor;
use super::{Demo, begin, pause, stuck, watch};

/// Gateways of the demo.
const GATEWAYS: u64 = 2;

/// Retrievals in the cloud's log.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Rounds {
    /// Length of a round.
    pub seconds: u32,
    /// Queries of each retrieval.
    pub queries: u32,
    /// Rounds from the first retrieval to the last.
    pub rounds: u64,
    /// Retrievals of both gateways, one each in a round.
    pub retrievals: u64,
    /// Of these, such as came while somebody read.
    pub while_reading: u64,
    /// Different shapes among all of them: kind, stack, queries, bytes.
    pub shapes: usize,
    /// Retrievals and hints that the cloud knows more of than the relay's address: none.
    pub with_pass: u64,
    /// Bundles that trust placed anew because they were read.
    pub given_back: u64,
}

impl Rounds {
    /// What `log` has of rounds by `rule`; somebody read between the two moments of `reading`.
    pub(crate) fn of(log: &[Event], rule: Rule, reading: (Timestamp, Timestamp)) -> Self {
        let mut this = Self {
            seconds: rule.seconds,
            queries: rule.queries,
            ..Self::default()
        };
        let (mut shapes, mut numbers) = (BTreeSet::new(), BTreeSet::new());
        for event in log {
            this.with_pass += u64::from(has_pass(event));
            let Some((time, shape)) = shape(event) else {
                continue;
            };
            this.retrievals += 1;
            this.while_reading += u64::from(time >= reading.0 && time <= reading.1);
            shapes.insert(shape);
            numbers.insert(rule.number(time));
        }
        if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
            this.rounds = last - first + 1;
        }
        this.shapes = shapes.len();
        this
    }

    /// Retrievals while nobody read.
    pub(crate) fn idle(&self) -> u64 {
        self.retrievals - self.while_reading
    }

    /// Fails if the log tells that somebody read.
    pub(crate) fn check(&self) -> Result<()> {
        if self.while_reading == 0 || self.idle() == 0 {
            bail!(
                "{} retrievals while somebody read and {} while nobody did: there is nothing to compare",
                self.while_reading,
                self.idle()
            );
        }
        if self.shapes != 1 {
            bail!(
                "retrievals of {} different shapes in the cloud's log",
                self.shapes
            );
        }
        // A retrieval is logged when all its queries are there, which may be in the round after its own.
        if self.retrievals > GATEWAYS * (self.rounds + 1) {
            bail!(
                "{} retrievals in {} rounds of {GATEWAYS} gateways",
                self.retrievals,
                self.rounds
            );
        }
        if self.with_pass != 0 {
            bail!(
                "{} retrievals and hints came to the cloud beside the relay",
                self.with_pass
            );
        }
        Ok(())
    }
}

/// Fails if the laboratory can tell anything from the log.
///
/// Its count of each round is not held against the demo: the cloud notes a retrieval when all its queries are there, which
/// on a busy machine is later than a round of a second lasts. [`Rounds::check`] counts all of them together.
pub(super) fn check(laboratory: &RealLog) -> Result<()> {
    let amiss = [
        (laboratory.slot_lengths, 1, "lengths of slots"),
        (laboratory.shapes, 1, "shapes of retrievals"),
        (laboratory.peers, 0, "addresses of gateways"),
        (laboratory.passes, 0, "passes"),
    ];
    for (found, allowed, what) in amiss {
        if found > allowed {
            bail!("the laboratory finds {found} {what} in the cloud's log");
        }
    }
    Ok(())
}

impl Demo {
    /// What the laboratory says of the demo's own cloud.
    pub(super) fn laboratory_says(&self) {
        for says in &self.report.laboratory.says {
            match says.strip_prefix("Amiss: ") {
                None => self.screen.good(says),
                Some(says) => self.screen.note(says),
            }
        }
    }

    /// Waits until what was read is in trust's hands again.
    pub(super) async fn placed_anew(&mut self) -> Result<()> {
        let visitor = Visitor::new(&self.network.consumer)?;
        let wanted = self.originals.studies().len() as u64;
        let begun = begin();
        loop {
            self.network.check()?;
            let rounds = visitor.status().await?.rounds.unwrap_or_default();
            self.report.rounds.given_back = rounds.counts.given_back;
            if rounds.counts.given_back >= wanted {
                break;
            }
            stuck(begun, "placing anew what was read")?;
            pause().await;
        }
        self.screen.good(
            "what was read waits in trust's cache to be written anew, under other keys: no stored copy is read twice",
        );
        Ok(())
    }

    /// Waits until the cloud's log has rounds in which nobody read, and compares it with the formulas and with itself.
    pub(super) async fn rounds_go_on(&mut self) -> Result<()> {
        /// Retrievals to compare with those of the reader.
        const IDLE: u64 = 4;
        let visitor = Visitor::new(&self.network.consumer)?;
        let begun = begin();
        let given_back = self.report.rounds.given_back;
        let log = loop {
            self.network.check()?;
            let log = watch::log(&self.network.cloud_dir)?;
            self.report.rounds = Rounds::of(&log, self.rule, self.reading);
            if self.report.rounds.idle() >= IDLE {
                break log;
            }
            stuck(begun, "waiting for rounds")?;
            pause().await;
        };
        let report = &mut self.report;
        report.rounds.given_back = given_back;
        let expected = Expected {
            gateways: GATEWAYS as usize,
            rounds: Some(self.rule),
            relay: true,
        };
        report.laboratory = harpo_lab::verdict(&log, &expected);
        let hint_bytes = visitor.status().await?.hint_bytes_received;
        let stack = visitor.stack().await?;
        let queries = u64::from(self.rule.queries);
        report.retrieval = Retrieval::compare(&log, queries, hint_bytes, &stack)?;
        report.wire_bytes_up = report.retrieval.bytes_up;
        report.wire_bytes_down = report.retrieval.bytes_down;
        Ok(())
    }
}

/// Whether a gateway showed the cloud a pass: it came to it directly. The relay has a certificate of its own.
fn has_pass(event: &Event) -> bool {
    match event {
        Event::Hint { pass, .. }
        | Event::Retrieval { pass, .. }
        | Event::Resumption { pass, .. }
        | Event::Stream { pass, .. } => pass.is_some(),
        Event::Write { .. } | Event::Seal { .. } | Event::Retire { .. } => false,
    }
}

/// When a retrieval was, and all of it that is not random.
fn shape(event: &Event) -> Option<(Timestamp, String)> {
    let (time, kind, stack, queries, up, down) = match event {
        Event::Retrieval {
            time,
            stack,
            queries,
            bytes_up,
            bytes_down,
            ..
        } => (time, "retrieval", stack, queries, bytes_up, bytes_down),
        Event::Stream {
            time,
            stack,
            queries,
            from: 0,
            bytes_up,
            bytes_down,
            ..
        } => (time, "stream", stack, queries, bytes_up, bytes_down),
        _ => return None,
    };
    let shape = format!("{kind} {stack:?} {queries} {up} {down}");
    Some((*time, shape))
}
