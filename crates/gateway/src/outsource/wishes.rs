//! What an operator wants done with refused bundles (`harpo gateway refused`). The command notes it
//! in the database, and whoever holds the spool does it here.

use std::fs;
use std::io;

use harpo_protocol::id::BundleId;
use harpo_service::causes::in_one_line;
use tracing::{info, warn};

use super::{DepositError, Outsource};
use crate::blocking;
use crate::spool::SpoolError;
use crate::store::refusals::{Refusal, Wish};

impl Outsource {
    /// Does what was asked for. One that fails is tried again in the next pass.
    pub(super) async fn carry_out_wishes(&self) -> Result<(), DepositError> {
        for (refusal, wish) in self.store.wishes().await? {
            let bundle = refusal.bundle.clone();
            let done = match wish {
                Wish::Retry => self.take_up_again(&refusal).await,
                Wish::Discard => self.discard(&refusal).await,
            };
            if let Err(error) = done {
                warn!(%bundle, ?wish, error = %in_one_line(&error), "a refused bundle stays as it was; it is tried again");
            }
        }
        Ok(())
    }

    async fn take_up_again(&self, refusal: &Refusal) -> Result<(), DepositError> {
        // Trust knows the identifier with other content, or has begun to take what it then found
        // malformed: under the same one it would refuse again.
        if ["conflict", "malformed"].contains(&refusal.code.as_str()) {
            self.rename(&refusal.bundle).await?;
        }
        self.store.remove_refusal(&refusal.bundle).await?;
        self.failures().forget(&refusal.bundle);
        info!(bundle = %refusal.bundle, "a refused bundle is taken up again");
        Ok(())
    }

    /// Gives a bundle a new identifier, under which it will be sealed again.
    pub(super) async fn rename(&self, bundle: &str) -> Result<(), DepositError> {
        let to = BundleId::random(&mut self.party.rng()).to_string();
        let (spool, outbox, from) = (self.spool.clone(), self.outbox.clone(), bundle.to_owned());
        info!(bundle, %to, "the bundle will be sealed again under another identifier");
        blocking(move || {
            remove_outbox(&outbox.join(&from))?;
            match spool.rename(&from, &to) {
                // Done before a crash.
                Err(SpoolError::NotFound(_)) => Ok(()),
                other => Ok(other?),
            }
        })
        .await
    }

    async fn discard(&self, refusal: &Refusal) -> Result<(), DepositError> {
        let (spool, outbox) = (self.spool.clone(), self.outbox.clone());
        let bundle = refusal.bundle.clone();
        blocking(move || {
            remove_outbox(&outbox.join(&bundle))?;
            match spool.remove(&bundle) {
                Err(SpoolError::NotFound(_)) => Ok(()),
                other => other.map_err(DepositError::from),
            }
        })
        .await?;
        self.store.remove_refusal(&refusal.bundle).await?;
        self.failures().forget(&refusal.bundle);
        warn!(bundle = %refusal.bundle, study = %refusal.study, "a refused bundle was discarded by an operator");
        Ok(())
    }
}

/// Removes what was sealed, if anything was.
pub(super) fn remove_outbox(dir: &std::path::Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
