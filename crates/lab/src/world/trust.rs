//! Trust's part: placing, mixing, sealing, stacks, and what is placed again.

use harpo_protocol::id::{Digest, GenerationId};
use harpo_protocol::placement::{Full, OpenGeneration, shuffle};
use harpo_protocol::replacement::{Room, draw};
use harpo_protocol::rounds::stack_of;
use harpo_protocol::stack::Figures;
use harpo_protocol::time::Timestamp;
use harpo_trust::{Bounds, CLOSE_AHEAD, TrustConfig};
use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;

use super::cloud::Shelf;
use super::{Agenda, Settings, What};
use crate::record::Written;
use crate::traffic::{Deposit, Traffic};

/// What trust knows.
pub(super) struct Trust {
    pub(super) config: TrustConfig,
    pub(super) bounds: Bounds,
    /// For the positive control: a bit of each bundle's patient.
    parity: Option<Vec<usize>>,
    pub(super) generations: Vec<Generation>,
    pub(super) bundles: Vec<Stored>,
    /// Who deposited each bundle.
    origins: Vec<u16>,
    pub(super) shelves: Vec<Stack>,
    /// Those that are not retired, oldest first: places in `shelves`.
    pub(super) current: Vec<usize>,
    /// Slots of errands that are under way.
    under_way: u32,
    /// The first tick at which nothing leaves yet.
    tick: Timestamp,
}

pub(super) struct Generation {
    pub(super) id: GenerationId,
    pub(super) state: OpenGeneration,
    pub(super) figures: Figures,
    pub(super) closed: bool,
    /// What each slot holds.
    pub(super) contents: Vec<Written>,
    /// Bundles that were placed here.
    pub(super) bundles: Vec<u32>,
    /// Slots that errands brought.
    pub(super) brought: u32,
    pub(super) left: Vec<bool>,
    pub(super) leaving: Vec<u32>,
    /// Slots that are not at the cloud.
    pub(super) missing: u32,
    pub(super) sealed: Option<Timestamp>,
    /// Not in the upload cache any more.
    pub(super) uncached: bool,
    pub(super) stack: usize,
}

/// Where a bundle is.
#[derive(Clone, Default)]
pub(super) struct Stored {
    generation: Option<u32>,
    slots: Vec<u32>,
    /// On its way back already.
    returning: bool,
    /// Its place among its stack's candidates, if it is one.
    place: Option<usize>,
}

/// Why a bundle is placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    /// It was deposited.
    Fresh,
    /// It was read.
    Read,
    /// Trust wanted it back.
    Errand,
}

/// A bundle that is to be placed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Coming {
    pub(super) bundle: u32,
    pub(super) fragments: u32,
    pub(super) why: Why,
}

/// A stack, and the bundles that are read from it.
pub(super) struct Stack {
    pub(super) shelf: Shelf,
    pub(super) generations: Vec<u32>,
    pub(super) figures: Vec<Figures>,
    /// Bundles that are read from it.
    pub(super) live: u32,
    /// Those that can be errands, with their slots.
    pub(super) candidates: Vec<(u32, u32)>,
}

impl Trust {
    pub(super) fn new(settings: &Settings, traffic: &Traffic, rng: &mut ChaCha20Rng) -> Self {
        let config = settings.trust.clone();
        let bit = |deposit: &Deposit| deposit.patient as usize % 2;
        let mut trust = Self {
            bounds: config.stack_bounds(),
            parity: settings
                .leak
                .then(|| traffic.deposits.iter().map(bit).collect()),
            config,
            generations: Vec::new(),
            bundles: vec![Stored::default(); traffic.deposits.len()],
            origins: traffic.deposits.iter().map(|d| d.hospital).collect(),
            shelves: Vec::new(),
            current: Vec::new(),
            under_way: 0,
            tick: Timestamp::EPOCH,
        };
        trust.open(rng);
        trust
    }

    pub(super) fn sealed(&self) -> u64 {
        self.generations
            .iter()
            .filter(|g| g.sealed.is_some())
            .count() as u64
    }

    pub(super) fn stacks(&self) -> u64 {
        self.current.len() as u64
    }

    /// A bundle's slots in its stack, if it is read from there; otherwise it comes from the cache.
    pub(super) fn in_stack(&self, bundle: u32) -> Option<(u32, &[u32])> {
        let stored = &self.bundles[bundle as usize];
        let number = stored.generation?;
        let uncached = self.generations[number as usize].uncached;
        uncached.then_some((number, stored.slots.as_slice()))
    }

    pub(super) fn is_returning(&self, bundle: u32) -> bool {
        self.bundles[bundle as usize].returning
    }

    /// Whether somebody is giving a bundle back; of several, trust takes it from the first alone, which is this one here.
    pub(super) fn set_returning(&mut self, bundle: u32, returning: bool) {
        self.bundles[bundle as usize].returning = returning;
        match returning {
            true => self.unlist(bundle),
            false => self.list(bundle),
        }
    }

