//! Putting a gateway together and running it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use harpo_protocol::Malformed;
use harpo_protocol::identity::{EnrolCode, Role};
use harpo_service::admin::{Admin, Readiness};
use harpo_service::causes::in_one_line;
use harpo_service::clock::Clock;
use harpo_service::config::ConfigError;
use harpo_service::enrol::keep_renewed;
use harpo_service::files;
use harpo_service::http::{Client, ClientError, Limits, Server};
use harpo_service::metrics::Metrics;
use harpo_service::shutdown::Shutdown;
use harpo_service::tls::{Expect, TlsError, client_config};
use rand_core::Rng;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::config::{self, Figures, GatewayConfig};
use crate::consult::{Consult, ConsultError, Settings};
use crate::dicom::scp::{Scp, ScpConfig};
use crate::figures::{self, METRICS};
use crate::hints::Hints;
use crate::notices;
use crate::outsource::Outsource;
use crate::party::{self, Party, PartyError};
use crate::prefetch;
use crate::ready::Ready;
use crate::spool::{Spool, SpoolError};
use crate::status::{self, About};
use crate::store::{Store, StoreError};
use crate::users::{self, UsersFileError};
use crate::web::{self, Web, WebLimits};

/// How often the spool is looked at for studies that became quiet.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long what has begun may take after a stop.
const DRAIN: Duration = Duration::from_secs(20);

