//! The steps of `cargo xtask test`, and the chores that share them.
//!
//! All steps name the whole workspace with its development dependencies, so that cargo resolves one set of
//! features and builds each dependency once to check and once to run. Naming single packages here would
//! build much of the tree a second time.

use std::io::{BufRead, BufReader, IsTerminal, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::metadata::{Workspace, cargo};
use crate::{house, tools};

/// One step of `cargo xtask test`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    Tools,
    Fmt,
    House,
    Clippy,
    Doc,
    Build,
    Test,
}

impl Step {
    /// In the order of a run: what is quick to say no comes first.
    pub(crate) const ALL: [Self; 7] = [
        Self::Fmt,
        Self::House,
        Self::Tools,
        Self::Clippy,
        Self::Doc,
        Self::Build,
        Self::Test,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Fmt => "fmt",
            Self::House => "house",
            Self::Clippy => "clippy",
            Self::Doc => "doc",
            Self::Build => "build",
            Self::Test => "test",
        }
    }

    pub(crate) fn purpose(self) -> &'static str {
        match self {
            Self::Tools => "install DCMTK and the Python peers if they are missing",
            Self::Fmt => "formatting",
            Self::House => "who may know whom, sizes of files, citations of the protocol",
            Self::Clippy => "lints of all targets",
            Self::Doc => "documentation builds without a warning",
            Self::Build => "the binary that the black-box tests run",
            Self::Test => "all tests, the black-box tests included",
        }
    }

    pub(crate) fn named(name: &str) -> Result<Self> {
        Self::ALL
            .into_iter()
            .find(|step| step.name() == name)
            .with_context(|| {
                let names: Vec<_> = Self::ALL.iter().map(|step| step.name()).collect();
                format!("there is no step `{name}`; there are: {}", names.join(", "))
            })
    }

    /// The cargo command of the step; none where this program does the work itself.
    fn arguments(self) -> &'static [&'static str] {
        match self {
            Self::Tools | Self::House => &[],
            Self::Fmt => &["fmt", "--all", "--check"],
            Self::Clippy => &[
                "clippy",
                "--workspace",
                "--all-targets",
                "--",
                "-D",
                "warnings",
            ],
            // Naming the examples, whether there are any or not, brings in the development dependencies
            // and thus the features that the other steps use.
            Self::Doc => &[
                "doc",
                "--workspace",
                "--no-deps",
                "--lib",
                "--bins",
                "--examples",
            ],
            Self::Build => &["build", "--workspace", "--bins", "--examples"],
            Self::Test => &["test", "--workspace", "--no-fail-fast"],
        }
    }

    fn run(self, workspace: &Workspace) -> Result<()> {
        match self {
            Self::Tools => tools::install(workspace),
            Self::House => house::check(workspace),
            Self::Test => tests(workspace, "debug", self.arguments(), &[]),
            Self::Doc => status(command(self.arguments()).env("RUSTDOCFLAGS", "-D warnings")),
            _ => status(&mut command(self.arguments())),
        }
    }

    /// What a person types to see the failure again.
    fn repeat(self) -> String {
        match self {
            Self::Tools | Self::House => format!("cargo xtask test --only {}", self.name()),
            Self::Doc => format!(
                "RUSTDOCFLAGS='-D warnings' cargo {}",
                self.arguments().join(" ")
            ),
            _ => format!("cargo {}", self.arguments().join(" ")),
        }
    }
}

/// `cargo xtask test`.
pub(crate) fn test(steps: &[Step]) -> Result<()> {
    let workspace = Workspace::read()?;
    let mut times = Vec::new();
    for &step in steps {
        say(&format!("── {}: {}", step.name(), step.purpose()));
        #[expect(clippy::disallowed_methods, reason = "measures real time for people")]
        let start = Instant::now();
        let outcome = step.run(&workspace);
        let time = start.elapsed();
        if let Err(error) = outcome {
            say(&format!("── {} FAILED after {}", step.name(), shown(time)));
            bail!(
                "{} failed: {error:#}\n  repeat it with: {}",
                step.name(),
                step.repeat()
            );
        }
        say(&format!("── {} ok, {}", step.name(), shown(time)));
        times.push((step, time));
    }
    say("");
    for (step, time) in &times {
        say(&format!("{:<7} ok  {:>9}", step.name(), shown(*time)));
    }
    let total = times.iter().map(|(_, time)| *time).sum();
    say(&format!("{:<7} ok  {:>9}", "all", shown(total)));
    Ok(())
}

