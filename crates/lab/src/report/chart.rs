//! Drawings (SVG).

use plotters::coord::Shift;
use plotters::coord::ranged1d::{AsRangedCoord, ValueFormatter};
use plotters::prelude::*;

pub(crate) type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

pub(crate) const FONT: &str = "sans-serif";
pub(crate) const INK: RGBColor = RGBColor(40, 44, 52);
pub(crate) const PALE: RGBColor = RGBColor(225, 228, 232);
/// Told apart by people who do not see red and green as different, too (Okabe and Ito).
pub(crate) const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(150, 110, 0),
    RGBColor(86, 180, 233),
    RGBColor(90, 90, 90),
];

/// A drawing that failed.
#[derive(Debug, thiserror::Error)]
#[error("the drawing failed: {0}")]
pub struct ChartError(String);

pub(crate) fn refused<E: std::error::Error + Send + Sync>(
    error: DrawingAreaErrorKind<E>,
) -> ChartError {
    ChartError(error.to_string())
}

/// Points under a name, joined.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

impl Line {
    pub(crate) fn new(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self {
            name: name.to_owned(),
            points,
        }
    }

    /// Without points that lie nowhere.
    fn finite(&self) -> impl Iterator<Item = (f64, f64)> + '_ {
        let points = self.points.iter().copied();
        points.filter(|(x, y)| x.is_finite() && y.is_finite())
    }
}

/// Lines in one panel, with axes that are logarithmic where `logarithmic` says so.
pub(crate) fn lines(
    area: &Area<'_>,
    title: &str,
    axes: (&str, &str),
    logarithmic: (bool, bool),
    lines: &[Line],
) -> Result<(), ChartError> {
    let x = range(
        lines.iter().flat_map(|l| &l.points).map(|p| p.0),
        logarithmic.0,
    );
    let y = range(
        lines.iter().flat_map(|l| &l.points).map(|p| p.1),
        logarithmic.1,
    );
    match logarithmic {
        (true, true) => panel(area, title, axes, x.log_scale(), y.log_scale(), lines),
        (true, false) => panel(area, title, axes, x.log_scale(), y, lines),
        (false, true) => panel(area, title, axes, x, y.log_scale(), lines),
        (false, false) => panel(area, title, axes, x, y, lines),
    }
}

fn panel<X, Y>(
    area: &Area<'_>,
    title: &str,
    axes: (&str, &str),
    x: X,
    y: Y,
    lines: &[Line],
) -> Result<(), ChartError>
where
    X: AsRangedCoord<Value = f64>,
    Y: AsRangedCoord<Value = f64>,
    X::CoordDescType: ValueFormatter<f64>,
    Y::CoordDescType: ValueFormatter<f64>,
{
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 17).into_font().color(&INK))
        .margin(14)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(x, y)
        .map_err(refused)?;
    chart
        .configure_mesh()
        .x_desc(axes.0)
        .y_desc(axes.1)
        .axis_style(PALE)
        .bold_line_style(PALE)
        .light_line_style(TRANSPARENT)
        .label_style((FONT, 13).into_font().color(&INK))
        .x_label_formatter(&|value| figure(*value))
        .y_label_formatter(&|value| figure(*value))
        .draw()
        .map_err(refused)?;
    for (number, line) in lines.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        chart
            .draw_series(LineSeries::new(line.finite(), colour.stroke_width(2)).point_size(3))
            .map_err(refused)?
            .label(line.name.clone())
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], colour.stroke_width(3)));
    }
    chart
        .configure_series_labels()
        .border_style(PALE)
        .background_style(WHITE.mix(0.85))
        .label_font((FONT, 13).into_font().color(&INK))
        .position(SeriesLabelPosition::UpperRight)
        .draw()
        .map_err(refused)
}

/// A number with as many figures as it needs.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        v if v >= 1000.0 || v == 0.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.0}"),
        v if v >= 0.1 => {
            let text = format!("{value:.2}");
            text.trim_end_matches('0').trim_end_matches('.').to_owned()
        }
        _ => format!("{value:.3}"),
    }
}

/// A range that holds all values, with room.
fn range(values: impl Iterator<Item = f64>, logarithmic: bool) -> std::ops::Range<f64> {
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|v| v.is_finite() && (!logarithmic || *v > 0.0)) {
        low = low.min(value);
        high = high.max(value);
    }
    match (low <= high, logarithmic) {
        (false, false) => 0.0..1.0,
        (false, true) => 1.0..10.0,
        (true, true) => low / 1.5..high * 1.8,
        (true, false) => {
            let room = ((high - low) * 0.08).max(1e-3);
            low - room..high + room * 2.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_have_room_and_are_never_empty() {
        assert_eq!(range(std::iter::empty(), false), 0.0..1.0);
        assert_eq!(range([f64::NAN].into_iter(), true), 1.0..10.0);
        let one = range([2.0].into_iter(), false);
        assert!(one.start < 2.0 && one.end > 2.0);
        let wide = range([1.0, 0.0, 100.0].into_iter(), true);
        assert!(wide.start > 0.0 && wide.start < 1.0 && wide.end > 100.0);
    }

    #[test]
    fn figures_are_short() {
        let shown = [0.5, 0.125, 60.0, 3600.0, 0.0, 0.004].map(figure);
        assert_eq!(shown, ["0.5", "0.12", "60", "3600", "0", "0.004"]);
    }
}
