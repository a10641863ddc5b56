//! The page: one file that asks nobody for anything.

use std::fmt::Write as _;

use super::drawings::heading;
use super::{ControlState, Drawing, Mark, Report, Row};

const STYLE: &str = include_str!("html/page.css");
const METHOD: &str = include_str!("html/method.html");

/// The report as a page, with its drawings in it.
#[must_use]
pub fn page(report: &Report, drawings: &[Drawing]) -> String {
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>Linkability report</title><style>{STYLE}</style></head><body><main>\n\
         <h1>What the cloud provider can link</h1>\n"
    );
    page.push_str(&verdict(report));
    page.push_str(METHOD);
    page.push_str("<h2>The games</h2>\n");
    page.push_str(&games(report, "Where the product promises 0.50", true));
    page.push_str(&games(report, "For context: no promise", false));
    page.push_str(
        "<p class=\"key\"><b class=\"met\">✓</b> promise kept, <b class=\"missed\">✗</b> missed, <b>?</b> too few questions to say, \
         <b class=\"loses\">!</b> leaks, as baselines must somewhere. Point at a figure for its interval and the attack.</p>\n",
    );
    for drawing in drawings {
        figure(&mut page, drawing);
    }
    page.push_str(&product(report));
    page.push_str(&controls(report));
    page.push_str(&systems(report));
    page.push_str(&setting(report));
    page.push_str("</main></body></html>\n");
    page
}

fn verdict(report: &Report) -> String {
    let unsound = report.misbehaves();
    let misses = report.misses();
    let kept = report.kept();
    let mut text = String::new();
    let class = if unsound || !misses.is_empty() {
        "missed"
    } else {
        "met"
    };
    let says = if unsound {
        "A control misbehaves: no figure below can be trusted.".to_owned()
    } else if misses.is_empty() && report.unclear() == 0 {
        format!(
            "All {kept} promises are kept: in these games the best attack that we know does no better than a guess, to within \
             0.02. What is told without a promise, over a whole log above all, stands under \u{201c}For context\u{201d}."
        )
    } else {
        format!(
            "{kept} promises are kept, {} are missed; of {} there are too few questions to say.",
            misses.len(),
            report.unclear()
        )
    };
    let _ = writeln!(text, "<p class=\"verdict {class}\">{}</p>", escape(&says));
    if !unsound && !report.is_sound() {
        text.push_str(
            "<p class=\"verdict\">Not all controls were played: this run does not show that the laboratory itself is sound.</p>\n",
        );
    }
    if !misses.is_empty() {
        text.push_str("<ul>\n");
        for miss in misses {
            let _ = writeln!(
                text,
                "<li>{}, <code>{}</code>: {}</li>",
                escape(&miss.system),
                escape(&miss.game),
                escape(&miss.says)
            );
        }
        text.push_str("</ul>\n");
    }
    for (name, game) in report.standing() {
        let _ = writeln!(
            text,
            "<p class=\"verdict missed\">The baseline “{}” did not lose “{}”, as it must: either the attacks are too weak \
             for it, or the log is too short.</p>",
            escape(name),
            escape(&game)
        );
    }
    text
}

