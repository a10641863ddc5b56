//! The trade as a drawing: what shorter rounds buy and cost, and what re-placement does.

use plotters::prelude::*;

use super::{Configuration, Network, Outlook, PlanError, outlook};
use crate::report::chart::{Area, ChartError, Line, lines, refused};

const SIZE: (u32, u32) = (1180, 860);
const ROUNDS: [u32; 9] = [10, 15, 30, 60, 120, 300, 600, 1200, 3600];

/// Why there is no drawing.
#[derive(Debug, thiserror::Error)]
pub enum DrawError {
    /// The figures.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// The library.
    #[error(transparent)]
    Chart(#[from] ChartError),
}

/// Draws the trade around a configuration as SVG: wait, lines and cores, cost of a consult by the length of a round;
/// whole-log AUC of uploads and writes by the share of errands.
///
/// # Errors
/// Figures that cannot be, or a drawing that fails.
pub fn draw(network: &Network, around: &Configuration) -> Result<String, DrawError> {
    let rounds = ROUNDS
        .iter()
        .map(|round_seconds| {
            let configuration = Configuration {
                round_seconds: *round_seconds,
                ..*around
            };
            outlook(network, &configuration)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let shares = (0..=8)
        .map(|tenth| {
            let configuration = Configuration {
                old_share: f64::from(tenth) / 10.0,
                ..*around
            };
            outlook(network, &configuration)
        })
        .collect::<Result<Vec<_>, _>>()?;
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(refused)?;
        let panels = area.split_evenly((2, 2));
        by_round(&panels, &rounds)?;
        by_share(&panels[3], &shares)?;
        area.present().map_err(refused)?;
    }
    Ok(text)
}

fn by_round(panels: &[Area<'_>], rounds: &[Outlook]) -> Result<(), ChartError> {
    let line = |name: &'static str, value: fn(&Outlook) -> f64| {
        let points = rounds
            .iter()
            .map(|o| (f64::from(o.configuration.round_seconds), value(o)));
        Line::new(name, points.collect())
    };
    lines(
        &panels[0],
        "Wait of a reader",
        ("seconds of a round", "seconds"),
        (true, true),
        &[
            line("newest stack, mean", |o| o.wait_newest_seconds),
            line("newest stack, 95 %", |o| o.wait_newest_95_seconds),
            line("older stacks, mean", |o| o.wait_older_seconds),
        ],
    )?;
    lines(
        &panels[1],
        "What rounds take, round the clock",
        ("seconds of a round", "Mbit/s, cores"),
        (true, true),
        &[
            line("a gateway's line down, Mbit/s", |o| o.gateway_mbit_down),
            line("a gateway's line up, Mbit/s", |o| o.gateway_mbit_up),
            line("cores of the cloud", |o| o.cores),
        ],
    )?;
    lines(
        &panels[2],
        "Cost of a consult, cover included",
        ("seconds of a round", "money"),
        (true, true),
        &[line("cost", |o| o.cost_per_consult)],
    )
}

/// Each share of errands is a point: what it writes, and what that leaves to be told.
fn by_share(panel: &Area<'_>, shares: &[Outlook]) -> Result<(), ChartError> {
    let line = |name: &'static str, auc: fn(&Outlook) -> f64| {
        let points = shares.iter().map(|o| (o.writes_per_deposited, auc(o)));
        Line::new(name, points.collect())
    };
    lines(
        panel,
        "Re-placement: errands from none to 0.8 of a generation",
        (
            "slots written for one deposited",
            "AUC of uploads by time, whole log",
        ),
        (true, false),
        &[
            line("one study, by the closed form", |o| o.upload_auc),
            line("different studies of a visit", |o| o.upload_auc_studies),
        ],
    )
}
