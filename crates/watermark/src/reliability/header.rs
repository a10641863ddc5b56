//! What everybody can read (docs/reliability-mark.md 5): whose image this is, many times over,
//! and once what is needed to take the mark out.

use aws_lc_rs::digest;

use super::Identity;
use super::layout::{Layout, split_mix};
use crate::Plane;
use crate::reversible::Parameters;

/// Version of the mark.
const VERSION: u8 = 1;

const CHECK_DOMAIN: &[u8] = b"harpocrates/1/mark-header\0";
const CHECK_BYTES: usize = 8;
const WORD_BYTES: usize = 1 + Identity::BYTES + CHECK_BYTES;

/// Bits of the part that is repeated.
pub(super) const IDENTITY_BITS: usize = 8 * WORD_BYTES;

/// Bits of the part that stands once: the engine's parameters, then zeros.
pub(super) const PARAMETER_BITS: usize = 8 * Parameters::MAX_BYTES;

/// Rounds of weighing blocks by how well they agree with the others.
const ROUNDS: u32 = 8;

/// What a vote counts whose block agrees in all others. The sum of all blocks of the largest image
/// (2^24 of them, with 2^6 bits each) stays far below 2^63.
const FULL_WEIGHT: i64 = 1 << 30;

/// Tells the masks of slots from other uses of the same function.
const MASK_SEED: u64 = 0x6d61_736b << 32;

/// How many of the least certain bits are tried both ways.
const UNCERTAIN: usize = 12;

/// Writes both parts into the stripe bits.
pub(super) fn write(
    plane: &mut Plane,
    layout: &Layout,
    identity: &Identity,
    parameters: &Parameters,
) {
    let word = bits(&encode(identity));
    let mut once = parameters.to_bytes();
    once.resize(Parameters::MAX_BYTES, 0);
    let once = bits(&once);

    let stripes = stripes(layout);
    let samples = plane.samples_mut();
    let written = once.iter().chain(word.iter().cycle());
    for (slot, &bit) in stripes.iter().zip(written) {
        samples[slot.index] = samples[slot.index] & !1 | u16::from(bit ^ slot.mask);
    }
}

/// The parameters of the engine, if they are whole.
pub(super) fn read_parameters(plane: &Plane, layout: &Layout) -> Option<Parameters> {
    let samples = plane.samples();
    let mut bytes = [0_u8; Parameters::MAX_BYTES];
    for (bit, slot) in stripes(layout).iter().take(PARAMETER_BITS).enumerate() {
        bytes[bit / 8] |= u8::from(slot.read(samples)) << (bit % 8);
    }
    Parameters::from_bytes(&bytes).ok()
}

/// Sample indexes of the parameter part.
#[cfg(test)]
pub(super) fn parameter_places(layout: &Layout) -> Vec<usize> {
    let slots = stripes(layout);
    slots
        .iter()
        .take(PARAMETER_BITS)
        .map(|slot| slot.index)
        .collect()
}

/// The identity, though many blocks may be damaged: the majority of all copies; then each block
/// counts by how well it agrees with that, so that damaged blocks lose their vote; at last the
/// least certain bits are tried both ways. The check decides.
pub(super) fn read_identity(plane: &Plane, layout: &Layout) -> Option<Identity> {
    let votes: Vec<Vote> = stripes(layout)
        .iter()
        .skip(PARAMETER_BITS)
        .enumerate()
        .map(|(number, slot)| Vote {
            block: slot.block,
            bit: number % IDENTITY_BITS,
            one: slot.read(plane.samples()),
        })
        .collect();
    let blocks = layout.grid.len();
    let mut balance = count(&votes, &[0; IDENTITY_BITS], blocks, 0);
    for sharpness in 1..=ROUNDS {
        if let Some(identity) = decode(&majority(&balance)) {
            return Some(identity);
        }
        balance = count(&votes, &balance, blocks, sharpness);
    }
    try_uncertain(&balance)
}

struct Vote {
    block: usize,
    bit: usize,
    one: bool,
}

