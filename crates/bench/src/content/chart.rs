//! The report as drawings (SVG): rate and distortion, compression, tracing.

mod bars;
mod rates;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::report::Report;

const FONT: &str = "sans-serif";
const INK: RGBColor = RGBColor(40, 44, 52);
const PALE: RGBColor = RGBColor(225, 228, 232);
/// Told apart by people who do not see red and green as different, too (Okabe and Ito).
const COLOURS: [RGBColor; 5] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(150, 110, 0),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// Draws everything that was measured into `folder`, and says which files those are.
///
/// # Errors
/// If the folder cannot be written to, or the library refuses.
pub(crate) fn draw(report: &Report, folder: &Path) -> Result<Vec<String>> {
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let drawings = [
        ("rate-distortion.svg", rates::draw(report)?),
        ("compression.svg", bars::compression(report)?),
        ("tracing.svg", bars::tracing(report)?),
    ];
    let mut names = Vec::new();
    for (name, drawing) in drawings {
        let Some(drawing) = drawing else { continue };
        let file = folder.join(name);
        fs::write(&file, drawing).with_context(|| format!("cannot write {}", file.display()))?;
        names.push(file.display().to_string());
    }
    Ok(names)
}

/// A white area of this size with a title; what `inside` draws goes below it.
fn page(
    (width, height): (u32, u32),
    title: &str,
    inside: impl FnOnce(&Area<'_>) -> Result<()>,
) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, (width, height)).into_drawing_area();
        area.fill(&WHITE).map_err(refused)?;
        let (top, rest) = area.split_vertically(48);
        let style = (FONT, 22).into_font().color(&INK);
        top.draw(&Text::new(title.to_owned(), (24, 16), style))
            .map_err(refused)?;
        inside(&rest)?;
        area.present().map_err(refused)?;
    }
    Ok(text)
}

fn refused<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("the drawing failed: {error}")
}