    pub(super) fn id(&self, generation: u32) -> GenerationId {
        self.generations[generation as usize].id
    }

    pub(super) fn figures(&self, generation: u32) -> &Figures {
        &self.generations[generation as usize].figures
    }

    /// The stack of a sealed generation.
    pub(super) fn stack(&self, generation: u32) -> usize {
        self.generations[generation as usize].stack
    }

    /// What a round is for (9.7).
    pub(super) fn round(&self, number: u64) -> Option<usize> {
        let place = stack_of(number, self.current.len())?;
        self.current.get(place).copied()
    }

    /// Something old of the hospital's own in this stack to bring back, and its slots (5.7).
    pub(super) fn errand(
        &mut self,
        hospital: u16,
        stack: usize,
        rng: &mut ChaCha20Rng,
    ) -> Option<(u32, Vec<(GenerationId, u32)>)> {
        let rule = self.config.replacement.rule();
        let open = self.generations.last()?;
        open.state.first_deposit()?;
        let room = Room {
            slots: open.figures.slots,
            brought: open.brought,
            under_way: self.under_way,
        };
        if !rule.allows(room.slots, room.brought, room.under_way, 1) {
            return None;
        }
        let of_own = |(bundle, _): &&(u32, u32)| self.origins[*bundle as usize] == hospital;
        let candidates = &self.shelves[stack].candidates;
        let candidates: Vec<_> = candidates.iter().filter(of_own).copied().collect();
        let bundle = draw(&rule, room, &candidates, rng)?;
        let stored = &self.bundles[bundle as usize];
        let id = self.id(stored.generation?);
        let places: Vec<_> = stored.slots.iter().map(|slot| (id, *slot)).collect();
        self.under_way += places.len() as u32;
        self.set_returning(bundle, true);
        Some((bundle, places))
    }

    /// An errand is over, one way or the other.
    pub(super) fn errand_over(&mut self, slots: u32) {
        self.under_way = self.under_way.saturating_sub(slots);
    }

    /// The next generation begins.
    fn open(&mut self, rng: &mut ChaCha20Rng) {
        let layout = self.config.layout();
        let mut id = GenerationId([0; 16]);
        rng.fill_bytes(&mut id.0);
        let mut seed = Digest([0; 32]);
        rng.fill_bytes(&mut seed.0);
        let slots = layout.slots as usize;
        self.generations.push(Generation {
            id,
            state: OpenGeneration::new(
                layout,
                self.config.mixing(),
                self.config.seal_rule(),
                None,
                Default::default(),
            ),
            figures: Figures {
                slots: layout.slots,
                slot_bytes: layout.slot_bytes(),
                parameter_set: self.config.ring.parameter_set,
                interleave: self.config.interleave_for(&layout),
                seed,
            },
            closed: false,
            contents: vec![Written::default(); slots],
            bundles: Vec::new(),
            brought: 0,
            left: vec![false; slots],
            leaving: Vec::new(),
            missing: layout.slots,
            sealed: None,
            uncached: false,
            stack: usize::MAX,
        });
    }

    /// The number of the open generation.
    pub(super) fn number(&self) -> u32 {
        self.generations.len() as u32 - 1
    }

    /// Whether the open generation is.
    pub(super) fn is_empty(&self) -> bool {
        let open = self.generations.last();
        open.is_none_or(|open| open.state.first_deposit().is_none())
    }

    /// The open generation.
    pub(super) fn last(&mut self) -> &mut Generation {
        let number = self.number() as usize;
        &mut self.generations[number]
    }

    /// Gives a bundle its cells; a generation that it does not fit is closed first (5.1).
    pub(super) fn place(
        &mut self,
        coming: Coming,
        now: Timestamp,
        agenda: &mut Agenda,
        rng: &mut ChaCha20Rng,
    ) -> Result<(), Full> {
        let Coming {
            bundle,
            fragments,
            why,
        } = coming;
        let places = match self.last().state.place(fragments, now, rng) {
            Ok(places) => places,
            Err(_) => {
                self.close_generation(now, agenda, rng);
                self.last().state.place(fragments, now, rng)?
            }
        };
        let number = self.number();
        let age = self.config.seal_rule().age;
        let generation = self.last();
        let mut opened = 0;
        let mut slots: Vec<u32> = places.iter().map(|place| place.slot).collect();
        slots.dedup();
        for slot in &slots {
            let holds = &mut generation.contents[*slot as usize];
            if holds.bundles.is_empty() {
                holds.replaced = true;
                opened += 1;
                let opened = generation.state.slots().get(slot);
                if let Some(leaves) = opened.and_then(|slot| slot.leaves) {
                    agenda.put(before(leaves, now), What::Close(number));
                    let slot = *slot;
                    agenda.put(
                        leaves,
                        What::Due {
                            generation: number,
                            slot,
                        },
                    );
                }
            }
            holds.replaced &= why != Why::Fresh;
            holds.bundles.push(bundle);
        }
        if generation.bundles.is_empty() {
            agenda.put(now.after(age), What::Age(number));
        }
        generation.bundles.push(bundle);
        if why == Why::Errand {
            generation.brought += opened;
        }
        let full = generation.state.should_seal(now);
        let stored = &mut self.bundles[bundle as usize];
        (stored.generation, stored.slots, stored.returning) = (Some(number), slots, false);
        if full {
            self.close_generation(now, agenda, rng);
        }
        Ok(())
    }