/// For each bit of the header the weight of the votes for one less that of those for zero.
///
/// Where n *other* votes of the same block differ from the present majority, a vote counts
/// 2^(−n · sharpness) as much as where none does. A vote does not speak for itself: else one
/// that shares an error of the majority would gain by it.
fn count(votes: &[Vote], majority: &[i64], blocks: usize, sharpness: u32) -> Vec<i64> {
    let differs = |vote: &Vote| u32::from(vote.one != (majority[vote.bit] > 0));
    let mut differing = vec![0_u32; blocks];
    for vote in votes {
        differing[vote.block] += differs(vote);
    }
    let mut balance = vec![0; IDENTITY_BITS];
    for vote in votes {
        let others = differing[vote.block] - differs(vote);
        let weight = FULL_WEIGHT >> (others * sharpness).min(FULL_WEIGHT.ilog2());
        balance[vote.bit] += if vote.one { weight } else { -weight };
    }
    balance
}

fn majority(balance: &[i64]) -> [u8; WORD_BYTES] {
    let mut bytes = [0; WORD_BYTES];
    for (bit, &balance) in balance.iter().enumerate() {
        bytes[bit / 8] |= u8::from(balance > 0) << (bit % 8);
    }
    bytes
}

fn try_uncertain(balance: &[i64]) -> Option<Identity> {
    let mut order: Vec<usize> = (0..balance.len()).collect();
    order.sort_by_key(|&bit| balance[bit].abs());
    let word = majority(balance);
    (1_u32..1 << UNCERTAIN).find_map(|choice| {
        let mut tried = word;
        for (k, &bit) in order.iter().take(UNCERTAIN).enumerate() {
            tried[bit / 8] ^= ((choice >> k & 1) as u8) << (bit % 8);
        }
        decode(&tried)
    })
}

/// The place of one header bit.
struct Slot {
    block: usize,
    /// Index of its sample.
    index: usize,
    /// Whether the bit is written inverted. Fixed and irregular, so that the copies in blank or
    /// repeating regions do not agree with each other.
    mask: bool,
}

impl Slot {
    fn read(&self, samples: &[u16]) -> bool {
        (samples[self.index] & 1 == 1) ^ self.mask
    }
}

/// Every slot of the header in its order. Blocks are visited in a fixed shuffled order, so that
/// the copies of a bit are in blocks far from each other.
fn stripes(layout: &Layout) -> Vec<Slot> {
    let mut order: Vec<usize> = (0..layout.grid.len()).collect();
    for last in (1..order.len()).rev() {
        let other = split_mix(last as u64) % (last as u64 + 1);
        order.swap(last, other as usize);
    }
    let mut slots = Vec::with_capacity(layout.slots());
    for block in order {
        for index in layout.block(block).stripe() {
            let mask = split_mix(slots.len() as u64 ^ MASK_SEED) & 1 == 1;
            slots.push(Slot { block, index, mask });
        }
    }
    slots
}

fn bits(bytes: &[u8]) -> Vec<bool> {
    let bit = |slot: usize| bytes[slot / 8] >> (slot % 8) & 1 == 1;
    (0..8 * bytes.len()).map(bit).collect()
}

pub(super) fn encode(identity: &Identity) -> [u8; WORD_BYTES] {
    let mut bytes = [0; WORD_BYTES];
    let (body, check) = bytes.split_at_mut(WORD_BYTES - CHECK_BYTES);
    body[0] = VERSION;
    body[1..].copy_from_slice(&identity.to_bytes());
    check.copy_from_slice(&check_of(body));
    bytes
}

fn decode(bytes: &[u8; WORD_BYTES]) -> Option<Identity> {
    let (body, check) = bytes.split_at(WORD_BYTES - CHECK_BYTES);
    if body[0] != VERSION || check != check_of(body) {
        return None;
    }
    Some(Identity::from_bytes(body[1..].try_into().ok()?))
}

/// Finds errors, keeps nobody from writing another header: what proves is in the tags.
fn check_of(body: &[u8]) -> [u8; CHECK_BYTES] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(CHECK_DOMAIN);
    context.update(body);
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&context.finish().as_ref()[..CHECK_BYTES]);
    check
}
