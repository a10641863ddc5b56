//! Giving fragments back to trust, which places them anew (docs/protocol.md 5.7).
//!
//! Nothing of it reaches the cloud, and nobody waits for it: what fails is left.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use harpo_protocol::id::{BundleId, Nonce};
use harpo_service::causes::in_one_line;
use tracing::{debug, info};

use super::{Consult, ConsultError, Inner};
use crate::blocking;

/// Bundles that wait to be given back, each with a file of its fragments.
pub(super) const GIVEN_AT_ONCE: usize = 8;

/// What was read and is to be given back: its sealed fragments, one after another.
#[derive(Debug)]
pub(super) struct Read {
    pub(super) bundle: BundleId,
    pub(super) grant: Nonce,
    pub(super) fragments: u32,
    pub(super) file: Arc<File>,
}

impl Consult {
    /// Gives back what was read, in the background.
    pub(super) fn give_back(&self, read: Read) {
        let Ok(held) = self.0.giving.clone().try_acquire_owned() else {
            debug!(bundle = %read.bundle, "not given back: others are waiting for it");
            return;
        };
        let (this, stop) = (self.clone(), self.0.shutdown.token());
        self.0.shutdown.spawn("giving back", async move {
            let Read {
                bundle,
                grant,
                fragments,
                file,
            } = read;
            let size = this.0.party.layout().fragment_bytes();
            let giving = this.0.give(bundle, grant, fragments, |index| {
                let file = file.clone();
                move || {
                    let mut fragment = vec![0; size];
                    file.read_exact_at(&mut fragment, u64::from(index) * size as u64)?;
                    Ok(fragment)
                }
            });
            let outcome = tokio::select! {
                () = stop.cancelled() => Err(ConsultError::Stopping),
                outcome = giving => outcome,
            };
            match outcome {
                Ok(()) => {
                    this.0.rounds.count(|counts| counts.given_back += 1);
                    debug!(%bundle, "given back to trust");
                }
                Err(error) => {
                    info!(%bundle, error = %in_one_line(&error), "could not be given back to trust");
                }
            }
            drop(held);
        });
    }
}

impl Inner {
    /// Gives a bundle back under `grant`: each fragment as `read` makes it, which may block, then the word that it is
    /// complete.
    pub(super) async fn give<F>(
        &self,
        bundle: BundleId,
        grant: Nonce,
        fragments: u32,
        read: impl Fn(u32) -> F,
    ) -> Result<(), ConsultError>
    where
        F: FnOnce() -> Result<Vec<u8>, ConsultError> + Send + 'static,
    {
        for index in 0..fragments {
            let fragment = blocking(read(index)).await?;
            self.trust
                .put_replacement(bundle, index, grant, fragment.into())
                .await
                .map_err(ConsultError::Trust)?;
        }
        let replaced = self.trust.replaced(bundle, grant).await;
        replaced.map_err(ConsultError::Trust)
    }
}
