//! Starting and stopping a cloud.

use std::fs::{File, TryLockError};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use harpo_service::admin::{Admin, Readiness};
use harpo_service::blobs::Blobs;
use harpo_service::causes::in_one_line;
use harpo_service::clock::Clock;
use harpo_service::db;
use harpo_service::http::{Client, Limits, Server};
use harpo_service::metrics::{Metrics, Observed};
use harpo_service::ohttp::{KeysError, ServerKeys};
use harpo_service::shutdown::Shutdown;
use harpo_service::tls::{ClientAuth, Expect, Identity, Role, client_config, server_config};
use harpo_service::{enrol, files, random};
use tokio::sync::{Semaphore, mpsc};

use crate::cloud::Cloud;
use crate::config::{CloudConfig, EncodedForm};
use crate::enrol::{EnrolError, Enrolment};
use crate::events::EventLog;
use crate::figures::{self, METRICS};
use crate::gate::Gate;
use crate::residents::Residents;
use crate::scanner::Scanner;
use crate::sealing::kept::Kept;
use crate::slots::Slots;
use crate::store::{MIGRATOR, Store};
use crate::{Error, api, sealing};

/// Between rounds of forgetting old tickets.
const FORGET_EVERY: Duration = Duration::from_secs(600);
/// For everything to finish when stopping.
const FINISH_WITHIN: Duration = Duration::from_secs(40);

/// Why a cloud did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Not enrolled, or the enrolment is not usable.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The identity is another party's.
    #[error(
        "the identity in {0} is not that of the enrolled cloud; restore both from the same backup"
    )]
    WrongIdentity(std::path::PathBuf),
    /// Another process uses the folder.
    #[error("{0} is in use by another process; stop that one first")]
    InUse(std::path::PathBuf),
    /// An address cannot be listened at.
    #[error("cannot serve")]
    Listen(#[source] std::io::Error),
    /// The keys for what comes through the relay are not usable.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// The state is not usable.
    #[error(transparent)]
    State(#[from] Error),
}

/// A cloud that serves.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    admin_address: SocketAddr,
    readiness: Readiness,
    shutdown: Shutdown,
    store: Store,
}

impl Running {
    /// Where trust and gateways are served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health is told.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Whether everything that was sealed before the start is in memory.
    #[must_use]
    pub fn readiness(&self) -> &Readiness {
        &self.readiness
    }

    /// Waits until the service is asked to stop and has finished what it had begun.
    pub async fn finished(self) {
        self.shutdown.stopping().await;
        self.shutdown.finish(FINISH_WITHIN).await;
        self.store.close().await;
    }

    /// Asks the service to stop and waits as [`Running::finished`] does.
    pub async fn stop(self) {
        self.shutdown.stop();
        self.finished().await;
    }
}

/// Starts a cloud. It serves when this returns; sealed generations are still being brought into memory then, and
/// [`Running::readiness`] tells when they are. `shutdown` stops it.
///
/// # Errors
/// [`StartError`].
pub async fn serve(
    config: CloudConfig,
    clock: Clock,
    shutdown: Shutdown,
) -> Result<Running, StartError> {
    let enrolment = Enrolment::load(&config.enrolment_file())?;
    let identity_dir = config.identity_dir();
    let identity = Identity::load(&identity_dir, clock.clone()).map_err(EnrolError::from)?;
    if identity.role() != Role::Cloud || identity.party() != enrolment.party {
        return Err(StartError::WrongIdentity(identity_dir));
    }
    let server = Server::bind(config.listen, Limits::default())
        .await
        .map_err(StartError::Listen)?;
    let server = server
        .with_tls(server_config(&identity, ClientAuth::Required).map_err(EnrolError::from)?)
        .with_clock(clock.clone());
    let trust = client_config(&identity, Expect::role(Role::Trust)).map_err(EnrolError::from)?;
    let trust = Client::new(&enrolment.trust_url, trust).map_err(EnrolError::from)?;
    let readiness = Readiness::new();
    let admin = Admin::bind(&config.admin, readiness.clone())
        .await
        .map_err(StartError::Listen)?;
    let metrics = Metrics::new(METRICS);
    let (cloud, queue) = open(&config, &enrolment, clock, &readiness, &metrics).await?;
    let admin = admin.telling(metrics.clone(), Arc::clone(&cloud) as Arc<dyn Observed>);
    let first = sealing::closed_at_start(&cloud).await?;

    let running = Running {
        address: server.local_addr(),
        admin_address: admin.local_addr(),
        readiness,
        shutdown: shutdown.clone(),
        store: cloud.store.clone(),
    };
    let token = shutdown.token();
    shutdown.spawn(
        "sealing",
        sealing::run(Arc::clone(&cloud), first, queue, token.clone()),
    );
    shutdown.spawn(
        "tickets",
        forget_tickets(Arc::clone(&cloud), shutdown.clone()),
    );
    shutdown.spawn(
        "renewal",
        enrol::keep_renewed(identity, trust, enrolment.server_names, token.clone()),
    );
    let router = metrics.count_answers(figures::REQUESTS, api::router(cloud));
    let serving = server.serve(router, token.clone());
    shutdown.spawn("server", async move {
        serving.await;
    });
    shutdown.spawn("admin", async move {
        admin.serve(token).await;
    });
    tracing::info!(address = %running.address, admin = %running.admin_address, "cloud serves");
    Ok(running)
}

