//! Measurements that anyone can repeat: `cargo xtask bench SUBJECT`.
//!
//! A benchmark here compares: what is measured stands beside the machine's own limit and beside what somebody
//! would use instead, all timed in one run, in rounds that visit every candidate in turn. A busy machine then
//! slows all of them alike, and ratios hold where seconds do not. Nothing is timed whose result was not checked.

mod clock;
mod columns;
mod content;
mod machine;
mod progress;
mod records;
mod retrieval;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Benchmarks of Harpocrates.
#[derive(Debug, Parser)]
#[command(name = "harpo-bench")]
struct Arguments {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Debug, Subcommand)]
enum Subject {
    /// Content protection: compact bundles, reliability marks and tracing marks beside what one could use instead
    Content(content::Options),
    /// Oblivious retrieval beside the memory's read limit, downloading everything, and classic oblivious transfer
    Retrieval(retrieval::Options),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().subject {
        Subject::Content(options) => content::run(&options),
        Subject::Retrieval(options) => retrieval::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
