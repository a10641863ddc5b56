//! Studies that are exported: slices of one modality with what a viewer would show of them.

use harpo_watermark::Plane;
use harpo_watermark::tracing::Display;

use super::attack::Levels;
use crate::content::images::{Image, Images, Modality};

/// Smaller slices have too few chips to speak of.
const LEAST_SIDE: usize = 192;

/// Grey slices of one modality.
pub(super) struct Study<'a> {
    pub(super) modality: Modality,
    pub(super) synthetic: bool,
    pub(super) slices: Vec<Slice<'a>>,
}

/// An original.
pub(super) struct Slice<'a> {
    pub(super) plane: &'a Plane,
    /// What the mark is made for.
    pub(super) display: Display,
    /// What a viewer shows, in samples of the plane.
    pub(super) window: Levels,
    /// Standard deviation of the noise.
    pub(super) sigma: f64,
}

impl Study<'_> {
    /// What a leak is searched in.
    pub(super) fn originals(&self) -> Vec<Plane> {
        self.slices
            .iter()
            .map(|slice| slice.plane.clone())
            .collect()
    }
}

/// Studies of fewer slices are left out where there are others.
const LEAST_SLICES: usize = 4;

/// A study of at most `slices` slices of each group that has enough of a fair size.
pub(super) fn of(images: &Images, slices: usize) -> Vec<Study<'_>> {
    let groups = images.groups();
    let studies = groups.iter().map(|group| {
        let mut fitting = group.clone();
        fitting
            .images
            .retain(|image| match image.planes.as_slice() {
                [plane] => plane.width().min(plane.height()) >= LEAST_SIDE,
                _ => false,
            });
        Study {
            modality: group.modality,
            synthetic: group.synthetic,
            slices: fitting.pick(slices).into_iter().map(slice).collect(),
        }
    });
    let mut studies: Vec<Study<'_>> = studies.filter(|study| !study.slices.is_empty()).collect();
    let longest = studies.iter().map(|study| study.slices.len()).max();
    let least = LEAST_SLICES.min(longest.unwrap_or(0));
    studies.retain(|study| study.slices.len() >= least);
    studies
}

fn slice(image: &Image) -> Slice<'_> {
    let plane = &image.planes[0];
    let window = asked(image).unwrap_or_else(|| bright(plane));
    Slice {
        plane,
        display: Display::of(
            plane,
            asked(image).map(|window| (window.white - window.black) as f32),
        ),
        window,
        sigma: sigma(plane),
    }
}

/// The window that the file asks for, in samples of the plane.
fn asked(image: &Image) -> Option<Levels> {
    let (centre, width) = image.window?;
    let (slope, intercept) = image.rescale;
    if !(width >= 1.0 && slope > 0.0) {
        return None;
    }
    let zero = if image.signed {
        f64::from(1u32 << (image.planes[0].depth() - 1))
    } else {
        0.0
    };
    let stored = |value: f64| (value - intercept) / slope + zero;
    Some(Levels {
        black: stored(centre - width / 2.0),
        white: stored(centre + width / 2.0),
    })
}

/// Around the brighter half of the samples.
fn bright(plane: &Plane) -> Levels {
    let mut sorted = plane.samples().to_vec();
    sorted.sort_unstable();
    let at = |share: f64| f64::from(sorted[((sorted.len() - 1) as f64 * share) as usize]);
    Levels {
        black: at(0.4),
        white: at(0.995).max(at(0.4) + 16.0),
    }
}

/// From the middle one of the second differences' sizes, where there are any: edges are rare.
fn sigma(plane: &Plane) -> f64 {
    let (width, samples) = (plane.width(), plane.samples());
    let mut sizes: Vec<u32> = (0..samples.len() - width - 1)
        .filter(|at| at % width != width - 1)
        .map(|at| {
            let value = |at: usize| i32::from(samples[at]);
            let across = value(at) - value(at + 1);
            (across - value(at + width) + value(at + width + 1)).unsigned_abs()
        })
        .filter(|size| *size > 0)
        .collect();
    sizes.sort_unstable();
    // The difference of four independent values has twice their deviation; 0.6745 of it is the middle of the sizes.
    f64::from(sizes.get(sizes.len() / 2).copied().unwrap_or(0)) / (2.0 * 0.6745)
}
