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

/// The message was not given back as it had been taken: other pixels or other parameters.
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
    let max = choices.max();
    let mut predictions = Predictions::default();
    let mut passed = 0;
    for y in 0..lattice.height() {
        let (row, around, frozen) = lattice.row(colour, y);
        let shift = Lattice::first(colour, y);
        predictions.fill(&around, shift, row.len(), weights, max);
        for (i, sample) in row.iter_mut().enumerate() {
            if frozen.get(i) == Some(&true) {
                continue;
            }
            let (centre, context) = (predictions.centres[i], predictions.contexts[i]);
            let Some(place) = choices.place(centre, context, *sample) else {
                continue;
            };
            let Some(pair) = choices.draw(place, stack.slot()) else {
                continue;
            };
            if !stack.pop(pair.forward) {
                return (passed + i, false);
            }
            stack.push(pair.backward);
            *sample = moved(centre, context, pair.marked);
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
    let max = choices.max();
    let mut predictions = Predictions::default();
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
        let shift = Lattice::first(colour, y);
        predictions.fill(&around, shift, row.len(), weights, max);
        for (i, sample) in row[..count].iter_mut().enumerate().rev() {
            if frozen.get(i) == Some(&true) {
                continue;
            }
            let (centre, context) = (predictions.centres[i], predictions.contexts[i]);
            let Some(place) = choices.place(centre, context, *sample) else {
                continue;
            };
            let Some(pair) = choices.draw_back(place, stack.slot()).ok_or(Torn)? else {
                continue;
            };
            if !stack.pop(pair.backward) {
                return Err(Torn);
            }
            stack.push(pair.forward);
            *sample = moved(centre, context, pair.host);
        }
    }
    Ok(())
}

/// The sample with an error as the table counts it. Within the range, because the table's side
/// was chosen by the distance of the prediction from its ends.
#[inline(always)]
fn moved(centre: u16, context: u8, error: i16) -> u16 {
    let error = if context & 4 != 0 { -error } else { error };
    centre.wrapping_add_signed(error)
}
