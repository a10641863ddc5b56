//! What binds samples to a key, a place and an image (docs/reliability-mark.md 6).

use aws_lc_rs::hmac;
use subtle::ConstantTimeEq;

use super::layout::{Layout, Placed};
use super::{Identity, Shape};
use crate::{MarkKey, Plane};

/// Bytes of the code over the original planes.
pub(super) const SEAL_BYTES: usize = 16;

const TAG_DOMAIN: &[u8] = b"harpocrates/1/mark-block\0";
const SEAL_DOMAIN: &[u8] = b"harpocrates/1/mark-image\0";

/// Keys of one image: whatever is the same for all its blocks is hashed into them once.
pub(super) struct Keys {
    block: hmac::Key,
    image: hmac::Key,
}

impl Keys {
    pub(super) fn derive(key: &MarkKey, identity: &Identity, shape: Shape) -> Self {
        let root = hmac::Key::new(hmac::HMAC_SHA256, key.bytes());
        let of = |domain: &[u8]| {
            let mut context = hmac::Context::with_key(&root);
            context.update(domain);
            context.update(&identity.to_bytes());
            context.update(&shape.to_bytes());
            hmac::Key::new(hmac::HMAC_SHA256, context.sign().as_ref())
        };
        Self {
            block: of(TAG_DOMAIN),
            image: of(SEAL_DOMAIN),
        }
    }

    /// The tag of a block of the marked planes. `bytes` is room that is used again and again.
    fn tag(&self, image: &[Plane], layout: &Layout, placed: Placed, bytes: &mut Vec<u8>) -> u32 {
        let block = placed.block;
        bytes.clear();
        bytes.extend_from_slice(&(block.column as u16).to_le_bytes());
        bytes.extend_from_slice(&(block.row as u16).to_le_bytes());
        let stride = layout.grid.width;
        let carrier = super::carrier(image.len());
        for (number, plane) in image.iter().enumerate() {
            let first = bytes.len();
            for y in block.y..block.y + block.height {
                let row = &plane.samples()[y * stride + block.x..][..block.width];
                push_samples(bytes, row, plane.depth());
            }
            if number == carrier {
                let width = sample_bytes(plane.depth());
                for place in placed.tag_within() {
                    bytes[first + place * width] &= !1;
                }
            }
        }
        let tag = hmac::sign(&self.block, bytes);
        tag.as_ref()
            .iter()
            .take(4)
            .fold(0, |tag, &byte| tag << 8 | u32::from(byte))
    }

    /// Writes the tags of all blocks.
    pub(super) fn write(&self, image: &mut [Plane], layout: &Layout) {
        let carrier = super::carrier(image.len());
        let mut bytes = Vec::new();
        for placed in layout.blocks() {
            let tag = self.tag(image, layout, placed, &mut bytes);
            let samples = image[carrier].samples_mut();
            for (bit, index) in placed.tag().enumerate() {
                samples[index] = samples[index] & !1 | (tag >> bit & 1) as u16;
            }
        }
    }

    /// Indexes of the blocks whose tag does not fit.
    pub(super) fn bad_blocks(&self, image: &[Plane], layout: &Layout) -> Vec<usize> {
        let samples = image[super::carrier(image.len())].samples();
        let mut bytes = Vec::new();
        let mut bad = Vec::new();
        for placed in layout.blocks() {
            let written = placed.tag().enumerate().fold(0, |tag, (bit, index)| {
                tag | u32::from(samples[index] & 1) << bit
            });
            let computed = self.tag(image, layout, placed, &mut bytes);
            if !bool::from(written.ct_eq(&computed)) {
                bad.push(placed.index);
            }
        }
        bad
    }

    /// The code over the original planes and the statement.
    pub(super) fn seal(&self, image: &[Plane], statement: &[u8; 32]) -> [u8; SEAL_BYTES] {
        let mut context = hmac::Context::with_key(&self.image);
        context.update(statement);
        let mut bytes = Vec::new();
        for plane in image {
            for samples in plane.samples().chunks(16_384) {
                bytes.clear();
                push_samples(&mut bytes, samples, plane.depth());
                context.update(&bytes);
            }
        }
        let mut seal = [0; SEAL_BYTES];
        seal.copy_from_slice(&context.sign().as_ref()[..SEAL_BYTES]);
        seal
    }
}

/// Bytes that a sample takes in what is hashed.
fn sample_bytes(depth: u32) -> usize {
    if depth == 8 { 1 } else { 2 }
}

fn push_samples(bytes: &mut Vec<u8>, samples: &[u16], depth: u32) {
    if sample_bytes(depth) == 1 {
        bytes.extend(samples.iter().map(|&sample| sample as u8));
    } else {
        bytes.extend(samples.iter().flat_map(|sample| sample.to_le_bytes()));
    }
}
