//! Accusation (docs/tracing-mark.md 7).

use rand_core::Rng;

use super::code::{CODE_LENGTH, THRESHOLDS};
use super::decoder::{DECODERS, Decoder};
use super::examine::Evidence;
use super::key::{ExportId, Tracer};

/// Bytes of one stretch of the codewords' stream that is skipped or derived as a whole.
const STRETCH: usize = 256;

/// Suspects beyond which nobody is looked at: no mark is shared by as many.
const MANY: usize = 10_000;

/// When to accuse.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limit {
    /// The probability, at most, that any innocent among the candidates is accused.
    pub false_accusation: f64,
    /// Candidates to reckon with at least: more than are listed, where one leak is tried against
    /// several lists.
    pub candidates: u64,
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            false_accusation: 1e-6,
            candidates: 1,
        }
    }
}

/// A candidate, and how probable it is that an innocent one would look as guilty.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Suspect {
    /// The candidate.
    pub export: ExportId,
    /// Bound on the base-10 logarithm of the probability that one given innocent scores as high.
    pub log10_p: f64,
}

/// A suspect beyond the limit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Accusation {
    /// Who.
    pub suspect: Suspect,
    /// One less the bound on the probability that any innocent of all candidates scores as high.
    pub confidence: f64,
}

/// What the evidence says of the candidates.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// These took part, the surest first.
    Accused {
        /// At least one.
        accusations: Vec<Accusation>,
        /// The most suspicious of the others.
        runner_up: Option<Suspect>,
    },
    /// Nobody can be accused.
    Nobody {
        /// The most suspicious.
        best: Option<Suspect>,
    },
}

impl Tracer {
    /// Compares evidence with the list of exports. Every innocent candidate is accused with a
    /// probability of at most the limit's part that falls to it, whatever was done to the picture by
    /// whoever has not the key.
    pub fn accuse(
        &self,
        evidence: &Evidence,
        exports: impl IntoIterator<Item = ExportId>,
        limit: &Limit,
    ) -> Verdict {
        let scorer = Scorer::new(self, evidence);
        let mut scores: Vec<(ExportId, [i32; DECODERS])> = exports
            .into_iter()
            .map(|export| (export, scorer.sums(self, &export)))
            .collect();
        scores.sort_unstable();
        scores.dedup();
        let candidates = limit.candidates.max(scores.len() as u64).max(1) as f64;
        let mut suspects: Vec<Suspect> = scorer
            .notable(&scores, (limit.false_accusation / candidates).ln())
            .into_iter()
            .map(|(export, sums)| Suspect {
                export,
                log10_p: scorer.ln_p(&sums) / std::f64::consts::LN_10,
            })
            .collect();
        suspects.sort_by(|a, b| a.log10_p.total_cmp(&b.log10_p));
        let beyond = |suspect: &Suspect| {
            suspect.log10_p + candidates.log10() <= limit.false_accusation.log10()
        };
        let accused = suspects
            .iter()
            .take_while(|suspect| beyond(suspect))
            .count();
        let runner_up = suspects.get(accused).copied();
        if accused == 0 {
            return Verdict::Nobody { best: runner_up };
        }
        let accusations = suspects[..accused]
            .iter()
            .map(|suspect| Accusation {
                suspect: *suspect,
                confidence: 1.0 - candidates * 10_f64.powf(suspect.log10_p),
            })
            .collect();
        Verdict::Accused {
            accusations,
            runner_up,
        }
    }

    /// Per candidate, the bound of [`Suspect::log10_p`]; slower than [`Tracer::accuse`], which takes it of
    /// the notable alone.
    pub fn log10_p(
        &self,
        evidence: &Evidence,
        exports: impl IntoIterator<Item = ExportId>,
    ) -> Vec<f64> {
        let scorer = Scorer::new(self, evidence);
        let bound = |export| scorer.ln_p(&scorer.sums(self, &export)) / std::f64::consts::LN_10;
        exports.into_iter().map(bound).collect()
    }
}

/// Sums of the decoders' weights over the bits of candidates.
struct Scorer {
    decoders: [Decoder; DECODERS],
    /// Per stretch that has any weight, its number, thresholds and weights.
    stretches: Vec<Stretch>,
}

struct Stretch {
    number: usize,
    thresholds: [u8; STRETCH],
    weights: [[i16; STRETCH]; DECODERS],
}

