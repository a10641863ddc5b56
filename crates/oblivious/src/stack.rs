//! The ordered generations that every query covers (oblivious-encoding 3.5).

use aws_lc_rs::digest::{Context, SHA256};

use crate::{Error, GenerationInfo, ParamSetId, Params, Shape, wire};

/// The sealed generations that a query covers, in order. Only valid stacks exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stack {
    generations: Vec<GenerationInfo>,
    /// Digest of each generation.
    digests: Vec<[u8; 32]>,
    /// Index of the first polynomial of each generation.
    offsets: Vec<u32>,
    polys: u32,
    digest: [u8; 32],
}

impl Stack {
    /// A stack of `generations`, which share parameters, slot size and interleaving.
    ///
    /// # Errors
    /// [`Error::BadStack`] if there are none, they differ, or two have the same seed (a query would then give away the
    /// difference of their selections); [`Error::TooManyPolys`], [`Error::TooNoisy`] or [`Error::UnknownParams`].
    pub fn new(generations: Vec<GenerationInfo>) -> Result<Self, Error> {
        let first = *generations
            .first()
            .ok_or(Error::BadStack("it has no generation"))?;
        let params = Params::by_id(first.params)?;
        let polys: u64 = generations.iter().map(|g| u64::from(g.shape.polys())).sum();
        let polys = u32::try_from(polys)
            .ok()
            .filter(|total| *total <= params.max_polys)
            .ok_or(Error::TooManyPolys {
                polys,
                limit: params.max_polys,
            })?;
        for generation in &generations {
            if generation.params != first.params
                || generation.shape.slot_bytes() != first.shape.slot_bytes()
                || generation.shape.interleave() != first.shape.interleave()
            {
                return Err(Error::BadStack(
                    "generations differ in parameters, slot size or interleaving",
                ));
            }
        }
        let mut seeds: Vec<&[u8; 32]> = generations.iter().map(|g| &g.seed.0).collect();
        seeds.sort_unstable();
        if seeds.windows(2).any(|pair| pair[0] == pair[1]) {
            return Err(Error::BadStack("two generations have the same seed"));
        }
        if !params.noise(polys, generations.len()).is_acceptable() {
            return Err(Error::TooNoisy {
                generations: generations.len(),
                polys,
            });
        }
        Ok(Self::assemble(generations, polys))
    }

    /// Puts a stack together whose figures are known to fit.
    pub(crate) fn assemble(generations: Vec<GenerationInfo>, polys: u32) -> Self {
        let digests: Vec<[u8; 32]> = generations.iter().map(GenerationInfo::digest).collect();
        let mut context = Context::new(&SHA256);
        context.update(b"harpocrates/1/oblivious-stack\0");
        context.update(&(generations.len() as u32).to_le_bytes());
        for digest in &digests {
            context.update(digest);
        }
        let digest = wire::finish_digest(context);
        let offsets = generations
            .iter()
            .scan(0, |next, g| {
                let offset = *next;
                *next += g.shape.polys();
                Some(offset)
            })
            .collect();
        Stack {
            generations,
            digests,
            offsets,
            polys,
            digest,
        }
    }

    /// The generations, in order.
    #[must_use]
    pub fn generations(&self) -> &[GenerationInfo] {
        &self.generations
    }

    /// SHA-256 over the public figures of all generations; names the stack in queries and answers.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        self.digest
    }

    /// The parameter set that all generations share.
    #[must_use]
    pub fn params(&self) -> &'static Params {
        // Every constructor looked the row up.
        Params::by_id(self.generations[0].params).unwrap_or(Params::DEFAULT)
    }

    /// Polynomials of one query.
    #[must_use]
    pub fn polys(&self) -> u32 {
        self.polys
    }

    /// Bytes of a slot.
    #[must_use]
    pub fn slot_bytes(&self) -> u32 {
        self.generations[0].shape.slot_bytes()
    }

    /// Slots of all generations together: the size of the anonymity set.
    #[must_use]
    pub fn slots(&self) -> u64 {
        self.generations
            .iter()
            .map(|g| u64::from(g.shape.slots()))
            .sum()
    }

    /// Exact bytes of all slots, one after another: what a stream of the stack brings.
    #[must_use]
    pub fn plain_bytes(&self) -> u64 {
        self.slots() * u64::from(self.slot_bytes())
    }

    /// Exact bytes of one query.
    #[must_use]
    pub fn query_bytes(&self) -> u64 {
        (wire::QUERY_HEADER + self.polys as usize * self.params().poly_bytes()) as u64
    }

    /// Exact bytes of one answer.
    #[must_use]
    pub fn answer_bytes(&self) -> u64 {
        self.shape().answer_bytes(self.params())
    }

    /// Bytes of all hints together, which a consumer downloads once.
    #[must_use]
    pub fn hint_bytes(&self) -> u64 {
        self.generations
            .iter()
            .map(|g| g.shape.hint_bytes(self.params()))
            .sum()
    }

    /// Bytes of all encoded generations in memory.
    #[must_use]
    pub fn encoded_bytes(&self) -> u64 {
        self.generations
            .iter()
            .map(|g| g.shape.encoded_bytes(self.params()))
            .sum()
    }

    /// Number of a slot counted over the whole stack, or `None` if there is none. Not constant time: for public use.
    #[must_use]
    pub fn position(&self, generation: usize, slot: u32) -> Option<u64> {
        let shape = self.generations.get(generation)?.shape;
        let before: u64 = self.generations[..generation]
            .iter()
            .map(|g| u64::from(g.shape.slots()))
            .sum();
        (slot < shape.slots()).then_some(before + u64::from(slot))
    }

    /// A shape with the figures that all generations share.
    pub(crate) fn shape(&self) -> Shape {
        self.generations[0].shape
    }

    pub(crate) fn digests(&self) -> &[[u8; 32]] {
        &self.digests
    }

    pub(crate) fn offsets(&self) -> &[u32] {
        &self.offsets
    }

    pub(crate) fn param_set(&self) -> ParamSetId {
        self.generations[0].params
    }

    /// Index of the generation with this digest.
    pub(crate) fn index_of(&self, digest: &[u8; 32]) -> Option<usize> {
        self.digests.iter().position(|d| d == digest)
    }
}

#[cfg(test)]
mod tests;
