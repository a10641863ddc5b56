//! Reading.

use crate::{
    LANES, Mode, Shape, VERSION,
    bits::{self, BitReader},
    context::{CONTEXT_OF, PLACES, Sharing, place},
    encoder::plain_size,
    lanes::{Bands, Cell, PAD},
    model::{MAX_SHIFT, Model, Rows, plain},
    predict::{NEIGHBOURS, Partial, Predictor, Weights, linear, median, sound},
    rans::{self, SCALE, Slot},
    table::Table,
    token::{MASKS, spans, unfold},
};

/// Why bytes are not the coding of a plane of the shape that was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// They end too early.
    #[error("the coding of a plane ends too early")]
    Short,
    /// They were written by another version, or are something else.
    #[error("version {0} of plane coding; this reads version {VERSION}")]
    Version(u8),
    /// A parameter or table is out of range.
    #[error("the coding of a plane has a bad {0}")]
    Parameter(&'static str),
    /// What was read does not come out even, or a sample is above the depth.
    #[error("the coding of a plane is damaged, or of another shape")]
    Damaged,
}

/// Reads a plane of a known shape from exactly these bytes. Memory and time are bounded by the shape.
pub fn decode(bytes: &[u8], shape: Shape) -> Result<Vec<u16>, DecodeError> {
    let (&[version, mode], rest) = bytes.split_first_chunk().ok_or(DecodeError::Short)?;
    if version != VERSION {
        return Err(DecodeError::Version(version));
    }
    let samples = if mode == Mode::Flat as u8 {
        let sample = <[u8; 2]>::try_from(rest).map_err(|_| DecodeError::Short)?;
        vec![u16::from_le_bytes(sample); shape.samples()]
    } else if mode == Mode::Raw as u8 {
        raw(rest, shape)?
    } else if mode == Mode::Coded as u8 {
        coded(rest, shape)?
    } else {
        return Err(DecodeError::Parameter("mode"));
    };
    if !shape.holds(&samples) {
        return Err(DecodeError::Damaged);
    }
    Ok(samples)
}

/// Plain samples.
fn raw(bytes: &[u8], shape: Shape) -> Result<Vec<u16>, DecodeError> {
    if bytes.len() != plain_size(shape) {
        return Err(DecodeError::Short);
    }
    if shape.depth() <= 8 {
        return Ok(bytes.iter().map(|&byte| byte.into()).collect());
    }
    let (pairs, _) = bytes.as_chunks();
    Ok(pairs.iter().map(|&pair| u16::from_le_bytes(pair)).collect())
}

/// Takes the first `N` bytes.
fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], DecodeError> {
    let (first, rest) = bytes.split_first_chunk().ok_or(DecodeError::Short)?;
    *bytes = rest;
    Ok(*first)
}

/// What follows the mode of a coded plane.
fn coded(mut bytes: &[u8], shape: Shape) -> Result<Vec<u16>, DecodeError> {
    let bytes = &mut bytes;
    let [shift, kind] = take(bytes)?.map(u32::from);
    if shift > MAX_SHIFT {
        return Err(DecodeError::Parameter("shift"));
    }
    let origin = i16::from_le_bytes(take(bytes)?);
    let predictor = match kind {
        0 => Predictor::Median,
        1 | 2 => Predictor::Linear {
            weights: weights(bytes)?,
            bounded: kind == 2,
        },
        _ => return Err(DecodeError::Parameter("predictor")),
    };
    let mut states = [0u32; LANES];
    for state in &mut states {
        *state = u32::from_le_bytes(take(bytes)?);
    }
    if !rans::sound(&states) {
        return Err(DecodeError::Parameter("state"));
    }
    let words = u32::from_le_bytes(take(bytes)?) as usize;

    let mut bits = BitReader::new(bytes);
    let sharing = Sharing::read(&mut bits).ok_or(DecodeError::Parameter("table"))?;
    let spans = spans(shift);
    let mut slots = vec![Slot::default(); rans::SLOTS].into_boxed_slice();
    for slots in slots.chunks_exact_mut(1 << SCALE).take(sharing.tables) {
        let table = Table::read(&mut bits).ok_or(DecodeError::Parameter("table"))?;
        rans::fill(slots, &table, &spans);
    }
    let streams = bytes.get(bits.bytes_read()..).ok_or(DecodeError::Short)?;
    let (words, beside) = words
        .checked_mul(2)
        .and_then(|size| streams.split_at_checked(size))
        .ok_or(DecodeError::Short)?;
    let decoder = Decoder {
        states,
        cursor: Cursor::default(),
        words: words.as_chunks().0,
        beside,
        base: CONTEXT_OF.map(|context| u16::from(sharing.table_of[usize::from(context)]) << SCALE),
        slots: slots.try_into().map_err(|_| DecodeError::Damaged)?,
        model: Model {
            predictor,
            shift,
            origin,
        },
    };
    decoder.run(shape)
}

