//! One pass over a stack: a generation at a time, for those who still wait.

use harpo_oblivious::PartialAnswer;
use rayon::prelude::*;

use super::Item;
use crate::Error;
use crate::residents::Loaded;

/// A pass under way.
#[derive(Debug)]
pub(super) struct Pass {
    loaded: Loaded,
    items: Vec<Item>,
    /// For each item.
    sums: Vec<PartialAnswer>,
    /// Generations of the stack that are in the sums.
    done: usize,
}

impl Pass {
    /// All `items` are over the same stack; `None` if there are none.
    pub(super) fn new(items: Vec<Item>) -> Option<Self> {
        let loaded = items.first()?.asked.loaded.clone();
        let sums = items
            .iter()
            .map(|_| PartialAnswer::new(&loaded.stack))
            .collect();
        Some(Self {
            loaded,
            items,
            sums,
            done: 0,
        })
    }

    /// Queries that are still wanted.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Adds the next generation, for who did not go away meanwhile. Returns whether another follows.
    pub(super) fn step(&mut self) -> bool {
        let items = std::mem::take(&mut self.items);
        let sums = std::mem::take(&mut self.sums);
        let mut parts = Vec::with_capacity(items.len());
        let of_queries: Vec<_> = items
            .par_iter()
            .map(|item| {
                (!item.asked.is_gone()).then(|| item.query.part(&self.loaded.stack, self.done))
            })
            .collect();
        for ((item, sum), part) in items.into_iter().zip(sums).zip(of_queries) {
            match part {
                None => continue,
                Some(Ok(part)) => {
                    parts.push(part);
                    self.items.push(item);
                    self.sums.push(sum);
                }
                Some(Err(error)) => item.asked.answer(Err(error.into())),
            }
        }
        let Some(resident) = self.loaded.residents.get(self.done) else {
            return false;
        };
        if self.items.is_empty() {
            return false;
        }
        if let Err(error) = resident.0.accumulate(&parts, &mut self.sums) {
            self.sums.clear();
            for item in self.items.drain(..) {
                item.asked.answer(Err(Error::Engine(error.clone())));
            }
            return false;
        }
        self.done += 1;
        self.done < self.loaded.residents.len()
    }

    /// Rounds the sums and hands the answers over.
    pub(super) fn finish(self) {
        let finished: Vec<_> = self
            .items
            .into_par_iter()
            .zip(self.sums)
            .filter(|(item, _)| !item.asked.is_gone())
            .map(|(item, sum)| (item, sum.finish().map(|answer| answer.to_bytes())))
            .collect();
        // One after the other: a retrieval's answers leave in the order in which they are handed over.
        for (item, answer) in finished {
            item.asked.answer(answer.map_err(Error::Engine));
        }
    }
}
