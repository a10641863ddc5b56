//! Reading.

use crate::{
    LANES, Mode, Shape, VERSION,
    bits::BitReader,
    context::{ACTIVITIES, LEVEL_OF, MAX_MAGNITUDE, Sharing},
    encoder::plain_size,
    lanes::{Bands, Cell, PAD},
    model::{MAX_SHIFT, Model, Rows, plain},
    predict::{NEIGHBOURS, Predictor, Weights, linear, median, sound},
    rans::{self, MAX_SCALE, Slot},
    table::Table,
    token::{SPANS, unfold},
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
    let [scale, shift, kind] = take(bytes)?.map(u32::from);
    if !(8..=MAX_SCALE).contains(&scale) {
        return Err(DecodeError::Parameter("scale"));
    }
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
    let words = u32::from_le_bytes(take(bytes)?) as usize;

    let mut bits = BitReader::new(bytes);
    let sharing = Sharing::read(&mut bits);
    let mut slots = Vec::with_capacity(sharing.tables() << scale);
    for _ in 0..sharing.tables() {
        let table = Table::read(&mut bits, scale).ok_or(DecodeError::Parameter("table"))?;
        rans::slots(&table, &mut slots);
    }
    let streams = bytes.get(bits.bytes_read()..).ok_or(DecodeError::Short)?;
    let (words, beside) = words
        .checked_mul(2)
        .and_then(|size| streams.split_at_checked(size))
        .ok_or(DecodeError::Short)?;
    let decoder = Decoder {
        words: rans::Reader::new(states, words).ok_or(DecodeError::Parameter("state"))?,
        beside: BitReader::new(beside),
        base: std::array::from_fn(|i| {
            u32::from(sharing.table_of[usize::from(LEVEL_OF[i])]) << scale
        }),
        slots,
        scale,
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
    words: rans::Reader<'a>,
    beside: BitReader<'a>,
    /// Of each activity, where its table begins.
    base: [u32; ACTIVITIES],
    slots: Vec<Slot>,
    scale: u32,
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
                _ if first => self.row(&mut rows, active, |_, west, _| west),
                Predictor::Median => {
                    let north = std::mem::take(&mut rows.samples.north);
                    self.row(&mut rows, active, |at, west, _| {
                        let (x, lane) = at;
                        median(west, north[x + PAD][lane], north[x + PAD - 1][lane])
                    });
                    rows.samples.north = north;
                }
                Predictor::Linear { weights, .. } => {
                    let partial = std::mem::take(&mut rows.partial);
                    let weights = [weights[0].into(), weights[1].into()];
                    self.row(&mut rows, active, |(x, lane), west, far_west| {
                        let sum = partial.sum[x][lane];
                        let least = partial.least[x][lane];
                        let most = partial.most[x][lane];
                        linear(sum, least, most, west, far_west, weights)
                    });
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
        if self.words.ends() && self.beside.ends() {
            Ok(samples)
        } else {
            Err(DecodeError::Damaged)
        }
    }

    /// Reads a row of the lanes that have it.
    #[inline(always)]
    fn row(
        &mut self,
        rows: &mut Rows,
        active: usize,
        predict: impl Fn((usize, usize), i16, i16) -> i16,
    ) {
        if active == LANES {
            self.row_of::<LANES>(rows, LANES, predict);
        } else {
            self.row_of::<0>(rows, active, predict);
        }
    }

    /// Reads a row of `FIXED` lanes, or, if that is 0, of `active`.
    #[inline(always)]
    fn row_of<const FIXED: usize>(
        &mut self,
        rows: &mut Rows,
        active: usize,
        predict: impl Fn((usize, usize), i16, i16) -> i16,
    ) {
        let active = if FIXED > 0 { FIXED } else { active };
        let mask = (1u32 << self.scale) - 1;
        let mut west: Cell<i16> = rows.samples.here[PAD - 1];
        let mut far_west: Cell<i16> = rows.samples.here[PAD - 2];
        let mut own: Cell<u16> = rows.magnitudes.here[PAD - 1];
        let outs = rows.samples.here[PAD..].iter_mut();
        let magnitudes = rows.magnitudes.here[PAD..].iter_mut();
        let cells = rows.activity.iter().zip(outs).zip(magnitudes);
        for (x, ((activity, out), magnitude)) in cells.enumerate() {
            for lane in 0..active {
                let expected = predict((x, lane), west[lane], far_west[lane]);
                let activity = usize::from(activity[lane] + 2 * own[lane]);
                let slot = self.base[activity % ACTIVITIES] + (self.words.states[lane] & mask);
                let token = self
                    .words
                    .advance(lane, self.slots[slot as usize], self.scale);
                let span = SPANS[token];
                let folded = u32::from(span.first) + self.beside.take(span.bits.into());
                let sample = expected.wrapping_add(unfold(folded) as i16);
                far_west[lane] = west[lane];
                west[lane] = sample;
                let size = ((folded >> 1) + (folded & 1)) >> self.model.shift;
                own[lane] = size.min(MAX_MAGNITUDE.into()) as u16;
                out[lane] = sample;
                magnitude[lane] = own[lane];
            }
        }
    }
}
