//! `harpo plan`.

use std::path::PathBuf;

use anyhow::{Context as _, Result, bail};
use clap::{Args, ValueEnum};
use harpo_lab::plan::{self, Configuration, Network, Outlook, Preference, Search};

/// Say what a network would cost and hide, and which configuration to choose.
///
/// Everything is a trade: longer rounds cost less and make readers wait; larger stacks hide a read
/// among more and cost more to scan; errands blur when something was written and cost writes. Give
/// what you have (hospitals, studies, cores, lines) and what you want (waits); the rest is
/// searched, and the best is printed beside the defaults. A choice given here (--round-seconds,
/// --queries, --stack-gib, --seal-hours, --old-share) is kept, not searched.
#[derive(Debug, Args)]
pub(crate) struct Plan {
    /// Hospitals of the network, each with one gateway
    #[arg(
        long,
        value_name = "N",
        default_value_t = 24,
        help_heading = "What you have"
    )]
    hospitals: u32,
    /// Studies that all hospitals together deposit in a day
    #[arg(
        long,
        value_name = "N",
        default_value_t = 300.0,
        help_heading = "What you have"
    )]
    studies_per_day: f64,
    /// Mean size of a sealed study, in MB (10^6 bytes): losslessly coded, over the usual mix of modalities
    #[arg(
        long,
        value_name = "MB",
        default_value_t = 14.0,
        help_heading = "What you have"
    )]
    study_mb: f64,
    /// How often a study is consulted from another hospital, on average
    #[arg(
        long,
        value_name = "N",
        default_value_t = 1.0,
        help_heading = "What you have"
    )]
    reads_per_study: f64,
    /// Share of consults that do not wait for a round (emergency, break-glass)
    #[arg(
        long,
        value_name = "SHARE",
        default_value_t = 0.02,
        help_heading = "What you have"
    )]
    at_once_share: f64,
    /// How long studies are kept in the cloud, in days
    #[arg(
        long,
        value_name = "DAYS",
        default_value_t = 90.0,
        help_heading = "What you have"
    )]
    keep_days: f64,
    /// Cores of the cloud
    #[arg(
        long,
        value_name = "N",
        default_value_t = 16.0,
        help_heading = "What you have"
    )]
    cores: f64,
    /// What may be used of each hospital's line round the clock, in either direction
    #[arg(
        long,
        value_name = "MBIT",
        default_value_t = 200.0,
        help_heading = "What you have"
    )]
    bandwidth_mbit: f64,
    /// Price of 10^9 bytes that leave the cloud, in any currency
    #[arg(
        long,
        value_name = "PRICE",
        default_value_t = 0.05,
        help_heading = "What you have"
    )]
    price_per_gb: f64,
    /// Price of an hour of one core
    #[arg(
        long,
        value_name = "PRICE",
        default_value_t = 0.04,
        help_heading = "What you have"
    )]
    price_per_core_hour: f64,
    /// 95 % of those who read something from the newest stack wait at most this long
    #[arg(
        long,
        value_name = "S",
        default_value_t = 300.0,
        help_heading = "What you want"
    )]
    max_wait_seconds: f64,
    /// … something from an older stack; what is known ahead is prefetched, so that nobody waits for it
    #[arg(
        long,
        value_name = "S",
        default_value_t = 28800.0,
        help_heading = "What you want"
    )]
    max_older_wait_seconds: f64,
    /// Mean time until an upload is at the cloud; trust's cache serves it meanwhile
    #[arg(
        long,
        value_name = "S",
        default_value_t = 86400.0,
        help_heading = "What you want"
    )]
    max_delay_seconds: f64,
    /// What is best among configurations that keep the limits
    #[arg(long, value_enum, default_value_t = Prefer::Privacy, help_heading = "What you want")]
    prefer: Prefer,
    /// Length of a round: each gateway retrieves once in it, whatever is wanted
    #[arg(long, value_name = "S", help_heading = "What you choose yourself")]
    round_seconds: Option<u32>,
    /// Queries of each retrieval, a power of two up to 64
    #[arg(long, value_name = "N", help_heading = "What you choose yourself")]
    queries: Option<u32>,
    /// Size of the stack that each query covers: what a read hides among
    #[arg(long, value_name = "GIB", help_heading = "What you choose yourself")]
    stack_gib: Option<f64>,
    /// A generation is sealed at the latest after this
    #[arg(long, value_name = "H", help_heading = "What you choose yourself")]
    seal_hours: Option<f64>,
    /// Share of each generation that old bundles may fill, below 1; 0 moves only what was read
    #[arg(long, value_name = "SHARE", help_heading = "What you choose yourself")]
    old_share: Option<f64>,
    /// Slots of a generation, 4 MiB each: also the largest bundle that can be deposited
    #[arg(
        long,
        value_name = "N",
        default_value_t = 256,
        help_heading = "What you choose yourself"
    )]
    generation_slots: u32,
    /// Draw the trade around what is recommended (SVG)
    #[arg(long, value_name = "FILE.svg", help_heading = "What to write")]
    plot: Option<PathBuf>,
    /// Write what is recommended as the part of trust.toml that it is
    #[arg(long, value_name = "FILE.toml", help_heading = "What to write")]
    write: Option<PathBuf>,
    /// Print JSON instead of a table
    #[arg(long, help_heading = "What to write")]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Prefer {
    /// Lowest AUC of the whole log, then the largest stack, then the cheapest
    Privacy,
    /// The cheapest, then the largest stack
    Cost,
}

