//! `harpo gateway refused`.

use anyhow::{Result, bail};
use clap::{Args, Subcommand};
use harpo_gateway::maintenance;
use harpo_gateway::store::refusals::{Refusal, Wish};
use harpo_protocol::id::BundleId;

use super::Dir;

#[derive(Debug, Subcommand)]
pub(crate) enum Refused {
    /// List them, with the reason
    List {
        #[command(flatten)]
        folder: Dir,
    },
    /// Deposit one after all: what stood against it was settled
    Retry {
        #[command(flatten)]
        which: Which,
    },
    /// Give one up, and delete its instances
    Discard {
        #[command(flatten)]
        which: Which,
        /// Really do it; without it, only say what would be deleted
        #[arg(long)]
        yes: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Which {
    #[command(flatten)]
    folder: Dir,
    /// As `list` shows it
    bundle: BundleId,
}

impl Refused {
    pub(super) async fn run(self) -> Result<()> {
        match self {
            Self::List { folder } => list(&folder).await,
            Self::Retry { which } => {
                let what = which.note(Wish::Retry).await?;
                eprintln!("{what} will be deposited by the running gateway, or when it is started");
                Ok(())
            }
            Self::Discard { which, yes } => {
                if !yes {
                    let what = which.describe().await?;
                    bail!("{what} would be deleted for ever; repeat with --yes to do it");
                }
                let what = which.note(Wish::Discard).await?;
                eprintln!("{what} will be deleted by the running gateway, or when it is started");
                Ok(())
            }
        }
    }
}

impl Which {
    async fn describe(&self) -> Result<String> {
        let id = self.bundle.to_string();
        let refused = maintenance::refused(&self.folder.data()?).await?;
        match refused.into_iter().find(|(r, _)| r.bundle == id) {
            Some((refusal, instances)) => Ok(described(&refusal, instances)),
            None => bail!("{id} was not refused; see `harpo gateway refused list`"),
        }
    }

    async fn note(&self, wish: Wish) -> Result<String> {
        let what = self.describe().await?;
        let data = self.folder.data()?;
        if !maintenance::wish(&data, &self.bundle.to_string(), wish).await? {
            bail!("{} is refused no more", self.bundle);
        }
        Ok(what)
    }
}

fn described(refusal: &Refusal, instances: usize) -> String {
    format!(
        "bundle {}: {instances} instances of study {}",
        refusal.bundle, refusal.study
    )
}

async fn list(folder: &Dir) -> Result<()> {
    let refused = maintenance::refused(&folder.data()?).await?;
    if refused.is_empty() {
        eprintln!("nothing is refused");
    }
    for (refusal, instances) in refused {
        let state = match refusal.wish {
            None => "",
            Some(Wish::Retry) => ", will be tried again",
            Some(Wish::Discard) => ", will be discarded",
        };
        println!(
            "{}  {}  {instances} instances of study {}  {}: {}{state}",
            refusal.bundle, refusal.at, refusal.study, refusal.code, refusal.message
        );
    }
    Ok(())
}
