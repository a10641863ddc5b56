//! The running service.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use harpo_protocol::identity::Role;
use harpo_protocol::wrap::OpeningKey;
use harpo_service::admin::{Admin, Readiness};
use harpo_service::clock::Clock;
use harpo_service::http::{Client, Limits, Server};
use harpo_service::metrics::{Metrics, Observed};
use harpo_service::shutdown::Shutdown;
use harpo_service::tls::{
    Authority, ClientAuth, Expect, Identity, Subject, client_config, generate_key_and_csr,
    server_config,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::api;
use crate::attempts::{Attempts, UnderWay};
use crate::audit::Event;
use crate::cache::Cache;
use crate::config::TrustConfig;
use crate::error::TrustError;
use crate::figures::{self, METRICS, Observer};
use crate::folder::Folder;
use crate::init::issue_identity;
use crate::mixer::Mixer;
use crate::policy::Policy;
use crate::refusals::{self, Refusals};
use crate::relay::{self, Relay};
use crate::replacement;
use crate::store::{Store, bundles, generations, give_back, permits, stacks};

/// How often expired things are removed and the own certificate is looked at.
const TIDY_EVERY: Duration = Duration::from_secs(15 * 60);

/// Manifests of one hospital that are in memory at a time: each may have 64 MiB.
const MANIFESTS_AT_ONCE: u32 = 4;

/// What requests and background tasks share.
pub(crate) struct Trust {
    pub(crate) store: Store,
    pub(crate) cache: Cache,
    pub(crate) policy: Policy,
    pub(crate) config: TrustConfig,
    pub(crate) authority: Authority,
    /// Unwraps content keys.
    pub(crate) opening: OpeningKey,
    /// Something was deposited: the mixer looks.
    pub(crate) wake: Notify,
    pub(crate) enrolments: Attempts,
    /// Manifests that are being read.
    pub(crate) manifests: UnderWay,
    pub(crate) refusals: Refusals,
    /// Through whom gateways reach the cloud.
    pub(crate) relay: Relay,
}

/// A trust service that listens.
pub struct Service {
    pub(crate) trust: Arc<Trust>,
    pub(crate) identity: Identity,
    pub(crate) server: Server,
    admin: Admin,
    readiness: Readiness,
    metrics: Metrics,
    pub(crate) cloud: Client,
}

/// Serves a data folder until `shutdown` says so: [`Service::start`], then [`Service::run`].
///
/// # Errors
/// As [`Service::start`].
pub async fn serve(
    folder: &Folder,
    config: TrustConfig,
    clock: Clock,
    shutdown: &Shutdown,
) -> Result<(), TrustError> {
    Service::start(folder, config, clock)
        .await?
        .run(shutdown)
        .await;
    Ok(())
}

impl Service {
    /// Opens the data folder and listens; port 0 chooses a free one. `config` is usually
    /// [`Folder::config`].
    ///
    /// # Errors
    /// What is wrong with the folder, configuration, policy, or addresses.
    pub async fn start(
        folder: &Folder,
        config: TrustConfig,
        clock: Clock,
    ) -> Result<Self, TrustError> {
        config
            .validate()
            .map_err(|error| TrustError::Usage(error.to_string()))?;
        let at = |path: &std::path::PathBuf| folder.path().join(path);
        let policy = Policy::load(
            config.policy.file.as_ref().map(at).as_deref(),
            config.policy.schema.as_ref().map(at).as_deref(),
        )?;
        let store = folder.open(clock.clone()).await?;
        prepare(&store, &config).await?;
        let authority = folder.authority()?;
        // Issued again at each start: server names may have changed.
        let party = Identity::load(&folder.identity_dir(), clock.clone())?.party();
        let identity = issue_identity(folder, &authority, party, &config, &clock)?;
        let cloud = Client::new(
            &config.cloud.url,
            client_config(&identity, Expect::role(Role::Cloud))?,
        )?;
        let limits = Limits {
            max_connections: config.limits.connections,
            max_anonymous: config.limits.anonymous_connections,
            ..Limits::default()
        };
        let server = Server::bind(config.listen, limits)
            .await
            .map_err(TrustError::Listen)?
            .with_tls(server_config(&identity, ClientAuth::Optional)?)
            .with_clock(clock);
        let readiness = Readiness::new();
        let admin = Admin::bind(&config.admin, readiness.clone())
            .await
            .map_err(TrustError::Listen)?;
        let trust = Trust {
            cache: Cache::open(folder)?,
            opening: folder.opening_key()?,
            enrolments: Attempts::new(
                config.limits.refused_enrolments_per_minute,
                config.limits.refused_enrolments_per_minute_of_all,
            ),
            manifests: UnderWay::new(MANIFESTS_AT_ONCE),
            refusals: Refusals::default(),
            relay: Relay::new(&config.relay),
            wake: Notify::new(),
            store,
            policy,
            config,
            authority,
        };
        remove_orphans(&trust).await?;
        let (trust, metrics) = (Arc::new(trust), Metrics::new(METRICS));
        let observer: Arc<dyn Observed> = Arc::new(Observer {
            trust: Arc::clone(&trust),
            counted: tokio::sync::Mutex::default(),
        });
        let admin = admin.telling(metrics.clone(), observer);
        Ok(Self {
            trust,
            identity,
            server,
            admin,
            readiness,
            metrics,
            cloud,
        })
    }

    /// Where parties connect.
    pub fn local_addr(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Where health is told.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin.local_addr()
    }

    /// Serves until `shutdown` is asked to stop, and returns when everything has finished.
    pub async fn run(self, shutdown: &Shutdown) {
        let serving = self.readiness.condition("serving");
        let keys = relay::keep(
            Arc::clone(&self.trust),
            self.cloud.clone(),
            self.readiness.clone(),
            shutdown.token(),
        );
        shutdown.spawn("relay", keys);
        let mixer = Mixer::new(Arc::clone(&self.trust), self.cloud);
        shutdown.spawn("mixer", mixer.run(shutdown.token()));
        let tidy = tidy(Arc::clone(&self.trust), self.identity, shutdown.token());
        shutdown.spawn("tidy", tidy);
        let refusals = refusals::keep(Arc::clone(&self.trust), shutdown.token());
        shutdown.spawn("refusals", refusals);
        let (admin, token) = (self.admin, shutdown.token());
        shutdown.spawn("admin", async move {
            admin.serve(token).await;
        });
        serving.holds();
        tracing::info!(address = %self.server.local_addr(), "serving");
        let router = api::router(Arc::clone(&self.trust));
        let router = self.metrics.count_answers(figures::REQUESTS, router);
        self.server.serve(router, shutdown.token()).await;
        serving.fails("stopping");
        shutdown.finish(Duration::from_secs(30)).await;
        self.trust.store.db.close().await;
    }
}

/// Brings the database to the configuration: sizes, and the stacks.
async fn prepare(store: &Store, config: &TrustConfig) -> Result<(), TrustError> {
    let layout = config.layout();
    let used = generations::used_layout(store.db.read()).await?;
    if let Some((cell_bytes, cells)) = used
        && (cell_bytes, cells) != (layout.cell_bytes, layout.cells_per_slot)
    {
        return Err(TrustError::Usage(format!(
            "[layout] says {} cells of {} bytes in a slot, and bundles were deposited with {cells} of \
             {cell_bytes}; set it back: every slot has the same size",
            layout.cells_per_slot, layout.cell_bytes
        )));
    }
    let mut tx = store.db.begin("prepare").await?;
    generations::drop_empty(&mut tx).await?;
    // Those that were sealed before there were several stacks.
    stacks::gather(&mut tx, config.stack_bounds(), &store.signing, store.now()).await?;
    tx.commit().await?;
    Ok(())
}

/// Removes fragments that nobody wants: what a crash, or a second process, left.
async fn remove_orphans(trust: &Trust) -> Result<(), TrustError> {
    for id in trust.cache.bundles()? {
        if replacement::remove_unwanted(trust, id).await? {
            tracing::warn!(bundle = %id, "removed fragments that nobody wants");
        }
    }
    Ok(())
}

/// Removes what has expired, and keeps the own certificate young.
async fn tidy(trust: Arc<Trust>, identity: Identity, stop: CancellationToken) {
    loop {
        if let Err(error) = tidy_once(&trust, &identity).await {
            tracing::warn!(%error, "tidying failed; it is tried again");
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = trust.store.clock.sleep(TIDY_EVERY) => {}
        }
    }
}

pub(crate) async fn tidy_once(trust: &Trust, identity: &Identity) -> Result<(), TrustError> {
    let now = trust.store.now();
    let mut tx = trust.store.db.begin("remove expired permits").await?;
    permits::remove_expired(&mut tx, now).await?;
    give_back::remove_expired(&mut tx, now).await?;
    tx.commit().await?;

    let lasting =
        Duration::from_secs(3600 * u64::from(trust.config.limits.abandoned_deposit_hours));
    for bundle in bundles::abandoned(trust.store.db.read(), now - lasting).await? {
        abandon(trust, bundle).await?;
    }

    remove_orphans(trust).await?;

    let certificate = identity.certificate();
    let life = certificate.expires.since(certificate.not_before);
    if now >= certificate.not_before.after(life * 2 / 3) {
        let request = generate_key_and_csr(identity.dir())?;
        let subject = Subject {
            role: Role::Trust,
            party: identity.party(),
            server_names: trust.config.server_names.clone(),
        };
        let validity = trust.config.validity();
        identity.renew(&trust.authority.issue(&request, &subject, validity, now)?)?;
    }
    Ok(())
}

/// Removes a deposit that nobody completed. Fragments go while the write lock is held, so that nobody
/// completes it meanwhile; and nobody stores another until it is forgotten.
pub(crate) async fn abandon(
    trust: &Trust,
    id: harpo_protocol::id::BundleId,
) -> Result<(), TrustError> {
    let mut tx = trust.store.db.begin("abandon deposit").await?;
    let Some(bundle) = bundles::find(&mut *tx, id).await? else {
        return Ok(());
    };
    if bundle.state != bundles::State::Receiving {
        return Ok(());
    }
    bundles::forget(&mut tx, bundle.number).await?;
    let event = Event::DepositExpired { bundle: id };
    trust.store.audit(&mut tx, event).await?;
    let removing = trust.cache.removing(id).await;
    removing.remove().await?;
    tx.commit().await?;
    drop(removing);
    Ok(())
}
