//! What an operator does to a gateway's data, also while it runs.

use std::path::Path;

use harpo_protocol::id::PartyId;
use harpo_protocol::time::Timestamp;
use harpo_service::clock::Clock;

use crate::party;
use crate::serve::StartError;
use crate::spool::count::{Counts, instances_of};
use crate::store::Store;
use crate::store::notices::NoticeRow;
use crate::store::refusals::{Refusal, Wish};

/// A gateway, as its folder tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The hospital's name.
    pub name: String,
    /// Its party.
    pub party: PartyId,
    /// When its certificate ends, unless it is renewed.
    pub certificate_until: Timestamp,
    /// Arrivals.
    pub spool: Counts,
    /// Bundles whose receipt is here.
    pub deposited: u64,
    /// Bundles that were refused for good.
    pub refused: u64,
    /// Bundles in the local cache, and their bytes.
    pub cached: (u64, u64),
    /// Accesses that a second person must review.
    pub reviews: usize,
}

/// Looks at a gateway's data.
///
/// # Errors
/// If it is not enrolled, or its data cannot be read.
pub async fn report(data: &Path, clock: &Clock) -> Result<Report, StartError> {
    let (name, identity) = party::who(data, clock)?;
    let store = Store::open(&data.join("gateway.db")).await?;
    let (deposited, refused) = store.deposits().await?;
    Ok(Report {
        name,
        party: identity.party(),
        certificate_until: identity.expires(),
        spool: Counts::of(&data.join("spool"))?,
        deposited,
        refused,
        cached: store.cache_size().await?,
        reviews: store.reviews().await?.len(),
    })
}

/// The refused bundles, oldest first, each with the number of its instances.
///
/// # Errors
/// Database, disk.
pub async fn refused(data: &Path) -> Result<Vec<(Refusal, usize)>, StartError> {
    let store = Store::open(&data.join("gateway.db")).await?;
    let mut refused = Vec::new();
    for refusal in store.refusals().await? {
        let instances = instances_of(&data.join("spool"), &refusal.bundle)?;
        refused.push((refusal, instances));
    }
    Ok(refused)
}

/// Asks the running gateway, or the next one that runs, to do something with a refused bundle.
/// Whether there is such a one.
///
/// # Errors
/// Database.
pub async fn wish(data: &Path, bundle: &str, wish: Wish) -> Result<bool, StartError> {
    let store = Store::open(&data.join("gateway.db")).await?;
    Ok(store.wish(bundle, wish).await?)
}

/// The accesses that a second person must review, oldest first.
///
/// # Errors
/// Database.
pub async fn reviews(data: &Path) -> Result<Vec<NoticeRow>, StartError> {
    let store = Store::open(&data.join("gateway.db")).await?;
    Ok(store.reviews().await?)
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spool::Spool;
    use crate::testing::{NOW, World, put};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_folder_tells_while_it_is_in_use() {
        let world = World::new().await;
        let data = world.data();
        let spool = Spool::open(&data.join("spool")).unwrap();
        put(&spool, "1.2", "1.2.1", NOW);
        put(&spool, "1.2", "1.2.2", NOW);
        spool.close("1.2", "b").unwrap();
        let store = Store::open(&data.join("gateway.db")).await.unwrap();
        store
            .add_refusal("b", "1.2", "denied", "the policy says no", NOW)
            .await
            .unwrap();
        let report = report(&data, &world.clock).await.unwrap();
        assert_eq!(report.name, "St. Luke's");
        assert_eq!((report.deposited, report.refused), (0, 1));
        assert_eq!(report.spool.closed_instances, 2);
        assert!(report.certificate_until > NOW);
        let listed = refused(&data).await.unwrap();
        assert_eq!((listed[0].0.wish, listed[0].1), (None, 2));
        assert!(!wish(&data, "c", Wish::Retry).await.unwrap());
        assert!(wish(&data, "b", Wish::Discard).await.unwrap());
        let listed = refused(&data).await.unwrap();
        assert_eq!((listed[0].0.wish, listed[0].1), (Some(Wish::Discard), 2));
        assert_eq!(reviews(&data).await.unwrap(), []);
    }
}
