//! The mark as gateways use it: header, tags and all.

use anyhow::{Result, ensure};
use harpo_watermark::reliability::{self, Distortion, Identity, Message, Unmarkable, Verdict};
use harpo_watermark::{MarkKey, Plane};
use rand_chacha::ChaCha8Rng;
use rand_core::{Rng, SeedableRng};
use rayon::prelude::*;
use serde::Serialize;

use super::super::baselines::{REFERENCE, schemes};
use super::super::images::{Group, Image, Modality};
use super::{Change, Mean, carrier};

/// The mark on the images of one group.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct MarkRow {
    pub(crate) modality: Modality,
    pub(crate) synthetic: bool,
    pub(crate) images: usize,
    /// Images that had no room for a mark, and stay as they are.
    pub(crate) unmarkable: usize,
    /// Bits hidden reversibly, for each sample of the plane that carries the mark: the mean of
    /// images.
    pub(crate) payload_bpp: f64,
    /// Of the mean square error in units of the peak, 2^BitsStored − 1, tags and header included.
    pub(crate) psnr_db: Option<f64>,
    pub(crate) mse: Option<f64>,
    pub(crate) largest_error: u16,
    /// Sachnev with the same number of bits and no tags; `None` where an image has no room for
    /// them.
    pub(crate) sachnev_psnr_db: Option<f64>,
    /// Whether every image was found authentic, and came back exactly.
    pub(crate) exact: bool,
}

/// A key for measurements.
pub(crate) fn key() -> MarkKey {
    MarkKey::new([0x42; MarkKey::BYTES])
}

/// An image with a mark that names `instance`, and what the mark did; the error says why there is
/// none.
pub(crate) fn marked(
    planes: &[Plane],
    instance: u32,
) -> Result<(Vec<Plane>, Distortion), Unmarkable> {
    let mut marked = planes.to_vec();
    let distortion = reliability::embed(&mut marked, &key(), &message(instance))?;
    Ok((marked, distortion))
}

/// What marks of these measurements say.
pub(super) fn message(instance: u32) -> Message {
    let mut name = [0x33; 16];
    name[..4].copy_from_slice(&instance.to_le_bytes());
    let identity = Identity {
        origin: [0x11; 16],
        bundle: [0x22; 16],
        instance: name,
        frame: 0,
    };
    let statement = [0x44; 32];
    Message {
        identity,
        statement,
    }
}

struct One {
    distortion: Distortion,
    change: Change,
    sachnev: Option<Change>,
}

/// Marks, checks, restores, and hides as many bits by the reference scheme.
pub(super) fn measure(group: &Group<'_>, images: &[&Image]) -> Result<MarkRow> {
    let all: Vec<Option<One>> = images
        .par_iter()
        .enumerate()
        .map(|(number, image)| one(image, number as u32))
        .collect::<Result<_>>()?;
    let marks: Vec<&One> = all.iter().flatten().collect();
    let mean = Mean::of(marks.iter().map(|one| one.change));
    let sachnev = Mean::of(marks.iter().filter_map(|one| one.sachnev));
    let bits = marks.iter().map(|one| one.distortion.bits_per_pixel);
    Ok(MarkRow {
        modality: group.modality,
        synthetic: group.synthetic,
        images: images.len(),
        unmarkable: all.len() - marks.len(),
        payload_bpp: bits.sum::<f64>() / marks.len().max(1) as f64,
        psnr_db: mean.psnr_db(),
        mse: mean.mse(),
        largest_error: mean.largest,
        sachnev_psnr_db: sachnev.psnr_db().filter(|_| sachnev.images == marks.len()),
        exact: true,
    })
}

/// `None` if there is no room for a mark.
fn one(image: &Image, number: u32) -> Result<Option<One>> {
    let Ok((mut planes, distortion)) = marked(&image.planes, number) else {
        return Ok(None);
    };
    let place = planes.len() / 2;
    let change = Change::between(carrier(image), &planes[place]);
    let verdict = reliability::verify(&mut planes, &key());
    let authentic = matches!(verdict, Verdict::Authentic(found)
        if found.identity == message(number).identity);
    ensure!(
        authentic && planes == image.planes,
        "the mark of {} did not come off exactly",
        image.name
    );
    Ok(Some(One {
        distortion,
        change,
        sachnev: sachnev(carrier(image), distortion.payload_bits),
    }))
}

fn sachnev(plane: &Plane, bits: usize) -> Option<Change> {
    let mut random = ChaCha8Rng::seed_from_u64(bits as u64);
    let payload: Vec<bool> = (0..bits).map(|_| random.next_u32() & 1 == 1).collect();
    let scheme = schemes()
        .into_iter()
        .find(|scheme| scheme.name() == REFERENCE)?;
    let marked = scheme.embed(plane, &payload)?;
    Some(Change::between(plane, &marked))
}
