//! Starting and stopping a relay.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use harpo_service::admin::{Admin, Readiness};
use harpo_service::clock::Clock;
use harpo_service::enrol;
use harpo_service::http::{Client, ClientError, Limits, Server};
use harpo_service::metrics::Metrics;
use harpo_service::shutdown::Shutdown;
use harpo_service::tls::{ClientAuth, Expect, Identity, Role, client_config, server_config};

use crate::config::RelayConfig;
use crate::enrol::{EnrolError, Enrolment};
use crate::figures::{self, Carried, METRICS, Observer};
use crate::forward::{self, Forwarder};
use crate::places::Places;

/// For everything to finish when stopping.
const FINISH_WITHIN: Duration = Duration::from_secs(40);

/// Why a relay did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// Not enrolled, or the enrolment is not usable.
    #[error(transparent)]
    Enrol(#[from] EnrolError),
    /// The identity is another party's.
    #[error(
        "the identity in {0} is not that of the enrolled relay; restore both from the same backup"
    )]
    WrongIdentity(PathBuf),
    /// The cloud's address is none.
    #[error("cloud_url is not usable")]
    CloudUrl(#[source] ClientError),
    /// An address cannot be listened at.
    #[error("cannot serve")]
    Listen(#[source] std::io::Error),
}

/// A relay that serves.
#[derive(Debug)]
pub struct Running {
    address: SocketAddr,
    admin_address: SocketAddr,
    shutdown: Shutdown,
}

impl Running {
    /// Where gateways are served.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where health is told.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Waits until the service is asked to stop and has finished what it had begun.
    pub async fn finished(self) {
        self.shutdown.stopping().await;
        self.shutdown.finish(FINISH_WITHIN).await;
    }

    /// Asks the service to stop and waits as [`Running::finished`] does.
    pub async fn stop(self) {
        self.shutdown.stop();
        self.finished().await;
    }
}

/// Starts a relay. It serves when this returns; `shutdown` stops it.
///
/// # Errors
/// [`StartError`].
pub async fn serve(
    config: RelayConfig,
    clock: Clock,
    shutdown: Shutdown,
) -> Result<Running, StartError> {
    let enrolment = Enrolment::load(&config.enrolment_file())?;
    let identity_dir = config.identity_dir();
    let identity = Identity::load(&identity_dir, clock.clone()).map_err(EnrolError::from)?;
    if identity.role() != Role::Relay || identity.party() != enrolment.party {
        return Err(StartError::WrongIdentity(identity_dir));
    }
    let silence = Duration::from_secs(config.limits.silence_seconds);
    let tls = client_config(&identity, Expect::role(Role::Cloud)).map_err(EnrolError::from)?;
    let cloud = Client::new(&config.cloud_url, tls)
        .and_then(|client| client.with_read_timeout(silence))
        .map_err(StartError::CloudUrl)?;
    let limits = Limits {
        max_connections: config.limits.connections,
        ..Limits::default()
    };
    let server = Server::bind(config.listen, limits)
        .await
        .map_err(StartError::Listen)?;
    let tls = server_config(&identity, ClientAuth::Required).map_err(EnrolError::from)?;
    let server = server.with_tls(tls).with_clock(clock);
    let tls = client_config(&identity, Expect::role(Role::Trust)).map_err(EnrolError::from)?;
    let trust = Client::new(&enrolment.trust_url, tls).map_err(EnrolError::from)?;
    let readiness = Readiness::new();
    let admin = Admin::bind(&config.admin, readiness.clone())
        .await
        .map_err(StartError::Listen)?;
    let running = Running {
        address: server.local_addr(),
        admin_address: admin.local_addr(),
        shutdown: shutdown.clone(),
    };
    let token = shutdown.token();
    shutdown.spawn(
        "renewal",
        enrol::keep_renewed(identity, trust, enrolment.server_names, token.clone()),
    );
    let (metrics, places) = (Metrics::new(METRICS), Places::new(&config.limits));
    let observer = Arc::new(Observer(Arc::clone(&places)));
    let admin = admin.telling(metrics.clone(), observer);
    let router = forward::router(Arc::new(Forwarder {
        cloud,
        places,
        limits: config.limits,
        carried: Carried::new(&metrics),
    }));
    let router = metrics.count_answers(figures::REQUESTS, router);
    let serving = server.serve(router, token.clone());
    shutdown.spawn("server", async move {
        serving.await;
    });
    shutdown.spawn("admin", async move {
        admin.serve(token).await;
    });
    tracing::info!(address = %running.address, admin = %running.admin_address, "relay serves");
    Ok(running)
}
