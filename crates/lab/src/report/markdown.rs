//! The results as they stand in docs/unlinkability.md 8.

use std::fmt::Write as _;

use super::{Report, Row, text};

/// Tables in Markdown: games by systems, the product in full, controls, costs and sweeps.
#[must_use]
pub fn results(report: &Report) -> String {
    let mut page = format!(
        "`harpo lab run`: {} hospitals, {} days, seed {}; {:.0} s. AUC of the best attack of each game, half of its 95 % interval behind it.\n",
        report.scenario["hospitals"], report.scenario["days"], report.seed, report.seconds
    );
    for (title, promised) in [("Promised", true), ("For context", false)] {
        let games: Vec<&Row> = report
            .games()
            .into_iter()
            .filter(|game| game.promised == promised)
            .collect();
        if games.is_empty() {
            continue;
        }
        let names: Vec<String> = games.iter().map(|game| text::short(game)).collect();
        let _ = write!(
            page,
            "\n| {title} | {} |\n|---|{}\n",
            names.join(" | "),
            "---|".repeat(names.len())
        );
        for system in &report.systems {
            let cell = |game: &&Row| text::cell(report, &system.name, &game.game);
            let cells: Vec<String> = games.iter().map(cell).collect();
            let _ = writeln!(
                page,
                "| {} ({}) | {} |",
                system.name,
                system.kind,
                cells.join(" | ")
            );
        }
    }
    product(report, &mut page);
    page.push_str("\n| control | wanted | found | |\n|---|---|---|---|\n");
    for control in &report.controls {
        let sign = control.state.sign();
        let _ = writeln!(
            page,
            "| {} | {} | {} | {sign} |",
            control.name, control.wanted, control.found
        );
    }
    for sweep in &report.sweeps {
        swept(sweep, &mut page);
    }
    page
}

fn product(report: &Report, page: &mut String) {
    for system in report
        .systems
        .iter()
        .filter(|system| system.kind == "product")
    {
        page.push_str("\n| the product | best attack | AUC | 95 % | advantage | TPR at 10⁻³ | top 1 (priors) | bits left |\n|---|---|---|---|---|---|---|---|\n");
        for game in report.games() {
            let Some(row) = report.best(&system.name, &game.game) else {
                continue;
            };
            let top1 = row.top1.zip(row.prior_top1);
            let _ = writeln!(
                page,
                "| ({}) {} | {} | {:.3} {} | {:.3} to {:.3} | {:.3} | {:.4} | {} | {:.2} of {:.2} |",
                row.numeral,
                row.title,
                row.attack,
                row.auc,
                report.mark(&system.name, &game.game).sign(),
                row.ci_low,
                row.ci_high,
                row.advantage,
                row.tpr_at_1e3,
                top1.map_or_else(String::new, |(top1, prior)| format!(
                    "{top1:.3} ({prior:.3})"
                )),
                row.entropy,
                row.prior_entropy
            );
        }
    }
}

fn swept(sweep: &super::Sweep, page: &mut String) {
    let Some(first) = sweep.points.first() else {
        return;
    };
    let names: Vec<&str> = first
        .figures
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    let _ = write!(
        page,
        "\n| {} | {} |\n|---|{}\n",
        sweep.name,
        names.join(" | "),
        "---|".repeat(names.len())
    );
    for point in &sweep.points {
        let cell = |name: &&str| {
            let figure = point.figure(name);
            figure.map_or_else(|| "–".to_owned(), |value| format!("{value:.3}"))
        };
        let cells: Vec<String> = names.iter().map(cell).collect();
        let x = point.x.to_string();
        let x = point.named.as_ref().unwrap_or(&x);
        let _ = writeln!(page, "| {x} | {} |", cells.join(" | "));
    }
}
