//! The gateways' part: who wants what, rounds, and retrievals at once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use harpo_oblivious::Engine;
use harpo_protocol::id::GenerationId;
use harpo_protocol::retrieval::classes;
use harpo_protocol::rounds::{Pick, Queue, Rule, Urgency, ahead};
use harpo_protocol::time::Timestamp;
use rand_core::Rng as _;

use super::baseline;
use super::trust::Why as Placing;
use super::{
    ERRANDS_AT_ONCE, GIVING_BACK_SECONDS, GRANT, HINT_POLL_SECONDS, Way, What, World, WorldError,
};
use crate::record::{Fetch, Read, Why};
use crate::traffic;

/// What gateways know.
pub(super) struct Gateways {
    queues: Vec<Queue<u32>>,
    wants: Vec<Want>,
    /// By hospital and bundle: whether it is in the archive.
    held: Vec<bool>,
    /// Bundles that are on their way: the want's number.
    asked: HashMap<(u16, u32), u32>,
    /// By hospital: how many generations of each stack it has the hints of.
    hints: Vec<HashMap<usize, usize>>,
    /// Errands that trust counts as under way, by hospital and stack.
    errands: HashSet<(u16, usize)>,
    /// Errands that each gateway holds.
    holding: Vec<u32>,
    bundles: usize,
}

/// Something that a gateway retrieves.
struct Want {
    hospital: u16,
    bundle: u32,
    /// Slots in all, and those that are not here yet.
    slots: u32,
    left: u32,
    stack: usize,
    why: Why,
    /// When it was released.
    released: Timestamp,
    /// Since when somebody waits.
    since: Option<Timestamp>,
    /// Trust takes it back.
    give_back: bool,
    /// Nothing is retrieved for it any more.
    over: bool,
}

impl Gateways {
    pub(super) fn new(hospitals: u16, bundles: usize) -> Self {
        let count = usize::from(hospitals);
        Self {
            queues: (0..count).map(|_| Queue::default()).collect(),
            wants: Vec::new(),
            held: vec![false; count * bundles],
            asked: HashMap::new(),
            hints: vec![HashMap::new(); count],
            errands: HashSet::new(),
            holding: vec![0; count],
            bundles,
        }
    }

    pub(super) fn count(&self) -> u16 {
        self.queues.len() as u16
    }

    /// How many are still wanted, errands left out, and how long the oldest of them has been.
    pub(super) fn open(&self, now: Timestamp) -> (u64, Duration) {
        let open = self
            .wants
            .iter()
            .filter(|want| !want.over && want.why != Why::Errand);
        open.fold((0, Duration::ZERO), |(count, oldest), want| {
            (count + 1, oldest.max(now.since(want.released)))
        })
    }

    fn holds(&mut self, hospital: u16, bundle: u32) -> &mut bool {
        &mut self.held[usize::from(hospital) * self.bundles + bundle as usize]
    }
}

impl World<'_, '_> {
    /// A reading is in the diary: its bundle is asked for in a round that is drawn from those before it (9.7), or,
    /// without rounds, now.
    pub(super) fn known(&mut self, number: u32, now: Timestamp) -> Result<(), WorldError> {
        let reading = &self.traffic.readings[number as usize];
        match self.settings.way {
            Way::Rounds(rule) => {
                if let Urgency::Ahead { round } = ahead(&rule, now, reading.time, &mut self.rng) {
                    self.agenda
                        .put(rule.begins(round).max(now), What::Ahead(number));
                }
                Ok(())
            }
            _ => self.ahead(number, now),
        }
    }

    pub(super) fn ahead(&mut self, number: u32, now: Timestamp) -> Result<(), WorldError> {
        let reading = &self.traffic.readings[number as usize];
        let (hospital, bundle) = (reading.hospital, reading.bundle);
        if *self.gateways.holds(hospital, bundle)
            || self.gateways.asked.contains_key(&(hospital, bundle))
        {
            return Ok(());
        }
        self.release(hospital, bundle, Why::Ahead, false, now)
    }

