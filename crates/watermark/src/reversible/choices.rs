//! The tables of one colour, found by class, phase and distance to the ends of the range.

use super::coding::Scheme;
use super::model::MAX_REACH;
use super::predict::CLASSES;
use super::table::{Pair, Recipe, Table, slope};

/// Marks a row or column whose errors have no choice and stay.
const STILL: u32 = 1 << 31;

/// Marks a marked error that embedding never leaves.
const VOID: u32 = STILL - 1;

/// Errors that the tables of one colour may have together, beyond one for each sample of the
/// plane. Images take a tenth of it; without a bound a small plane could ask for seconds of work.
const SPARE: usize = 1 << 15;

/// Where a table's rows start; how many errors it has; what is added to an error.
#[derive(Clone, Copy, Default)]
struct Header {
    start: u32,
    count: u32,
    below: i32,
}

/// The tables of a scheme, made when they are first wanted, one after the other in memory.
pub(super) struct Choices {
    scheme: Scheme,
    reaches: [i32; CLASSES],
    /// Which phases of a class matter.
    phases: [u8; CLASSES],
    max: i32,
    /// Errors that tables may still be made for.
    budget: usize,
    exhausted: bool,
    /// Only bits are wanted: the rest of the tables is not copied.
    judging: bool,
    /// One more than the index of a header; 0 where the table was not made yet.
    known: Vec<u16>,
    headers: Vec<Header>,
    rows: Vec<u32>,
    columns: Vec<u32>,
    bits: Vec<f32>,
    pairs: Vec<Pair>,
}

/// Which ends of the range are near.
const LOW: usize = 1;
const HIGH: usize = 2;

impl Choices {
    /// For a plane of `area` samples: it bounds the tables that are made.
    pub(super) fn new(mut scheme: Scheme, max: u16, area: usize) -> Self {
        for model in &mut scheme.models {
            *model = model.filter(|model| model.reach() <= MAX_REACH);
        }
        // Gentle slopes spread even narrow distributions.
        let spread = ((1.5 / slope(scheme.slope).sqrt()) as i32).min(24);
        let reaches = scheme.models.map(|model| match model {
            Some(model) => model.reach() as i32 + spread,
            None => 0,
        });
        Self {
            scheme,
            reaches,
            phases: scheme.models.map(|model| match model {
                Some(model) if model.is_narrow() => 3,
                _ => 0,
            }),
            max: i32::from(max),
            budget: area + SPARE,
            exhausted: false,
            judging: false,
            known: vec![0; CLASSES << 9],
            headers: Vec::new(),
            // Place 0 stays.
            rows: vec![STILL],
            columns: vec![STILL],
            bits: vec![0.0],
            pairs: Vec::new(),
        }
    }

    /// As [`Choices::new`], to ask for [`Choices::bits`] alone: many schemes are judged for one
    /// that is used.
    pub(super) fn judging(scheme: Scheme, max: u16, area: usize) -> Self {
        Self {
            judging: true,
            ..Self::new(scheme, max, area)
        }
    }

    /// The largest sample.
    pub(super) fn max(&self) -> u16 {
        self.max as u16
    }

    /// Whether more tables were wanted than the plane may have: what was done is void.
    pub(super) fn exhausted(&self) -> bool {
        self.exhausted
    }

    /// The place of a sample's error among all that have choices; 0 when the sample is left
    /// alone. Marking moves within the places of one table, and changes nothing else.
    #[inline(always)]
    pub(super) fn place(&mut self, centre: u16, context: u8, sample: u16) -> usize {
        let class = usize::from(context >> 3);
        let reach = self.reaches[class];
        let centre = i32::from(centre);
        let error = i32::from(sample) - centre;
        let mirrored = context & 4 != 0;
        let room = centre.min(self.max - centre);
        let mut key = class << 9 | usize::from(context & self.phases[class]);
        if room < reach - 1 {
            key |= self.walls(centre, reach, mirrored);
        }
        let mut known = self.known[key];
        if known == 0 {
            known = self.make(key);
        }
        let header = self.headers[usize::from(known) - 1];
        let error = if mirrored { -error } else { error };
        let index = (error + header.below) as u32;
        let place = header.start.wrapping_add(index) as usize;
        if index < header.count { place } else { 0 }
    }

    /// The first pair of a host error that is not left alone.
    #[inline(always)]
    pub(super) fn row(&self, place: usize) -> Option<u32> {
        self.rows.get(place).copied().filter(|first| *first < STILL)
    }

    /// The first pair of a marked error that is not left alone.
    #[inline(always)]
    pub(super) fn column(&self, place: usize) -> Option<u32> {
        self.columns
            .get(place)
            .copied()
            .filter(|first| *first < STILL)
    }

    /// The pair of a host error that a slot of 0 … 2^16 − 1 chooses.
    #[inline(always)]
    pub(super) fn draw(&self, first: u32, slot: u32) -> Option<&Pair> {
        let mut row = self.pairs.get(first as usize..)?.iter();
        row.find(|pair| pair.forward.reaches(slot))
    }