type Queue = mpsc::UnboundedReceiver<harpo_protocol::id::GenerationId>;

async fn open(
    config: &CloudConfig,
    enrolment: &Enrolment,
    clock: Clock,
    readiness: &Readiness,
    metrics: &Metrics,
) -> Result<(Arc<Cloud>, Queue), StartError> {
    let lock = lock(&config.data_dir)?;
    let database = db::open_sqlite(&config.database_file(), &MIGRATOR)
        .await
        .map_err(Error::from)?;
    let log = config.event_log();
    let stack = readiness.condition("stack");
    stack.fails("stack loading");
    let (sender, queue) = mpsc::unbounded_channel();
    let cloud = Cloud {
        store: Store::new(database),
        slots: Slots::new(
            Blobs::open(&config.objects_dir()).map_err(Error::from)?,
            &config.limits,
        ),
        residents: Residents::new(config.limits.memory_mib()),
        kept: kept(config)?,
        scanner: Scanner::start(
            Duration::from_millis(config.limits.gather_milliseconds),
            figures::of_passes(metrics),
        )?,
        events: EventLog::open(&log)
            .map_err(Error::file("open", &log))?
            .counting(metrics),
        trust_key: enrolment.trust_key,
        keys: ServerKeys::load_or_make(&config.relay_keys_file(), &mut random::system())?,
        gate: Gate::new(&config.limits),
        proofs: Arc::new(Semaphore::new(1)),
        limits: config.limits.clone(),
        clock,
        queue: sender,
        stack,
        _lock: lock,
    };
    cloud.remove_leftovers().await?;
    Ok((Arc::new(cloud), queue))
}

/// Where encoded generations are kept. What an earlier configuration left there is removed if they are not.
fn kept(config: &CloudConfig) -> Result<Option<Kept>, Error> {
    let dir = config.encoded_dir();
    match config.stack.encoded {
        EncodedForm::Mapped => Kept::open(&dir).map(Some),
        EncodedForm::Memory => match std::fs::remove_dir_all(&dir) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::file("remove", &dir)(error))
            }
            _ => Ok(None),
        },
    }
}

/// Takes the folder for this process.
fn lock(data_dir: &Path) -> Result<File, StartError> {
    files::create_dir_durable(data_dir, 0o700).map_err(Error::file("create", data_dir))?;
    let path = data_dir.join("lock");
    let file = File::create(&path).map_err(Error::file("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StartError::InUse(data_dir.to_owned())),
        Err(TryLockError::Error(error)) => Err(Error::file("lock", &path)(error).into()),
    }
}

async fn forget_tickets(cloud: Arc<Cloud>, shutdown: Shutdown) {
    let clock = cloud.clock.clone();
    loop {
        if let Err(error) = cloud.forget_tickets().await {
            tracing::warn!(
                error = in_one_line(&error),
                "old tickets are not forgotten yet"
            );
        }
        tokio::select! {
            () = shutdown.stopping() => return,
            () = clock.sleep(FORGET_EVERY) => {}
        }
    }
}