fn weights(bytes: &mut &[u8]) -> Result<Weights, DecodeError> {
    let mut weights = [0i16; NEIGHBOURS];
    for weight in &mut weights {
        *weight = i16::from_le_bytes(take(bytes)?);
    }
    if !sound(&weights) {
        return Err(DecodeError::Parameter("weight"));
    }
    Ok(weights)
}

/// Streams, tables and model of one plane.
struct Decoder<'a> {
    states: rans::States,
    cursor: Cursor,
    words: &'a [[u8; 2]],
    beside: &'a [u8],
    /// Of each place, where its table begins.
    base: [u16; PLACES],
    slots: Box<[Slot; rans::SLOTS]>,
    model: Model,
}

impl Decoder<'_> {
    fn run(mut self, shape: Shape) -> Result<Vec<u16>, DecodeError> {
        let width = shape.width();
        let bands = Bands::new(shape.height());
        let model = self.model;
        let mut rows = Rows::new(width, &model);
        let mut samples = vec![0u16; shape.samples()];
        for step in 0..bands.steps() {
            let first = step == 0;
            let active = bands.active(step);
            rows.begin(&model, first);
            match model.predictor {
                _ if first => self.row(&mut rows, active, &West),
                Predictor::Median => self.row(&mut rows, active, &Median),
                Predictor::Linear { weights, .. } => {
                    let partial = std::mem::take(&mut rows.partial);
                    let linear = Linear {
                        partial: &partial,
                        weights: [weights[0].into(), weights[1].into()],
                    };
                    self.row(&mut rows, active, &linear);
                    rows.partial = partial;
                }
            }
            for lane in 0..active {
                let row = &mut samples[bands.row(lane, step) * width..][..width];
                for (sample, cell) in row.iter_mut().zip(&rows.samples.here[PAD..]) {
                    *sample = plain(cell[lane]);
                }
            }
            rows.advance(first);
        }
        let ends = self.cursor.word == self.words.len()
            && rans::ends(&self.states)
            && bits::ends(self.beside, self.cursor.bit);
        if ends {
            Ok(samples)
        } else {
            Err(DecodeError::Damaged)
        }
    }

    /// Reads a row of the lanes that have it.
    #[inline(always)]
    fn row<E: Expect>(&mut self, rows: &mut Rows, active: usize, expect: &E) {
        let mut cursor = self.cursor;
        let mut lanes: [Lane; LANES] = std::array::from_fn(|lane| Lane {
            state: self.states[lane],
            west: rows.samples.here[PAD - 1][lane],
            far_west: rows.samples.here[PAD - 2][lane],
            magnitude: rows.magnitudes.here[PAD - 1][lane],
        });
        let outs = rows.samples.here[PAD..].iter_mut();
        let magnitudes = rows.magnitudes.here[PAD..].iter_mut();
        let corners = rows.samples.north[PAD - 1..].iter();
        let norths = rows.samples.north[PAD..].iter();
        let above = rows
            .activity
            .iter()
            .zip(&rows.keys)
            .zip(corners)
            .zip(norths);
        for (x, (above, out)) in above.zip(outs.zip(magnitudes)).enumerate() {
            let (((activity, key), corner), north) = above;
            let mut column = Column {
                activity,
                key,
                corner,
                expect: expect.column(x, corner, north),
                sample: out.0,
                magnitude: out.1,
            };
            if active == LANES {
                // Written out, so that what belongs to a lane stays in registers.
                self.sample::<E>(&mut lanes, 0, &mut cursor, expect, &mut column);
                self.sample::<E>(&mut lanes, 1, &mut cursor, expect, &mut column);
                self.sample::<E>(&mut lanes, 2, &mut cursor, expect, &mut column);
                self.sample::<E>(&mut lanes, 3, &mut cursor, expect, &mut column);
            } else {
                for lane in 0..active {
                    self.sample::<E>(&mut lanes, lane, &mut cursor, expect, &mut column);
                }
            }
        }
        self.cursor = cursor;
        self.states = lanes.map(|lane| lane.state);
    }

    /// Reads one sample of a lane.
    #[inline(always)]
    fn sample<E: Expect>(
        &self,
        lanes: &mut [Lane; LANES],
        number: usize,
        cursor: &mut Cursor,
        expect: &E,
        column: &mut Column<'_, E>,
    ) {
        let lane = &mut lanes[number];
        let activity = column.activity[number] + 2 * lane.magnitude;
        let place = place(
            column.key[number],
            column.corner[number],
            lane.west,
            activity,
        );
        let base = self.base[usize::from(place) % PLACES];
        let slot = usize::from(base) + lane.state as usize % (1 << SCALE);
        let slot = &self.slots[slot % rans::SLOTS];
        lane.state = rans::advance(lane.state, slot, self.words, &mut cursor.word);
        let [magnitude, bits] = slot[3].to_be_bytes();
        let beside = bits::window(self.beside, cursor.bit) as u16 & MASKS[usize::from(bits)];
        cursor.bit += usize::from(bits);
        let expected = expect.sample(column.expect, number, lane.west, lane.far_west);
        lane.far_west = lane.west;
        lane.west = expected.wrapping_add(unfold(slot[2] + beside));
        lane.magnitude = magnitude.into();
        column.sample[number] = lane.west;
        column.magnitude[number] = lane.magnitude;
    }
}

