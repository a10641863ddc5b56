//! What of a chip's correlation is noise (docs/tracing-mark.md 6).

use super::examine::Chip;

/// Chips in every direction that say how bright the neighbourhood is.
const BACKGROUND: usize = 2;
/// Chips in every direction that say how strong the noise is.
const NEIGHBOURS: usize = 1;
/// The part of the picture's noise in the estimate of a chip's.
const COMMON: f64 = 0.25;

/// Per chip, row by row, its evidence and the weight of it: the log-likelihood ratio's halves.
pub(super) fn whiten(chips: &[Chip], columns: usize) -> Vec<(f64, f64)> {
    let rows = chips.len().checked_div(columns).unwrap_or(0);
    let noise = |chip: &Chip| {
        if chip.energy > 0.0 {
            (
                chip.null.iter().map(|null| null * null).sum::<f64>() / (2.0 * chip.energy),
                1.0,
            )
        } else {
            (0.0, 0.0)
        }
    };
    let (sum, count) = chips
        .iter()
        .map(noise)
        .fold((0.0, 0.0), |a, b| (a.0 + b.0, a.1 + b.1));
    let common: f64 = (sum / f64::max(count, 1.0)).max(1e-9);
    let around = |at: usize, reach: usize, each: &dyn Fn(&Chip) -> (f64, f64)| {
        let (row, column) = (at / columns, at % columns);
        let mut sums = (0.0, 0.0);
        for y in row.saturating_sub(reach)..=(row + reach).min(rows - 1) {
            for x in column.saturating_sub(reach)..=(column + reach).min(columns - 1) {
                let (a, b) = each(&chips[y * columns + x]);
                sums = (sums.0 + a, sums.1 + b);
            }
        }
        sums
    };
    let level = |chip: &Chip| (chip.level[0], chip.level[1]);
    chips
        .iter()
        .enumerate()
        .map(|(at, chip)| {
            if chip.energy <= 0.0 {
                return (0.0, 0.0);
            }
            let (sum, trust) = around(at, BACKGROUND, &level);
            let background = if trust > 0.0 { sum / trust } else { 0.0 };
            let (sum, count) = around(at, NEIGHBOURS, &noise);
            let variance = (1.0 - COMMON) * sum / f64::max(count, 1.0) + COMMON * common;
            let value = chip.match_ - background * chip.constant;
            (value / variance, chip.energy / variance)
        })
        .collect()
}
