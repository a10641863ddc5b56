//! What both sides compute of a row before its samples are known, and what the writer computes of it all.

use crate::{
    LANES,
    context::{CONTEXT_OF, PLACES, keys, place},
    lanes::{Cell, PAD, Window},
    predict::{Partial, Predictor, linear, median, neighbours},
    token::{Spans, fold, split},
};

/// Parameters of a plane's model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Model {
    pub(crate) predictor: Predictor,
    /// Of residuals, before they count as magnitudes; 0 to 8.
    pub(crate) shift: u32,
    /// What the first sample of every lane is predicted to be.
    pub(crate) origin: i16,
}

/// Largest shift: magnitudes of the largest residuals come to 128.
pub(crate) const MAX_SHIFT: u32 = 8;

/// Samples as the model sees them: 0 in the middle of 16 bits, so that they are signed words.
#[inline(always)]
pub(crate) fn centred(sample: u16) -> i16 {
    (sample ^ 0x8000) as i16
}

/// Reverses [`centred`].
#[inline(always)]
pub(crate) fn plain(sample: i16) -> u16 {
    sample as u16 ^ 0x8000
}

/// The rows that a model looks at.
pub(crate) struct Rows {
    pub(crate) width: usize,
    pub(crate) samples: Window<i16>,
    pub(crate) magnitudes: Window<u16>,
    /// What a linear prediction takes from the north.
    pub(crate) partial: Partial,
    /// What activity takes from the north.
    pub(crate) activity: Vec<Cell<u16>>,
    /// What patterns take from the north.
    pub(crate) keys: Vec<Cell<u16>>,
}

impl Rows {
    pub(crate) fn new(width: usize, model: &Model) -> Self {
        let mut samples = Window::new(width);
        // The first row is predicted from the west alone, and its first sample by the origin.
        samples.north[PAD] = [model.origin; LANES];
        Self {
            width,
            samples,
            magnitudes: Window::new(width),
            partial: Partial::new(width),
            activity: vec![[0; LANES]; width],
            keys: vec![[0; LANES]; width],
        }
    }

    /// Prepares the row at work.
    pub(crate) fn begin(&mut self, model: &Model, first: bool) {
        self.samples.begin();
        self.magnitudes.begin();
        if let Predictor::Linear { weights, bounded } = &model.predictor
            && !first
        {
            self.partial.prepare(&self.samples, weights, *bounded);
        }
        let north = neighbours(&self.magnitudes.north, PAD, self.width);
        let north_west = neighbours(&self.magnitudes.north, PAD - 1, self.width);
        let north_east = neighbours(&self.magnitudes.north, PAD + 1, self.width);
        for (i, activity) in self.activity.as_flattened_mut().iter_mut().enumerate() {
            *activity = 2 * north[i] + north_west[i] + north_east[i];
        }
        keys(&self.samples.north[PAD - 1..], &mut self.keys);
    }

    /// The row at work is complete.
    pub(crate) fn advance(&mut self, first: bool) {
        self.samples.advance(first);
        self.magnitudes.advance(first);
    }

    /// Calls for the samples of a row, in the order of reading: lane, folded residual, token, context. Residuals
    /// become magnitudes.
    #[inline(always)]
    pub(crate) fn tokens(
        &mut self,
        folded: &[Cell<u16>],
        spans: &Spans,
        active: usize,
        mut take: impl FnMut(usize, u16, u32, u8),
    ) {
        let mut west = self.magnitudes.here[PAD - 1];
        let outs = self.magnitudes.here[PAD..].iter_mut();
        let above = self.activity.iter().zip(&self.keys);
        for ((folded, (activity, place)), out) in folded.iter().zip(above).zip(outs) {
            for lane in 0..active {
                let (token, _) = split(folded[lane]);
                let activity = activity[lane] + 2 * west[lane];
                let place = if place[lane] > 0 {
                    place[lane]
                } else {
                    activity
                };
                let context = CONTEXT_OF[usize::from(place) % PLACES];
                take(lane, folded[lane], token, context);
                west[lane] = spans[token as usize].magnitude.into();
                out[lane] = west[lane];
            }
        }
    }

    /// With the row's samples in place: its residuals, folded. Keys become places, or 0 where there is no pattern.
    pub(crate) fn residuals(&mut self, model: &Model, first: bool, folded: &mut [Cell<u16>]) {
        let width = self.width;
        let here = neighbours(&self.samples.here, PAD, width);
        let west = neighbours(&self.samples.here, PAD - 1, width);
        let far_west = neighbours(&self.samples.here, PAD - 2, width);
        let north = neighbours(&self.samples.north, PAD, width);
        let north_west = neighbours(&self.samples.north, PAD - 1, width);
        for (i, key) in self.keys.as_flattened_mut().iter_mut().enumerate() {
            *key = place(*key, north_west[i], west[i], 0);
        }
        let out = folded[..width].as_flattened_mut().iter_mut().enumerate();
        match &model.predictor {
            _ if first => out.for_each(|(i, out)| *out = fold(here[i].wrapping_sub(west[i]))),
            Predictor::Median => out.for_each(|(i, out)| {
                let expected = median(west[i], north[i], north_west[i]);
                *out = fold(here[i].wrapping_sub(expected));
            }),
            Predictor::Linear { weights, .. } => {
                let weights = [weights[0].into(), weights[1].into()];
                let sum = self.partial.sum.as_flattened();
                let least = self.partial.least.as_flattened();
                let most = self.partial.most.as_flattened();
                out.for_each(|(i, out)| {
                    let expected = linear(sum[i], least[i], most[i], west[i], far_west[i], weights);
                    *out = fold(here[i].wrapping_sub(expected));
                });
            }
        }
    }
}
