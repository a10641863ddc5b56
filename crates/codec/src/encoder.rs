//! Writing.

mod choose;

use crate::{
    LANES, Mode, Shape, VERSION,
    bits::BitWriter,
    context::{CONTEXTS, Sharing},
    entropy::Counts,
    lanes::{Bands, PAD},
    model::{Model, Rows, centred},
    predict::Predictor,
    rans,
    table::Table,
    token::{TOKENS, spans},
};

/// Why samples cannot be coded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// There are more or fewer samples than the shape has.
    #[error("{given} samples for a shape of {expected}")]
    Length {
        /// What the shape has.
        expected: usize,
        /// What was given.
        given: usize,
    },
    /// A sample is above what the shape's depth allows.
    #[error("a sample is larger than the depth of {0} bits allows")]
    Sample(u32),
}

/// Appends the coding of a plane, row by row, to `out`; at most the plain samples (one byte each up to a depth of 8,
/// else two) and [`crate::OVERHEAD`].
pub fn encode(samples: &[u16], shape: Shape, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    check(samples, shape)?;
    let begin = out.len();
    let first = samples[0];
    if samples.iter().fold(0, |all, sample| all | (sample ^ first)) == 0 {
        out.extend([VERSION, Mode::Flat as u8]);
        out.extend(first.to_le_bytes());
        if out.len() - begin <= plain_size(shape) + crate::OVERHEAD {
            return Ok(());
        }
    } else {
        out.extend([VERSION, Mode::Coded as u8]);
        coded(samples, shape, out);
        if out.len() - begin < plain_size(shape) + crate::OVERHEAD {
            return Ok(());
        }
    }
    out.truncate(begin);
    out.extend([VERSION, Mode::Raw as u8]);
    if shape.depth() <= 8 {
        out.extend(samples.iter().map(|&sample| sample as u8));
    } else {
        out.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    }
    Ok(())
}

/// Whether samples have a shape.
pub(crate) fn check(samples: &[u16], shape: Shape) -> Result<(), EncodeError> {
    if samples.len() != shape.samples() {
        return Err(EncodeError::Length {
            expected: shape.samples(),
            given: samples.len(),
        });
    }
    if !shape.holds(samples) {
        return Err(EncodeError::Sample(shape.depth()));
    }
    Ok(())
}

/// Bytes of plain samples.
pub(crate) fn plain_size(shape: Shape) -> usize {
    shape.samples() * if shape.depth() <= 8 { 1 } else { 2 }
}

/// Appends what follows the mode of a coded plane.
fn coded(samples: &[u16], shape: Shape, out: &mut Vec<u8>) {
    let model = choose::model(samples, shape.width());
    let symbols = Symbols::of(samples, shape.width(), &model);
    let (sharing, counts) = Sharing::of(&symbols.counts());
    let tables: Vec<Table> = counts.iter().map(Table::of).collect();
    let (states, words) = symbols.words(&sharing, &tables);

    let kind = match model.predictor {
        Predictor::Median => 0,
        Predictor::Linear { bounded, .. } => 1 + u8::from(bounded),
    };
    out.extend([model.shift as u8, kind]);
    out.extend(model.origin.to_le_bytes());
    if let Predictor::Linear { weights, .. } = model.predictor {
        out.extend(weights.iter().flat_map(|weight| weight.to_le_bytes()));
    }
    out.extend(states.iter().flat_map(|state| state.to_le_bytes()));
    out.extend((words.len() as u32).to_le_bytes());
    let mut bits = BitWriter::default();
    sharing.write(&mut bits);
    tables.iter().for_each(|table| table.write(&mut bits));
    out.extend(bits.finish());
    out.extend(words.iter().flat_map(|word| word.to_le_bytes()));
    out.extend(symbols.beside);
}

/// Symbols stand at this distance by context.
const STRIDE: usize = 64;

/// Symbols are below this; a power of two, so that a mask bounds an index.
const SYMBOLS: usize = 4096;

