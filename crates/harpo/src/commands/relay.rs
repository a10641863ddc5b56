//! `harpo relay`.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use harpo_protocol::identity::EnrolCode;
use harpo_relay::config::{self, RelayConfig};
use harpo_service::clock::Clock;
use harpo_service::files;
use harpo_service::shutdown::Shutdown;
use harpo_service::telemetry;
use zeroize::Zeroizing;

use super::code::Code;

const FILE: &str = "relay.toml";

#[derive(Debug, Subcommand)]
pub(crate) enum Relay {
    /// Join a network with a one-time code from trust
    Init {
        /// Folder for configuration and data
        #[arg(long)]
        dir: PathBuf,
        /// Address of trust, https://HOST:PORT
        #[arg(long, value_name = "URL")]
        trust: String,
        /// Address of the cloud, https://HOST:PORT: nothing is carried elsewhere
        #[arg(long, value_name = "URL")]
        cloud: String,
        #[command(flatten)]
        code: Code,
        /// DNS name or IP address at which others reach this relay; repeatable
        #[arg(long = "server-name", value_name = "NAME", default_values = ["localhost", "127.0.0.1"])]
        server_names: Vec<String>,
    },
    /// Serve until SIGTERM
    Serve {
        /// Folder made by `init`
        #[arg(long)]
        dir: PathBuf,
    },
}

impl Relay {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Init {
                dir,
                trust,
                cloud,
                code,
                server_names,
            } => init(&dir, [&trust, &cloud], &code.read()?, server_names).await,
            Self::Serve { dir } => serve(&dir).await,
        }
    }
}

async fn init(
    dir: &Path,
    [trust, cloud]: [&str; 2],
    code: &EnrolCode,
    server_names: Vec<String>,
) -> Result<()> {
    let file = dir.join(FILE);
    if file.exists() {
        bail!(
            "{} exists already; choose another folder, or remove it to begin anew",
            file.display()
        );
    }
    files::create_dir_durable(dir, 0o700).with_context(|| dir.display().to_string())?;
    let defaults = RelayConfig::new(dir.join("data"), cloud);
    let code = Zeroizing::new(code.to_text());
    harpo_relay::enrol::enrol(&defaults, &code, trust, server_names, &Clock::system()).await?;
    files::write_durable(&file, config::template(cloud).as_bytes(), 0o600)?;
    eprintln!("enrolled; next: harpo relay serve --dir {}", dir.display());
    Ok(())
}

async fn serve(dir: &Path) -> Result<()> {
    let mut config = RelayConfig::load(&dir.join(FILE))?;
    config.data_dir = dir.join(&config.data_dir);
    telemetry::init(&config.log)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    let running = harpo_relay::serve(config, Clock::system(), shutdown).await?;
    running.finished().await;
    Ok(())
}
