//! Content protection, measured: `cargo xtask bench content`.

mod accusations;
mod baselines;
mod chart;
mod compression;
mod images;
mod localisation;
mod peers;
mod plan;
mod reliability;
mod report;
mod synthetic;
mod table;
mod tracing;

use std::fs;

use anyhow::{Context, Result};

use crate::machine::Machine;
use crate::progress::Progress;

use images::{Images, Modality};
use peers::Peers;
pub(crate) use plan::Options;
use plan::Plan;
use report::{ImagesRow, Report};

/// Measures, prints, and writes the files that were asked for.
///
/// # Errors
/// If there are no images, anything did not come back exactly, or a file cannot be written.
pub(crate) fn run(options: &Options) -> Result<()> {
    let report = measure(&Plan::new(options))?;
    print!("{}", table::render(&report));
    if let Some(file) = &options.json {
        let json = serde_json::to_string_pretty(&report)?;
        fs::write(file, json + "\n").with_context(|| format!("cannot write {}", file.display()))?;
        println!("figures: {}", file.display());
    }
    if let Some(folder) = &options.svg {
        for drawing in chart::draw(&report, folder)? {
            println!("drawing: {drawing}");
        }
    }
    Ok(())
}

/// Everything, in one process and one go.
fn measure(plan: &Plan) -> Result<Report> {
    let progress = Progress::new();
    progress.say("reading images");
    let images = read(plan)?;
    // Before anything else is marked, sealed or coded.
    let mark_cold_mpix_per_s = reliability::cold(&reliability::slices(&images));
    let (peers, peers_missing) = match Peers::start() {
        Ok(peers) => (Some(peers), None),
        Err(error) => (None, Some(format!("{error:#}"))),
    };
    let compressed = compression::measure(plan, &images, peers, &progress)?;
    let hidden = reliability::measure(plan, &images, &progress)?;
    let localisation = localisation::measure(plan, &images, &progress)?;
    let traced = tracing::measure(plan, &images, &progress)?;
    let false_accusations = accusations::measure(plan, &images, &progress)?;
    Ok(Report {
        subject: "content",
        quick: plan.quick,
        machine: Machine::read(),
        images: rows(&images),
        refused: images.refused,
        left_out: images.left_out,
        compression: compressed.rows,
        kept: compressed.kept,
        exact_files: compressed.exact_files,
        peers_missing,
        reliability: hidden.gains,
        reliability_schemes: hidden.rates,
        reliability_mark: hidden.marks,
        mark_mpix_per_s: hidden.whole.or(hidden.speed.rate.mark),
        mark_cold_mpix_per_s,
        mark_speed: hidden.speed,
        localisation,
        tracing: traced.rows,
        tracing_distortion: traced.distortion,
        false_accusations,
    })
}

/// The files of the folders that were named; else pydicom's, if there are any, and synthetic ones.
fn read(plan: &Plan) -> Result<Images> {
    if !plan.folders.is_empty() {
        return Images::read(&plan.folders, plan.modality_bytes, Vec::new());
    }
    let folders: Vec<_> = peers::pydicom_files().into_iter().collect();
    let mut made = synthetic::images(plan.synthetic);
    // Studies that are exported have several slices.
    for modality in [Modality::Ct, Modality::Mr] {
        made.extend((1..plan.slices).map(|slice| (modality, synthetic::image(modality, 0, slice))));
    }
    Images::read(&folders, plan.modality_bytes, made)
}

/// What there is of each modality, real and synthetic apart.
fn rows(images: &Images) -> Vec<ImagesRow> {
    let row = |(modality, synthetic)| {
        let files = images.files_of(modality, synthetic);
        let group = images.group(modality, synthetic);
        let planes = group.images.iter().flat_map(|image| &image.planes);
        ImagesRow {
            modality,
            synthetic,
            files: files.len(),
            native: files.iter().filter(|file| file.picture.is_some()).count(),
            images: group.images.len(),
            megapixels: planes.map(|plane| plane.samples().len() as f64 / 1e6).sum(),
        }
    };
    images.kinds().into_iter().map(row).collect()
}
