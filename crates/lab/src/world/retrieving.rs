//! What gateways send: rounds, errands in them, and retrievals at once.

use std::time::Duration;

use harpo_oblivious::Engine;
use harpo_protocol::id::GenerationId;
use harpo_protocol::retrieval::classes;
use harpo_protocol::rounds::{Pick, Rule, Urgency};
use harpo_protocol::time::Timestamp;

use super::gateways::Want;
use super::{ERRANDS_AT_ONCE, GRANT, Way, What, World, WorldError, baseline};
use crate::record::{Fetch, Read, Why};

impl World<'_, '_> {
    /// One gateway's round (9.7).
    pub(super) fn round(
        &mut self,
        rule: &Rule,
        number: u64,
        moment: Timestamp,
        hospital: u16,
    ) -> Result<(), WorldError> {
        let Some(stack) = self.trust.round(number) else {
            return Ok(());
        };
        let sealed = self.trust.shelves[stack].shelf.ids.len();
        let hints = &self.gateways.hints[usize::from(hospital)];
        let ready = hints.get(&stack).copied().unwrap_or(0) >= sealed;
        // Trust draws an errand before the gateway sees whether it has all hints.
        self.errand(hospital, stack, ready, moment);
        if !ready {
            self.summary.rounds_skipped += 1;
            return Ok(());
        }
        let shelf = &self.trust.shelves[stack].shelf;
        let queue = &mut self.gateways.queues[usize::from(hospital)];
        let picks = queue.take(number, &shelf.ids, rule.queries);
        let (bundles, why) = self.purpose(&picks);
        let time = self.shown(rule, number, moment, &bundles);
        let engine = Engine::choose(&shelf.ring, rule.queries);
        let read = Read {
            hospital,
            bundles,
            why,
            at_once: false,
        };
        let connection = self.cloud.party(hospital, &mut self.rng);
        let kind = (engine, rule.queries);
        self.cloud
            .retrieve(shelf, kind, read, connection, time, &mut self.rng)?;
        match picks.is_empty() {
            true => self.summary.retrievals_cover += 1,
            false => self.summary.retrievals_real += 1,
        }
        for pick in picks {
            let want = &mut self.gateways.wants[pick.want as usize];
            want.left -= 1;
            if want.left == 0 {
                self.complete(pick.want, moment);
            }
        }
        Ok(())
    }

    /// Trust may want something of its own back from a gateway that has no errand of this stack (5.7).
    fn errand(&mut self, hospital: u16, stack: usize, ready: bool, now: Timestamp) {
        if self.gateways.errands.contains(&(hospital, stack)) {
            return;
        }
        let Some((bundle, places)) = self.trust.errand(hospital, stack, &mut self.rng) else {
            return;
        };
        let name = self.gateways.wants.len() as u32;
        let count = places.len() as u32;
        // One that the gateway drops is under way for trust until its grant expires.
        let holding = &mut self.gateways.holding[usize::from(hospital)];
        let dropped = !ready || *holding >= ERRANDS_AT_ONCE;
        self.gateways.wants.push(Want {
            hospital,
            bundle,
            slots: count,
            left: count,
            stack,
            why: Why::Errand,
            released: now,
            since: None,
            give_back: true,
            over: dropped,
            connection: None,
        });
        if !dropped {
            *holding += 1;
            let queue = &mut self.gateways.queues[usize::from(hospital)];
            queue.push(name, Urgency::Errand, &places);
        }
        self.gateways.errands.insert((hospital, stack));
        self.summary.errands += 1;
        self.agenda.put(now.after(GRANT), What::Expired(name));
    }

    /// What a retrieval brings, and the strongest reason for it.
    fn purpose(&self, picks: &[Pick<u32>]) -> (Vec<u32>, Why) {
        let mut bundles = Vec::new();
        let mut why = Why::Cover;
        for pick in picks {
            let want = &self.gateways.wants[pick.want as usize];
            why = why.max(want.why);
            if !bundles.contains(&want.bundle) {
                bundles.push(want.bundle);
            }
        }
        (bundles, why)
    }

