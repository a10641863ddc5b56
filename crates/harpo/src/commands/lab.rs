//! `harpo lab`.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use harpo_lab::game::Game;
use harpo_lab::run::{self, Options, Step};
use harpo_lab::systems::System;
use harpo_lab::traffic::Scenario;
use harpo_lab::{attacks, report};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

#[derive(Debug, Subcommand)]
pub(crate) enum Lab {
    Run(Run),
}

impl Lab {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Run(command) => tokio::task::spawn_blocking(move || command.run()).await?,
        }
    }
}

/// Attack simulated networks as the cloud provider could, and say what it can link.
///
/// Hospitals work in virtual time over the decisions of the real parties; what the real cloud would
/// log is given to every attack there is, and five games are played: do two uploads belong to one
/// patient, do two retrievals, which hospital uploaded, which retrieved, which bundle. The product
/// stands beside baselines that must lose. The default scenario takes a quarter of an hour on two
/// cores. Ends with an error only if a control misbehaves, for then no figure counts; promises
/// that are not kept are said loudly.
#[derive(Debug, Args)]
pub(crate) struct Run {
    /// Folder for report.json, index.html, results.md and drawings, made if there is none
    #[arg(long, value_name = "DIR", required_unless_present = "list")]
    report: Option<PathBuf>,
    /// Fewer hospitals, days and questions, no sweeps: within two minutes, wider intervals
    #[arg(long)]
    quick: bool,
    /// Read the network and its traffic from here; keys that are left out keep their defaults
    #[arg(long, value_name = "FILE.toml")]
    scenario: Option<PathBuf>,
    /// Hospitals of the network
    #[arg(long, value_name = "N")]
    hospitals: Option<u16>,
    /// Length of the log in days
    #[arg(long, value_name = "N")]
    days: Option<u32>,
    /// What happens in the attacked run; the next seed is practised on
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Only these systems, by name
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    systems: Vec<String>,
    /// Only these games, by name
    #[arg(long, value_name = "NAMES", value_delimiter = ',')]
    games: Vec<String>,
    /// Leave out the sweeps of re-placement, delay and rounds
    #[arg(long)]
    no_sweeps: bool,
    /// Print systems, games and attacks by name, and run nothing
    #[arg(long)]
    list: bool,
}

impl Run {
    fn run(&self) -> Result<()> {
        if self.list {
            list();
            return Ok(());
        }
        let Some(folder) = &self.report else {
            bail!("no folder for the report: give --report DIR");
        };
        std::fs::create_dir_all(folder).with_context(|| format!("making {}", folder.display()))?;
        let options = self.options()?;
        let began = begin();
        let bar = bar(options.steps());
        let listener = |step: Step<'_>| match step {
            Step::Begins(what) => bar.set_message(what.to_owned()),
            Step::Done => bar.inc(1),
        };
        let mut report = run::run(&options, &listener)?;
        bar.finish_and_clear();
        report.seconds = began.elapsed().as_secs_f64();
        write(folder, &report)?;
        println!("{}", report::tables(&report));
        println!(
            "{:.0} s. {} is the page; {} has every figure.",
            report.seconds,
            folder.join("index.html").display(),
            folder.join("report.json").display()
        );
        if report.misbehaves() {
            bail!("a control misbehaves: no figure of this run can be trusted");
        }
        Ok(())
    }

    fn options(&self) -> Result<Options> {
        let mut scenario = match &self.scenario {
            Some(path) => read(path)?,
            None if self.quick => Scenario::quick(),
            None => Scenario::default(),
        };
        scenario.hospitals = self.hospitals.unwrap_or(scenario.hospitals);
        scenario.days = self.days.unwrap_or(scenario.days);
        scenario.validate()?;
        let mut options = if self.quick {
            Options::quick(scenario)
        } else {
            Options::new(scenario)
        };
        options.seed = self.seed;
        if !self.systems.is_empty() {
            options.systems = chosen(&self.systems, "system", &systems())?;
        }
        if !self.games.is_empty() {
            options.play.games = chosen(&self.games, "game", &games())?;
        }
        if self.no_sweeps {
            options.sweeps = None;
        }
        Ok(options)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long it took is for people to read"
)]
fn begin() -> Instant {
    Instant::now()
}

