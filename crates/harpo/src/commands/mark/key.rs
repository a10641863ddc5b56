//! `harpo mark key`.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Args;
use harpo_gateway::content::judge::VerifyKey;
use harpo_protocol::id::BundleId;

use super::Gateway;

#[derive(Debug, Args)]
pub(crate) struct Key {
    /// The bundle, as `harpo mark verify` names it
    bundle: BundleId,
    #[command(flatten)]
    gateway: Gateway,
}

impl Key {
    pub(super) async fn run(self) -> Result<ExitCode> {
        let records = self.gateway.records().await?;
        let keys = records.keys(self.bundle).await?;
        let keys = keys.with_context(|| {
            format!("bundle {} was neither sealed nor opened here", self.bundle)
        })?;
        println!("{}", *VerifyKey::new(&keys)?.to_json()?);
        Ok(ExitCode::SUCCESS)
    }
}