/// A column of a row, in all lanes.
struct Column<'a, E: Expect> {
    /// From the north.
    activity: &'a Cell<u16>,
    key: &'a Cell<u16>,
    /// NW.
    corner: &'a Cell<i16>,
    expect: E::Column,
    /// What is read.
    sample: &'a mut Cell<i16>,
    magnitude: &'a mut Cell<u16>,
}

/// What reading keeps of a lane from sample to sample.
#[derive(Clone, Copy)]
struct Lane {
    state: u32,
    west: i16,
    far_west: i16,
    /// Of the residual to the west.
    magnitude: u16,
}

/// How far the streams were read.
#[derive(Clone, Copy, Default)]
struct Cursor {
    /// Word of the coder.
    word: usize,
    /// Bit in what goes beside the tokens.
    bit: usize,
}

/// What a sample is expected to be.
trait Expect {
    /// What is known of a column from above.
    type Column: Copy;

    /// Of a column, given NW and N.
    fn column(&self, number: usize, corner: &Cell<i16>, north: &Cell<i16>) -> Self::Column;

    /// In one lane, given W and WW.
    fn sample(&self, column: Self::Column, lane: usize, west: i16, far_west: i16) -> i16;
}

/// In the first row.
struct West;

impl Expect for West {
    type Column = ();

    #[inline(always)]
    fn column(&self, _: usize, _: &Cell<i16>, _: &Cell<i16>) {}

    #[inline(always)]
    fn sample(&self, (): (), _: usize, west: i16, _: i16) -> i16 {
        west
    }
}

/// By the median.
struct Median;

impl Expect for Median {
    /// NW and N.
    type Column = [Cell<i16>; 2];

    #[inline(always)]
    fn column(&self, _: usize, corner: &Cell<i16>, north: &Cell<i16>) -> Self::Column {
        [*corner, *north]
    }

    #[inline(always)]
    fn sample(&self, [corner, north]: Self::Column, lane: usize, west: i16, _: i16) -> i16 {
        median(west, north[lane], corner[lane])
    }
}

/// By weights, of W and WW here.
struct Linear<'a> {
    partial: &'a Partial,
    weights: [i32; 2],
}

impl<'a> Expect for Linear<'a> {
    /// Sum, least and most.
    type Column = (&'a Cell<i32>, &'a Cell<i16>, &'a Cell<i16>);

    #[inline(always)]
    fn column(&self, number: usize, _: &Cell<i16>, _: &Cell<i16>) -> Self::Column {
        let Partial { sum, least, most } = self.partial;
        (&sum[number], &least[number], &most[number])
    }

    #[inline(always)]
    fn sample(&self, column: Self::Column, lane: usize, west: i16, far_west: i16) -> i16 {
        let (sum, least, most) = column;
        linear(
            sum[lane],
            least[lane],
            most[lane],
            west,
            far_west,
            self.weights,
        )
    }
}