/// A plane as symbols, in the order of reading.
struct Symbols {
    /// Context · 64 + token, a row of all lanes after the other; in each row, the lanes of a column together.
    symbols: Vec<u16>,
    /// How often each occurs: even and odd samples apart, so that one increment does not wait for the last.
    counts: [Box<[u32; SYMBOLS]>; 2],
    /// The bits beside the tokens.
    beside: Vec<u8>,
    width: usize,
    /// Lanes that have a last row which others lack.
    rest: usize,
}

impl Symbols {
    fn of(samples: &[u16], width: usize, model: &Model) -> Self {
        let bands = Bands::new(samples.len() / width);
        let mut rows = Rows::new(width, model);
        let mut folded = vec![[0u16; LANES]; width];
        let spans = spans(model.shift);
        let mut bits = BitWriter::default();
        let mut symbols = vec![0u16; samples.len()];
        let mut places = symbols.iter_mut();
        let mut counts = [(); 2].map(|()| Box::new([0u32; SYMBOLS]));
        for step in 0..bands.steps() {
            let active = bands.active(step);
            load(&mut rows, samples, bands, step);
            rows.begin(model, step == 0);
            rows.residuals(model, step == 0, &mut folded);
            let take = |lane: usize, folded, token, context| {
                let beside = spans[token as usize];
                bits.push(u32::from(folded & beside.mask), beside.bits.into());
                let symbol = usize::from(context) * STRIDE + token as usize;
                counts[lane % 2][symbol % SYMBOLS] += 1;
                if let Some(place) = places.next() {
                    *place = symbol as u16;
                }
            };
            if active == LANES {
                rows.tokens(&folded, &spans, LANES, take);
            } else {
                rows.tokens(&folded, &spans, active, take);
            }
            rows.advance(step == 0);
        }
        Self {
            symbols,
            counts,
            beside: bits.finish(),
            width,
            rest: bands.longer(),
        }
    }

    /// Counts by context.
    fn counts(&self) -> [Counts; CONTEXTS] {
        std::array::from_fn(|context| {
            std::array::from_fn(|token| {
                let symbol = context * STRIDE + token;
                self.counts[0][symbol] + self.counts[1][symbol]
            })
        })
    }

    /// Codes them in reverse.
    fn words(&self, sharing: &Sharing, tables: &[Table]) -> (rans::States, Vec<u16>) {
        let of_table: Vec<[rans::Step; TOKENS]> = tables.iter().map(rans::steps).collect();
        let mut steps = [rans::Step::default(); SYMBOLS];
        for (context, &table) in sharing.table_of.iter().enumerate() {
            steps[context * STRIDE..][..TOKENS].copy_from_slice(&of_table[usize::from(table)]);
        }
        let step = |symbol: u16| &steps[usize::from(symbol) % SYMBOLS];
        let mut writer = rans::Writer::new(self.symbols.len());
        let (full, rest) = self
            .symbols
            .split_at(self.symbols.len() - self.rest * self.width);
        for (i, &symbol) in rest.iter().enumerate().rev() {
            writer.push(i % self.rest, step(symbol));
        }
        let (cells, _) = full.as_chunks::<LANES>();
        for &cell in cells.iter().rev() {
            for lane in (0..LANES).rev() {
                writer.push(lane, step(cell[lane]));
            }
        }
        writer.finish()
    }
}

/// Fills the row at work: of each lane that has it, the row of this number.
fn load(rows: &mut Rows, samples: &[u16], bands: Bands, step: usize) {
    let width = rows.width;
    for lane in 0..bands.active(step) {
        let row = &samples[bands.row(lane, step) * width..][..width];
        for (cell, &sample) in rows.samples.here[PAD..].iter_mut().zip(row) {
            cell[lane] = centred(sample);
        }
    }
}

const _: () = assert!(STRIDE * CONTEXTS <= SYMBOLS && TOKENS <= STRIDE);
