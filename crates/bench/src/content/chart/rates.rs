//! Rate and distortion: a panel for each group of images, a line for each scheme.

use anyhow::Result;
use plotters::prelude::*;

use super::{Area, COLOURS, FONT, INK, PALE, page, refused};
use crate::content::images::{Modality, label};
use crate::content::report::Report;

const PANEL: (u32, u32) = (460, 360);
const COLUMNS: usize = 3;

/// `None` if nothing was measured.
pub(super) fn draw(report: &Report) -> Result<Option<String>> {
    let mut groups: Vec<(Modality, bool)> = Vec::new();
    for row in &report.reliability {
        if !groups.contains(&(row.modality, row.synthetic)) {
            groups.push((row.modality, row.synthetic));
        }
    }
    if groups.is_empty() {
        return Ok(None);
    }
    let columns = groups.len().min(COLUMNS);
    let rows = groups.len().div_ceil(columns);
    let size = (
        PANEL.0 * (columns as u32).max(2),
        PANEL.1 * rows as u32 + 48,
    );
    let title =
        "Reversible hiding: PSNR (dB, peak 2^BitsStored − 1) against payload (bits a pixel)";
    page(size, title, |area| {
        let panels = area.split_evenly((rows, columns));
        for (panel, group) in panels.iter().zip(&groups) {
            one(panel, report, *group)?;
        }
        Ok(())
    })
    .map(Some)
}

fn one(area: &Area<'_>, report: &Report, group: (Modality, bool)) -> Result<()> {
    let schemes = report.schemes_of(group);
    let points = |index: usize| -> Vec<(f64, f64)> {
        let rows = schemes.get(index).map(|(_, rows)| rows.iter());
        rows.into_iter()
            .flatten()
            .filter_map(|row| Some((row.bpp, row.psnr_db?)))
            .collect()
    };
    let all: Vec<(f64, f64)> = (0..schemes.len()).flat_map(points).collect();
    let low = all.iter().map(|(_, y)| *y).fold(f64::INFINITY, f64::min);
    let high = all.iter().map(|(_, y)| *y).fold(0.0, f64::max);
    if all.is_empty() {
        return Ok(());
    }
    let mut chart = ChartBuilder::on(area)
        .caption(label(group.0, group.1), (FONT, 16).into_font().color(&INK))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(44)
        .build_cartesian_2d(0.0..1.05, low - 1.0..high + 2.0)
        .map_err(refused)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(PALE)
        .axis_style(INK)
        .label_style((FONT, 13).into_font().color(&INK))
        .x_labels(6)
        .y_labels(8)
        .x_label_formatter(&|x| format!("{x:.1}"))
        .y_label_formatter(&|y| format!("{y:.0}"))
        .draw()
        .map_err(refused)?;
    for (index, ((name, _), colour)) in schemes.iter().zip(COLOURS).enumerate() {
        let width = if index == 0 { 3 } else { 2 };
        let line = LineSeries::new(points(index), colour.filled().stroke_width(width));
        chart
            .draw_series(line.point_size(3))
            .map_err(refused)?
            .label(*name)
            .legend(move |(x, y)| {
                PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(width))
            });
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .label_font((FONT, 13).into_font().color(&INK))
        .background_style(WHITE.mix(0.85))
        .border_style(PALE)
        .draw()
        .map_err(refused)
}
