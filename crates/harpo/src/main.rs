//! `harpo`: every party of the network in one program, and a demo of all of them.

mod commands;
mod demo;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Share medical images through a public cloud that cannot tell whose they are.
///
/// A network is one trust service, one cloud, a gateway at each hospital and, so that the cloud does not see who asks, a
/// relay. `harpo demo` shows all of them at work on this machine; `init` and `serve` of each party run them for real;
/// `harpo plan` says what a network costs and hides, `harpo lab` what attackers get out of its log.
#[derive(Debug, Parser)]
#[command(name = "harpo", version, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Send a study from one hospital to another through the cloud, and show who saw what
    Demo(commands::demo::Demo),
    /// The trusted third party: authority, policy, placement, keys, audit
    #[command(subcommand)]
    Trust(commands::trust::Trust),
    /// The untrusted provider: stores slots and answers oblivious queries
    #[command(subcommand)]
    Cloud(commands::cloud::Cloud),
    /// Between hospitals and provider: knows who asks, and not what
    #[command(subcommand)]
    Relay(commands::relay::Relay),
    /// The hospital's side: DICOM and DICOMweb in, sealed bundles out, and back
    #[command(subcommand)]
    Gateway(commands::gateway::Gateway),
    /// Marks in pictures: who sealed them, whether they were altered, who leaked them
    #[command(subcommand)]
    Mark(commands::mark::Mark),
    Plan(commands::plan::Plan),
    /// The cloud provider as an attacker: what it can link, measured
    #[command(subcommand)]
    Lab(commands::lab::Lab),
}

#[tokio::main]
async fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Demo(command) => command.run().await,
        Command::Trust(command) => command.run().await,
        Command::Cloud(command) => command.run().await,
        Command::Relay(command) => command.run().await,
        Command::Gateway(command) => command.run().await,
        Command::Mark(command) => return command.run().await,
        Command::Plan(command) => command.run(),
        Command::Lab(command) => command.run().await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("harpo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests;
