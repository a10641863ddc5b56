//! What the reliability mark costs: rate and distortion of its engine beside published schemes, the
//! mark as it is used, and speed.

mod mark;
mod rates;
mod speed;

use anyhow::Result;
use harpo_watermark::Plane;
use serde::Serialize;

use super::images::{Group, Image, Images};
use super::plan::Plan;
use crate::progress::Progress;

pub(crate) use mark::MarkRow;
pub(crate) use mark::{key, marked};
pub(crate) use rates::{GainRow, RateRow, centre};
#[cfg(test)]
pub(crate) use speed::Rate;
pub(crate) use speed::{Speed, cold, slices};

/// Smaller images are left out: what a decoder must be told would be a good part of the payload.
const LEAST_SAMPLES: usize = 128 * 128;
/// Where there are images of this size, smaller ones are left out for the same reason.
const FAIR_SAMPLES: usize = 256 * 256;

/// All that was measured.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Reliability {
    /// The engine of this project, with its gain.
    pub(crate) gains: Vec<GainRow>,
    /// Every scheme.
    pub(crate) rates: Vec<RateRow>,
    /// The mark as it is used.
    pub(crate) marks: Vec<MarkRow>,
    pub(crate) speed: Speed,
    /// Of whole CT slices, warm; million pixels a second.
    pub(crate) whole: Option<f64>,
}

/// Rates on all cores, speed on one.
///
/// # Errors
/// If a marked image does not come back exactly.
pub(crate) fn measure(plan: &Plan, images: &Images, progress: &Progress) -> Result<Reliability> {
    let (mut rates, mut gains, mut marks) = (Vec::new(), Vec::new(), Vec::new());
    let mut timed = Vec::new();
    for group in images.groups() {
        let chosen = choose(&group, plan.distortion_images);
        if chosen.is_empty() {
            continue;
        }
        progress.say(format!("hiding bits in {}", group.label()));
        let curves = rates::curves(&chosen, plan.distortion_samples);
        rates.extend(rates::rates(&group, &curves));
        gains.extend(rates::gains(&group, &curves));
        progress.say(format!("marking {}", group.label()));
        marks.push(mark::measure(&group, &chosen)?);
        timed.push((group, chosen));
    }
    progress.say("timing marks");
    Ok(Reliability {
        gains,
        rates,
        marks,
        speed: speed::measure(&timed, plan.rounds)?,
        whole: speed::whole(&speed::slices(images), plan.rounds)?,
    })
}

/// At most `wanted` images that differ and are large enough, evenly spread over the group.
pub(crate) fn choose<'a>(group: &Group<'a>, wanted: usize) -> Vec<&'a Image> {
    let mut distinct: Vec<&'a Image> = Vec::new();
    for image in &group.images {
        let samples = image.planes[0].samples().len();
        if samples >= LEAST_SAMPLES && distinct.iter().all(|other| other.planes != image.planes) {
            distinct.push(image);
        }
    }
    let fair = |image: &&Image| image.planes[0].samples().len() >= FAIR_SAMPLES;
    if distinct.iter().any(fair) {
        distinct.retain(fair);
    }
    let distinct = Group {
        images: distinct,
        ..*group
    };
    distinct.pick(wanted)
}

/// The plane that the mark changes: the only one, or the green one of three.
fn carrier(image: &Image) -> &Plane {
    &image.planes[image.planes.len() / 2]
}

/// How far a plane was changed.
#[derive(Debug, Clone, Copy)]
struct Change {
    /// Mean of squared differences.
    mse: f64,
    /// The same with the peak, 2^depth − 1, as unit: what images of different depths can be
    /// averaged in.
    relative: f64,
    largest: u16,
}

impl Change {
    fn between(before: &Plane, after: &Plane) -> Self {
        let (mut squares, mut largest) = (0u64, 0);
        for (a, b) in before.samples().iter().zip(after.samples()) {
            let error = a.abs_diff(*b);
            squares += u64::from(error).pow(2);
            largest = largest.max(error);
        }
        let mse = squares as f64 / before.samples().len() as f64;
        Change {
            mse,
            relative: mse / f64::from(before.max()).powi(2),
            largest,
        }
    }
}

/// Of several images.
#[derive(Debug, Clone, Copy, Default)]
struct Mean {
    images: usize,
    mse: f64,
    relative: f64,
    largest: u16,
}

impl Mean {
    fn of(changes: impl Iterator<Item = Change>) -> Self {
        changes.fold(Mean::default(), |mean, change| Mean {
            images: mean.images + 1,
            mse: mean.mse + change.mse,
            relative: mean.relative + change.relative,
            largest: mean.largest.max(change.largest),
        })
    }

    fn mse(&self) -> Option<f64> {
        (self.images > 0).then(|| self.mse / self.images as f64)
    }

    /// Of the mean square error; `None` of no images, or if nothing changed.
    fn psnr_db(&self) -> Option<f64> {
        let mean = self.relative / self.images as f64;
        (mean > 0.0).then(|| -10.0 * mean.log10())
    }
}

#[cfg(test)]
mod tests;
