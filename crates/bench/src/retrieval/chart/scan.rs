//! Scan rate against K, one panel for each number of threads (the fewest and the most), beside the read limit.

use anyhow::Result;
use plotters::prelude::*;

use super::{Area, COLOURS, FONT, INK, PALE, refused};
use crate::retrieval::report::{ReadLimit, Report, ScanRow};

pub(super) fn draw(area: &Area<'_>, report: &Report) -> Result<()> {
    let limits: Vec<&ReadLimit> = match report.read_limit.as_slice() {
        [] => Vec::new(),
        [only] => vec![only],
        [first, .., last] => vec![first, last],
    };
    let highest = report
        .scan
        .iter()
        .map(|row| row.gb_per_s)
        .chain(limits.iter().map(|limit| limit.gb_per_s))
        .fold(1.0, f64::max);
    for (panel, limit) in area
        .split_evenly((1, limits.len().max(1)))
        .iter()
        .zip(limits)
    {
        draw_panel(panel, report, limit, highest * 1.4)?;
    }
    Ok(())
}

fn draw_panel(area: &Area<'_>, report: &Report, limit: &ReadLimit, top: f64) -> Result<()> {
    let rows: Vec<&ScanRow> = report
        .scan
        .iter()
        .filter(|row| row.threads == limit.threads)
        .collect();
    let mut ks: Vec<usize> = rows.iter().map(|row| row.k).collect();
    ks.sort_unstable();
    ks.dedup();
    let x_of = |k: usize| (k as f64).log2();
    let right = ks.last().map_or(1.0, |k| x_of(*k)).max(1.0) + 0.25;
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("Scan, {} thread(s): plaintext × K", limit.threads),
            (FONT, 18).into_font().color(&INK),
        )
        .margin(18)
        .x_label_area_size(42)
        .y_label_area_size(56)
        .build_cartesian_2d(-0.25..right, 0.0..top)
        .map_err(refused)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(WHITE)
        .bold_line_style(PALE)
        .axis_style(INK)
        .label_style((FONT, 14).into_font().color(&INK))
        .x_labels(ks.len().max(2))
        .x_label_formatter(&|x| format!("{:.0}", x.exp2()))
        .x_desc("K, queries answered in one pass")
        .y_desc("GB/s")
        .draw()
        .map_err(refused)?;
    let expansion = report.shape.encoded_bytes as f64 / report.shape.plain_bytes as f64;
    let bounds = [
        (limit.gb_per_s, "sequential read limit"),
        (limit.gb_per_s / expansion, "as plaintext: limit of K = 1"),
    ];
    for ((height, name), style) in bounds
        .into_iter()
        .zip([INK.stroke_width(2), INK.stroke_width(1)])
    {
        chart
            .draw_series(DashedLineSeries::new(
                [(-0.25, height), (right, height)],
                8,
                5,
                style,
            ))
            .map_err(refused)?
            .label(format!("{name}: {height:.1}"))
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    let mut kernels: Vec<&str> = rows.iter().map(|row| row.kernel).collect();
    kernels.dedup();
    for (kernel, colour) in kernels.into_iter().zip(COLOURS) {
        let points: Vec<(f64, f64)> = rows
            .iter()
            .filter(|row| row.kernel == kernel)
            .map(|row| (x_of(row.k), row.gb_per_s))
            .collect();
        chart
            .draw_series(LineSeries::new(points, colour.filled().stroke_width(3)).point_size(4))
            .map_err(refused)?
            .label(kernel)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font((FONT, 14).into_font().color(&INK))
        .background_style(WHITE.mix(0.85))
        .border_style(PALE)
        .draw()
        .map_err(refused)
}
