//! The tables that a run prints.

use super::columns::Columns;
use super::{ControlState, Report, Row};

/// The games by systems, the product's figures in full, and what must be said loudly.
#[must_use]
pub fn tables(report: &Report) -> String {
    let mut text = String::new();
    for (title, promised) in [
        (
            "AUC of the best attack, where the product promises 0.50",
            true,
        ),
        (
            "AUC of the best attack, for context: no promise here",
            false,
        ),
    ] {
        if let Some(table) = by_system(report, title, promised) {
            text.push_str(&table);
            text.push('\n');
        }
    }
    text.push_str(
        "  ✓ promise kept (0.50 ± 0.02)   ✗ missed   ? too few questions to say   ! leaks, as baselines must somewhere   ± half of the 95 % interval\n\n",
    );
    text.push_str(&keys(report));
    text.push('\n');
    text.push_str(&product(report));
    text.push('\n');
    text.push_str(&controls(report));
    text.push_str(&loud(report));
    text
}

fn by_system(report: &Report, title: &str, promised: bool) -> Option<String> {
    let games: Vec<&Row> = report
        .games()
        .into_iter()
        .filter(|game| game.promised == promised)
        .collect();
    if games.is_empty() {
        return None;
    }
    let names: Vec<String> = games.iter().map(|game| short(game)).collect();
    let mut header = vec!["system"];
    header.extend(names.iter().map(String::as_str));
    let mut columns = Columns::new(title, &header);
    for (heading, kind) in [
        ("product", "product"),
        ("with something taken away", "variant"),
        ("baselines", "baseline"),
        ("positive control", "control"),
    ] {
        let systems: Vec<_> = report
            .systems
            .iter()
            .filter(|system| system.kind == kind)
            .collect();
        if systems.is_empty() {
            continue;
        }
        columns.heading(heading);
        for system in systems {
            let mut cells = vec![format!("  {}", system.name)];
            cells.extend(
                games
                    .iter()
                    .map(|game| cell(report, &system.name, &game.game)),
            );
            columns.row(cells);
        }
    }
    Some(columns.text())
}

/// The best attack's figure, with half of its interval and a mark.
pub(super) fn cell(report: &Report, system: &str, game: &str) -> String {
    report.best(system, game).map_or_else(
        || "–".to_owned(),
        |row| {
            let half = (row.ci_high - row.ci_low) / 2.0;
            let sign = report.mark(system, game).sign();
            format!("{:.2}±{} {sign}", row.auc, hundredths(half))
        },
    )
}

/// `.01` for 0.0123.
fn hundredths(value: f64) -> String {
    format!("{value:.2}").trim_start_matches('0').to_owned()
}

/// A game's name in a column.
pub(super) fn short(game: &Row) -> String {
    let tail = match game.game.as_str() {
        "uploads-within-epoch" | "upload-origin-within-epoch" => "epoch",
        "uploads-whole-log" | "retrievals-whole-log" => "log",
        "uploads-of-one-study" => "study",
        "uploads-of-different-studies" => "studies",
        "retrievals-within-window" => "hour",
        "retrievals-consults" | "retrieval-origin-consults" | "retrieval-target-consults" => {
            "consults"
        }
        "retrievals-unmatched" => "unmatched",
        "retrievals-at-once" | "retrieval-origin-at-once" => "at once",
        "upload-origin" => "log",
        "retrieval-origin" => "all",
        "retrieval-target" => "which",
        "retrieval-target-any-stack" => "any stack",
        other => other,
    };
    format!("{} {tail}", game.numeral)
}

fn keys(report: &Report) -> String {
    let mut text = String::new();
    let games = report.games();
    let width = games.iter().map(|game| short(game).chars().count()).max();
    for game in games {
        let name = short(game);
        let padding = " ".repeat(width.unwrap_or(0) - name.chars().count());
        text.push_str(&format!("  {name}{padding}  {}\n", game.title));
    }
    text
}

fn product(report: &Report) -> String {
    let mut text = String::new();
    for system in report
        .systems
        .iter()
        .filter(|system| system.kind == "product")
    {
        let header = [
            "game",
            "best attack",
            "AUC",
            "95 %",
            "advantage",
            "TPR at 1e-3",
            "top 1 (prior)",
            "bits left",
            "",
        ];
        let mut columns = Columns::new(&format!("{}: {}", system.name, system.about), &header);
        for game in report.games() {
            let Some(row) = report.best(&system.name, &game.game) else {
                continue;
            };
            let top1 = row.top1.zip(row.prior_top1);
            columns.row(vec![
                short(row),
                row.attack.clone(),
                format!("{:.3}", row.auc),
                format!("{:.3} to {:.3}", row.ci_low, row.ci_high),
                format!("{:.3}", row.advantage),
                format!("{:.4}", row.tpr_at_1e3),
                top1.map_or_else(String::new, |(top1, prior)| {
                    format!("{top1:.3} ({prior:.3})")
                }),
                format!("{:.2} of {:.2}", row.entropy, row.prior_entropy),
                report.mark(&system.name, &game.game).sign().to_owned(),
            ]);
        }
        text.push_str(&columns.text());
        text.push('\n');
    }
    text
}

fn controls(report: &Report) -> String {
    let mut text = "Controls\n".to_owned();
    for control in &report.controls {
        let sign = control.state.sign();
        text.push_str(&format!(
            "  {sign} {}: wanted {}; found {}\n",
            control.name, control.wanted, control.found
        ));
    }
    text
}

fn loud(report: &Report) -> String {
    let mut text = String::new();
    for control in &report.controls {
        let name = &control.name;
        match control.state {
            ControlState::Right => {}
            ControlState::Wrong => text.push_str(&format!(
                "\nA CONTROL MISBEHAVES: {name}. No figure above can be trusted.\n"
            )),
            ControlState::NotPlayed => text.push_str(&format!(
                "\nNot played: {name}. This run does not show that the laboratory itself is sound.\n"
            )),
        }
    }
    let misses = report.misses();
    if !misses.is_empty() {
        text.push_str("\nPROMISES THAT ARE NOT KEPT:\n");
    }
    for verdict in &misses {
        let (system, game) = (&verdict.system, &verdict.game);
        text.push_str(&format!("  ✗ {system}, {game}: {}\n", verdict.says));
    }
    for (name, game) in report.standing() {
        text.push_str(&format!(
            "\nTHE BASELINE {name:?} DID NOT LOSE {game:?}, AS IT MUST: either the attacks are too weak for it, or the log is too short.\n"
        ));
    }
    let (kept, unclear) = (report.kept(), report.unclear());
    if misses.is_empty() && unclear == 0 && kept > 0 {
        text.push_str(&format!("\nAll {kept} promises are kept.\n"));
    } else if kept + unclear > 0 {
        text.push_str(&format!(
            "\n{kept} promises are kept, {} are missed; of {unclear} the run has too few questions to say: a longer one \
             does.\n",
            misses.len()
        ));
    }
    text
}
