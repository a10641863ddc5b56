//! `harpo cloud`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use harpo_cloud::config::{self, CloudConfig};
use harpo_protocol::identity::EnrolCode;
use harpo_service::clock::Clock;
use harpo_service::files;
use harpo_service::ohttp::ServerKeys;
use harpo_service::random;
use harpo_service::shutdown::Shutdown;
use harpo_service::telemetry;
use zeroize::Zeroizing;

use super::code::Code;

const FILE: &str = "cloud.toml";

#[derive(Debug, Subcommand)]
pub(crate) enum Cloud {
    /// Join a network with a one-time code from trust
    Init {
        /// Folder for configuration and data
        #[arg(long)]
        dir: PathBuf,
        /// Address of trust, https://HOST:PORT
        #[arg(long, value_name = "URL")]
        trust: String,
        #[command(flatten)]
        code: Code,
        /// DNS name or IP address at which others reach this cloud; repeatable
        #[arg(long = "server-name", value_name = "NAME", default_values = ["localhost", "127.0.0.1"])]
        server_names: Vec<String>,
    },
    /// Make a new key for what comes through the relay; start the cloud again to use it
    NewKey {
        /// Folder made by `init`
        #[arg(long)]
        dir: PathBuf,
    },
    /// Serve until SIGTERM
    Serve {
        /// Folder made by `init`
        #[arg(long)]
        dir: PathBuf,
    },
}

impl Cloud {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Init {
                dir,
                trust,
                code,
                server_names,
            } => init(&dir, &trust, &code.read()?, server_names).await,
            Self::NewKey { dir } => new_key(&dir),
            Self::Serve { dir } => serve(&dir).await,
        }
    }
}

async fn init(dir: &Path, trust: &str, code: &EnrolCode, server_names: Vec<String>) -> Result<()> {
    let file = dir.join(FILE);
    if file.exists() {
        bail!(
            "{} exists already; choose another folder, or remove it to begin anew",
            file.display()
        );
    }
    files::create_dir_durable(dir, 0o700).with_context(|| dir.display().to_string())?;
    let defaults = CloudConfig::new(dir.join("data"));
    let code = Zeroizing::new(code.to_text());
    harpo_cloud::enrol::enrol(&defaults, &code, trust, server_names, &Clock::system()).await?;
    files::write_durable(&file, config::template().as_bytes(), 0o600)?;
    eprintln!("enrolled; next: harpo cloud serve --dir {}", dir.display());
    Ok(())
}

fn new_key(dir: &Path) -> Result<()> {
    let mut config = CloudConfig::load(&dir.join(FILE))?;
    config.data_dir = dir.join(&config.data_dir);
    ServerKeys::renew(&config.relay_keys_file(), &mut random::system())?;
    eprintln!(
        "made; start the cloud again: it tells trust the new key, and accepts the one before as well"
    );
    Ok(())
}

async fn serve(dir: &Path) -> Result<()> {
    let mut config = CloudConfig::load(&dir.join(FILE))?;
    config.data_dir = dir.join(&config.data_dir);
    telemetry::init(&config.log)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let running = harpo_cloud::serve(config, Clock::system(), shutdown).await?;
    running.finished().await;
    Ok(())
}
