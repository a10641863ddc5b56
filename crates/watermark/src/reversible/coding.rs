//! Hiding in one colour of the lattice, and undoing it.

use std::sync::Arc;

use super::lattice::Lattice;
use super::model::{MAX_REACH, Model};
use super::predict::{CLASSES, PHASES, Predictions, Weights};
use super::stack::Stack;
use super::table::{Recipe, Side, Table};

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

/// The tables of a scheme, made when they are first wanted.
pub(super) struct Tables {
    scheme: Scheme,
    reaches: [i32; CLASSES],
    max: i32,
    tables: Vec<Option<Arc<Table>>>,
}

impl Tables {
    pub(super) fn new(scheme: Scheme, max: u16) -> Self {
        let reaches = scheme.models.map(|model| match model {
            Some(model) if model.reach() <= MAX_REACH => model.reach() as i32,
            _ => 0,
        });
        Self {
            scheme,
            reaches,
            max: i32::from(max),
            tables: vec![None; CLASSES * 16],
        }
    }

    /// The table for a sample and its error as the table counts it; `None` when the sample is
    /// left alone. The answer is the same for the host and the marked sample.
    #[inline(always)]
    pub(super) fn choose(
        &mut self,
        centre: u16,
        context: u8,
        sample: u16,
    ) -> Option<(&Table, i32)> {
        let class = usize::from(context >> 3);
        let reach = self.reaches[class];
        let centre = i32::from(centre);
        let error = i32::from(sample) - centre;
        if error.abs() >= reach {
            return None;
        }
        let mirrored = context & 4 != 0;
        let (mut low, mut high) = (centre < reach, centre + reach > self.max + 1);
        if low && high {
            return None;
        }
        if mirrored {
            std::mem::swap(&mut low, &mut high);
        }
        let index =
            class * 16 + usize::from(low) * 4 + usize::from(high) * 8 + usize::from(context & 3);
        if self.tables[index].is_none() {
            self.make(index);
        }
        let table = self.tables[index].as_deref()?;
        if table.reach == 0 {
            return None;
        }
        Some((table, if mirrored { -error } else { error }))
    }

    #[cold]
    fn make(&mut self, index: usize) {
        let side = match index / 4 % 4 {
            1 => Side::Upwards,
            2 => Side::Downwards,
            _ => Side::Both,
        };
        let table = self.scheme.models[index / 16].map(|model| {
            let recipe = Recipe {
                model,
                slope: self.scheme.slope,
                phase: (index % PHASES) as u8,
                side,
            };
            recipe.table()
        });
        self.tables[index] = Some(table.unwrap_or_else(|| Arc::new(Table::idle())));
    }
}

/// Hides the stack's words in a colour, row by row, until they are used up. Answers how many
/// samples were gone through, and whether that was all.
pub(super) fn hide(
    lattice: &mut Lattice,
    colour: usize,
    weights: Weights,
    tables: &mut Tables,
    stack: &mut Stack,
) -> (usize, bool) {
    let max = tables.max as u16;
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
            let Some((table, error)) = tables.choose(centre, context, *sample) else {
                continue;
            };
            let Some(pair) = table.draw(error, stack.slot()) else {
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
    tables: &mut Tables,
    stack: &mut Stack,
    passed: usize,
) -> Result<(), Torn> {
    let max = tables.max as u16;
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
            let Some((table, error)) = tables.choose(centre, context, *sample) else {
                continue;
            };
            let pair = table.draw_back(error, stack.slot()).ok_or(Torn)?;
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
