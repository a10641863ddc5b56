//! `harpo gateway`.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Subcommand;
use harpo_gateway::config::{self, GatewayConfig};
use harpo_gateway::users::{self, Credential};
use harpo_gateway::{maintenance, serve};
use harpo_protocol::identity::EnrolCode;
use harpo_service::clock::Clock;
use harpo_service::config::load;
use harpo_service::random;
use harpo_service::telemetry;
use zeroize::Zeroizing;

#[derive(Debug, Subcommand)]
pub(crate) enum Gateway {
    /// Join a network with a one-time code from trust
    Init {
        /// Folder for configuration and data
        #[arg(long)]
        dir: PathBuf,
        /// Address of trust, https://HOST:PORT
        #[arg(long, value_name = "URL")]
        trust: String,
        /// One-time code that `harpo trust enrol --role gateway` printed
        #[arg(long)]
        code: EnrolCode,
    },
    /// Serve until SIGTERM
    Serve {
        /// Folder made by `init`
        #[arg(long)]
        dir: PathBuf,
    },
    /// The users of this hospital
    #[command(subcommand)]
    User(User),
    /// The local copies of fetched studies
    #[command(subcommand)]
    Cache(Cache),
}

#[derive(Debug, Subcommand)]
pub(crate) enum User {
    /// Add a user, and print the token with which it signs in; restart the gateway afterwards
    Add {
        /// Folder made by `init`
        #[arg(long)]
        dir: PathBuf,
        /// Unique name
        #[arg(long)]
        name: String,
        /// Role, as the policy names it: physician, radiologist, technologist, researcher, …
        #[arg(long)]
        role: String,
        /// Read a password from standard input instead of making a token
        #[arg(long)]
        password_stdin: bool,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Cache {
    /// Remove all local copies; they can be fetched again
    Clear {
        /// Folder made by `init`
        #[arg(long)]
        dir: PathBuf,
    },
}

impl Gateway {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Init { dir, trust, code } => {
                serve::init(&dir, &trust, &code, &Clock::system()).await?;
                eprintln!(
                    "enrolled; next: harpo gateway user add --dir {0} --name NAME --role physician, \
                     then harpo gateway serve --dir {0}",
                    dir.display()
                );
                Ok(())
            }
            Self::Serve { dir } => {
                let config = configuration(&dir)?;
                telemetry::init(&config.log)?;
                Ok(serve::run(&config, &dir).await?)
            }
            Self::User(User::Add {
                dir,
                name,
                role,
                password_stdin,
            }) => add_user(&dir, &name, &role, password_stdin),
            Self::Cache(Cache::Clear { dir }) => {
                let config = configuration(&dir)?;
                let removed = maintenance::clear_cache(&dir.join(&config.data_dir)).await?;
                eprintln!("{removed} bundles removed from the local cache");
                Ok(())
            }
        }
    }
}

fn configuration(dir: &Path) -> Result<GatewayConfig> {
    Ok(load(&dir.join(config::FILE))?)
}

fn add_user(dir: &Path, name: &str, role: &str, password_stdin: bool) -> Result<()> {
    let config = configuration(dir)?;
    let credential = if password_stdin {
        let mut password = Zeroizing::new(String::new());
        std::io::stdin()
            .read_to_string(&mut password)
            .context("reading the password")?;
        let password = Zeroizing::new(password.trim_end_matches(['\r', '\n']).to_owned());
        if password.chars().count() < 12 {
            bail!("the password has fewer than 12 characters");
        }
        Credential::Password(password)
    } else {
        Credential::Token
    };
    let path = dir.join(&config.users_file);
    let token = users::add(&path, name, role, credential, &mut random::system())?;
    if let Some(token) = token {
        println!("{}", *token);
    }
    Ok(())
}
