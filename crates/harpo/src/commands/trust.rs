//! `harpo trust`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand, ValueEnum};
use harpo_protocol::id::{BundleId, PartyId};
use harpo_protocol::identity::Role;
use harpo_service::clock::Clock;
use harpo_service::shutdown::Shutdown;
use harpo_service::{random, telemetry};
use harpo_trust::policy::Consent;
use harpo_trust::{Folder, InitOptions, Operator, parse_head};

#[derive(Debug, Subcommand)]
pub(crate) enum Trust {
    /// Make a new network: its authority, its keys, its configuration
    Init {
        #[command(flatten)]
        folder: Dir,
        /// Address to serve on
        #[arg(long, value_name = "ADDRESS")]
        listen: Option<SocketAddr>,
        /// DNS name or IP address at which others reach this service; repeatable
        #[arg(long = "server-name", value_name = "NAME", default_values = ["localhost", "127.0.0.1"])]
        server_names: Vec<String>,
        /// Address of the cloud, https://HOST:PORT
        #[arg(long, value_name = "URL")]
        cloud_url: Option<String>,
    },
    /// Serve until SIGTERM
    Serve {
        #[command(flatten)]
        folder: Dir,
    },
    /// Print a one-time code with which a party joins
    Enrol {
        #[command(flatten)]
        folder: Dir,
        /// What the party will be
        #[arg(long)]
        role: Joining,
        /// Its name; of a hospital, as physicians know it
        #[arg(long)]
        name: String,
    },
    /// List the parties
    Parties {
        #[command(flatten)]
        folder: Dir,
    },
    /// Shut a party out, from its next request on
    Revoke {
        #[command(flatten)]
        folder: Dir,
        /// As `parties` lists it
        party: PartyId,
        /// Really do it; without it, only say what would happen
        #[arg(long)]
        yes: bool,
    },
    /// Record what a patient wants
    Consent {
        #[command(flatten)]
        folder: Dir,
        /// Patient ID
        patient: String,
        /// permit, deny, or unknown to withdraw what was recorded
        consent: ConsentWord,
        /// The hospital whose patient ID it is; without it, every hospital's
        #[arg(long, value_name = "PARTY")]
        origin: Option<PartyId>,
    },
    /// Destroy the keys of a bundle, so that nobody can read it any more
    Erase {
        #[command(flatten)]
        folder: Dir,
        /// The bundle
        bundle: BundleId,
        /// Why, for the audit log
        #[arg(long)]
        reason: String,
        /// Really do it; without it, only say what would be erased
        #[arg(long)]
        yes: bool,
    },
    /// Seal the open generation now
    Seal {
        #[command(flatten)]
        folder: Dir,
    },
    /// The audit log
    #[command(subcommand)]
    Audit(Audit),
}

#[derive(Debug, Subcommand)]
pub(crate) enum Audit {
    /// Check the log from its first entry to its signed head
    Verify {
        #[command(flatten)]
        folder: Dir,
        /// An entry that a receipt names, which must still be there
        #[arg(long, value_name = "NUMBER:HASH")]
        expect: Option<String>,
    },
    /// Print the log as JSON lines
    Export {
        #[command(flatten)]
        folder: Dir,
    },
}

/// Where a trust service keeps everything.
#[derive(Debug, Args)]
pub(crate) struct Dir {
    /// Folder of the trust service
    #[arg(long)]
    dir: PathBuf,
}

impl Dir {
    fn path(&self) -> &Path {
        &self.dir
    }

    fn folder(&self) -> Folder {
        Folder::new(&self.dir)
    }