    /// The pair of a marked error that a slot chooses.
    #[inline(always)]
    pub(super) fn draw_back(&self, first: u32, slot: u32) -> Option<&Pair> {
        let mut column = self.pairs.get(first as usize..)?.iter();
        column.find(|pair| pair.backward.reaches(slot))
    }

    /// Bits that an error takes on average.
    pub(super) fn bits(&self, place: usize) -> f32 {
        self.bits.get(place).copied().unwrap_or(0.0)
    }

    /// The part of a key that says which ends of the range are near, and how near.
    fn walls(&self, centre: i32, reach: i32, mirrored: bool) -> usize {
        let (low, high) = (centre, self.max - centre);
        let near = |room: i32| room < reach - 1;
        let ends = match (near(low), near(high)) {
            (true, true) => LOW | HIGH,
            (true, false) if mirrored => HIGH,
            (true, false) => LOW,
            (false, true) if mirrored => LOW,
            (false, true) => HIGH,
            (false, false) => 0,
        };
        ends << 7 | level(low.min(high)) << 2
    }

    #[cold]
    fn make(&mut self, key: usize) -> u16 {
        let (class, phase) = (key >> 9, key & 3);
        let (ends, level) = (key >> 7 & 3, key >> 2 & 31);
        let reach = (self.reaches[class] - 1).max(0);
        let room = |end: usize| {
            let room = if ends & end == 0 { reach } else { room(level) };
            room.clamp(0, reach) as u16
        };
        let (below, above) = (room(LOW), room(HIGH));
        let cost = usize::from(below) + usize::from(above) + 1;
        let model = self.scheme.models[class];
        let within = model.is_none() || cost <= self.budget;
        self.exhausted |= !within;
        if let Some(model) = model.filter(|_| within) {
            self.budget -= cost;
            let recipe = Recipe {
                model,
                slope: self.scheme.slope,
                phase: phase as u8,
                below,
                above,
            };
            self.append(&recipe.table());
        } else {
            self.headers.push(Header::default());
        }
        let known = self.headers.len() as u16;
        self.known[key] = known;
        known
    }

    fn append(&mut self, table: &Table) {
        let (start, first) = (self.bits.len() as u32, self.pairs.len() as u32);
        self.headers.push(Header {
            start,
            count: table.bits.len() as u32,
            below: i32::from(table.below),
        });
        self.bits.extend(&table.bits);
        if self.judging {
            return;
        }
        let still = |i: u16| {
            let pair = table.pairs.get(usize::from(i));
            pair.is_some_and(|pair| {
                pair.forward.is_all() && pair.backward.is_all() && pair.host == pair.marked
            })
        };
        let entry = |i: &u16| (first + u32::from(*i)) | if still(*i) { STILL } else { 0 };
        self.rows.extend(table.rows.iter().map(entry));
        let columns = table.columns.windows(2).map(|column| {
            // A marked error that no host error becomes has no pairs: like the end, this is
            // beyond what can be drawn.
            if column[0] == column[1] {
                VOID
            } else {
                entry(&column[0])
            }
        });
        self.columns.extend(columns);
        self.columns.resize(self.rows.len(), VOID);
        self.bits.resize(self.rows.len(), 0.0);
        self.pairs.extend(&table.pairs);
    }
}

/// Distances to an end of the range are told apart exactly up to 3, then two an octave.
fn level(room: i32) -> usize {
    let room = room.max(0) as u32;
    if room < 4 {
        return room as usize;
    }
    let octave = room.ilog2();
    (2 * octave + (room >> (octave - 1) & 1)) as usize
}

/// The shortest distance of a level.
fn room(level: usize) -> i32 {
    if level < 4 {
        return level as i32;
    }
    ((2 + (level & 1)) << (level / 2 - 1)) as i32
}

#[cfg(test)]
mod tests {
    use super::super::model::Model;
    use super::*;

    #[test]
    fn a_small_plane_has_no_more_tables_than_its_budget() {
        let wide = Model {
            scale: 96,
            shape: 3,
        };
        let mut scheme = Scheme::IDLE;
        scheme.slope = 100;
        scheme.models = [Some(wide); CLASSES];
        let area = 64 * 64;
        let mut choices = Choices::new(scheme, 4095, area);
        choices.place(2048, 8 << 3, 2048);
        assert!(!choices.exhausted() && choices.headers[0].count > 0);
        for class in 0..CLASSES as u8 {
            for centre in (0..4096).step_by(16) {
                choices.place(centre, class << 3, centre);
            }
        }
        assert!(choices.exhausted());
        let errors: usize = choices
            .headers
            .iter()
            .map(|header| header.count as usize)
            .sum();
        assert!(errors <= area + SPARE);
    }

    #[test]
    fn a_level_never_reaches_farther_than_the_distance() {
        let mut before = 0;
        for distance in 0..70_000 {
            let level = level(distance);
            assert!(level < 64 && level >= before);
            assert!(room(level) <= distance && 2 * distance <= 3 * room(level));
            before = level;
        }
    }
}
