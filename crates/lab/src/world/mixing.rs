//! What trust does when: deposits, slots on their way, seals, stacks that go.

use harpo_protocol::time::Timestamp;
use harpo_trust::CLOSE_AHEAD;

use super::trust::{Coming, Stack, Why};
use super::{RETIRE_AFTER, SEALING, What, World, WorldError};

/// Slots that leave before another generation has its turn, as in trust's mixer.
const BATCH: usize = 16;

impl World<'_, '_> {
    pub(super) fn deposited(&mut self, bundle: u32, now: Timestamp) -> Result<(), WorldError> {
        let fragments = self.fragments(bundle);
        let coming = Coming {
            bundle,
            fragments,
            why: Why::Fresh,
        };
        self.trust
            .place(coming, now, &mut self.agenda, &mut self.rng)?;
        Ok(())
    }

    /// A bundle's fragments are back: it is placed anew (5.7).
    pub(super) fn placed_again(
        &mut self,
        bundle: u32,
        why: Why,
        now: Timestamp,
    ) -> Result<(), WorldError> {
        let emptied = self.trust.withdraw(bundle);
        if let Some(stack) = emptied {
            self.agenda
                .put(now.after(RETIRE_AFTER), What::Retire(stack as u32));
        }
        let fragments = self.fragments(bundle);
        let coming = Coming {
            bundle,
            fragments,
            why,
        };
        self.trust
            .place(coming, now, &mut self.agenda, &mut self.rng)?;
        Ok(())
    }

    /// Fragments that are placed: in the positive control only whole slots, so that each slot is of one patient.
    fn fragments(&self, bundle: u32) -> u32 {
        let fragments = self.traffic.deposits[bundle as usize].fragments;
        match self.settings.leak {
            true => fragments.next_multiple_of(self.settings.trust.layout().cells_per_slot.into()),
            false => fragments,
        }
    }

    /// Whether a generation is sealed for its age.
    pub(super) fn look(&mut self, number: u32, now: Timestamp) {
        let trust = &mut self.trust;
        if number == trust.number() && trust.last().state.should_seal(now) {
            trust.close_generation(now, &mut self.agenda, &mut self.rng);
        }
    }

    /// Closes the slots whose time is near (5.3).
    pub(super) fn close(&mut self, number: u32, now: Timestamp) {
        let generation = &mut self.trust.generations[number as usize];
        if !generation.closed {
            for slot in generation.state.due(now.after(CLOSE_AHEAD)) {
                generation.state.close(slot);
            }
        }
    }

    /// A slot's drawn time has come: it leaves at the next tick, unless the whole generation is leaving (5.5).
    pub(super) fn due(&mut self, generation: u32, slot: u32, now: Timestamp) {
        let of = &mut self.trust.generations[generation as usize];
        if !std::mem::replace(&mut of.left[slot as usize], true) {
            let at = self.trust.tick(now);
            self.agenda.put(at, What::Depart { generation, slot });
        }
    }

    /// All that has not left leaves in one random order, some at a time (5.4, 5.5).
    pub(super) fn leave(&mut self, number: u32, now: Timestamp) {
        let trust = &mut self.trust;
        let generation = &mut trust.generations[number as usize];
        if generation.leaving.is_empty() {
            generation.leaving = generation.state.sealing_order(&mut self.rng);
            let left = &mut generation.left;
            generation.leaving.retain(|slot| !left[*slot as usize]);
            // Their own times are over. Those that are closed are not in this order: they leave within seconds.
            for slot in &generation.leaving {
                left[*slot as usize] = true;
            }
        }
        let mut at = now;
        for _ in 0..BATCH {
            let generation = &mut trust.generations[number as usize];
            let Some(slot) = generation.leaving.pop() else {
                return;
            };
            at = trust.tick(now);
            let generation = number;
            self.agenda.put(at, What::Depart { generation, slot });
        }
        if !trust.generations[number as usize].leaving.is_empty() {
            self.agenda.put(at, What::Leave(number));
        }
    }

    /// A slot is sent; after the last one the cloud seals.
    pub(super) fn depart(
        &mut self,
        number: u32,
        slot: u32,
        now: Timestamp,
    ) -> Result<(), WorldError> {
        let generation = &mut self.trust.generations[number as usize];
        let holds = std::mem::take(&mut generation.contents[slot as usize]);
        let count = match (holds.bundles.is_empty(), holds.replaced) {
            (true, _) => &mut self.summary.slots_cover,
            (false, true) => &mut self.summary.slots_replaced,
            (false, false) => &mut self.summary.slots_fresh,
        };
        *count += 1;
        self.cloud.write(generation.id, slot, holds, now)?;
        generation.missing -= 1;
        if generation.missing == 0 {
            self.agenda.put(now.after(SEALING), What::Sealed(number));
        }
        Ok(())
    }

    /// A generation enters a stack (7.1).
    pub(super) fn sealed(&mut self, number: u32, now: Timestamp) -> Result<(), WorldError> {
        let trust = &mut self.trust;
        let generation = &mut trust.generations[number as usize];
        generation.sealed = Some(now);
        let figures = generation.figures.clone();
        self.cloud.seal(generation.id, &figures, now)?;
        let newest = trust.shelves.len().checked_sub(1).filter(|newest| {
            let stack = &trust.shelves[*newest];
            trust
                .bounds
                .takes(&stack.figures.iter().collect::<Vec<_>>(), &figures)
        });
        let known = newest.map(|newest| &trust.shelves[newest].shelf);
        let shelf = self.cloud.shelf(known, generation.id, &figures)?;
        let stack = match newest {
            Some(newest) => {
                trust.shelves[newest].shelf = shelf;
                newest
            }
            None => {
                trust.shelves.push(Stack {
                    shelf,
                    generations: Vec::new(),
                    figures: Vec::new(),
                    live: 0,
                    candidates: Vec::new(),
                });
                trust.current.push(trust.shelves.len() - 1);
                trust.shelves.len() - 1
            }
        };
        generation.stack = stack;
        let shelf = &mut trust.shelves[stack];
        shelf.generations.push(number);
        shelf.figures.push(figures);
        shelf.live += generation.bundles.len() as u32;
        let cleared = now.after(trust.config.cache_grace());
        self.agenda.put(cleared, What::Uncached(number));
        self.announce(number, now);
        Ok(())
    }

    /// A sealed generation's bundles are read from the stack from now on (5.6).
    pub(super) fn uncached(&mut self, number: u32) {
        let generation = &mut self.trust.generations[number as usize];
        generation.uncached = true;
        for bundle in std::mem::take(&mut generation.bundles) {
            self.trust.list(bundle);
        }
    }

    /// A closed stack that nothing was read from for a day goes (5.7).
    pub(super) fn retire(&mut self, stack: u32, now: Timestamp) -> Result<(), WorldError> {
        let trust = &mut self.trust;
        let index = stack as usize;
        if trust.shelves[index].live > 0 {
            return Ok(());
        }
        if trust.current.last() == Some(&index) {
            // It may still grow.
            self.agenda
                .put(now.after(RETIRE_AFTER), What::Retire(stack));
            return Ok(());
        }
        let before = trust.current.len();
        trust.current.retain(|current| *current != index);
        if trust.current.len() < before {
            for generation in trust.shelves[index].generations.clone() {
                self.cloud.retire(trust.id(generation), now)?;
                self.summary.retired += 1;
            }
        }
        Ok(())
    }
}
