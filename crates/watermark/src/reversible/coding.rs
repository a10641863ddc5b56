//! Hiding in one colour of the lattice, and undoing it.

use super::choices::Choices;
use super::lattice::Lattice;
use super::model::Model;
use super::predict::{CLASSES, Predictions, Weights};
use super::stack::Stack;

/// How the errors of one colour are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scheme {
    /// Index of the slope, the same for all classes.
    pub(super) slope: u8,
    /// The classes that take part.
    pub(super) models: [Option<Model>; CLASSES],
}

impl Scheme {
    /// Changes nothing.
    pub(super) const IDLE: Self = Self {
        slope: 0,
        models: [None; CLASSES],
    };
}

/// The message was not given back as it had been taken: other pixels or other parameters. Or the
/// parameters ask for more tables than a plane of this size may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Torn;

/// Hides the stack's words in a colour, row by row, until they are used up. Answers how many
/// samples were gone through, and whether that was all.
pub(super) fn hide(
    lattice: &mut Lattice,
    colour: usize,
    weights: Weights,
    choices: &mut Choices,
    stack: &mut Stack,
) -> (usize, bool) {
    let mut predictions = Predictions::default();
    let mut active = Active::default();
    let mut passed = 0;
    for y in 0..lattice.height() {
        let (row, around, frozen) = lattice.row(colour, y);
        predictions.fill(
            &around,
            Lattice::first(colour, y),
            row.len(),
            weights,
            choices.max(),
        );
        active.find(row, frozen, &predictions, choices, Choices::row);
        for &(i, first) in active.found() {
            let i = i as usize;
            let Some(pair) = choices.draw(first, stack.slot()) else {
                continue;
            };
            if !stack.pop(pair.forward) {
                return (passed + i, false);
            }
            stack.push(pair.backward);
            let change = pair.marked - pair.host;
            row[i] = changed(row[i], predictions.contexts[i], change);
        }
        passed += row.len();
    }
    (passed, true)
}

/// Undoes [`hide`] for the first `passed` samples of a colour.
pub(super) fn reveal(
    lattice: &mut Lattice,
    colour: usize,
    weights: Weights,
    choices: &mut Choices,
    stack: &mut Stack,
    passed: usize,
) -> Result<(), Torn> {
    let mut predictions = Predictions::default();
    let mut active = Active::default();
    let mut starts = Vec::with_capacity(lattice.height());
    let mut start = 0;
    for y in 0..lattice.height() {
        starts.push(start);
        start += lattice.count(colour, y);
    }
    for (y, start) in starts.into_iter().enumerate().rev() {
        let (row, around, frozen) = lattice.row(colour, y);
        let count = passed.saturating_sub(start).min(row.len());
        if count == 0 {
            continue;
        }
        let row = &mut row[..count];
        predictions.fill(
            &around,
            Lattice::first(colour, y),
            count,
            weights,
            choices.max(),
        );
        active.find(row, frozen, &predictions, choices, Choices::column);
        for &(i, first) in active.found().iter().rev() {
            let i = i as usize;
            let pair = choices.draw_back(first, stack.slot()).ok_or(Torn)?;
            if !stack.pop(pair.backward) {
                return Err(Torn);
            }
            stack.push(pair.forward);
            let change = pair.host - pair.marked;
            row[i] = changed(row[i], predictions.contexts[i], change);
        }
        if choices.exhausted() {
            return Err(Torn);
        }
    }
    Ok(())
}

/// The samples of a row that have a choice: their index, and where their choices start.
///
/// They are sought before any choice is taken: what has to wait for the state of the stack is
/// then only the drawing.
#[derive(Default)]
struct Active {
    entries: Vec<(u32, u32)>,
    count: usize,
}

impl Active {
    #[inline(always)]
    fn find(
        &mut self,
        row: &[u16],
        frozen: &[bool],
        predictions: &Predictions,
        choices: &mut Choices,
        first: impl Fn(&Choices, usize) -> Option<u32>,
    ) {
        self.entries.resize(row.len(), (0, 0));
        self.count = 0;
        let predicted = predictions.centres.iter().zip(&predictions.contexts);
        for (i, (sample, (centre, context))) in row.iter().zip(predicted).enumerate() {
            let place = choices.place(*centre, *context, *sample);
            let choice = first(choices, place);
            // Written in any case and kept by the count: no branch that is hard to foresee.
            self.entries[self.count] = (i as u32, choice.unwrap_or(0));
            self.count += usize::from(choice.is_some());
        }
        if !frozen.is_empty() {
            self.entries.truncate(self.count);
            self.entries.retain(|entry| !frozen[entry.0 as usize]);
            self.count = self.entries.len();
        }
    }

    fn found(&self) -> &[(u32, u32)] {
        &self.entries[..self.count]
    }
}

/// A sample whose error, as the table counts it, changed. It stays within the range, because the
/// table was chosen by the distance of the prediction from the ends.
#[inline(always)]
fn changed(sample: u16, context: u8, change: i16) -> u16 {
    let change = if context & 4 != 0 { -change } else { change };
    sample.wrapping_add_signed(change)
}