    /// Closes the open generation: its slots leave at the grid's next moment (5.5).
    pub(super) fn close_generation(
        &mut self,
        now: Timestamp,
        agenda: &mut Agenda,
        rng: &mut ChaCha20Rng,
    ) {
        let number = self.number();
        if let Some(parity) = self.parity.take() {
            self.relabel(number, &parity, rng);
            self.parity = Some(parity);
        }
        self.last().closed = true;
        agenda.put(self.config.seal_moment(now), What::Leave(number));
        self.open(rng);
    }

    /// Notes that a bundle can be an errand: it is read from a stack, and nobody gives it back.
    pub(super) fn list(&mut self, bundle: u32) {
        let stored = &mut self.bundles[bundle as usize];
        let generation = stored.generation.map(|at| &self.generations[at as usize]);
        if let Some(generation) = generation.filter(|generation| generation.uncached)
            && stored.place.is_none()
            && !stored.returning
        {
            let candidates = &mut self.shelves[generation.stack].candidates;
            stored.place = Some(candidates.len());
            candidates.push((bundle, stored.slots.len() as u32));
        }
    }

    /// Notes that it cannot.
    fn unlist(&mut self, bundle: u32) {
        let stored = &mut self.bundles[bundle as usize];
        let (Some(place), Some(generation)) = (stored.place.take(), stored.generation) else {
            return;
        };
        let stack = self.generations[generation as usize].stack;
        let candidates = &mut self.shelves[stack].candidates;
        candidates.swap_remove(place);
        if let Some((moved, _)) = candidates.get(place) {
            self.bundles[*moved as usize].place = Some(place);
        }
    }

    /// A bundle leaves its generation: whether its stack has none left, then which.
    pub(super) fn withdraw(&mut self, bundle: u32) -> Option<usize> {
        self.unlist(bundle);
        let generation = self.bundles[bundle as usize].generation?;
        let stack = self.generations[generation as usize].stack;
        let live = &mut self.shelves.get_mut(stack)?.live;
        *live -= 1;
        (*live == 0).then_some(stack)
    }

    /// The next tick from now, which is then taken (5.5).
    pub(super) fn tick(&mut self, now: Timestamp) -> Timestamp {
        let interval = self.config.slot_interval();
        let millis = u64::try_from(interval.as_millis())
            .unwrap_or(u64::MAX)
            .max(1);
        let tick = Timestamp(now.max(self.tick).0.next_multiple_of(millis));
        self.tick = tick.after(interval);
        tick
    }

    /// Positive control: the slots of patients with odd numbers get odd indexes, as far as there are any.
    fn relabel(&mut self, number: u32, parity: &[usize], rng: &mut ChaCha20Rng) {
        let generation = &mut self.generations[number as usize];
        let slots = generation.contents.len() as u32;
        let mut free = [Vec::new(), Vec::new()];
        for slot in 0..slots {
            free[slot as usize % 2].push(slot);
        }
        free.iter_mut().for_each(|side| shuffle(side, rng));
        let mut to = vec![0; slots as usize];
        let occupied = |slot: &u32| !generation.contents[*slot as usize].bundles.is_empty();
        let (real, cover): (Vec<u32>, Vec<u32>) = (0..slots).partition(occupied);
        for slot in real.into_iter().chain(cover) {
            let first = generation.contents[slot as usize].bundles.first();
            let side = first.map_or(0, |bundle| parity[*bundle as usize]);
            let index = free[side].pop().or_else(|| free[1 - side].pop());
            to[slot as usize] = index.unwrap_or(slot);
        }
        let mut contents = vec![Written::default(); slots as usize];
        for (slot, holds) in (0..).zip(generation.contents.drain(..)) {
            let slot: usize = slot;
            contents[to[slot] as usize] = holds;
        }
        generation.contents = contents;
        for bundle in &generation.bundles {
            let stored = &mut self.bundles[*bundle as usize];
            if stored.generation == Some(number) {
                stored
                    .slots
                    .iter_mut()
                    .for_each(|slot| *slot = to[*slot as usize]);
            }
        }
    }
}

/// When a slot that leaves at `leaves` takes nothing more (5.3).
fn before(leaves: Timestamp, now: Timestamp) -> Timestamp {
    (leaves - CLOSE_AHEAD).max(now)
}
