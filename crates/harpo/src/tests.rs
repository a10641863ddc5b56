use clap::{Command, CommandFactory as _};
use harpo_service::metrics::{Kind, Metric};

use super::Cli;

#[test]
fn the_command_line_is_consistent() {
    Cli::command().debug_assert();
}

/// What people read when they ask for help. After a wanted change: `INSTA_UPDATE=always cargo test -p harpo`.
#[test]
fn every_command_explains_itself() {
    let mut root = Cli::command().term_width(100);
    root.build();
    insta::assert_snapshot!("harpo", help(&root));
    for party in root.get_subcommands().filter(|c| c.get_name() != "help") {
        let mut pages = Vec::new();
        collect(party, &mut pages);
        insta::assert_snapshot!(format!("harpo-{}", party.get_name()), pages.join("\n\n"));
    }
}

/// The help of a command and of everything below it.
fn collect(command: &Command, pages: &mut Vec<String>) {
    pages.push(help(command));
    for sub in command.get_subcommands().filter(|c| c.get_name() != "help") {
        collect(sub, pages);
    }
}

fn help(command: &Command) -> String {
    let text = command
        .clone()
        .term_width(100)
        .render_long_help()
        .to_string();
    let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
    let name = command.get_bin_name().unwrap_or("harpo");
    format!("$ {name} --help\n{}", lines.join("\n"))
}

/// The tables of docs/metrics.md are those of the services, word for word.
#[test]
fn every_figure_is_documented_as_it_is_told() {
    let parties = [
        harpo_trust::METRICS,
        harpo_cloud::METRICS,
        harpo_gateway::figures::METRICS,
        harpo_relay::METRICS,
    ];
    let told: Vec<String> = parties.concat().iter().map(row).collect();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/metrics.md");
    let text = std::fs::read_to_string(file).unwrap();
    let rows = text.lines().filter(|line| line.starts_with("| `harpo_"));
    let documented: Vec<&str> = rows.collect();
    assert!(
        told == documented,
        "docs/metrics.md should have these rows, in this order:\n{}",
        told.join("\n")
    );
}

fn row(metric: &Metric) -> String {
    let kind = match metric.kind {
        Kind::Gauge => "gauge",
        Kind::Counter => "counter",
        Kind::Histogram(_) => "histogram",
    };
    let label = metric
        .label
        .map_or(String::new(), |label| format!("`{label}`"));
    format!("| `{}` | {kind} | {label} | {} |", metric.name, metric.help)
}
