//! What an operator does to a gateway's data, also while it runs.

use std::path::Path;

use crate::serve::StartError;
use crate::store::Store;

/// Removes every local copy of fetched bundles; how many there were.
pub async fn clear_cache(data: &Path) -> Result<usize, StartError> {
    let store = Store::open(&data.join("gateway.db")).await?;
    let bundles = store.all_cached().await?;
    for bundle in &bundles {
        store.forget_cached(*bundle).await?;
        match std::fs::remove_dir_all(data.join("cache").join(bundle.to_string())) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(bundles.len())
}
