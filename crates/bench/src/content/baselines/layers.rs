//! What schemes by prediction-error expansion share: layers that are filled one after the other,
//! and a header.

use harpo_watermark::Plane;

use super::Scheme;
use super::expansion::{Carrier, Rule, Undo, fill, thresholds};
use super::header::{Image, low_bits, push};

/// Attempts to find how many samples the header with its location maps needs.
const ATTEMPTS: usize = 6;

/// How a scheme predicts and orders samples.
pub(super) trait Layered: Sync {
    const NAME: &'static str;
    /// Parts of the image that are filled in turn, each with its share of the payload.
    const LAYERS: usize;
    /// Words of side information of each layer.
    const WORDS: usize;
    /// Bits of such a word.
    const WORD_BITS: u32;

    /// What the side information of a layer could be; the embedder takes what distorts least.
    fn choices(&self, image: &Image, layer: usize) -> Vec<Vec<u16>>;

    /// Samples of a layer in the order in which they are used, none of the first `skip` of the
    /// image. For a sample and its prediction to be found again, predictions and order may depend
    /// on samples outside of the layer only, unless [`Layered::undo`] knows better.
    fn carriers(&self, image: &Image, layer: usize, skip: usize, words: &[u16]) -> Vec<Carrier>;

    /// Undoes a layer.
    fn undo(&self, image: &mut Image, layer: usize, skip: usize, words: &[u16], undo: &mut Undo) {
        for carrier in self.carriers(image, layer, skip, words) {
            if undo.done() {
                break;
            }
            undo.sample(image, carrier);
        }
    }
}

/// A layered scheme as a scheme.
pub(super) struct Layers<T>(pub(super) T);

/// What the decoder is told of one layer.
struct Told {
    rule: Rule,
    bits: usize,
    words: Vec<u16>,
    map: Vec<u8>,
}

const SKIP_BITS: u32 = 24;
const COUNT_BITS: u32 = 28;
const MAP_BITS: u32 = 20;

impl<T: Layered> Scheme for Layers<T> {
    fn name(&self) -> &'static str {
        T::NAME
    }

    fn embed(&self, plane: &Plane, payload: &[bool]) -> Option<Plane> {
        let mut skip = Self::header_bits();
        for _ in 0..ATTEMPTS {
            if skip > plane.samples().len() {
                return None;
            }
            let (mut image, header) = self.attempt(plane, payload, skip)?;
            if header.len() <= skip {
                image.put_low_bits(&header);
                return image.into_plane();
            }
            skip = header.len() + header.len() / 8;
        }
        None
    }

    fn extract(&self, plane: &Plane) -> Option<(Plane, Vec<bool>)> {
        let mut image = Image::of(plane);
        let (skip, told) = self.read(&image)?;
        image.take_low_bits(skip);
        let mut parts = Vec::new();
        for (layer, told) in told.into_iter().enumerate().rev() {
            let mut undo = Undo::new(told.rule, told.map, told.bits, image.max);
            self.0.undo(&mut image, layer, skip, &told.words, &mut undo);
            parts.push(undo.bits()?);
        }
        let mut bits: Vec<bool> = parts.into_iter().rev().flatten().collect();
        if bits.len() < skip {
            return None;
        }
        let payload = bits.split_off(skip);
        image.put_low_bits(&bits);
        Some((image.into_plane()?, payload))
    }
}

impl<T: Layered> Layers<T> {
    /// Bits of a header whose location maps are empty.
    fn header_bits() -> usize {
        let layer = 16 + COUNT_BITS as usize + MAP_BITS as usize + T::WORD_BITS as usize * T::WORDS;
        SKIP_BITS as usize + T::LAYERS * layer
    }

    /// Embeds beside a header of `skip` samples; gives the header that is really needed.
    fn attempt(&self, plane: &Plane, payload: &[bool], skip: usize) -> Option<(Image, Vec<bool>)> {
        let mut image = Image::of(plane);
        let mut bits = image.take_low_bits(skip);
        bits.extend_from_slice(payload);
        let mut told = Vec::new();
        for layer in 0..T::LAYERS {
            let share = |layers: usize| bits.len() * layers / T::LAYERS;
            let bits = &bits[share(layer)..share(layer + 1)];
            let choices = self.0.choices(&image, layer).into_iter();
            let choices = choices.filter_map(|words| {
                let carriers = self.0.carriers(&image, layer, skip, &words);
                let (cost, rule) = thresholds(&image, &carriers, bits.len())?;
                Some((cost, rule, words, carriers))
            });
            let (_, rule, words, carriers) = choices.min_by(|a, b| a.0.total_cmp(&b.0))?;
            let map = fill(&mut image, &carriers, rule, bits)?;
            let bits = bits.len();
            told.push(Told {
                rule,
                bits,
                words,
                map,
            });
        }
        Some((image, Self::write(skip, &told)))
    }

    fn write(skip: usize, told: &[Told]) -> Vec<bool> {
        let mut header = Vec::new();
        push(&mut header, skip as u64, SKIP_BITS);
        for layer in told {
            push(&mut header, -layer.rule.low as u64, 8);
            push(&mut header, (layer.rule.high + 1) as u64, 8);
            push(&mut header, layer.bits as u64, COUNT_BITS);
            push(&mut header, layer.map.len() as u64, MAP_BITS);
            for word in &layer.words {
                push(&mut header, u64::from(*word), T::WORD_BITS);
            }
        }
        for byte in told.iter().flat_map(|layer| &layer.map) {
            push(&mut header, u64::from(*byte), 8);
        }
        header
    }

    fn read(&self, image: &Image) -> Option<(usize, Vec<Told>)> {
        let mut reader = low_bits(image);
        let skip = reader.take(SKIP_BITS)? as usize;
        let (mut told, mut lengths) = (Vec::new(), Vec::new());
        for _ in 0..T::LAYERS {
            let low = -(reader.take(8)? as i32);
            let high = reader.take(8)? as i32 - 1;
            let bits = reader.take(COUNT_BITS)? as usize;
            lengths.push(reader.take(MAP_BITS)?);
            let words = (0..T::WORDS).map(|_| Some(reader.take(T::WORD_BITS)? as u16));
            told.push(Told {
                rule: Rule { low, high },
                bits,
                words: words.collect::<Option<_>>()?,
                map: Vec::new(),
            });
        }
        for (layer, length) in told.iter_mut().zip(lengths) {
            let map = (0..length).map(|_| Some(reader.take(8)? as u8));
            layer.map = map.collect::<Option<_>>()?;
        }
        (skip <= image.samples.len()).then_some((skip, told))
    }
}
