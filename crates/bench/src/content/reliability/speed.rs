//! How fast marks go on and off, on one core.

use anyhow::{Result, ensure};
use harpo_watermark::reliability::{self, Verdict};
use harpo_watermark::reversible::{self, Frozen};
use serde::Serialize;

use super::super::images::{Group, Image, Images, Modality};
use super::carrier;
use super::mark::{key, marked, message};
use crate::clock::{Samples, timed};

/// Million pixels a second and core; a pixel of a colour image counts once, not for each plane.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Rate {
    /// The whole mark, put on.
    pub(crate) mark: Option<f64>,
    /// Checked, taken off, and the original confirmed.
    pub(crate) verify: Option<f64>,
    /// The engine alone, hiding as many bits as the mark does.
    pub(crate) engine_embed: Option<f64>,
    pub(crate) engine_extract: Option<f64>,
}

/// Of one group.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct SpeedRow {
    pub(crate) modality: Modality,
    pub(crate) synthetic: bool,
    #[serde(flatten)]
    pub(crate) rate: Rate,
}

/// All pixels over all time, and each group.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Speed {
    #[serde(flatten)]
    pub(crate) rate: Rate,
    pub(crate) rows: Vec<SpeedRow>,
}

/// Seconds of one image, a sample for each round.
#[derive(Default)]
struct Times {
    pixels: usize,
    steps: [Samples; 4],
}

/// Every round visits every image; an image's time is the middle one of its rounds.
pub(super) fn measure(groups: &[(Group<'_>, Vec<&Image>)], rounds: usize) -> Result<Speed> {
    let mut times: Vec<Vec<Times>> = groups
        .iter()
        .map(|(_, images)| images.iter().map(|_| Times::default()).collect())
        .collect();
    for _ in 0..rounds {
        for ((_, images), times) in groups.iter().zip(&mut times) {
            for (image, times) in images.iter().zip(times) {
                visit(image, times)?;
            }
        }
    }
    let rows = groups
        .iter()
        .zip(&times)
        .map(|((group, _), times)| SpeedRow {
            modality: group.modality,
            synthetic: group.synthetic,
            rate: rate(times.iter()),
        });
    Ok(Speed {
        rows: rows.collect(),
        rate: rate(times.iter().flatten()),
    })
}

/// Whole images of at least as many pixels say how fast marking is.
const WHOLE: usize = 512 * 512;
/// As many of them.
const WHOLE_IMAGES: usize = 4;

/// Whole CT slices, real ones first.
pub(crate) fn slices(images: &Images) -> Vec<&Image> {
    let groups = [false, true].map(|synthetic| images.group(Modality::Ct, synthetic).images);
    let large = groups.into_iter().flatten();
    large
        .filter(|image| image.planes[0].samples().len() >= WHOLE)
        .take(WHOLE_IMAGES)
        .collect()
}

/// Million pixels a second of marks put on these images, the middle one of the rounds of each; warm,
/// because each visit has marked the image before it is timed. `None` if there are none.
pub(crate) fn whole(images: &[&Image], rounds: usize) -> Result<Option<f64>> {
    let mut times: Vec<Times> = images.iter().map(|_| Times::default()).collect();
    for _ in 0..rounds {
        for (image, times) in images.iter().zip(&mut times) {
            visit(image, times)?;
        }
    }
    Ok(rate(times.iter()).mark)
}

/// The same of the first mark that a process puts on; to be called before any other.
pub(crate) fn cold(images: &[&Image]) -> Option<f64> {
    let image = images.first()?;
    let (marked, seconds) = timed(|| marked(&image.planes, 0));
    let pixels = image.planes[0].samples().len() as f64;
    marked.ok().map(|_| pixels / 1e6 / seconds)
}

/// Pixels of all images over the sum of their middle times.
fn rate<'a>(times: impl Iterator<Item = &'a Times> + Clone) -> Rate {
    let step = |step: usize| {
        let timed = times.clone().filter(|times| times.steps[step].visits() > 0);
        let (pixels, seconds) = timed.fold((0, 0.0), |(pixels, seconds), times| {
            (pixels + times.pixels, seconds + times.steps[step].median())
        });
        (pixels > 0).then(|| pixels as f64 / 1e6 / seconds)
    };
    Rate {
        mark: step(0),
        verify: step(1),
        engine_embed: step(2),
        engine_extract: step(3),
    }
}

/// One visit; nothing is timed of an image that has no room for a mark.
fn visit(image: &Image, times: &mut Times) -> Result<()> {
    let Ok((_, distortion)) = marked(&image.planes, 0) else {
        return Ok(());
    };
    times.pixels = image.planes[0].samples().len();
    let mut planes = image.planes.clone();
    let (message, key) = (message(0), key());
    let (marked, seconds) = timed(|| reliability::embed(&mut planes, &key, &message));
    marked?;
    times.steps[0].push(seconds);
    let (verdict, seconds) = timed(|| reliability::verify(&mut planes, &key));
    ensure!(
        matches!(verdict, Verdict::Authentic(_)) && planes == image.planes,
        "the mark of {} did not come off exactly",
        image.name
    );
    times.steps[1].push(seconds);

    let payload = vec![0x5a; distortion.payload_bits.div_ceil(8)];
    let mut plane = carrier(image).clone();
    let frozen = Frozen::none(&plane);
    let (parameters, seconds) = timed(|| reversible::embed(&mut plane, &frozen, &payload));
    let Ok(parameters) = parameters else {
        return Ok(());
    };
    times.steps[2].push(seconds);
    let (found, seconds) = timed(|| reversible::extract(&mut plane, &frozen, &parameters));
    ensure!(
        found.is_ok_and(|found| found == payload) && plane == *carrier(image),
        "what was hidden in {} did not come back exactly",
        image.name
    );
    times.steps[3].push(seconds);
    Ok(())
}
