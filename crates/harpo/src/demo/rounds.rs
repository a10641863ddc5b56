//! What the network's rounds look like to the cloud: the same whether somebody reads or not.

use std::collections::BTreeSet;

use anyhow::{Result, bail};
use harpo_cloud::events::Event;
use harpo_protocol::id::PartyId;
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
    /// Retrievals with a pass: all, where gateways ask the cloud directly; none through the relay.
    pub with_pass: u64,
    /// Different passes.
    pub passes: usize,
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
        let (mut shapes, mut passes) = (BTreeSet::new(), BTreeSet::new());
        let mut numbers = BTreeSet::new();
        for event in log {
            let Some((time, pass, shape)) = shape(event) else {
                continue;
            };
            if let Some(pass) = pass {
                this.with_pass += 1;
                passes.insert(pass);
            }
            this.retrievals += 1;
            this.while_reading += u64::from(time >= reading.0 && time <= reading.1);
            shapes.insert(shape);
            numbers.insert(rule.number(time));
        }
        if let (Some(first), Some(last)) = (numbers.first(), numbers.last()) {
            this.rounds = last - first + 1;
        }
        (this.shapes, this.passes) = (shapes.len(), passes.len());
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
        if self.with_pass != self.passes as u64 {
            bail!(
                "{} passes for {} retrievals: the cloud saw one twice",
                self.passes,
                self.with_pass
            );
        }
        Ok(())
    }
}

impl Demo {
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
        let hint_bytes = visitor.status().await?.hint_bytes_received;
        let stack = visitor.stack().await?;
        let queries = u64::from(self.rule.queries);
        report.retrieval = Retrieval::compare(&log, queries, hint_bytes, &stack)?;
        report.wire_bytes_up = report.retrieval.bytes_up;
        report.wire_bytes_down = report.retrieval.bytes_down;
        Ok(())
    }
}

/// When a retrieval was, its pass, and all of it that is not random.
fn shape(event: &Event) -> Option<(Timestamp, Option<PartyId>, String)> {
    let (time, pass, kind, stack, queries, up, down) = match event {
        Event::Retrieval {
            time,
            pass,
            stack,
            queries,
            bytes_up,
            bytes_down,
            ..
        } => (
            time,
            pass,
            "retrieval",
            stack,
            queries,
            bytes_up,
            bytes_down,
        ),
        Event::Stream {
            time,
            pass,
            stack,
            queries,
            from: 0,
            bytes_up,
            bytes_down,
            ..
        } => (time, pass, "stream", stack, queries, bytes_up, bytes_down),
        _ => return None,
    };
    let shape = format!("{kind} {stack:?} {queries} {up} {down}");
    Some((*time, *pass, shape))
}
