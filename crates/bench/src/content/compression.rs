//! Compactness: whole files in sealed packs, and pixels alone beside other codecs.

mod bundle;
mod codecs;

use std::collections::BTreeMap;

use anyhow::Result;
use serde::Serialize;

use super::images::{File, Image, Images, Modality};
use super::peers::Peers;
use super::plan::Plan;
use super::reliability::centre;
use crate::progress::Progress;
use bundle::Bundles;

pub(crate) use codecs::CodecRow;

/// Files of one modality with native pixel data.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    pub(crate) modality: Modality,
    pub(crate) synthetic: bool,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    /// Bytes of files for each byte of their packs, reliability marks inside.
    pub(crate) ratio: f64,
    /// The same without marks.
    pub(crate) ratio_unmarked: f64,
    /// Sealing on one core: reading, digests, marks, coding, checking it by decoding, encryption; 10^6 bytes of
    /// files a second.
    pub(crate) mb_per_s: f64,
    pub(crate) mb_per_s_unmarked: f64,
    /// Opening on one core: decryption, decoding, verifying and taking out marks, digests.
    pub(crate) open_mb_per_s: f64,
    /// Files all of whose frames carry a mark.
    pub(crate) marked: u64,
    /// The others, by why they do not.
    pub(crate) not_marked: BTreeMap<&'static str, u64>,
    /// The same pixels alone, by this and other codecs.
    pub(crate) pixels: Vec<CodecRow>,
}

/// Files that are kept as they came: compressed before, deflated, or of a rare form.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Kept {
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) ratio: f64,
}

/// All that is measured of compression.
#[derive(Debug, Clone)]
pub(crate) struct Figures {
    pub(crate) rows: Vec<Row>,
    pub(crate) kept: Option<Kept>,
    /// Files that came back byte for byte; any other ends the run.
    pub(crate) exact_files: usize,
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
) -> Result<Figures> {
    let mut figures = Figures {
        rows: Vec::new(),
        kept: None,
        exact_files: 0,
    };
    let mut others: Vec<&File> = Vec::new();
    for (modality, synthetic) in images.kinds() {
        let files = images.files_of(modality, synthetic);
        let (native, rest): (Vec<_>, Vec<_>) =
            files.iter().partition(|file| file.picture.is_some());
        others.extend(rest);
        let group = images.group(modality, synthetic);
        progress.say(format!("sealing {}", group.label()));
        let bundles = bundle::measure(&native, plan.seal_rounds)?;
        if bundles.files == 0 {
            continue;
        }
        figures.exact_files += bundles.files;
        progress.say(format!("coding pixels of {}", group.label()));
        let chosen = within(&group.pick(plan.codec_images), plan.codec_samples);
        let pixels = codecs::measure(&chosen, plan.codec_rounds, peers.as_mut())?;
        figures.rows.push(row(modality, synthetic, bundles, pixels));
    }
    progress.say("sealing what came compressed");
    let bundles = bundle::measure(&others, 1)?;
    figures.exact_files += bundles.files;
    figures.kept = (bundles.files > 0).then(|| Kept {
        files: bundles.files,
        bytes: bundles.bytes,
        ratio: bundles.bytes as f64 / bundles.packed as f64,
    });
    Ok(figures)
}

fn row(modality: Modality, synthetic: bool, bundles: Bundles, pixels: Vec<CodecRow>) -> Row {
    let (bytes, mb) = (bundles.bytes as f64, bundles.bytes as f64 / 1e6);
    Row {
        modality,
        synthetic,
        files: bundles.files,
        bytes: bundles.bytes,
        ratio: bytes / bundles.packed as f64,
        ratio_unmarked: bytes / bundles.unmarked_packed as f64,
        mb_per_s: mb / bundles.seal_seconds,
        mb_per_s_unmarked: mb / bundles.unmarked_seal_seconds,
        open_mb_per_s: mb / bundles.open_seconds,
        marked: bundles.marked,
        not_marked: bundles.not_marked,
        pixels,
    }
}

/// The middles of the first of these images, each and all together at most `samples` samples a colour; at least one.
fn within(images: &[&Image], samples: usize) -> Vec<Image> {
    let mut sum = 0;
    let cut = images.iter().map(|image| Image {
        planes: image
            .planes
            .iter()
            .map(|plane| centre(plane, samples))
            .collect(),
        ..(*image).clone()
    });
    cut.enumerate()
        .take_while(|(number, image)| {
            sum += image.planes[0].samples().len();
            *number == 0 || sum <= samples
        })
        .map(|(_, image)| image)
        .collect()
}

#[cfg(test)]
impl Row {
    /// Figures that nobody measured.
    pub(crate) fn sample(modality: Modality) -> Self {
        Row {
            modality,
            synthetic: false,
            files: 3,
            bytes: 3_000_000,
            ratio: 2.5,
            ratio_unmarked: 2.6,
            mb_per_s: 70.0,
            mb_per_s_unmarked: 90.0,
            open_mb_per_s: 80.0,
            marked: 3,
            not_marked: BTreeMap::new(),
            pixels: vec![CodecRow {
                codec: "Harpocrates".into(),
                ratio: 5.0,
                encode_mb_per_s: 200.0,
                decode_mb_per_s: 200.0,
                images: 3,
            }],
        }
    }
}