    /// When a round's retrieval shows: when it is made; in the positive control in the half of the round that tells a
    /// bit of the patient.
    fn shown(&self, rule: &Rule, number: u64, moment: Timestamp, bundles: &[u32]) -> Timestamp {
        match bundles.first() {
            Some(bundle) if self.settings.leak => {
                let half = u64::from(rule.seconds) * 500;
                let into = moment.since(rule.begins(number)).as_millis() as u64 / 2;
                let bit = u64::from(self.traffic.deposits[*bundle as usize].patient % 2);
                Timestamp(rule.begins(number).0 + bit * half + into)
            }
            _ => moment,
        }
    }

    /// All tickets of a release, one after the other over one connection; or one of them for a stream (9.6).
    pub(super) fn at_once(&mut self, name: u32, now: Timestamp) -> Result<(), WorldError> {
        let want = &self.gateways.wants[name as usize];
        let ring = &self.trust.shelves[want.stack].shelf.ring;
        let tickets = classes(want.slots);
        let all: u32 = tickets.iter().sum();
        let mut at = now;
        let engine = Engine::choose(ring, all);
        let spent = if engine == Engine::Stream {
            1
        } else {
            tickets.len()
        };
        for queries in tickets.into_iter().take(spent) {
            self.agenda.put(
                at,
                What::Ticket {
                    want: name,
                    queries,
                },
            );
            let cost = if engine == Engine::Stream {
                all
            } else {
                queries
            };
            at = at.after(engine.cost(ring, cost).time);
        }
        self.agenda.put(at, What::Done(name));
        Ok(())
    }

    /// Spends one ticket of a retrieval at once.
    pub(super) fn spend(
        &mut self,
        name: u32,
        queries: u32,
        now: Timestamp,
    ) -> Result<(), WorldError> {
        let want = &self.gateways.wants[name as usize];
        let shelf = &self.trust.shelves[want.stack].shelf;
        let exact = self.settings.way == Way::Exact;
        let engine = match exact {
            true => Engine::Ring,
            false => Engine::choose(&shelf.ring, classes(want.slots).iter().sum()),
        };
        let read = Read {
            hospital: want.hospital,
            bundles: vec![want.bundle],
            why: want.why,
            at_once: true,
        };
        let time = engine.cost(&shelf.ring, queries).time;
        // All tickets of a release go over one connection, under one pass.
        let connection = match want.connection {
            Some(connection) => connection,
            None => self.cloud.party(want.hospital, &mut self.rng),
        };
        self.cloud.retrieve(
            shelf,
            (engine, queries),
            read,
            connection,
            now,
            &mut self.rng,
        )?;
        self.gateways.wants[name as usize].connection = Some(connection);
        self.summary.retrievals_real += 1;
        if exact {
            self.agenda.put(now.after(time), What::Done(name));
        }
        Ok(())
    }

    /// Baselines: slots by their indexes, or small groups of slots obliviously.
    pub(super) fn plainly(&mut self, name: u32, places: &[(GenerationId, u32)], now: Timestamp) {
        let want = &self.gateways.wants[name as usize];
        let slots = self.settings.trust.layout().slots;
        let bytes = u64::from(self.settings.trust.layout().slot_bytes());
        let mut asked: Vec<(u32, u32)> = Vec::new();
        for (id, slot) in places {
            let generation = self.cloud.recorder().number(*id);
            let group = match self.settings.way {
                Way::Groups(of) => baseline::group(generation, *slot, slots, of),
                _ => baseline::object(generation, *slot, slots),
            };
            match asked.iter_mut().find(|(known, _)| *known == group) {
                Some((_, count)) => *count += 1,
                None => asked.push((group, 1)),
            }
        }
        let by_index = self.settings.way == Way::ByIndex;
        for (name, count) in asked {
            let queries = count.next_power_of_two();
            let fetch = Fetch {
                time: now,
                stack: if by_index { name / slots } else { name },
                generations: 1,
                queries,
                bytes_down: bytes * u64::from(queries),
                peer: (!self.settings.relay).then_some(want.hospital.into()),
                account: None,
                object: by_index.then_some(name),
            };
            let read = Read {
                hospital: want.hospital,
                bundles: vec![want.bundle],
                why: want.why,
                at_once: true,
            };
            self.cloud.fetch(fetch, read);
            self.summary.retrievals_real += 1;
        }
        let line = Duration::from_secs_f64(bytes as f64 * places.len() as f64 / 125e6);
        self.agenda.put(now.after(line), What::Done(name));
    }
}
