//! The gateways' part: who wants what, rounds, and retrievals at once.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use harpo_protocol::id::GenerationId;
use harpo_protocol::rounds::{Queue, Urgency, ahead};
use harpo_protocol::time::Timestamp;
use rand_core::Rng as _;

use super::cloud::Party;
use super::trust::Why as Placing;
use super::{GIVING_BACK_SECONDS, GRANT, HINT_POLL_SECONDS, Way, What, World, WorldError};
use crate::record::Why;
use crate::traffic;

/// What gateways know.
pub(super) struct Gateways {
    pub(super) queues: Vec<Queue<u32>>,
    pub(super) wants: Vec<Want>,
    /// By hospital and bundle: whether it is in the archive.
    pub(super) held: Vec<bool>,
    /// Bundles that are on their way: the want's number.
    pub(super) asked: HashMap<(u16, u32), u32>,
    /// By hospital: how many generations of each stack it has the hints of.
    pub(super) hints: Vec<HashMap<usize, usize>>,
    /// Errands that trust counts as under way, by hospital and stack.
    pub(super) errands: HashSet<(u16, usize)>,
    /// Errands that each gateway holds.
    pub(super) holding: Vec<u32>,
    pub(super) bundles: usize,
}

/// Something that a gateway retrieves.
pub(super) struct Want {
    pub(super) hospital: u16,
    pub(super) bundle: u32,
    /// Slots in all, and those that are not here yet.
    pub(super) slots: u32,
    pub(super) left: u32,
    pub(super) stack: usize,
    pub(super) why: Why,
    /// When it was released.
    pub(super) released: Timestamp,
    /// Since when somebody waits.
    pub(super) since: Option<Timestamp>,
    /// Trust takes it back.
    pub(super) give_back: bool,
    /// Nothing is retrieved for it any more.
    pub(super) over: bool,
    /// Over which connection its tickets are spent at once, from the first on.
    pub(super) connection: Option<Party>,
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
            connection: None,
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
            self.errand_over(name);
            if self.trust.is_empty() {
                // An errand does not begin a generation.
                self.summary.errands_refused += 1;
                self.trust.set_returning(bundle, false);
                return Ok(());
            }
            self.summary.brought_back += 1;
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