/// Why a gateway does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Impossible values.
    #[error(transparent)]
    Impossible(#[from] Malformed),
    /// Users.
    #[error(transparent)]
    Users(#[from] UsersFileError),
    /// Identity and keys.
    #[error(transparent)]
    Party(#[from] PartyError),
    /// TLS.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Trust's address.
    #[error("trust's address cannot be used")]
    Trust(#[from] ClientError),
    /// Spool.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// Database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An address is taken.
    #[error("cannot listen on {address} for {what}")]
    Listen {
        /// For what.
        what: &'static str,
        /// Where.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The consulting side.
    #[error("the consulting side cannot start")]
    Consult(#[from] ConsultError),
    /// The disk.
    #[error("the data folder cannot be used")]
    Io(#[from] io::Error),
    /// The folder is in use for a gateway already.
    #[error("{0} exists already; choose another folder, or remove it to begin anew")]
    Exists(PathBuf),
}

/// Addresses on which a gateway serves.
#[derive(Debug, Clone, Copy)]
pub struct Addresses {
    /// DICOM.
    pub dicom: SocketAddr,
    /// DICOMweb.
    pub web: SocketAddr,
    /// Health.
    pub admin: SocketAddr,
}

/// Enrols a gateway in `dir` and writes its configuration.
pub async fn init(
    dir: &Path,
    trust_url: &str,
    code: &EnrolCode,
    clock: &Clock,
) -> Result<(), StartError> {
    let file = dir.join(config::FILE);
    if file.exists() {
        return Err(StartError::Exists(file));
    }
    files::create_dir_durable(dir, 0o700)?;
    party::enrol(&dir.join("data"), trust_url, code, clock).await?;
    files::write_durable(&file, config::template(trust_url).as_bytes(), 0o600)?;
    Ok(())
}

/// Starts the gateway of `dir`. It runs until `shutdown` stops it.
pub async fn serve(
    config: &GatewayConfig,
    dir: &Path,
    clock: &Clock,
    shutdown: &Shutdown,
) -> Result<Addresses, StartError> {
    let figures = config.figures()?;
    let readiness = Readiness::new();
    let ready = Ready::new(&readiness, clock);
    let data = dir.join(&config.data_dir);
    let (party, trust) = Party::load(&data, &config.trust.url, clock).await?;
    let spool = Spool::open(&data.join("spool"))?;
    let store = Store::open(&data.join("gateway.db")).await?;
    let hints = Arc::new(Hints::open(data.join("hints"))?);
    let settings = Settings {
        cache: data.join("cache"),
        cache_max: figures.cache_bytes,
        decision_lasts: figures.decision_lasts,
        failure_holdoff: figures.failure_holdoff,
        retrievals_at_once: config.consult.retrievals_at_once,
        bounds: figures.bounds,
    };
    let consult = Consult::new(
        party.clone(),
        trust.clone(),
        store.clone(),
        hints.clone(),
        settings,
        shutdown.clone(),
    )
    .await?;

    let admin = Admin::bind(&config.admin, readiness.clone())
        .await
        .map_err(listen("health", config.admin.listen))?;
    let admin_address = admin.local_addr();
    let dicom = listen_dicom(config, &figures, &spool, clock, shutdown).await?;
    let about = About {
        name: party.name().to_owned(),
        spool: spool.clone(),
        store: store.clone(),
        hints: hints.clone(),
        underway: consult.underway(),
        rounds: consult.rounds(),
    };
    let users_file = dir.join(&config.users_file);
    let users = Arc::new(users::read(&users_file)?);
    let web = Web {
        archive: Arc::new(consult.clone()),
        spool: spool.clone(),
        users: users.clone(),
        now: now(clock),
        on_stored: Arc::new(|_| {}),
        instances_leave: config.export.instances,
        limits: WebLimits {
            request_bytes: figures.request_bytes,
            object_bytes: figures.object_bytes,
            ..WebLimits::default()
        },
    };
    let metrics = Metrics::new(METRICS);
    let admin = admin.telling(metrics.clone(), Arc::new(about.clone()));
    let more = status::routes(about).merge(prefetch::routes(consult.clone()));
    let router = web::router(web, more);
    let router = metrics.count_answers(figures::REQUESTS, router);
    let server = Server::bind(config.web.listen, Limits::default())
        .await
        .map_err(listen("DICOMweb", config.web.listen))?;
    let addresses = Addresses {
        dicom,
        web: server.local_addr(),
        admin: admin_address,
    };

    let rounds = consult.clone();
    let stop = shutdown.token();
    // Goes on while the others stop, so that it can say so.
    tokio::spawn(admin.serve(CancellationToken::new()));
    shutdown.spawn("DICOMweb", {
        let stop = stop.clone();
        async move {
            server.serve(router, stop).await;
        }
    });
    let outbox = data.join("outbox");
    files::create_dir_durable(&outbox, 0o700)?;
    let outsource = Arc::new(Outsource::new(
        party.clone(),
        spool,
        store.clone(),
        trust.clone(),
        figures.quiet,
        figures.bounds,
        outbox,
    ));
    shutdown.spawn("outsourcing", outsource.run(LOOK_EVERY, stop.clone()));
    shutdown.spawn(
        "hints",
        poll_hints(
            consult,
            ready.clone(),
            figures.stack_poll,
            party.clone(),
            stop.clone(),
        ),
    );
    shutdown.spawn("rounds", rounds.keep_rounds(stop.clone()));
    let polling = notices::poll(trust, store, ready.clone(), clock.clone(), stop.clone());
    shutdown.spawn("notices", polling);
    let watching = users::watch(users_file, users, clock.clone(), stop.clone());
    shutdown.spawn("users", watching);
    let tls = client_config(party.identity(), Expect::role(Role::Trust))?;
    let renewal = Client::new(&config.trust.url, tls)?;
    shutdown.spawn(
        "renewal",
        keep_renewed(party.identity().clone(), renewal, Vec::new(), stop.clone()),
    );
    ready.serves();
    shutdown.spawn("readiness", ready.watch(stop));
    info!(dicom = %addresses.dicom, web = %addresses.web, admin = %addresses.admin, "gateway serves");
    Ok(addresses)
}

/// Runs the gateway of `dir` until SIGTERM.
pub async fn run(config: &GatewayConfig, dir: &Path) -> Result<(), StartError> {
    let shutdown = Shutdown::new();
    shutdown.on_signals()?;
    serve(config, dir, &Clock::system(), &shutdown).await?;
    shutdown.stopping().await;
    if !shutdown.finish(DRAIN).await {
        warn!("not everything had finished; it is taken up again at the next start");
    }
    Ok(())
}

async fn listen_dicom(
    config: &GatewayConfig,
    figures: &Figures,
    spool: &Arc<Spool>,
    clock: &Clock,
    shutdown: &Shutdown,
) -> Result<SocketAddr, StartError> {
    let section = &config.dicom;
    let listener = TcpListener::bind(section.listen)
        .await
        .map_err(listen("DICOM", section.listen))?;
    let address = listener.local_addr()?;
    let scp = Scp::new(
        ScpConfig {
            listen: address,
            ae_titles: vec![section.ae_title.clone()],
            calling_ae_titles: section.calling_ae_titles.clone(),
            max_associations: section.max_associations,
            max_object_bytes: figures.object_bytes,
            ..ScpConfig::default()
        },
        spool.clone(),
        now(clock),
    );
    let stop = shutdown.token();
    shutdown.spawn("DICOM", async move { scp.serve(listener, stop).await });
    Ok(address)
}

/// Hints are fetched when generations appear, not when somebody reads (docs/protocol.md 7.2).
async fn poll_hints(
    consult: Consult,
    ready: Ready,
    every: Duration,
    party: Arc<Party>,
    stop: CancellationToken,
) {
    let mut rng = party.rng();
    loop {
        let outcome = consult.refresh_hints().await;
        ready.hints(&outcome);
        if let Err(error) = outcome {
            warn!(error = %in_one_line(&error), "hints could not be refreshed; it is tried again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = party.clock().sleep(poll_pause(every, &mut rng)) => {}
        }
    }
}

/// Uniform from half of `every` to one and a half times it, in milliseconds, and drawn anew each time: a gateway that asked at
/// its own beat would be known by it.
fn poll_pause(every: Duration, rng: &mut impl Rng) -> Duration {
    let whole = every.as_millis().max(1);
    let into = (u128::from(rng.next_u64()) * whole) >> 64;
    let pause = every / 2 + Duration::from_millis(u64::try_from(into).unwrap_or(u64::MAX));
    pause.max(Duration::from_millis(1))
}

fn now(clock: &Clock) -> crate::dicom::scp::Now {
    let clock = clock.clone();
    Arc::new(move || clock.now().as_millis())
}

fn listen(what: &'static str, address: SocketAddr) -> impl FnOnce(io::Error) -> StartError {
    move |source| StartError::Listen {
        what,
        address,
        source,
    }
}

#[cfg(test)]
mod tests;