fn games(report: &Report, title: &str, promised: bool) -> String {
    let games: Vec<&Row> = report
        .games()
        .into_iter()
        .filter(|game| game.promised == promised)
        .collect();
    if games.is_empty() {
        return String::new();
    }
    let mut text =
        format!("<h3>{title}</h3>\n<div class=\"wide\"><table><thead><tr><th>system</th>");
    for game in &games {
        let _ = write!(
            text,
            "<th title=\"{}\">{}</th>",
            escape(&game.title),
            escape(&heading(game))
        );
    }
    text.push_str("</tr></thead><tbody>\n");
    for system in &report.systems {
        let class = escape(&system.kind);
        let _ = write!(
            text,
            "<tr class=\"{class}\"><th title=\"{}\">{}</th>",
            escape(&system.about),
            escape(&system.name)
        );
        for game in &games {
            text.push_str(&cell(report, &system.name, &game.game));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table></div>\n<dl class=\"games\">");
    for game in &games {
        let _ = write!(
            text,
            "<dt>{}</dt><dd>{}</dd>",
            escape(&heading(game)),
            escape(&game.title)
        );
    }
    text.push_str("</dl>\n");
    text
}

fn cell(report: &Report, system: &str, game: &str) -> String {
    let Some(row) = report.best(system, game) else {
        return "<td>–</td>".to_owned();
    };
    let mark = report.mark(system, game);
    let class = match mark {
        Mark::Met => "met",
        Mark::Missed => "missed",
        Mark::Loses => "loses",
        Mark::Unclear | Mark::Holds | Mark::Context => "plain",
    };
    format!(
        "<td class=\"{class}\" title=\"{}: {:.3} to {:.3}\">{:.2} {}</td>",
        escape(&row.attack),
        row.ci_low,
        row.ci_high,
        row.auc,
        mark.sign()
    )
}

fn figure(page: &mut String, drawing: &Drawing) {
    // The drawing's own prologue, if any, is not for the middle of a page.
    let svg = drawing.svg.find("<svg").map_or("", |at| &drawing.svg[at..]);
    let _ = writeln!(
        page,
        "<figure><div class=\"wide\">{svg}</div><figcaption>{}</figcaption></figure>",
        escape(&drawing.caption)
    );
}

fn product(report: &Report) -> String {
    let mut text = "<h2>The product in full</h2>\n".to_owned();
    for system in report
        .systems
        .iter()
        .filter(|system| system.kind == "product")
    {
        let _ = write!(
            text,
            "<h3>{}</h3><p>{}</p>\n<div class=\"wide\"><table><thead><tr><th>game</th><th>best attack</th><th>AUC</th>\
             <th>95 %</th><th>advantage</th><th>TPR at FPR 10⁻³</th><th>top 1</th><th>of priors</th>\
             <th>bits left</th><th>of</th><th>questions</th></tr></thead><tbody>\n",
            escape(&system.name),
            escape(&system.about)
        );
        for game in report.games() {
            let Some(row) = report.best(&system.name, &game.game) else {
                continue;
            };
            let share = |value: Option<f64>| value.map_or_else(String::new, |v| format!("{v:.3}"));
            let _ = writeln!(
                text,
                "<tr><th>({}) {}</th><td class=\"words\">{}</td><td>{:.3}</td><td>{:.3} to {:.3}</td><td>{:.3}</td>\
                 <td>{:.4}</td><td>{}</td><td>{}</td><td>{:.2}</td><td>{:.2}</td><td>{}</td></tr>",
                escape(&row.numeral),
                escape(&row.title),
                escape(&row.attack),
                row.auc,
                row.ci_low,
                row.ci_high,
                row.advantage,
                row.tpr_at_1e3,
                share(row.top1),
                share(row.prior_top1),
                row.entropy,
                row.prior_entropy,
                row.trials
            );
        }
        text.push_str("</tbody></table></div>\n");
    }
    text
}

fn controls(report: &Report) -> String {
    let mut text = "<h2>Controls</h2>\n<p>A leak of one bit, planted on purpose, must be found; and where answers are \
                    dealt out at random nobody may do better than a guess. If either fails, nothing here counts.</p>\n<ul>\n"
        .to_owned();
    for control in &report.controls {
        let class = match control.state {
            ControlState::Right => "met",
            ControlState::Wrong => "missed",
            ControlState::NotPlayed => "plain",
        };
        let sign = control.state.sign();
        let _ = writeln!(
            text,
            "<li><b class=\"{class}\">{sign}</b> {}: wanted {}; found {}.</li>",
            escape(&control.name),
            escape(&control.wanted),
            escape(&control.found)
        );
    }
    text.push_str("</ul>\n");
    text
}

/// Costs that are worth a column: their names in the run's summary, and how they are headed.
const COSTS: [(&str, &str); 8] = [
    ("slots_fresh", "slots written: fresh"),
    ("slots_replaced", "brought back"),
    ("slots_cover", "cover"),
    ("retrievals_real", "retrievals: for something"),
    ("retrievals_cover", "for nothing"),
    ("wait_median", "wait, median s"),
    ("wait_95", "95 %"),
    ("stacks", "stacks"),
];

fn systems(report: &Report) -> String {
    let mut text = "<h2>The systems, and what they cost</h2>\n<div class=\"wide\"><table><thead><tr><th>system</th>".to_owned();
    for (_, title) in COSTS {
        let _ = write!(text, "<th>{title}</th>");
    }
    text.push_str("</tr></thead><tbody>\n");
    for system in &report.systems {
        let _ = write!(text, "<tr><th>{}</th>", escape(&system.name));
        for (name, _) in COSTS {
            let _ = write!(text, "<td>{:.0}</td>", system.cost(name));
        }
        text.push_str("</tr>\n");
    }
    text.push_str("</tbody></table></div>\n<dl>");
    for system in &report.systems {
        let _ = write!(
            text,
            "<dt>{}</dt><dd>{}</dd>",
            escape(&system.name),
            escape(&system.about)
        );
    }
    text.push_str("</dl>\n");
    text
}

fn setting(report: &Report) -> String {
    let scenario = serde_json::to_string_pretty(&report.scenario).unwrap_or_default();
    format!(
        "<h2>How to repeat it</h2>\n<p>Seed {}; it took {:.0} s. The scenario, as <code>--scenario</code> reads it:</p>\n\
         <pre>{}</pre>\n",
        report.seed,
        report.seconds,
        escape(&scenario)
    )
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            c => escaped.push(c),
        }
    }
    escaped
}