fn read(path: &Path) -> Result<Scenario> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    toml::from_str(&text).with_context(|| format!("{} is no scenario", path.display()))
}

fn systems() -> Vec<(String, System)> {
    let named = System::ALL.into_iter();
    named
        .map(|system| (system.name().to_owned(), system))
        .collect()
}

fn games() -> Vec<(String, Game)> {
    let named = Game::ALL.into_iter();
    named.map(|game| (run::name(game), game)).collect()
}

/// Those of `all` that were named, in the order of `all`.
fn chosen<T: Copy>(names: &[String], what: &str, all: &[(String, T)]) -> Result<Vec<T>> {
    if let Some(unknown) = names
        .iter()
        .find(|name| !all.iter().any(|(known, _)| known == *name))
    {
        let known: Vec<&str> = all.iter().map(|(name, _)| name.as_str()).collect();
        bail!(
            "there is no {what} {unknown:?}; there are: {}",
            known.join(", ")
        );
    }
    let named = all.iter().filter(|(known, _)| names.contains(known));
    Ok(named.map(|(_, one)| *one).collect())
}

fn list() {
    println!("Systems:");
    for system in System::ALL {
        println!("  {:18} {}", system.name(), system.about());
    }
    println!("\nGames:");
    for (name, game) in games() {
        let promise = if game.promised() { ", promised" } else { "" };
        println!("  {name:30} ({}{promise}) {}", game.numeral(), game.name());
    }
    println!("\nAttacks:");
    for attack in attacks::all() {
        println!("  {:26} {}", attack.name(), attack.about());
    }
}

fn write(folder: &Path, report: &report::Report) -> Result<()> {
    let put = |name: String, text: String| {
        let path = folder.join(name);
        std::fs::write(&path, text).with_context(|| format!("writing {}", path.display()))
    };
    put(
        "report.json".to_owned(),
        serde_json::to_string_pretty(report)?,
    )?;
    put("results.md".to_owned(), report::results(report))?;
    let drawings = report::drawings(report)?;
    put("index.html".to_owned(), report::page(report, &drawings))?;
    for drawing in drawings {
        put(format!("{}.svg", drawing.name), drawing.svg)?;
    }
    Ok(())
}

/// On standard error if that is a terminal.
fn bar(steps: usize) -> ProgressBar {
    let bar = ProgressBar::new(steps as u64);
    bar.set_draw_target(ProgressDrawTarget::stderr());
    let template = "  [{bar:30.cyan}] {pos}/{len} {elapsed}  {msg}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("█▌ "));
    }
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_looked_up_and_unknown_ones_say_which_there_are() {
        let named = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
            chosen(&names, "system", &systems())
        };
        let found = named(&["naive-sharing", "product"]).unwrap();
        assert_eq!(found, [System::Product, System::Naive]);
        let complaint = named(&["prodct"]).unwrap_err().to_string();
        assert!(complaint.contains("naive-sharing"), "{complaint}");
        let names: Vec<String> = games().into_iter().map(|(name, _)| name).collect();
        assert!(
            names.contains(&"uploads-within-epoch".to_owned()),
            "{names:?}"
        );
    }

    #[test]
    fn scenarios_are_read_and_strangers_in_them_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("scenario.toml");
        std::fs::write(&path, "hospitals = 5\ndays = 7\n").unwrap();
        assert_eq!(read(&path).unwrap().hospitals, 5);
        std::fs::write(&path, "hopsitals = 5\n").unwrap();
        assert!(read(&path).is_err());
    }
}
