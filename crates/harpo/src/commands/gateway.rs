//! `harpo gateway`.

mod refused;
mod report;
mod user;

use std::path::{Path, PathBuf};

use anyhow::Result;
use clap::{Args, Subcommand};
use harpo_gateway::config::{self, GatewayConfig};
use harpo_gateway::{maintenance, serve};
use harpo_service::clock::Clock;
use harpo_service::telemetry;

use super::code::Code;

#[derive(Debug, Subcommand)]
pub(crate) enum Gateway {
    /// Join a network with a one-time code from trust
    Init {
        #[command(flatten)]
        folder: Dir,
        /// Address of trust, https://HOST:PORT
        #[arg(long, value_name = "URL")]
        trust: String,
        #[command(flatten)]
        code: Code,
    },
    /// Serve until SIGTERM
    Serve {
        #[command(flatten)]
        folder: Dir,
    },
    /// Tell what is in the folder: what waits, what was deposited, what was refused
    Status {
        #[command(flatten)]
        folder: Dir,
    },
    /// The users of this hospital
    #[command(subcommand)]
    User(user::User),
    /// Bundles that were refused for good: they stay here until somebody decides
    #[command(subcommand)]
    Refused(refused::Refused),
    /// List the accesses to this hospital's images that a second person must review
    Reviews {
        #[command(flatten)]
        folder: Dir,
    },
    /// List what left this gateway for taking away: who took it, when and why
    Exports {
        #[command(flatten)]
        folder: Dir,
        /// Print them signed, with this hospital's credential, for `harpo mark trace --exports` elsewhere
        #[arg(long)]
        json: bool,
    },
    /// The local copies of fetched studies
    #[command(subcommand)]
    Cache(Cache),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Remove all local copies; they can be fetched again
    Clear {
        #[command(flatten)]
        folder: Dir,
    },
}

/// Where a gateway keeps everything.
#[derive(Debug, Args)]
pub(crate) struct Dir {
    /// Folder of the gateway
    #[arg(long)]
    dir: PathBuf,
}

impl Dir {
    fn path(&self) -> &Path {
        &self.dir
    }

    fn config(&self) -> Result<GatewayConfig> {
        Ok(GatewayConfig::load(&self.dir.join(config::FILE))?)
    }

    fn data(&self) -> Result<PathBuf> {
        Ok(self.dir.join(self.config()?.data_dir))
    }

    fn users_file(&self) -> Result<PathBuf> {
        Ok(self.dir.join(self.config()?.users_file))
    }
}

impl Gateway {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Init {
                folder,
                trust,
                code,
            } => init(&folder, &trust, code).await,
            Self::Serve { folder } => {
                let config = folder.config()?;
                telemetry::init(&config.log)?;
                Ok(serve::run(&config, folder.path()).await?)
            }
            Self::Status { folder } => report::status(&folder).await,
            Self::User(user) => user.run(),
            Self::Refused(refused) => refused.run().await,
            Self::Reviews { folder } => report::reviews(&folder).await,
            Self::Exports { folder, json } => report::exports(&folder, json).await,
            Self::Cache(Cache::Clear { folder }) => {
                let removed = maintenance::clear_cache(&folder.data()?).await?;
                eprintln!("{removed} bundles removed from the local cache");
                Ok(())
            }
        }
    }
}

async fn init(folder: &Dir, trust: &str, code: Code) -> Result<()> {
    let dir = folder.path();
    serve::init(dir, trust, &code.read()?, &Clock::system()).await?;
    eprintln!(
        "enrolled; next: harpo gateway user add --dir {0} --name NAME --role physician, \
         then harpo gateway serve --dir {0}",
        dir.display()
    );
    Ok(())
}
