//! Compactness: whole files in sealed packs, and pixels alone beside other codecs.

mod codecs;

use anyhow::Result;
use serde::Serialize;

use super::images::{Image, Images, Modality};
use super::peers::Peers;
use super::plan::Plan;
use crate::progress::Progress;

pub(crate) use codecs::CodecRow;

/// Files of one modality.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) modality: Modality,
    pub(crate) synthetic: bool,
    /// The same pixels alone, by this and other codecs.
    pub(crate) pixels: Vec<CodecRow>,
}

/// Every modality.
///
/// # Errors
/// If anything does not come back as it was.
pub(crate) fn measure(
    plan: &Plan,
    images: &Images,
    mut peers: Option<Peers>,
    progress: &Progress,
) -> Result<Vec<Row>> {
    images
        .groups()
        .iter()
        .map(|group| {
            progress.say(format!("compressing {}", group.label()));
            let chosen = within(&group.pick(plan.codec_images), plan.codec_samples);
            Ok(Row {
                modality: group.modality,
                synthetic: group.synthetic,
                pixels: codecs::measure(&chosen, plan.codec_rounds, peers.as_mut())?,
            })
        })
        .collect()
}

/// The first of these images that have at most `samples` samples together; at least one.
fn within<'a>(images: &[&'a Image], samples: usize) -> Vec<&'a Image> {
    let mut sum = 0;
    let fitting = images.iter().enumerate().take_while(|(number, image)| {
        sum += image
            .planes
            .iter()
            .map(|plane| plane.samples().len())
            .sum::<usize>();
        *number == 0 || sum <= samples
    });
    fitting.map(|(_, image)| *image).collect()
}
