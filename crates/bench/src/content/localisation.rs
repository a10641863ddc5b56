//! Whether planted alterations of marked images are found, and where.

mod alter;

use std::ops::AddAssign;

use anyhow::{Result, ensure};
use harpo_watermark::Plane;
use harpo_watermark::reliability::{self, Block, Verdict};
use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use rayon::prelude::*;
use serde::Serialize;

use super::images::{Image, Images, Modality};
use super::plan::Plan;
use super::reliability::{choose, key, marked};
use crate::progress::Progress;
use alter::{Alteration, Canvas};

/// What was planted and what was found.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub(crate) struct Counts {
    /// Alterations.
    pub(crate) planted: usize,
    /// Those of which exactly the blocks with a changed sample were named: no more, no fewer.
    pub(crate) found: usize,
    /// Those after which the image was not taken for authentic, wherever it was said to be altered.
    pub(crate) noticed: usize,
    /// Those after which no mark was read, so that nothing was located.
    pub(crate) unreadable: usize,
    /// Blocks that were named.
    pub(crate) blocks_named: usize,
    /// Those of them in which a sample was changed.
    pub(crate) blocks_right: usize,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.planted += other.planted;
        self.found += other.found;
        self.noticed += other.noticed;
        self.unreadable += other.unreadable;
        self.blocks_named += other.blocks_named;
        self.blocks_right += other.blocks_right;
    }
}

/// One kind of alteration in one group.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) modality: Modality,
    pub(crate) synthetic: bool,
    pub(crate) alteration: &'static str,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

/// All groups.
#[derive(Debug, Clone, Default, Serialize)]
pub(crate) struct Localisation {
    #[serde(flatten)]
    pub(crate) counts: Counts,
    /// Marked images that nobody touched.
    pub(crate) untouched: usize,
    /// Those that were not found authentic.
    pub(crate) falsely_altered: usize,
    pub(crate) rows: Vec<Row>,
}

/// Marks images, alters them in every way, and checks.
///
/// # Errors
/// If an untouched image does not come back exactly.
pub(crate) fn measure(plan: &Plan, images: &Images, progress: &Progress) -> Result<Localisation> {
    let mut all = Localisation::default();
    for group in images.groups() {
        progress.say(format!("altering {}", group.label()));
        let chosen = choose(&group, plan.altered_images);
        let per_image: Vec<[Counts; Alteration::ALL.len()]> = chosen
            .par_iter()
            .enumerate()
            .filter_map(|(number, image)| one(image, number, plan.alterations).transpose())
            .collect::<Result<_>>()?;
        all.untouched += per_image.len();
        for (place, alteration) in Alteration::ALL.into_iter().enumerate() {
            let mut counts = Counts::default();
            for image in &per_image {
                counts += image[place];
            }
            all.counts += counts;
            all.rows.push(Row {
                modality: group.modality,
                synthetic: group.synthetic,
                alteration: alteration.name(),
                counts,
            });
        }
    }
    Ok(all)
}

/// Every alteration of one image, several times; `None` if it has no room for a mark.
fn one(
    image: &Image,
    number: usize,
    times: usize,
) -> Result<Option<[Counts; Alteration::ALL.len()]>> {
    let Ok((planes, _)) = marked(&image.planes, number as u32) else {
        return Ok(None);
    };
    let mut untouched = planes.clone();
    let verdict = reliability::verify(&mut untouched, &key());
    ensure!(
        matches!(verdict, Verdict::Authentic(_)) && untouched == image.planes,
        "the mark of {} did not come off exactly",
        image.name
    );
    // The same picture under another identity: what collages are hardest to tell from.
    let Ok((other, _)) = marked(&image.planes, number as u32 + 1000) else {
        return Ok(None);
    };
    let mut random = ChaCha8Rng::seed_from_u64(number as u64);
    let mut counts = [Counts::default(); Alteration::ALL.len()];
    for (counts, alteration) in counts.iter_mut().zip(Alteration::ALL) {
        for _ in 0..times {
            let mut canvas = Canvas::of(&planes);
            if alteration.apply(&mut canvas, &other, &mut random) {
                *counts += check(&planes, canvas.into_planes()?);
            }
        }
    }
    Ok(Some(counts))
}

/// What the mark says of an altered image.
fn check(marked: &[Plane], mut altered: Vec<Plane>) -> Counts {
    let changed = changed(marked, &altered);
    let mut counts = Counts {
        planted: 1,
        ..Counts::default()
    };
    let width = marked[0].width();
    match reliability::verify(&mut altered, &key()) {
        Verdict::Authentic(_) => return counts,
        Verdict::Unmarked => {
            counts.noticed = 1;
            counts.unreadable = 1;
        }
        Verdict::Altered(altered) => {
            counts.noticed = 1;
            counts.blocks_named = altered.blocks.len();
            let touched = |block: &&Block| samples(block, width).any(|index| changed[index]);
            counts.blocks_right = altered.blocks.iter().filter(touched).count();
            // Every changed sample lies in a block that was named.
            let mut left = changed.clone();
            for index in altered
                .blocks
                .iter()
                .flat_map(|block| samples(block, width))
            {
                left[index] = false;
            }
            let complete = !left.contains(&true);
            counts.found = usize::from(complete && counts.blocks_right == counts.blocks_named);
        }
    }
    counts
}

/// Positions at which a sample of any plane differs.
fn changed(before: &[Plane], after: &[Plane]) -> Vec<bool> {
    let mut changed = vec![false; before[0].samples().len()];
    for (a, b) in before.iter().zip(after) {
        for ((changed, a), b) in changed.iter_mut().zip(a.samples()).zip(b.samples()) {
            *changed |= a != b;
        }
    }
    changed
}

/// Positions of a block's samples.
fn samples(block: &Block, width: usize) -> impl Iterator<Item = usize> + use<> {
    let (x, columns) = (block.x, block.width);
    (block.y..block.y + block.height)
        .flat_map(move |row| row * width + x..row * width + x + columns)
}

#[cfg(test)]
mod tests;
