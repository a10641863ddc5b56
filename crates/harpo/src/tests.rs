use clap::{Command, CommandFactory as _};

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
