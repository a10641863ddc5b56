//! How much of trust one hospital may take up (docs/protocol.md 4.1).

use std::time::Duration;

use sqlx::SqliteConnection;

use crate::config::TrustConfig;
use crate::error::{TrustError, refuse};
use crate::store::bundles;
use crate::store::parties::Party;

/// When a hospital whose deposits are too many is to ask again: they become fewer as it completes them.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// Refuses a new deposit with so many fragments if its party has too much under way already.
pub(crate) async fn check(
    config: &TrustConfig,
    tx: &mut SqliteConnection,
    party: &Party,
    fragments: u64,
) -> Result<(), TrustError> {
    let held = bundles::held(tx, party.id).await?;
    let limits = &config.limits;
    let most = u64::from(limits.max_open_deposits_per_party);
    if held.open >= most {
        return Err(refuse::busy(
            format!(
                "{most} deposits of this party are begun and not completed \
                 (limits.max_open_deposits_per_party); complete some first"
            ),
            ASK_AGAIN,
        )
        .into());
    }
    let bytes = (held.fragments + fragments) * config.layout().fragment_bytes() as u64;
    let most = u64::from(limits.max_cached_mib_per_party);
    if bytes > most << 20 {
        return Err(refuse::storage_full(format!(
            "this party may have {most} MiB in the upload cache (limits.max_cached_mib_per_party); nothing was \
             changed; try again when a generation was sealed"
        ))
        .into());
    }
    Ok(())
}
