//! Compression and tracing as horizontal bars with their figures beside them.

use anyhow::Result;
use plotters::prelude::*;

use super::{Area, COLOURS, FONT, INK, PALE, page, refused};
use crate::content::images::label;
use crate::content::report::Report;

const BAR: i32 = 22;
const NAMES: i32 = 230;
const WIDTH: u32 = 980;

/// One bar: name, length, the figure beside it, and the colour's number.
struct Bar {
    name: String,
    value: f64,
    figure: String,
    colour: usize,
}

/// A block of bars under a heading.
struct Block {
    heading: String,
    bars: Vec<Bar>,
}

/// Ratios of bundles and of pixels alone, of each group of images.
pub(super) fn compression(report: &Report) -> Result<Option<String>> {
    let blocks: Vec<Block> = report
        .compression
        .iter()
        .map(|row| {
            let bundle = |name: &str, ratio: f64, speed: f64, colour| Bar {
                name: name.to_owned(),
                value: ratio,
                figure: format!("{ratio:.2} at {speed:.0} MB/s"),
                colour,
            };
            let mut bars = vec![
                bundle("whole files, with marks", row.ratio, row.mb_per_s, 0),
                bundle(
                    "whole files, no marks",
                    row.ratio_unmarked,
                    row.mb_per_s_unmarked,
                    0,
                ),
            ];
            bars.extend(row.pixels.iter().map(|codec| {
                bundle(
                    &format!("pixels: {}", codec.codec),
                    codec.ratio,
                    codec.encode_mb_per_s,
                    if codec.codec == "Harpocrates" { 2 } else { 1 },
                )
            }));
            Block {
                heading: label(row.modality, row.synthetic),
                bars,
            }
        })
        .collect();
    draw(
        "Compression ratio, and encoding speed of one core",
        &blocks,
        None,
    )
}

/// Shares of trials in which the right one was named.
pub(super) fn tracing(report: &Report) -> Result<Option<String>> {
    let bars = report.tracing.iter().map(|row| {
        let share = |count: usize| 100.0 * count as f64 / row.trials.max(1) as f64;
        Bar {
            name: row.attack.to_owned(),
            value: share(row.right),
            figure: format!(
                "{:.0} % by {} slices, {:.0} % by one; {} wrong of {}",
                share(row.right),
                row.slices,
                share(row.right_from_one),
                row.wrong,
                row.trials
            ),
            colour: if row.colluders > 1 { 1 } else { 0 },
        }
    });
    let blocks = [Block {
        heading: "a single leak, and colluders".to_owned(),
        bars: bars.collect(),
    }];
    draw(
        "Tracing: leaks that were traced to whoever leaked",
        &blocks,
        Some(100.0),
    )
}

fn draw(title: &str, blocks: &[Block], most: Option<f64>) -> Result<Option<String>> {
    let bars: usize = blocks.iter().map(|block| block.bars.len()).sum();
    if bars == 0 {
        return Ok(None);
    }
    let lines = bars + 2 * blocks.len();
    let size = (WIDTH, (lines as i32 * BAR + 72) as u32);
    page(size, title, |area| {
        let mut y = 0;
        for block in blocks {
            text(area, &block.heading, 24, y + 2, 16)?;
            y += BAR + 6;
            let longest = block.bars.iter().map(|bar| bar.value).fold(0.0, f64::max);
            for bar in &block.bars {
                one(area, bar, y, most.unwrap_or(longest))?;
                y += BAR;
            }
            y += BAR - 6;
        }
        Ok(())
    })
    .map(Some)
}

fn one(area: &Area<'_>, bar: &Bar, y: i32, longest: f64) -> Result<()> {
    let room = WIDTH as i32 - NAMES - 330;
    let length = if longest > 0.0 {
        (f64::from(room) * bar.value / longest).round() as i32
    } else {
        0
    };
    text(area, &bar.name, 36, y + 4, 13)?;
    area.draw(&Rectangle::new(
        [(NAMES, y + 3), (NAMES + room, y + BAR - 3)],
        PALE.filled(),
    ))
    .map_err(refused)?;
    let colour = COLOURS[bar.colour % COLOURS.len()];
    area.draw(&Rectangle::new(
        [(NAMES, y + 3), (NAMES + length, y + BAR - 3)],
        colour.filled(),
    ))
    .map_err(refused)?;
    text(area, &bar.figure, NAMES + room + 12, y + 4, 13)
}

fn text(area: &Area<'_>, text: &str, x: i32, y: i32, size: i32) -> Result<()> {
    let style = (FONT, size).into_font().color(&INK);
    area.draw(&Text::new(text.to_owned(), (x, y), style))
        .map_err(refused)
}