impl Scorer {
    fn new(tracer: &Tracer, evidence: &Evidence) -> Self {
        let decoders = Decoder::all(tracer, evidence);
        let mut all: Vec<Stretch> = (0..CODE_LENGTH / STRETCH)
            .map(|number| {
                let classes = &tracer.biases.0[number * STRETCH..(number + 1) * STRETCH];
                let mut thresholds = [0; STRETCH];
                for (threshold, class) in thresholds.iter_mut().zip(classes) {
                    *threshold = THRESHOLDS[usize::from(*class)];
                }
                Stretch {
                    number,
                    thresholds,
                    weights: [[0; STRETCH]; DECODERS],
                }
            })
            .collect();
        for (k, decoder) in decoders.iter().enumerate() {
            for (position, _, weight) in &decoder.terms {
                let position = usize::from(*position);
                all[position / STRETCH].weights[k][position % STRETCH] = *weight;
            }
        }
        all.retain(|stretch| stretch.weights.iter().flatten().any(|weight| *weight != 0));
        Self {
            decoders,
            stretches: all,
        }
    }

    /// Per decoder, the sum of weights where the codeword of `export` has its bits set.
    fn sums(&self, tracer: &Tracer, export: &ExportId) -> [i32; DECODERS] {
        let mut sums = [0; DECODERS];
        let mut stream = tracer.codeword_stream(export);
        let mut bytes = [0; CODE_LENGTH];
        let mut rest = &self.stretches[..];
        while let Some(first) = rest.first() {
            // As many stretches as follow one another are derived at once.
            let run = rest
                .iter()
                .zip(first.number..)
                .take_while(|(s, n)| s.number == *n)
                .count();
            stream.set_word_pos((first.number * STRETCH / 4) as u128);
            let bytes = &mut bytes[..STRETCH * run];
            stream.fill_bytes(bytes);
            for (stretch, bytes) in rest.iter().zip(bytes.as_chunks::<STRETCH>().0) {
                stretch.add(bytes, &mut sums);
            }
            rest = &rest[run..];
        }
        sums
    }

    /// The bound on the logarithm of the probability that an innocent has such sums, over all decoders.
    fn ln_p(&self, sums: &[i32; DECODERS]) -> f64 {
        let tails = self
            .decoders
            .iter()
            .zip(sums)
            .map(|(decoder, sum)| decoder.ln_tail(decoder.score(*sum)));
        (tails.fold(0.0, f64::min) + (DECODERS as f64).ln()).min(0.0)
    }

    /// All candidates that may be beyond the limit, and the best few of each decoder.
    fn notable(
        &self,
        scores: &[(ExportId, [i32; DECODERS])],
        ln_limit: f64,
    ) -> Vec<(ExportId, [i32; DECODERS])> {
        let mut notable = Vec::new();
        for (k, decoder) in self.decoders.iter().enumerate() {
            let mut order: Vec<&(ExportId, [i32; DECODERS])> = scores.iter().collect();
            let key = |(_, sums): &&(ExportId, [i32; DECODERS])| std::cmp::Reverse(sums[k]);
            if order.len() > MANY {
                order.select_nth_unstable_by_key(MANY, key);
                order.truncate(MANY);
            }
            order.sort_unstable_by_key(key);
            let ln_limit = ln_limit - (DECODERS as f64).ln();
            let mut after = 0;
            for (export, sums) in order {
                if decoder.ln_tail(decoder.score(sums[k])) > ln_limit {
                    after += 1;
                }
                notable.push((*export, *sums));
                if after == 2 {
                    break;
                }
            }
        }
        notable.sort_unstable();
        notable.dedup();
        notable
    }
}

impl Stretch {
    fn add(&self, bytes: &[u8; STRETCH], sums: &mut [i32; DECODERS]) {
        let mut bits = [0_i16; STRETCH];
        for ((bit, byte), threshold) in bits.iter_mut().zip(bytes).zip(&self.thresholds) {
            *bit = i16::from(byte < threshold);
        }
        for (sum, weights) in sums.iter_mut().zip(&self.weights) {
            // Products of 16 bits summed in 32: one instruction for eight.
            let products = bits
                .iter()
                .zip(weights)
                .map(|(bit, w)| i32::from(*bit) * i32::from(*w));
            *sum += products.sum::<i32>();
        }
    }
}