    /// Somebody opens a bundle.
    pub(super) fn read(&mut self, number: u32, now: Timestamp) -> Result<(), WorldError> {
        let reading = &self.traffic.readings[number as usize];
        let (hospital, bundle) = (reading.hospital, reading.bundle);
        let emergency = reading.urgency == traffic::Urgency::Emergency;
        if *self.gateways.holds(hospital, bundle) {
            self.summary.read_locally += 1;
            return Ok(());
        }
        let Some(name) = self.gateways.asked.get(&(hospital, bundle)).copied() else {
            return self.release(hospital, bundle, Why::Reader, emergency, now);
        };
        let want = &mut self.gateways.wants[name as usize];
        if want.why == Why::Ahead {
            self.summary.ahead_late += 1;
        }
        want.why = Why::Reader;
        want.since.get_or_insert(now);
        let queue = &mut self.gateways.queues[usize::from(hospital)];
        queue.hurry(name);
        if emergency && matches!(self.settings.way, Way::Rounds(_)) {
            queue.remove(name);
            self.at_once(name, now)?;
        }
        Ok(())
    }

    /// Trust releases a bundle (8.4): from its cache, where the cloud sees nothing, or from a stack.
    fn release(
        &mut self,
        hospital: u16,
        bundle: u32,
        why: Why,
        emergency: bool,
        now: Timestamp,
    ) -> Result<(), WorldError> {
        let Some((generation, slots)) = self.trust.in_stack(bundle) else {
            *self.gateways.holds(hospital, bundle) = true;
            match why {
                Why::Reader => self.summary.read_from_cache += 1,
                _ => self.summary.ahead += 1,
            }
            return Ok(());
        };
        let id = self.trust.id(generation);
        let places: Vec<(GenerationId, u32)> = slots.iter().map(|slot| (id, *slot)).collect();
        let count = places.len() as u32;
        let give_back =
            self.settings.trust.replacement.after_read && !self.trust.is_returning(bundle);
        if give_back {
            self.trust.set_returning(bundle, true);
        }
        let name = self.gateways.wants.len() as u32;
        self.gateways.wants.push(Want {
            hospital,
            bundle,
            slots: count,
            left: count,
            stack: self.trust.stack(generation),
            why,
            released: now,
            since: (why == Why::Reader).then_some(now),
            give_back,
            over: false,
        });
        self.gateways.asked.insert((hospital, bundle), name);
        if give_back {
            self.agenda.put(now.after(GRANT), What::Expired(name));
        }
        match self.settings.way {
            Way::Rounds(rule) if !emergency => {
                let urgency = match why {
                    Why::Reader => Urgency::Reader,
                    _ => Urgency::Ahead {
                        round: rule.number(now),
                    },
                };
                self.gateways.queues[usize::from(hospital)].push(name, urgency, &places);
                Ok(())
            }
            Way::Rounds(_) | Way::AtOnce => self.at_once(name, now),
            Way::Exact => self.spend(name, count, now),
            Way::ByIndex | Way::Groups(_) => {
                self.plainly(name, &places, now);
                Ok(())
            }
        }
    }

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
        if hints.get(&stack).copied().unwrap_or(0) < sealed {
            self.summary.rounds_skipped += 1;
            return Ok(());
        }
        self.errand(hospital, stack, moment);
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
        };
        self.cloud
            .retrieve(shelf, (engine, rule.queries), read, time, &mut self.rng)?;
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

    /// Trust may want something back, by a gateway that has no errand of this stack (5.7).
    fn errand(&mut self, hospital: u16, stack: usize, now: Timestamp) {
        if self.gateways.errands.contains(&(hospital, stack)) {
            return;
        }
        let Some((bundle, places)) = self.trust.errand(stack, &mut self.rng) else {
            return;
        };
        let name = self.gateways.wants.len() as u32;
        let count = places.len() as u32;
        // One that the gateway drops is under way for trust until its grant expires.
        let holding = &mut self.gateways.holding[usize::from(hospital)];
        let dropped = *holding >= ERRANDS_AT_ONCE;
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
    fn at_once(&mut self, name: u32, now: Timestamp) -> Result<(), WorldError> {
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
        };
        let time = engine.cost(&shelf.ring, queries).time;
        self.cloud
            .retrieve(shelf, (engine, queries), read, now, &mut self.rng)?;
        self.summary.retrievals_real += 1;
        if exact {
            self.agenda.put(now.after(time), What::Done(name));
        }
        Ok(())
    }

    /// Baselines: slots by their indexes, or small groups of slots obliviously.
    fn plainly(&mut self, name: u32, places: &[(GenerationId, u32)], now: Timestamp) {
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
                peer: Some(want.hospital.into()),
                account: None,
                object: by_index.then_some(name),
            };
            let read = Read {
                hospital: want.hospital,
                bundles: vec![want.bundle],
                why: want.why,
            };
            self.cloud.fetch(fetch, read);
            self.summary.retrievals_real += 1;
        }
        let line = Duration::from_secs_f64(bytes as f64 * places.len() as f64 / 125e6);
        self.agenda.put(now.after(line), What::Done(name));
    }

    /// Everything of a want is here.
    pub(super) fn complete(&mut self, name: u32, now: Timestamp) {
        let want = &mut self.gateways.wants[name as usize];
        if std::mem::replace(&mut want.over, true) {
            return;
        }
        let (hospital, bundle, errand) = (want.hospital, want.bundle, want.why == Why::Errand);
        if !errand {
            match want.since {
                Some(since) => {
                    self.summary.read_from_cloud += 1;
                    self.summary.waits.push(now.since(since).as_secs() as u32);
                }
                None => self.summary.ahead += 1,
            }
        }
        if want.give_back {
            let (least, most) = GIVING_BACK_SECONDS;
            let unit = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
            let after = Duration::from_secs_f64(least + (most - least) * unit);
            self.agenda.put(now.after(after), What::GivenBack(name));
        }
        if errand {
            self.gateways.holding[usize::from(hospital)] -= 1;
        } else {
            *self.gateways.holds(hospital, bundle) = true;
            self.gateways.asked.remove(&(hospital, bundle));
        }
    }

    /// What was read, or brought by an errand, is placed anew, if its grant is still good.
    pub(super) fn given_back(&mut self, name: u32, now: Timestamp) -> Result<(), WorldError> {
        let want = &mut self.gateways.wants[name as usize];
        if !std::mem::take(&mut want.give_back) {
            return Ok(());
        }
        let bundle = want.bundle;
        if want.why == Why::Errand {
            self.summary.brought_back += 1;
            self.errand_over(name);
            return self.placed_again(bundle, Placing::Errand, now);
        }
        self.summary.given_back += 1;
        self.placed_again(bundle, Placing::Read, now)
    }

    /// A grant is too old: trust takes nothing back for it, and may ask anybody. The gateway drops an errand.
    pub(super) fn expired(&mut self, name: u32) {
        let want = &mut self.gateways.wants[name as usize];
        if !std::mem::take(&mut want.give_back) {
            return;
        }
        let (hospital, bundle) = (want.hospital, want.bundle);
        if want.why == Why::Errand {
            if !std::mem::replace(&mut want.over, true) {
                self.gateways.queues[usize::from(hospital)].remove(name);
                self.gateways.holding[usize::from(hospital)] -= 1;
            }
            self.errand_over(name);
            self.summary.errands_expired += 1;
        }
        self.trust.set_returning(bundle, false);
    }

    /// Trust counts an errand no longer.
    fn errand_over(&mut self, name: u32) {
        let want = &self.gateways.wants[name as usize];
        self.gateways.errands.remove(&(want.hospital, want.stack));
        self.trust.errand_over(want.slots);
    }

    /// Gateways will find a new generation, and fetch its hint (7.2).
    pub(super) fn announce(&mut self, generation: u32, now: Timestamp) {
        let (least, most) = HINT_POLL_SECONDS;
        for hospital in 0..self.gateways.count() {
            let unit = f64::from(self.rng.next_u32()) / f64::from(u32::MAX);
            let after = Duration::from_secs_f64(least + (most - least) * unit);
            let what = What::Hint {
                generation,
                hospital,
            };
            self.agenda.put(now.after(after), what);
        }
    }

    pub(super) fn hint(
        &mut self,
        generation: u32,
        hospital: u16,
        now: Timestamp,
    ) -> Result<(), WorldError> {
        let (id, figures) = (self.trust.id(generation), self.trust.figures(generation));
        self.cloud.hint(id, figures, hospital, now, &mut self.rng)?;
        let stack = self.trust.stack(generation);
        let hints = &mut self.gateways.hints[usize::from(hospital)];
        *hints.entry(stack).or_default() += 1;
        Ok(())
    }
}