/// `cargo xtask e2e`.
pub(crate) fn e2e(release: bool, arguments: &[String]) -> Result<()> {
    let workspace = Workspace::read()?;
    tools::install(&workspace)?;
    let profile = if release {
        status(&mut command(&["build", "--release", "--package", "harpo"]))?;
        "release"
    } else {
        Step::Build.run(&workspace)?;
        "debug"
    };
    tests(
        &workspace,
        profile,
        &["test", "--workspace", "--test", "e2e"],
        arguments,
    )
}

/// `cargo xtask demo`.
pub(crate) fn demo(arguments: &[String]) -> Result<()> {
    status(command(&["run", "--release", "--package", "harpo", "--", "demo"]).args(arguments))
}

/// `cargo xtask bench`. The peers that not everybody needs to build are turned on.
pub(crate) fn bench(arguments: &[String]) -> Result<()> {
    let words = if arguments.is_empty() {
        &["help".to_owned()]
    } else {
        arguments
    };
    let cargo = [
        "run",
        "--release",
        "--package",
        "harpo-bench",
        "--features",
        "spiral",
        "--",
    ];
    let mut run = command(&cargo);
    if words.first().is_some_and(|subject| subject == "content") {
        let workspace = Workspace::read()?;
        // Real files and foreign codecs to compare with; without them there are fewer rows.
        if let Err(error) = tools::codecs(&workspace) {
            say(&format!("no foreign codecs: {error:#}"));
        }
        run.env("HARPO_VENV", tools::folder(&workspace));
    }
    status(run.args(words))
}

/// Runs tests against the binary of a profile, passes their output on as it comes, and closes with the sum of
/// what passed and failed.
fn tests(workspace: &Workspace, profile: &str, cargo: &[&str], arguments: &[String]) -> Result<()> {
    let mut command = command(cargo);
    if !arguments.is_empty() {
        command.arg("--").args(arguments);
    }
    command
        .env("HARPO_BIN", binary(workspace, profile))
        .env("HARPO_VENV", tools::folder(workspace))
        .stdout(Stdio::piped());
    if std::io::stdout().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let mut child = command.spawn().context("cannot run cargo test")?;
    let output = child.stdout.take().context("cargo test has no output")?;
    let mut sum = Sum::default();
    for line in BufReader::new(output).lines() {
        let line = line.context("cannot read what cargo test prints")?;
        sum.add(&line);
        say(&line);
    }
    let ended = child.wait().context("cannot wait for cargo test")?;
    say(&format!(
        "\n{} passed, {} failed, {} skipped",
        sum.passed, sum.failed, sum.ignored
    ));
    ensure!(ended.success(), "cargo test ended with {ended}");
    ensure!(sum.passed > 0, "no test ran");
    Ok(())
}

fn binary(workspace: &Workspace, profile: &str) -> PathBuf {
    workspace.target.join(profile).join("harpo")
}

/// The sum of the closing lines of several test programs.
#[derive(Debug, Default, PartialEq, Eq)]
struct Sum {
    passed: u64,
    failed: u64,
    ignored: u64,
}

impl Sum {
    /// Adds `test result: ok. 3 passed; 0 failed; 1 ignored; ...`; other lines add nothing.
    fn add(&mut self, line: &str) {
        let Some((_, counts)) = line.split_once("test result: ") else {
            return;
        };
        for count in counts.split([';', '.']) {
            let mut words = count.split_whitespace();
            if let (Some(Ok(count)), Some(what)) =
                (words.next().map(str::parse::<u64>), words.next())
            {
                match what {
                    "passed" => self.passed += count,
                    "failed" => self.failed += count,
                    "ignored" => self.ignored += count,
                    _ => {}
                }
            }
        }
    }
}

fn command(arguments: &[&str]) -> Command {
    let mut command = Command::new(cargo());
    command.args(arguments);
    command
}

fn status(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    ensure!(status.success(), "the command ended with {status}");
    Ok(())
}

/// Prints a line at once, also where the output is a file. A closed pipe must not stop the work.
fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

fn shown(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 90.0 {
        return format!("{seconds:.1} s");
    }
    format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closing_lines_are_added_up() {
        let mut sum = Sum::default();
        sum.add("running 3 tests");
        sum.add("test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 7 filtered out; finished in 0.52s");
        sum.add("test result: FAILED. 10 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.00s");
        let expected = Sum {
            passed: 13,
            failed: 2,
            ignored: 1,
        };
        assert_eq!(sum, expected);
    }

    #[test]
    fn times_are_readable() {
        assert_eq!(shown(Duration::from_millis(1234)), "1.2 s");
        assert_eq!(shown(Duration::from_secs(605)), "10 min 05 s");
    }
}
