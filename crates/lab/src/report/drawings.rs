//! The drawings of a report: what every system hides, and how leaks and costs move.

use plotters::prelude::*;

use super::chart::{Area, COLOURS, ChartError, FONT, INK, Line, PALE, lines, refused};
use super::goal::TOLERANCE;
use super::{Mark, Report, Row, Sweep, text};

const WIDTH: u32 = 1180;
const LINE: i32 = 18;
/// Room for the names of systems.
const NAMES: i32 = 190;
/// Of a panel, half the width of the drawing.
const PANEL: i32 = WIDTH as i32 / 2;
/// What a panel shows of AUC.
const SHOWN: (f64, f64) = (0.4, 1.0);

/// A drawing and what it shows.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Name of its file, without `.svg`.
    pub name: String,
    /// What it shows, in a sentence or two.
    pub caption: String,
    /// SVG.
    pub svg: String,
}

/// All drawings for which there are figures.
///
/// # Errors
/// [`ChartError`].
pub fn drawings(report: &Report) -> Result<Vec<Drawing>, ChartError> {
    let mut drawings = Vec::new();
    if !report.rows.is_empty() {
        drawings.push(Drawing {
            name: "auc".to_owned(),
            caption: "Area under the curve of the best attack, with its 95 % interval. 0.5 is a guess; the band is what \
                      the product promises where it promises anything."
                .to_owned(),
            svg: intervals(report)?,
        });
    }
    for sweep in &report.sweeps {
        if let Some((title, axes, logarithmic, caption)) = about(&sweep.name) {
            drawings.push(Drawing {
                name: sweep.name.clone(),
                caption: caption.to_owned(),
                svg: swept(sweep, title, axes, logarithmic)?,
            });
        }
    }
    Ok(drawings)
}

type About = (
    &'static str,
    (&'static str, &'static str),
    (bool, bool),
    &'static str,
);

fn about(sweep: &str) -> Option<About> {
    match sweep {
        "old-share" => Some((
            "Re-placement: what a whole log tells",
            (
                "share of a generation that errands may fill",
                "AUC; slots for one",
            ),
            (false, false),
            "The more that is old goes back into open generations, the less the time of a write says of when something was \
             deposited. The price is slots that are written again; where generations are sealed by age those would \
             have been cover.",
        )),
        "delay-by-log" => Some((
            "Exponential delay: whole-log AUC of two slots of one study",
            ("mean delay D by length of the log T", "AUC"),
            (false, false),
            "An exponential delay leaks by nature. The line is 1 − 2D/T + 2(D/T)²; the points are attacks on the real \
             placement under virtual time.",
        )),
        "round-seconds" => Some((
            "Rounds: what readers wait",
            ("seconds of a round", "seconds"),
            (true, true),
            "How long those waited who had to, and what the closed form says of the newest stack. Longer rounds cost less.",
        )),
        _ => None,
    }
}

fn swept(
    sweep: &Sweep,
    title: &str,
    axes: (&str, &str),
    logarithmic: (bool, bool),
) -> Result<String, ChartError> {
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in sweep.points.iter().flat_map(|point| &point.figures) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    let drawn: Vec<Line> = names
        .iter()
        .map(|name| {
            let points = sweep.points.iter().filter(|point| point.named.is_none());
            let points = points.filter_map(|point| Some((point.x, point.figure(name)?)));
            Line::new(name, points.collect())
        })
        .collect();
    // Areas and costs have nothing in common but the figure that is swept.
    let (areas, others): (Vec<Line>, Vec<Line>) = drawn
        .into_iter()
        .partition(|line| line.name.starts_with("AUC"));
    if areas.is_empty() || others.is_empty() {
        let drawn = [areas, others].concat();
        return drawn_in((820, 430), |area| {
            lines(area, title, axes, logarithmic, &drawn)
        });
    }
    drawn_in((WIDTH, 430), |area| {
        let (left, right) = area.split_horizontally(PANEL);
        lines(&left, title, (axes.0, "AUC"), logarithmic, &areas)?;
        lines(&right, "What that costs", axes, logarithmic, &others)
    })
}

