//! The storage service class provider: C-ECHO and C-STORE (PS3.4 annexes A and B).
//!
//! An instance is answered with success only after the spool has made it durable. Everything is
//! accepted as it comes, in every transfer syntax of the registry; nothing is converted.

mod association;
mod negotiate;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::spool::{Spool, Stored};

pub(crate) use association::status_of;

/// How many connections beside the associations may be waiting to be rejected.
const WAITING_CONNECTIONS: usize = 64;

/// Settings of the provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScpConfig {
    /// Where to listen.
    pub listen: SocketAddr,
    /// Our application entity titles: others are rejected. Empty means any.
    pub ae_titles: Vec<String>,
    /// Titles that may call us. Empty means any.
    pub calling_ae_titles: Vec<String>,
    /// Associations at once; more are rejected as transient.
    pub max_associations: usize,
    /// Largest object, in bytes.
    pub max_object_bytes: u64,
    /// How long a peer may take to ask for an association, or to close one, in seconds (PS3.8
    /// section 9.1.4, ARTIM).
    pub artim_timeout_seconds: u64,
    /// How long an association may be silent, in seconds.
    pub idle_timeout_seconds: u64,
}

impl Default for ScpConfig {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 11112)),
            ae_titles: vec!["HARPOCRATES".into()],
            calling_ae_titles: Vec::new(),
            max_associations: 16,
            max_object_bytes: 4 << 30,
            artim_timeout_seconds: 30,
            idle_timeout_seconds: 60,
        }
    }
}

/// The present, in milliseconds since the Unix epoch.
pub type Now = Arc<dyn Fn() -> u64 + Send + Sync>;

/// What is told about each stored instance, after it is durable.
pub type OnStored = Arc<dyn Fn(&Stored) + Send + Sync>;

/// The provider. Cheap to clone.
#[derive(Clone)]
pub struct Scp {
    config: Arc<ScpConfig>,
    spool: Arc<Spool>,
    now: Now,
    on_stored: OnStored,
}

impl std::fmt::Debug for Scp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scp")
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

impl Scp {
    /// A provider that stores into `spool`.
    pub fn new(config: ScpConfig, spool: Arc<Spool>, now: Now) -> Self {
        Self {
            config: Arc::new(config),
            spool,
            now,
            on_stored: Arc::new(|_| {}),
        }
    }

    /// Has `on_stored` called for each instance that is durable, for counters and prompt sealing.
    #[must_use]
    pub fn on_stored(mut self, on_stored: OnStored) -> Self {
        self.on_stored = on_stored;
        self
    }

    /// Serves connections until `stop` is cancelled, and then until the messages in flight are
    /// answered.
    pub async fn serve(self, listener: TcpListener, stop: CancellationToken) {
        let associations = Arc::new(Semaphore::new(self.config.max_associations));
        let connections = Arc::new(Semaphore::new(
            self.config.max_associations + WAITING_CONNECTIONS,
        ));
        let tasks = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => break,
                accepted = listener.accept() => accepted,
            };
            let (stream, peer) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of file descriptors, most likely: wait for some to come back.
                    tracing::warn!(%error, "accepting a DICOM connection failed");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                    continue;
                }
            };
            let Ok(connection) = Arc::clone(&connections).try_acquire_owned() else {
                tracing::warn!(%peer, "too many DICOM connections; this one is dropped");
                continue;
            };
            let (scp, associations, stop) = (self.clone(), Arc::clone(&associations), stop.clone());
            tasks.spawn(async move {
                scp.connection(stream, peer, &associations, &stop).await;
                drop(connection);
            });
        }
        tasks.close();
        tasks.wait().await;
    }

    async fn connection(
        &self,
        stream: TcpStream,
        peer: SocketAddr,
        associations: &Semaphore,
        stop: &CancellationToken,
    ) {
        // Without it every small response waits 40 ms for the peer's delayed acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%peer, %error, "TCP_NODELAY could not be set");
        }
        match association::run(self, stream, associations, stop).await {
            Ok(ended) => tracing::debug!(%peer, ?ended, "DICOM association over"),
            Err(error) => tracing::info!(%peer, %error, "DICOM association failed"),
        }
    }
}
