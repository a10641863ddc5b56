//! The report as a drawing (SVG): the scan against the read limit, and growth.

mod growth;
mod scan;

use anyhow::{Result, anyhow};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::report::Report;

/// Width and height of the drawing, in pixels.
const SIZE: (u32, u32) = (1280, 1500);
/// Height of the scan's panels, the growth's get the rest.
const SCAN_HEIGHT: i32 = 560;
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

/// Draws the whole report.
///
/// # Errors
/// If there is nothing to draw or the library refuses.
pub(crate) fn draw(report: &Report) -> Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(refused)?;
        let (top, rest) = area.split_vertically(70);
        title(&top, report)?;
        let (scans, growths) = rest.split_vertically(SCAN_HEIGHT);
        scan::draw(&scans, report)?;
        growth::draw(&growths, report)?;
        area.present().map_err(refused)?;
    }
    Ok(text)
}

fn title(area: &Area<'_>, report: &Report) -> Result<()> {
    let shape = &report.shape;
    let first = "Oblivious retrieval: what the engine reaches, and how its costs grow";
    let second = format!(
        "N = {} slots of {} KiB, t = {}; {}, {} core(s), {}",
        shape.slots,
        shape.slot_bytes / 1024,
        shape.interleave,
        report.machine.cpu,
        report.machine.cores,
        report.machine.system,
    );
    area.draw(&Text::new(
        first,
        (24, 14),
        (FONT, 24).into_font().color(&INK),
    ))
    .map_err(refused)?;
    area.draw(&Text::new(
        second,
        (24, 46),
        (FONT, 15).into_font().color(&INK),
    ))
    .map_err(refused)
}

/// A range that holds all values with room to both sides on a logarithmic axis.
fn around(values: impl Iterator<Item = f64>) -> std::ops::Range<f64> {
    let (mut low, mut high) = (f64::INFINITY, 0.0f64);
    for value in values.filter(|value| value.is_finite() && *value > 0.0) {
        low = low.min(value);
        high = high.max(value);
    }
    if low > high {
        return 1.0..10.0;
    }
    low / 1.6..high * 1.6
}

fn refused<E: std::error::Error + Send + Sync>(error: DrawingAreaErrorKind<E>) -> anyhow::Error {
    anyhow!("the drawing failed: {error}")
}

#[cfg(test)]
mod tests {
    use super::around;

    #[test]
    fn a_range_has_room_and_never_is_empty() {
        let range = around([2.0, 8.0, f64::INFINITY].into_iter());
        assert!(range.start < 2.0 && range.end > 8.0 && range.end < 20.0);
        assert_eq!(around(std::iter::empty()), 1.0..10.0);
    }
}