/// One panel for each game, systems below each other.
fn intervals(report: &Report) -> Result<String, ChartError> {
    let games = report.games();
    let panel = (report.systems.len() as i32 + 4) * LINE;
    let height = panel * games.len().div_ceil(2) as i32 + 20;
    drawn_in((WIDTH, height as u32), |area| {
        for (number, game) in games.iter().enumerate() {
            let corner = (number as i32 % 2 * PANEL, number as i32 / 2 * panel + 10);
            one_game(area, report, game, corner)?;
        }
        Ok(())
    })
}

fn one_game(
    area: &Area<'_>,
    report: &Report,
    game: &Row,
    (left, top): (i32, i32),
) -> Result<(), ChartError> {
    let title = format!("({}) {}", game.numeral, game.title);
    text_at(area, &title, (left + 14, top), 15, &INK)?;
    let bottom = top + LINE * (report.systems.len() as i32 + 1) + 6;
    let x = |auc: f64| {
        let room = f64::from(PANEL - NAMES - 80);
        let share = (auc.clamp(SHOWN.0, SHOWN.1) - SHOWN.0) / (SHOWN.1 - SHOWN.0);
        left + NAMES + (share * room) as i32
    };
    if game.promised {
        let band = [
            (x(0.5 - TOLERANCE), top + LINE),
            (x(0.5 + TOLERANCE), bottom),
        ];
        put(area, Rectangle::new(band, PALE.filled()))?;
    }
    for tick in [0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0] {
        let line = [(x(tick), bottom), (x(tick), bottom + 4)];
        put(area, PathElement::new(line, INK))?;
        text_at(
            area,
            &format!("{tick:.1}"),
            (x(tick) - 8, bottom + 6),
            11,
            &INK,
        )?;
    }
    let middle = [(x(0.5), top + LINE), (x(0.5), bottom)];
    put(area, PathElement::new(middle, INK.mix(0.4)))?;
    for (number, system) in report.systems.iter().enumerate() {
        let y = top + LINE * (number as i32 + 1) + 8;
        text_at(area, &system.name, (left + 24, y - 6), 12, &INK)?;
        let Some(row) = report.best(&system.name, &game.game) else {
            continue;
        };
        let colour = match report.mark(&system.name, &game.game) {
            Mark::Met => COLOURS[2],
            Mark::Missed => COLOURS[3],
            Mark::Loses => COLOURS[1],
            Mark::Unclear | Mark::Holds | Mark::Context => COLOURS[0],
        };
        let interval = [(x(row.ci_low), y), (x(row.ci_high), y)];
        put(area, PathElement::new(interval, colour.stroke_width(3)))?;
        put(area, Circle::new((x(row.auc), y), 4, colour.filled()))?;
        let figure = format!("{:.3}", row.auc);
        text_at(area, &figure, (left + PANEL - 58, y - 6), 12, &INK)?;
    }
    Ok(())
}

fn drawn_in(
    size: (u32, u32),
    draw: impl FnOnce(&Area<'_>) -> Result<(), ChartError>,
) -> Result<String, ChartError> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, size).into_drawing_area();
        area.fill(&WHITE).map_err(refused)?;
        draw(&area)?;
        area.present().map_err(refused)?;
    }
    Ok(svg)
}

fn put<'a, 'b, E>(area: &'b Area<'a>, element: E) -> Result<(), ChartError>
where
    for<'c> &'c E: plotters::element::PointCollection<'c, (i32, i32)>,
    E: plotters::element::Drawable<SVGBackend<'a>>,
{
    area.draw(&element).map_err(refused)
}

fn text_at(
    area: &Area<'_>,
    text: &str,
    at: (i32, i32),
    size: i32,
    colour: &RGBColor,
) -> Result<(), ChartError> {
    let style = (FONT, size).into_font().color(colour);
    put(area, Text::new(text.to_owned(), at, style))
}

/// What a column is called, for the page.
pub(super) fn heading(row: &Row) -> String {
    text::short(row)
}
