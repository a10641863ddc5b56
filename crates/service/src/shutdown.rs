//! Stopping in order: one signal asks, everything finishes what it has begun, a second signal insists.

use std::future::Future;
use std::io;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

#[cfg(test)]
mod tests;

/// The exit status after a second signal, as shells report an interrupted program.
const INTERRUPTED: i32 = 130;

/// What stops a service, and what it waits for when stopping. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// A service that runs.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on SIGTERM or SIGINT stops the service, and a second one ends the process at once.
    ///
    /// # Errors
    /// If the handlers cannot be installed.
    pub fn on_signals(&self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let token = self.token.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => "SIGTERM",
                    _ = interrupt.recv() => "SIGINT",
                }
            };
            let first = next().await;
            tracing::info!(signal = first, "stopping; a second signal ends it at once");
            token.cancel();
            let second = next().await;
            tracing::warn!(signal = second, "ended before everything had finished");
            std::process::exit(INTERRUPTED);
        });
        Ok(())
    }

    /// Asks everything to finish.
    pub fn stop(&self) {
        self.token.cancel();
    }

    /// Whether it was asked to.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns when it was asked to.
    pub async fn stopping(&self) {
        self.token.cancelled().await;
    }

    /// The token that is cancelled when the service is asked to stop, for
    /// [`Server::serve`](crate::http::Server::serve) and others.
    #[must_use]
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs `task` in the background; [`Shutdown::finish`] waits for it. It should watch
    /// [`Shutdown::token`]. If it panics the service stops: half a service is worse than none that
    /// is started again.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let shutdown = self.clone();
        self.tasks.spawn(async move {
            match tokio::spawn(task).await {
                Ok(()) => tracing::debug!(task = name, "finished"),
                Err(error) => {
                    tracing::error!(task = name, %error, "a background task failed; stopping");
                    shutdown.stop();
                }
            }
        });
    }

    /// Waits until what was spawned has finished, at most `deadline`. Returns whether it has.
    pub async fn finish(&self, deadline: Duration) -> bool {
        self.tasks.close();
        let finished = tokio::time::timeout(deadline, self.tasks.wait())
            .await
            .is_ok();
        if !finished {
            let left = self.tasks.len();
            tracing::warn!(left, "background tasks did not finish in time");
        }
        finished
    }
}