impl Plan {
    pub(crate) fn run(&self) -> Result<()> {
        let network = self.network();
        let limits = self.limits();
        let chosen = self.chosen()?;
        let found = plan::search(&network, &chosen, &limits)?;
        let shown = found.best.or(found.nearest);
        if self.json {
            let report = serde_json::json!({
                "network": network,
                "limits": limits,
                "recommended": found.best,
                "nearest": found.nearest,
                "broken": found.broken,
                "lifted": found.lifted,
                "considered": found.all.len(),
            });
            println!("{}", serde_json::to_string_pretty(&report)?);
        } else {
            self.tell(&network, &limits, &found)?;
        }
        if let (Some(path), Some(outlook)) = (&self.plot, &shown) {
            let drawing = plan::draw(&network, &outlook.configuration)?;
            std::fs::write(path, drawing).with_context(|| format!("writing {}", path.display()))?;
        }
        let Some(best) = found.best else {
            bail!("no configuration keeps these limits");
        };
        if let Some(path) = &self.write {
            let text = plan::fragment(&best.configuration);
            std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))?;
        }
        Ok(())
    }

    fn tell(&self, network: &Network, limits: &Search, found: &plan::Found) -> Result<()> {
        let default = plan::outlook(network, &Configuration::default())?;
        let mut plans: Vec<(&str, &Outlook)> = vec![("defaults", &default)];
        match (&found.best, &found.nearest) {
            (Some(best), _) => plans.push(("recommended", best)),
            (None, Some(nearest)) => plans.push(("nearest", nearest)),
            (None, None) => {}
        }
        println!("{}", plan::table(network, limits, &plans));
        match &found.best {
            Some(best) => println!(
                "Recommended, of {} considered: {}.",
                found.all.len(),
                best.configuration
            ),
            None => println!("{}", plan::advice(found)),
        }
        if self.write.is_none() && found.best.is_some() {
            println!(
                "`--write FILE.toml` writes it for trust, `--plot FILE.svg` draws the trade around it."
            );
        }
        Ok(())
    }

    fn network(&self) -> Network {
        Network {
            hospitals: self.hospitals,
            studies_per_day: self.studies_per_day,
            study_bytes: self.study_mb * 1e6,
            reads_per_study: self.reads_per_study,
            at_once_share: self.at_once_share,
            keep_days: self.keep_days,
            cores: self.cores,
            bandwidth_mbit: self.bandwidth_mbit,
            price_per_gb: self.price_per_gb,
            price_per_core_hour: self.price_per_core_hour,
        }
    }

    fn limits(&self) -> Search {
        Search {
            max_wait_seconds: self.max_wait_seconds,
            max_older_wait_seconds: self.max_older_wait_seconds,
            max_delay_seconds: self.max_delay_seconds,
            prefer: match self.prefer {
                Prefer::Privacy => Preference::Privacy,
                Prefer::Cost => Preference::Cost,
            },
        }
    }

    fn chosen(&self) -> Result<plan::Chosen> {
        let stack_generations = self
            .stack_gib
            .map(|gib| plan::generations(gib, self.generation_slots))
            .transpose()?;
        Ok(plan::Chosen {
            generation_slots: self.generation_slots,
            stack_generations,
            seal_after_seconds: self.seal_hours.map(|hours| (hours * 3600.0) as u64),
            round_seconds: self.round_seconds,
            queries: self.queries,
            old_share: self.old_share,
        })
    }
}
