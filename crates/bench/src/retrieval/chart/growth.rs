//! Growth on logarithmic axes: bytes above, milliseconds below; against N, R and k from left to right, the other
//! two held at the middle of what was measured.

use anyhow::Result;
use plotters::prelude::*;

use super::{Area, COLOURS, FONT, INK, PALE, around, refused};
use crate::retrieval::report::{GrowthRow, Report};
use crate::retrieval::table::bytes;

/// A line of a panel.
type Series = (&'static str, fn(&GrowthRow) -> f64);

const SIZES: [Series; 4] = [
    ("memory of the server", |row| row.encoded_bytes as f64),
    ("hint, once", |row| row.hint_bytes as f64),
    ("down", |row| row.bytes_down as f64),
    ("up", |row| row.bytes_up as f64),
];
const TIMES: [Series; 3] = [
    ("sealing, once", |row| row.seal_ms),
    ("server", |row| row.server_ms),
    ("client", |row| row.client_ms),
];

/// What runs along the horizontal axis.
struct Axis {
    name: &'static str,
    of: fn(&GrowthRow) -> f64,
    label: fn(f64) -> String,
}

const AXES: [Axis; 3] = [
    Axis {
        name: "N, slots",
        of: |row| f64::from(row.slots),
        label: |x| format!("{x:.0}"),
    },
    Axis {
        name: "R, bytes of a slot",
        of: |row| f64::from(row.slot_bytes),
        label: |x| bytes(x.round() as u64),
    },
    Axis {
        name: "k, records wanted",
        of: |row| row.k as f64,
        label: |x| format!("{x:.0}"),
    },
];

pub(super) fn draw(area: &Area<'_>, report: &Report) -> Result<()> {
    let rows = &report.growth;
    let panels = area.split_evenly((2, AXES.len()));
    let (above, below) = panels.split_at(AXES.len());
    let middles: Vec<f64> = AXES.iter().map(|axis| middle(rows, axis)).collect();
    for (index, axis) in AXES.iter().enumerate() {
        let chosen: Vec<&GrowthRow> = rows
            .iter()
            .filter(|row| {
                let others = AXES.iter().zip(&middles).enumerate();
                others
                    .filter(|(other, _)| *other != index)
                    .all(|(_, (axis, middle))| (axis.of)(row) == *middle)
            })
            .collect();
        let held: Vec<String> = AXES
            .iter()
            .zip(&middles)
            .enumerate()
            .filter(|(other, _)| *other != index)
            .map(|(_, (axis, middle))| format!("{} = {}", &axis.name[..1], (axis.label)(*middle)))
            .collect();
        let held = held.join(", ");
        panel(&above[index], &chosen, axis, &SIZES, "bytes", &held)?;
        panel(&below[index], &chosen, axis, &TIMES, "ms", &held)?;
    }
    Ok(())
}

/// The middle one of an axis' values.
fn middle(rows: &[GrowthRow], axis: &Axis) -> f64 {
    let mut values: Vec<f64> = rows.iter().map(axis.of).collect();
    values.sort_by(f64::total_cmp);
    values.dedup();
    values.get(values.len() / 2).copied().unwrap_or(1.0)
}

fn panel(
    area: &Area<'_>,
    rows: &[&GrowthRow],
    axis: &Axis,
    series: &[Series],
    unit: &str,
    held: &str,
) -> Result<()> {
    let values = rows
        .iter()
        .flat_map(|row| series.iter().map(|(_, of)| of(row)));
    let heights = around(values);
    let bytes_axis = unit == "bytes";
    let mut chart = ChartBuilder::on(area)
        .caption(
            format!("{unit} against {} ({held})", &axis.name[..1]),
            (FONT, 16).into_font().color(&INK),
        )
        .margin(14)
        .x_label_area_size(40)
        .y_label_area_size(if bytes_axis { 66 } else { 52 })
        .build_cartesian_2d(
            around(rows.iter().map(|row| (axis.of)(row)))
                .log_scale()
                .base(2.0),
            // Room for the names above the lines.
            (heights.start..heights.end * 40.0).log_scale(),
        )
        .map_err(refused)?;
    chart
        .configure_mesh()
        .light_line_style(WHITE)
        .bold_line_style(PALE)
        .axis_style(INK)
        .label_style((FONT, 13).into_font().color(&INK))
        .x_labels(6)
        .y_labels(7)
        .x_label_formatter(&|x| (axis.label)(*x))
        .y_label_formatter(&|y| height(*y, bytes_axis))
        .x_desc(axis.name)
        .draw()
        .map_err(refused)?;
    for ((name, of), colour) in series.iter().zip(COLOURS) {
        let points: Vec<(f64, f64)> = rows.iter().map(|row| ((axis.of)(row), of(row))).collect();
        chart
            .draw_series(LineSeries::new(points, colour.filled().stroke_width(2)).point_size(3))
            .map_err(refused)?
            .label(*name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .label_font((FONT, 13).into_font().color(&INK))
        .background_style(WHITE.mix(0.85))
        .border_style(PALE)
        .draw()
        .map_err(refused)
}

fn height(value: f64, is_bytes: bool) -> String {
    match (is_bytes, value) {
        (true, v) if v >= 1e9 => format!("{:.0} GB", v / 1e9),
        (true, v) if v >= 1e6 => format!("{:.0} MB", v / 1e6),
        (true, v) if v >= 1e3 => format!("{:.0} kB", v / 1e3),
        (true, v) => format!("{v:.0} B"),
        (false, v) if v >= 1.0 => format!("{v:.0}"),
        (false, v) => format!("{v}"),
    }
}