    async fn operator(&self) -> Result<Operator> {
        Ok(Operator::open(&self.folder(), Clock::system()).await?)
    }
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Joining {
    /// The provider
    Cloud,
    /// A hospital
    Gateway,
    /// Carries hospitals' requests to the provider
    Relay,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum ConsentWord {
    /// Agrees
    Permit,
    /// Objects
    Deny,
    /// Withdraws what was recorded
    Unknown,
}

impl Trust {
    pub(crate) async fn run(self) -> Result<()> {
        match self {
            Self::Init {
                folder,
                listen,
                server_names,
                cloud_url,
            } => {
                let options = InitOptions {
                    listen,
                    server_names,
                    cloud_url,
                };
                init(&folder, &options).await
            }
            Self::Serve { folder } => serve(&folder).await,
            Self::Enrol { folder, role, name } => enrol(&folder, role, &name).await,
            Self::Parties { folder } => parties(&folder).await,
            Self::Revoke { folder, party, yes } => revoke(&folder, party, yes).await,
            Self::Consent {
                folder,
                patient,
                consent,
                origin,
            } => {
                let consent = match consent {
                    ConsentWord::Permit => Consent::Permit,
                    ConsentWord::Deny => Consent::Deny,
                    ConsentWord::Unknown => Consent::Unknown,
                };
                let operator = folder.operator().await?;
                operator.set_consent(&patient, origin, consent).await?;
                eprintln!("recorded; it holds from the next decision on");
                Ok(())
            }
            Self::Erase {
                folder,
                bundle,
                reason,
                yes,
            } => erase(&folder, bundle, &reason, yes).await,
            Self::Seal { folder } => {
                let generation = folder.operator().await?.seal().await?;
                eprintln!("generation {generation} will be sealed by the running service");
                Ok(())
            }
            Self::Audit(Audit::Verify { folder, expect }) => verify(&folder, expect).await,
            Self::Audit(Audit::Export { folder }) => {
                let mut out = std::io::stdout().lock();
                folder.operator().await?.export_audit(&mut out).await?;
                Ok(out.flush()?)
            }
        }
    }
}

async fn init(dir: &Dir, options: &InitOptions) -> Result<()> {
    let clock = Clock::system();
    harpo_trust::init(&dir.folder(), options, &clock, &mut random::system()).await?;
    eprintln!(
        "made; next: harpo trust serve --dir {}",
        dir.path().display()
    );
    Ok(())
}

async fn serve(dir: &Dir) -> Result<()> {
    let folder = dir.folder();
    let config = folder.config()?;
    telemetry::init(&config.log)?;
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    Ok(harpo_trust::serve(&folder, config, Clock::system(), &shutdown).await?)
}

async fn enrol(dir: &Dir, role: Joining, name: &str) -> Result<()> {
    let role = match role {
        Joining::Cloud => Role::Cloud,
        Joining::Gateway => Role::Gateway,
        Joining::Relay => Role::Relay,
    };
    let (code, expires) = dir
        .operator()
        .await?
        .new_code(role, name, &mut random::system())
        .await?;
    println!("{}", code.to_text());
    eprintln!(
        "works once, until {expires}: harpo {role} init --dir DIR --trust URL --code-file FILE (or HARPO_CODE)"
    );
    Ok(())
}

async fn parties(dir: &Dir) -> Result<()> {
    for party in dir.operator().await?.parties().await? {
        let state = match party.revoked {
            Some(at) => format!("revoked {at}"),
            None => format!("since {}", party.enrolled),
        };
        println!(
            "{}  {:8}  {state}  {}",
            party.id,
            party.role.as_str(),
            party.name
        );
    }
    Ok(())
}

async fn revoke(dir: &Dir, party: PartyId, yes: bool) -> Result<()> {
    let operator = dir.operator().await?;
    let known = operator
        .parties()
        .await?
        .into_iter()
        .find(|p| p.id == party);
    let known =
        known.with_context(|| format!("{party} is not a party; see `harpo trust parties`"))?;
    if !yes {
        bail!(
            "{} ({}) would be shut out; repeat with --yes to do it",
            known.name,
            known.role
        );
    }
    operator.revoke(party).await?;
    eprintln!("{} is shut out", known.name);
    Ok(())
}

async fn erase(dir: &Dir, bundle: BundleId, reason: &str, yes: bool) -> Result<()> {
    let erasure = dir.operator().await?.erase(bundle, reason, yes).await?;
    let what = format!(
        "bundle {bundle}: {} instances of study {} from {}",
        erasure.instances, erasure.study_instance_uid, erasure.origin
    );
    if !erasure.done {
        bail!("{what} would become unreadable for ever; repeat with --yes to do it");
    }
    eprintln!("{what}: the keys are destroyed");
    if !erasure.log_emptied {
        eprintln!(
            "the database's log was being read and may hold them still: stop and start the service to empty it"
        );
    }
    if erasure.in_cloud {
        eprintln!("its bytes stay in the cloud, unreadable, until their generation is retired");
    }
    Ok(())
}

async fn verify(dir: &Dir, expect: Option<String>) -> Result<()> {
    let expect = expect.map(|text| parse_head(&text)).transpose()?;
    let head = dir.operator().await?.verify_audit(expect).await?;
    println!(
        "right: {} entries, head {}:{}",
        head.number, head.number, head.hash
    );
    Ok(())
}
